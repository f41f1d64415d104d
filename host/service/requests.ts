// The requests that a service has answered: counters of them, and an entry for each.
import { AccessReason } from "../../abi/access-log.ts";
import type { AccessSink, LoggedConnection, LoggedHead } from "../access-log.ts";

/** Upper bounds of the histogram of durations, in seconds. */
export const DURATIONS_S: readonly number[] = [
  ...[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
];
/** Requests under way that are known; of a guest that notes more, the oldest are forgotten. */
const UNDER_WAY_MAX = 65536;

/** An answered request. Times are in milliseconds. */
export interface Entry {
  /** When its head was complete, since 1970. */
  readonly dateMs: number;
  /** "": not known. */
  readonly address: string;
  readonly connection: number;
  /** Of requests on its connection, with this one. */
  readonly count: number;
  readonly status: number;
  readonly minor: number;
  /** As LoggedHead has them, but its own. */
  readonly lengths: readonly number[];
  readonly texts: Uint8Array;
  readonly bodyBytes: number;
  readonly durationMs: number;
  /** Until the head of the answer was handed over. */
  readonly firstMs: number;
  readonly reason: AccessReason;
}

/** A request whose response is not over. */
interface UnderWay {
  readonly startNs: number;
  readonly firstNs: number;
  readonly status: number;
  readonly method: string;
  /** Its connection was given up. */
  cut: number;
  readonly head: Omit<Entry, "bodyBytes" | "durationMs" | "firstMs" | "reason"> | null;
}

export interface RequestsOptions {
  /** Milliseconds since 1970. */
  readonly date: () => number;
  readonly addressOf: (connection: LoggedConnection) => string;
  /** Takes each request that is over; null: they are only counted. */
  readonly entry: ((entry: Entry) => void) | null;
  /** A connection was given up. */
  readonly cut: (connection: LoggedConnection, reason: AccessReason) => void;
}

/** Counters of requests, all since the process began. */
export class RequestCounters {
  /** By status and method, as in "200 GET". */
  readonly answered = new Map<string, number>();
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

  count(status: number, method: string, seconds: number): void {
    const key = `${status} ${method}`;
    this.answered.set(key, (this.answered.get(key) ?? 0) + 1);
    this.durationSum += seconds;
    const bucket = DURATIONS_S.findIndex((most) => seconds <= most);
    if (bucket < 0) this.longer++;
    else this.durations[bucket] = (this.durations[bucket] as number) + 1;
  }
}

export class Requests implements AccessSink {
  readonly counters: RequestCounters;
  readonly #options: RequestsOptions;
  readonly #underWay = new Map<number, UnderWay>();

  constructor(counters: RequestCounters, options: RequestsOptions) {
    this.counters = counters;
    this.#options = options;
  }

  request(noted: LoggedHead): void {
    const { hostPort, startNs, nowNs, status, lengths, texts } = noted;
    const { date, addressOf, entry } = this.#options;
    const method = methodOf(lengths[0] ?? 0, texts);
    const head =
      entry === null
        ? null
        : {
            dateMs: date() - (nowNs - startNs) / 1e6,
            address: addressOf(noted),
            connection: hostPort,
            count: noted.count,
            status,
            minor: noted.minor,
            lengths,
            texts: texts.slice(),
          };
    if (this.#underWay.size >= UNDER_WAY_MAX) this.#forgetOldest();
    this.#underWay.set(hostPort, {
      startNs,
      firstNs: nowNs,
      status,
      method,
      cut: AccessReason.None,
      head,
    });
  }

  response({ hostPort }: LoggedConnection, bodyBytes: number, noted: number, nowNs: number): void {
    const found = this.#underWay.get(hostPort);
    if (found === undefined) return;
    const reason =
      noted !== AccessReason.None && found.cut !== AccessReason.None ? found.cut : noted;
    this.#underWay.delete(hostPort);
    const { counters } = this;
    counters.count(found.status, found.method, Math.max(0, nowNs - found.startNs) / 1e9);
    counters.bodyBytes += bodyBytes;
    bump(counters.aborted, reason);
    const { head } = found;
    if (head === null) return;
    // Field by field: a spread costs more than all the rest of this.
    this.#options.entry?.({
      dateMs: head.dateMs,
      address: head.address,
      connection: head.connection,
      count: head.count,
      status: head.status,
      minor: head.minor,
      lengths: head.lengths,
      texts: head.texts,
      bodyBytes,
      reason,
      durationMs: (nowNs - found.startNs) / 1e6,
      firstMs: (found.firstNs - found.startNs) / 1e6,
    });
  }

  cut(connection: LoggedConnection, reason: number): void {
    bump(this.counters.cut, reason);
    const underWay = this.#underWay.get(connection.hostPort);
    if (underWay !== undefined) underWay.cut = reason;
    this.#options.cut(connection, reason);
  }

  lost(records: number): void {
    this.counters.lost += records;
  }

  #forgetOldest(): void {
    const [oldest] = this.#underWay.keys();
    if (oldest === undefined) return;
    this.#underWay.delete(oldest);
    this.counters.lost++;
  }
}

/** The guest may note any reason. */
function bump(counters: number[], reason: number): void {
  const known = reason < AccessReason.Kinds ? reason : AccessReason.None;
  counters[known] = (counters[known] as number) + 1;
}

const GET = 0x474554;
const HEAD = 0x48454144;

/** For labels: of the others there may be any. */
function methodOf(length: number, texts: Uint8Array): string {
  let word = 0;
  for (let i = 0; i < length && i < 4; i++) word = word * 256 + (texts[i] as number);
  if (length === 3 && word === GET) return "GET";
  return length === 4 && word === HEAD ? "HEAD" : "OTHER";
}
