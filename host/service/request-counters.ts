// Counters of requests, without an object or a text for each of them.
import { AccessReason } from "../../abi/access-log.ts";

/** Upper bounds of the histogram of durations, in seconds. */
export const DURATIONS_S: readonly number[] = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
];

/** For labels: of methods other than these there may be any number. */
export const enum Method {
  Other = 0,
  Get = 1,
  Head = 2,
  Kinds = 3,
}

const METHODS = ["OTHER", "GET", "HEAD"] as const;
/** HTTP has statuses of three digits; whatever else a guest notes counts as 0. */
const STATUSES = 1000;

/** Counters of requests, all since the process began. */
export class RequestCounters {
  readonly #answered = new Float64Array(STATUSES * Method.Kinds);
  /** How many took no longer than each of DURATIONS_S, and longer than the one before. */
  readonly durations: number[] = DURATIONS_S.map(() => 0);
  longer = 0;
  durationSum = 0; // s
  bodyBytes = 0;
  /** By AccessReason, of responses that are not complete, and of connections that were given up. */
  readonly aborted: number[] = new Array(AccessReason.Kinds).fill(0);
  readonly cut: number[] = new Array(AccessReason.Kinds).fill(0);
  /** Entries that were lost before they came to a line. */
  lost = 0;

  count(status: number, method: Method, seconds: number): void {
    const i = (status < STATUSES ? status : 0) * Method.Kinds + method;
    this.#answered[i] = (this.#answered[i] as number) + 1;
    this.durationSum += seconds;
    for (let i = 0; i < DURATIONS_S.length; i++) {
      if (seconds > (DURATIONS_S[i] as number)) continue;
      this.durations[i] = (this.durations[i] as number) + 1;
      return;
    }
    this.longer++;
  }

  /** In a list by reason. The guest may note any reason. */
  bump(counters: number[], reason: number): void {
    const known = reason < AccessReason.Kinds ? reason : AccessReason.None;
    counters[known] = (counters[known] as number) + 1;
  }

  /** By status and method, as in "200 GET". */
  get answered(): Map<string, number> {
    const found = new Map<string, number>();
    for (const [i, count] of this.#answered.entries()) {
      if (count === 0) continue;
      const method = METHODS[i % Method.Kinds] as string;
      found.set(`${Math.floor(i / Method.Kinds)} ${method}`, count);
    }
    return found;
  }
}
