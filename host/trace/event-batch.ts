// Events as numbers, until many of them are written at once. Writing each when it happens takes
// about twice the time: its code and tables would have to come into the caches every time.
import type { EventKind, Flow } from "./event.ts";
import { isCount, isTime } from "./json-numbers.ts";

const EVENTS = 1024;

/** Where an event has its numbers. */
export const EventNumber = { tid: 0, since: 1, dur: 2, flow: 3, a: 4, b: 5, c: 6 } as const;
export const EVENT_NUMBERS = 7;

export class EventBatch {
  readonly #kinds: EventKind[] = [];
  readonly #numbers = new Float64Array(EVENTS * EVENT_NUMBERS);
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** As EventWriter.put(). False: it is full, or a number is none that can be written over. */
  put(
    kind: EventKind,
    tid: number,
    sinceNs: number,
    durNs: number,
    flow: Flow,
    a: number,
    b: number,
    c: number,
  ): boolean {
    const areTimes = isTime(sinceNs) && isTime(durNs) && Number.isInteger(flow);
    const areCounts = isCount(tid) && isCount(a) && isCount(b) && isCount(c);
    if (this.#count === EVENTS || !areTimes || !areCounts) return false;
    const numbers = this.#numbers;
    const at = this.#count * EVENT_NUMBERS;
    this.#kinds[this.#count++] = kind;
    numbers[at] = tid;
    numbers[at + 1] = sinceNs;
    numbers[at + 2] = durNs;
    numbers[at + 3] = flow;
    numbers[at + 4] = a;
    numbers[at + 5] = b;
    numbers[at + 6] = c;
    return true;
  }

  /** Hands them over in their order. */
  empty(each: (kind: EventKind, numbers: Float64Array, at: number) => void): void {
    const count = this.#count;
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      each(this.#kinds[i] as EventKind, this.#numbers, i * EVENT_NUMBERS);
    }
  }
}
