// One machine under inspection: its state at any moment between turns, the events of late, and a
// clock that stops. Nothing is recorded while nobody watches.

import type { NetConnection } from "../device.ts";
import { SocketDevice } from "../devices/vsock/device.ts";
import type { ConnectionStats } from "../devices/vsock/stats.ts";
import type { Machine } from "../machine.ts";
import type { PausableClock } from "../pausable-clock.ts";
import { readGuestLoad, readGuestStats } from "../stats.ts";
import type { TraceEvent, TraceSink } from "../trace/event.ts";
import { BREAKPOINTS_MAX, type Breakpoint, hits } from "./breakpoints.ts";
import { type BothWays, copiesOf } from "./copies.ts";
import type { HeapMap, HeapView } from "./heap.ts";
import { type Insight, insightOf } from "./insight.ts";
import type { KickGate } from "./kick-gate.ts";
import { RecentEvents } from "./recent-events.ts";
import { type DeviceView, readDevice } from "./rings.ts";
import type { SocketsView } from "./sockets.ts";
import { LISTED_MAX, type ThreadsView } from "./threads.ts";

/** stopped: inside a kick, which the device has not seen yet. */
export type RunState = "running" | "paused" | "stopped" | "ended";

/** A step: all that is ready; one thread of it; or up to the next kick. */
export type StepBy = "turn" | "thread" | "kick";

/** A machine at one moment. Times are nanoseconds of its clock. */
export interface MachineView {
  readonly state: RunState;
  readonly nowNs: number;
  /** The event that it was stopped at; null: somebody has asked for it. */
  readonly stoppedAt: TraceEvent | null;
  readonly breakpoints: readonly Breakpoint[];
  /** Can it be stopped inside a turn, before a kick? */
  readonly stopsInKicks: boolean;
  readonly switches: number;
  readonly devices: readonly DeviceView[];
  /** null, here and below: the image does not say. */
  readonly threads: ThreadsView | null;
  readonly sockets: SocketsView | null;
  readonly heap: HeapView | null;
  /** Connections of the vsock device, as the host sees them. */
  readonly connections: {
    readonly total: number;
    readonly listed: readonly ConnectionStats[];
  };
  /** Connections of TCP that end in this process, as the network of the card sees them. */
  readonly netConnections: {
    readonly total: number;
    readonly listed: readonly NetConnection[];
  };
  readonly copies: BothWays | null;
}

/** The machine, and what may be done to it. */
export interface InspectorOptions {
  readonly machine: Machine;
  /** The machine's. null: it does not stop. */
  readonly clock: PausableClock | null;
  /** The machine was stopped at an event, or goes on, and by whom is not known. */
  readonly changed?: () => void;
  /** For a machine whose thread may block. Default: it is never stopped inside a turn. */
  readonly gate?: KickGate;
  /**
   * Called in the kick, before the thread blocks, so that those who watch can be shown it, and when
   * it goes on.
   */
  readonly held?: (isHeld: boolean) => void;
  /** Default: none. */
  readonly breakpoints?: readonly Breakpoint[];
}

/** Looks at a machine, and stops it. Reading it never enters the guest. */
export class Inspector {
  readonly #options: InspectorOptions;
  readonly #insight: Insight;
  readonly #vsock: SocketDevice | null;
  readonly #watchers = new Set<(event: TraceEvent) => void>();
  readonly #recent = new RecentEvents(); // since somebody watches
  #breakpoints: readonly Breakpoint[] = [];
  #stoppedAt: TraceEvent | null = null;
  #endTrace: (() => void) | null = null;
  #isReleased = false;
  #stopsAtKick = false; // the next one
  #isInKick = false; // its thread waits at the gate

  constructor(options: InspectorOptions) {
    this.#options = options;
    this.#insight = insightOf(options.machine);
    const devices = options.machine.registers.map(({ device }) => device);
    this.#vsock = devices.find((device) => device instanceof SocketDevice) ?? null;
    this.breakAt(options.breakpoints ?? []);
  }

  /** Those that the machine stops at. */
  get breakpoints(): readonly Breakpoint[] {
    return this.#breakpoints;
  }

  /** The machine now. */
  view(): MachineView {
    const { machine } = this.#options;
    const { memory } = machine;
    const insight = this.#insight;
    const all = this.#vsock?.connections() ?? [];
    const net = machine.registers.flatMap(({ device }) => device.netConnections?.() ?? []);
    return {
      state: this.state,
      nowNs: insight.now(),
      stoppedAt: this.#stoppedAt,
      breakpoints: this.#breakpoints,
      stopsInKicks: this.#options.gate !== undefined,
      switches: memory.attached ? readGuestLoad(memory).heartbeat : 0,
      devices: machine.registers.map((registers) => readDevice(memory, registers)),
      threads: insight.threads(),
      sockets: insight.sockets(),
      heap: memory.attached ? insight.heap() : null,
      connections: { total: all.length, listed: all.slice(0, LISTED_MAX) },
      netConnections: { total: net.length, listed: net.slice(0, LISTED_MAX) },
      copies:
        this.#vsock && copiesOf(this.#vsock.stats, memory.attached ? readGuestStats(memory) : null),
    };
  }

  /** The blocks of the heap, one after the other; null: the image does not say. */
  heapMap(): HeapMap | null {
    const { memory } = this.#options.machine;
    return memory.attached ? this.#insight.heapMap() : null;
  }

  /** The state of the machine now. */
  get state(): RunState {
    const { machine, clock } = this.#options;
    if (machine.ended) return "ended";
    if (this.#isInKick) return "stopped";
    return clock?.paused === true ? "paused" : "running";
  }

  /** Calls `watcher` for each event from now on, until the result is called. */
  watch(watcher: (event: TraceEvent) => void): () => void {
    this.#watchers.add(watcher);
    this.#follow();
    return () => {
      this.#watchers.delete(watcher);
      this.#follow();
    };
  }

  /**
   * Names of the tracks, and events of late, oldest first, since the first of those who watch has
   * come.
   */
  recent(): TraceEvent[] {
    return this.#recent.list();
  }

  /** Gives `sink` all events from now on, until the result is called. */
  trace(sink: TraceSink): () => void {
    return this.#insight.trace(sink);
  }

  /** False: the machine cannot be stopped. */
  pause(): boolean {
    const { clock } = this.#options;
    if (clock === null || this.#isReleased || this.state === "ended") return false;
    if (!clock.paused) this.#stop(null);
    return true;
  }

  /** The machine goes on, its clock from the time at which it was stopped. */
  resume(): void {
    const { machine, clock } = this.#options;
    machine.budget = null;
    this.#stoppedAt = null;
    clock?.resume();
    this.#options.changed?.();
  }

  /** The machine goes on, and is never stopped again, as it is about to end. */
  release(): void {
    this.#isReleased = true;
    this.resume();
  }

  /**
   * One turn of a machine that is paused; by `thread` it runs one thread at most, after which the
   * devices get their turn as well. With nothing to do, time goes on to the next timer. By `kick`
   * the machine goes on until one is due. False: the machine is not paused, there is nothing that
   * it waits for but its clients, or it never stops at kicks.
   */
  step(by: StepBy): boolean {
    const { machine, clock } = this.#options;
    if (clock === null || this.state !== "paused") return false;
    if (by === "kick") return this.#goOnToKick();
    machine.budget = by === "thread" ? 1 : null;
    this.#stoppedAt = null;
    const stepped = clock.step();
    this.#options.changed?.();
    return stepped;
  }

  #goOnToKick(): boolean {
    if (this.#options.gate === undefined) return false;
    this.#stopsAtKick = true;
    this.#follow();
    this.resume();
    return true;
  }

  /**
   * The machine stops after the turn in which one of these has happened, or before a kick if it
   * can. False: too many.
   */
  breakAt(breakpoints: readonly Breakpoint[]): boolean {
    if (breakpoints.length > BREAKPOINTS_MAX) return false;
    this.#breakpoints = breakpoints;
    this.#follow();
    return true;
  }

  /** Records events while somebody watches, or there is something to stop at. */
  #follow(): void {
    const isWanted = this.#watchers.size > 0 || this.#breakpoints.length > 0 || this.#stopsAtKick;
    if (isWanted && this.#endTrace === null) {
      this.#endTrace = this.#insight.trace(this.#record);
    } else if (!isWanted) {
      this.#endTrace?.();
      this.#endTrace = null;
      this.#recent.clear();
    }
  }

  readonly #record = (event: TraceEvent): void => {
    this.#recent.add(event);
    for (const watcher of this.#watchers) watcher(event);
    if (this.#isReleased || (this.state !== "running" && !this.#stopsAtKick)) return;
    const isHit = this.#breakpoints.some((one) => hits(one, event));
    const { gate } = this.#options;
    if (gate !== undefined && isKick(event)) {
      if (isHit || this.#stopsAtKick) this.#stopInKick(event, gate);
    } else if (isHit) {
      this.#stop(event);
    }
  };

  /** The device has not seen the kick, and its driver waits for it. Blocks the thread. */
  #stopInKick(event: TraceEvent, gate: KickGate): void {
    const { clock, held } = this.#options;
    this.#isInKick = true;
    this.#stop(event);
    gate.close(); // before anybody learns of it, who may answer at once
    held?.(true);
    const order = gate.wait();
    this.#isInKick = false;
    held?.(false);
    this.#stopsAtKick = order === "kick";
    this.#follow();
    if (order === "turn") return; // the clock stands still: the turn is the last
    this.#stoppedAt = null;
    clock?.resume();
    this.#options.changed?.();
  }

  #stop(event: TraceEvent | null): void {
    this.#stoppedAt = event;
    this.#options.clock?.pause();
    this.#options.changed?.();
  }
}

const isKick = ({ name, args = {} }: TraceEvent): boolean => name === "kick" && "queue" in args;
