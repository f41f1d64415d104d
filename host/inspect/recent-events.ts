// Events of late, for those who come to watch.
import type { TraceEvent } from "../trace/event.ts";

const EVENTS_MAX = 4096;

export class RecentEvents {
  readonly #events: TraceEvent[] = []; // a ring of EVENTS_MAX
  #recorded = 0;
  readonly #titles = new Map<string, TraceEvent>(); // names of tracks

  add(event: TraceEvent): void {
    if (event.ph === "M") this.#entitle(event);
    else this.#events[this.#recorded++ % EVENTS_MAX] = event;
  }

  /** Names of the tracks, and then the events, oldest first. */
  list(): TraceEvent[] {
    const from = this.#recorded % EVENTS_MAX;
    const titles = [...this.#titles.values()];
    if (this.#recorded <= EVENTS_MAX) return [...titles, ...this.#events.slice(0, this.#recorded)];
    return [...titles, ...this.#events.slice(from), ...this.#events.slice(0, from)];
  }

  clear(): void {
    this.#events.length = 0;
    this.#titles.clear();
    this.#recorded = 0;
  }

  /** Threads come and go: the oldest names are forgotten. */
  #entitle(event: TraceEvent): void {
    const key = `${event.name} ${event.pid} ${event.tid}`;
    this.#titles.delete(key);
    this.#titles.set(key, event);
    if (this.#titles.size <= EVENTS_MAX) return;
    for (const oldest of this.#titles.keys()) {
      this.#titles.delete(oldest);
      break;
    }
  }
}
