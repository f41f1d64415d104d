// The requests that a service has answered: counters of them, and an entry for each.
import { ACCESS_TEXTS, AccessReason } from "../../abi/access-log.ts";
import type { AccessSink, LoggedConnection, LoggedHead } from "../access-log.ts";
import { copyBytes } from "./line-buffer.ts";
import { Method, type RequestCounters } from "./request-counters.ts";

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
  /** As LoggedHead has them. */
  readonly lengths: Uint16Array;
  readonly places: Uint32Array;
  readonly view: DataView;
  readonly bodyBytes: number;
  readonly durationMs: number;
  /** Until the head of the answer was handed over. */
  readonly firstMs: number;
  readonly reason: AccessReason;
}

export interface RequestsOptions {
  /** Milliseconds since 1970. */
  readonly date: () => number;
  readonly addressOf: (connection: LoggedConnection) => string;
  /** Are entries wanted? If not, requests are only counted. */
  readonly isWanted: () => boolean;
  /** Takes each request that is over. The entry serves for others: copy what is kept. */
  readonly entry: (entry: Entry) => void;
  /** A connection was given up. */
  readonly cut: (connection: LoggedConnection, reason: AccessReason) => void;
}

/** Objects without a request that wait for another. */
const SPARE_MAX = 256;
/** Texts of most requests are shorter. */
const OWN_BYTES = 512;
const NOTHING = new DataView(new ArrayBuffer(0));

/** A request whose response is not over, and then its entry. */
class UnderWay implements Entry {
  dateMs = 0;
  address = "";
  connection = 0;
  count = 0;
  status = 0;
  minor = 0;
  readonly lengths = new Uint16Array(ACCESS_TEXTS);
  readonly places = new Uint32Array(ACCESS_TEXTS);
  view: DataView = NOTHING;
  bodyBytes = 0;
  durationMs = 0;
  firstMs = 0;
  reason: AccessReason = AccessReason.None;
  startNs = 0;
  method: Method = Method.Other;
  /** Has it all that an entry has? */
  isWanted = false;
  /** Its connection was given up. */
  cut: AccessReason = AccessReason.None;
  #own = NOTHING;

  take(head: LoggedHead): void {
    this.connection = head.hostPort;
    this.count = head.count;
    this.status = head.status;
    this.minor = head.minor;
    this.startNs = head.startNs;
    this.firstMs = (head.nowNs - head.startNs) / 1e6;
    this.method = methodOf(head);
    this.cut = AccessReason.None;
    for (let i = 0; i < ACCESS_TEXTS; i++) {
      this.lengths[i] = head.lengths[i] as number;
      this.places[i] = head.places[i] as number;
    }
    this.view = head.view;
  }

  /** Copies the texts, which are about to be gone; the copy serves all requests of this object. */
  keep(): void {
    let bytes = 0;
    for (let i = 0; i < ACCESS_TEXTS; i++) bytes += this.lengths[i] as number;
    if (bytes > this.#own.byteLength) {
      this.#own = new DataView(new ArrayBuffer(Math.max(bytes, OWN_BYTES)));
    }
    let at = 0;
    for (let i = 0; i < ACCESS_TEXTS; i++) {
      const length = this.lengths[i] as number;
      copyBytes(this.view, this.places[i] as number, length, this.#own, at);
      this.places[i] = at;
      at += length;
    }
    this.view = this.#own;
  }
}

export class Requests implements AccessSink {
  readonly counters: RequestCounters;
  readonly #options: RequestsOptions;
  readonly #underWay = new Map<number, UnderWay>();
  /**
   * The request noted last: most responses are over in the same turn, and nothing of them is
   * copied or allocated.
   */
  #last = new UnderWay();
  #isLastOpen = false;
  readonly #spare: UnderWay[] = [];
  #dateNs = Number.NaN; // the time of the date
  #dateMs = 0;

  constructor(counters: RequestCounters, options: RequestsOptions) {
    this.counters = counters;
    this.#options = options;
  }

  get wantsTexts(): boolean {
    return this.#options.isWanted();
  }

  request(head: LoggedHead): void {
    if (this.#isLastOpen) this.#keepLast();
    const last = this.#last;
    last.take(head);
    this.#isLastOpen = true;
    last.isWanted = this.#options.isWanted();
    if (!last.isWanted) return;
    if (head.nowNs !== this.#dateNs) {
      this.#dateNs = head.nowNs;
      this.#dateMs = this.#options.date();
    }
    last.dateMs = this.#dateMs - last.firstMs;
    last.address = this.#options.addressOf(head);
  }

  response(
    { hostPort }: LoggedConnection,
    bodyBytes: number,
    noted: AccessReason,
    nowNs: number,
  ): void {
    if (this.#isLastOpen && this.#last.connection === hostPort) {
      this.#isLastOpen = false;
      this.#over(this.#last, bodyBytes, noted, nowNs);
      return;
    }
    const found = this.#underWay.get(hostPort);
    if (found === undefined) return;
    this.#underWay.delete(hostPort);
    this.#over(found, bodyBytes, noted, nowNs);
    if (this.#spare.length < SPARE_MAX) this.#spare.push(found);
  }

  #over(request: UnderWay, bodyBytes: number, noted: AccessReason, nowNs: number): void {
    const ns = nowNs - request.startNs;
    const isCut = noted !== AccessReason.None && request.cut !== AccessReason.None;
    const reason = isCut ? request.cut : noted;
    const { counters } = this;
    counters.count(request.status, request.method, ns > 0 ? ns / 1e9 : 0);
    counters.bodyBytes += bodyBytes;
    counters.bump(counters.aborted, reason);
    if (!request.isWanted) return;
    request.bodyBytes = bodyBytes;
    request.reason = reason;
    request.durationMs = ns / 1e6;
    this.#options.entry(request);
  }

  cut(connection: LoggedConnection, reason: number): void {
    const { counters } = this;
    counters.bump(counters.cut, reason);
    const isLast = this.#isLastOpen && this.#last.connection === connection.hostPort;
    const underWay = isLast ? this.#last : this.#underWay.get(connection.hostPort);
    if (underWay !== undefined) underWay.cut = reason;
    this.#options.cut(connection, reason);
  }

  lost(records: number): void {
    this.counters.lost += records;
  }

  taken(): void {
    if (this.#isLastOpen) this.#keepLast();
  }

  /** Its response is not over yet. */
  #keepLast(): void {
    this.#isLastOpen = false;
    if (this.#underWay.size >= UNDER_WAY_MAX) this.#forgetOldest();
    if (this.#last.isWanted) this.#last.keep();
    this.#underWay.set(this.#last.connection, this.#last);
    this.#last = this.#spare.pop() ?? new UnderWay();
  }

  #forgetOldest(): void {
    const [oldest] = this.#underWay.keys();
    if (oldest === undefined) return;
    this.#underWay.delete(oldest);
    this.counters.lost++;
  }
}

const GET = 0x474554;
const HEAD = 0x48454144;

function methodOf({ lengths, places, view }: LoggedHead): Method {
  const length = lengths[0] as number;
  if (length !== 3 && length !== 4) return Method.Other;
  const at = places[0] as number;
  let word = 0;
  for (let i = 0; i < length; i++) word = word * 256 + view.getUint8(at + i);
  if (word === GET) return Method.Get;
  return word === HEAD ? Method.Head : Method.Other;
}
