// Sends a machine to those who look at it: its state some ten times a second, and its events. A
// slow viewer gets less of that, and nothing waits for it. While nobody looks there is no timer,
// and there are no events.
import type { TraceEvent } from "../trace/event.ts";
import type { MachineView } from "./inspector.ts";

const PERIOD_MS = 100;
/** Events for one viewer between two updates; more are counted. */
const EVENTS_MAX = 4096;

/** One update for a viewer. */
export interface Update {
  /** null: there is no machine, for the moment. */
  readonly view: MachineView | null;
  /** Since the last update of this viewer. */
  readonly events: readonly TraceEvent[];
  /** Events that are missing. */
  readonly lost: number;
}

/** Somebody who looks at a machine. Its methods must not throw. */
export interface Viewer {
  /** Has it taken the last update? Asked before each further one. */
  isReady(): boolean;
  /** It keeps nothing of the update. */
  show(update: Update): void;
}

/** A machine that can be shown: an Inspector, or what stands for one of another thread. */
export interface Watched {
  /** null: there is none, for the moment. */
  view(): MachineView | null;
  /** Names of the tracks, and events of late, oldest first. */
  recent(): TraceEvent[];
  /**
   * Calls `watcher` for each event from now on, and `missed` with the number of those that are
   * missing, until the result is called.
   */
  watch(watcher: (event: TraceEvent) => void, missed: (events: number) => void): () => void;
}

interface Pending {
  events: TraceEvent[];
  lost: number;
}

/** The viewers of a machine, or of those that take its place one after the other. */
export class Feed {
  readonly #machine: () => Watched | null;
  readonly #viewers = new Map<Viewer, Pending>();
  #timer: ReturnType<typeof setInterval> | null = null;
  #watched: Watched | null = null;
  #endWatch: (() => void) | null = null;

  /** `machine`: the present one. Another may take its place. */
  constructor(machine: () => Watched | null) {
    this.#machine = machine;
  }

  /** The viewer gets updates, the first one now, until remove(). */
  add(viewer: Viewer): void {
    this.#viewers.set(viewer, { events: this.#machine()?.recent() ?? [], lost: 0 });
    this.#timer ??= setInterval(this.#tick, PERIOD_MS);
    this.#tick();
  }

  /** Shows the machine as it is at once, also to those that have not taken the last update. */
  showNow(): void {
    this.#show(() => true);
  }

  /** The viewer gets nothing more. After the last one the machine records no events. */
  remove(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#viewers.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#watch(null);
  }

  readonly #tick = (): void => this.#show((viewer) => viewer.isReady());

  #show(isTaker: (viewer: Viewer) => boolean): void {
    const machine = this.#machine();
    if (machine !== this.#watched) this.#watch(machine);
    const view = machine?.view() ?? null;
    for (const [viewer, pending] of this.#viewers) {
      if (!isTaker(viewer)) continue;
      const { events, lost } = pending;
      pending.events = [];
      pending.lost = 0;
      viewer.show({ view, events, lost });
    }
  }

  #watch(machine: Watched | null): void {
    this.#endWatch?.();
    this.#watched = machine;
    this.#endWatch = machine?.watch(this.#record, this.#missed) ?? null;
  }

  readonly #record = (event: TraceEvent): void => {
    for (const pending of this.#viewers.values()) {
      if (pending.events.length < EVENTS_MAX) pending.events.push(event);
      else pending.lost++;
    }
  };

  readonly #missed = (events: number): void => {
    for (const pending of this.#viewers.values()) pending.lost += events;
  };
}
