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
const TEXTS_BYTES = 512;
const NOTHING = new DataView(new ArrayBuffer(0));
const NO_LENGTHS = new Uint16Array(0);
const NO_PLACES = new Uint32Array(0);

/** A request, and when its response is over its entry. */
class Answered implements Entry {
  dateMs = 0;
  address = "";
  connection = 0;
  count = 0;
  status = 0;
  minor = 0;
  lengths: Uint16Array = NO_LENGTHS;
  places: Uint32Array = NO_PLACES;
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

  /** Refers to the texts, which are the guest's. */
  take(head: LoggedHead): void {
    this.connection = head.hostPort;
    this.count = head.count;
    this.status = head.status;
    this.minor = head.minor;
    this.startNs = head.startNs;
    this.firstMs = (head.nowNs - head.startNs) / 1e6;
    this.method = methodOf(head);
    this.cut = AccessReason.None;
    this.lengths = head.lengths;
    this.places = head.places;
    this.view = head.view;
  }
}

/** One whose response is not over. */
class UnderWay extends Answered {
  readonly #lengths = new Uint16Array(ACCESS_TEXTS);
  readonly #places = new Uint32Array(ACCESS_TEXTS);
  #texts = NOTHING;

  /** Copies the texts; the copy serves all requests of this object. */
  keep(): void {
    let bytes = 0;
    for (let i = 0; i < ACCESS_TEXTS; i++) bytes += this.lengths[i] as number;
    if (bytes > this.#texts.byteLength) {
      this.#texts = new DataView(new ArrayBuffer(Math.max(bytes, TEXTS_BYTES)));
    }
    let at = 0;
    for (let i = 0; i < ACCESS_TEXTS; i++) {
      const length = this.lengths[i] as number;
      copyBytes(this.view, this.places[i] as number, length, this.#texts, at);
      this.#lengths[i] = length;
      this.#places[i] = at;
      at += length;
    }
    this.lengths = this.#lengths;
    this.places = this.#places;
    this.view = this.#texts;
  }
}

export class Requests implements AccessSink {
  readonly counters: RequestCounters;
  readonly #options: RequestsOptions;
  readonly #underWay = new Map<number, UnderWay>();
  readonly #spare: UnderWay[] = [];
  /** Most responses are over at once, and nothing of them is copied or allocated. */
  readonly #whole = new Answered();
  #dateNs = Number.NaN; // the time of the date
  #dateMs = 0;

  constructor(counters: RequestCounters, options: RequestsOptions) {
    this.counters = counters;
    this.#options = options;
  }

  get wantsTexts(): boolean {
    return this.#options.isWanted();
  }

  whole(head: LoggedHead, bodyBytes: number, reason: AccessReason): void {
    this.#begin(this.#whole, head);
    this.#end(this.#whole, bodyBytes, reason, head.nowNs);
  }

  request(head: LoggedHead): void {
    const request = this.#spare.pop() ?? new UnderWay();
    this.#begin(request, head);
    request.keep();
    if (this.#underWay.size >= UNDER_WAY_MAX) this.#forgetOldest();
    this.#underWay.set(head.hostPort, request);
  }

  response(
    { hostPort }: LoggedConnection,
    bodyBytes: number,
    reason: AccessReason,
    nowNs: number,
  ): void {
    const found = this.#underWay.get(hostPort);
    if (found === undefined) return;
    this.#underWay.delete(hostPort);
    this.#end(found, bodyBytes, reason, nowNs);
    if (this.#spare.length < SPARE_MAX) this.#spare.push(found);
  }

  #begin(request: Answered, head: LoggedHead): void {
    request.take(head);
    request.isWanted = this.#options.isWanted();
    if (!request.isWanted) return;
    if (head.nowNs !== this.#dateNs) {
      this.#dateNs = head.nowNs;
      this.#dateMs = this.#options.date();
    }
    request.dateMs = this.#dateMs - request.firstMs;
    request.address = this.#options.addressOf(head);
  }

  #end(request: Answered, bodyBytes: number, noted: AccessReason, nowNs: number): void {
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
