// The events of late, as the page keeps them: in the order of their times, with the names of their
// tracks.
import type { TraceEvent } from "../../host/trace/event.ts";

const EVENTS_MAX = 4096;
const TRACKS_MAX = 8192;
export const MACHINE = 1;
export const THREADS = 2;
export const VCPU = 1;

export class Recording {
  events: TraceEvent[] = [];
  lost = 0;
  readonly #tracks = new Map<string, string>();
  #known: ReadonlySet<string> | null = null; // until the next events come

  /** The next events begin with those of late, some of which are known. */
  rejoin(): void {
    this.#known = new Set(this.events.map(keyOf));
  }

  add(events: readonly TraceEvent[], lost: number): void {
    const known = this.#known;
    this.#known = null;
    this.lost += lost;
    for (const event of events) {
      const isTitle = event.ph === "M";
      if (isTitle && event.name === "thread_name") this.#entitle(event);
      if (!isTitle && known?.has(keyOf(event)) !== true) this.events.push(event);
    }
    // An entry is written when it ends, and so after what happened in it.
    this.events.sort((a, b) => a.ts - b.ts);
    if (this.events.length > EVENTS_MAX) this.events.splice(0, this.events.length - EVENTS_MAX);
  }

  /** Threads come and go: the oldest names are forgotten. */
  #entitle({ pid, tid, args }: TraceEvent): void {
    const key = `${pid} ${tid}`;
    this.#tracks.delete(key);
    this.#tracks.set(key, `${args?.name ?? ""}`);
    if (this.#tracks.size <= TRACKS_MAX) return;
    for (const oldest of this.#tracks.keys()) {
      this.#tracks.delete(oldest);
      break;
    }
  }

  trackOf({ pid, tid }: TraceEvent): string {
    return (
      this.#tracks.get(`${pid} ${tid}`) ?? (pid === THREADS ? `thread ${tid}` : `track ${tid}`)
    );
  }
}

const keyOf = ({ ts, pid, tid, ph, name }: TraceEvent): string =>
  `${ts} ${pid} ${tid} ${ph} ${name}`;

/** A request to a file system. */
export const isFileRequest = ({ args }: TraceEvent): boolean =>
  args !== undefined && "nodeid" in args;
export const isWait = ({ cat }: TraceEvent): boolean => cat === "wait";

export function argumentsText({ args = {} }: TraceEvent): string {
  return Object.entries(args)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}
