// Sends the machine to those who watch it, each over a port: its state some ten times a second, and
// its events. A watcher that has not drawn the last message gets no other. While nobody watches
// there is no timer, and there are no events.
import type { Inspector } from "../inspect/inspector.ts";
import type { TraceEvent } from "../trace/event.ts";
import { WATCHED, type WatchMessage } from "./worker-protocol.ts";

const PERIOD_MS = 100;
/** Events for one watcher between two messages; more are counted. */
const EVENTS_MAX = 4096;
/** A further one takes the place of the oldest. */
const WATCHERS_MAX = 8;

interface Watcher {
  readonly port: MessagePort;
  events: TraceEvent[];
  lost: number;
  isDrawing: boolean;
}

export class Watchers {
  readonly #inspector: Inspector;
  readonly #watchers = new Set<Watcher>();
  #timer: ReturnType<typeof setInterval> | null = null;
  #endWatch: () => void = () => {};

  constructor(inspector: Inspector) {
    this.#inspector = inspector;
  }

  /** Sends to `port` until its other end says "end". */
  add(port: MessagePort): void {
    for (const oldest of this.#watchers) {
      if (this.#watchers.size >= WATCHERS_MAX) this.#remove(oldest);
    }
    const events = this.#inspector.recent();
    const watcher: Watcher = { port, events, lost: 0, isDrawing: false };
    this.#watchers.add(watcher);
    port.onmessage = ({ data }) => {
      if (data === WATCHED) watcher.isDrawing = false;
      else this.#remove(watcher);
    };
    this.#begin();
    this.#send(watcher);
  }

  #begin(): void {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => {
      for (const watcher of this.#watchers) this.#send(watcher);
    }, PERIOD_MS);
    this.#endWatch = this.#inspector.watch((event) => {
      for (const watcher of this.#watchers) {
        if (watcher.events.length < EVENTS_MAX) watcher.events.push(event);
        else watcher.lost++;
      }
    });
  }

  #send(watcher: Watcher): void {
    if (watcher.isDrawing) return;
    const { events, lost } = watcher;
    watcher.isDrawing = true;
    watcher.events = [];
    watcher.lost = 0;
    const message: WatchMessage = { view: this.#inspector.view(), events, lost };
    watcher.port.postMessage(message);
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    watcher.port.close();
    if (this.#watchers.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#endWatch();
  }
}
