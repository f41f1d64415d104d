// The host's side of the access log: empties the ring of requests each time the guest has returned.
// Both the place of the ring and its content come from the guest: they are not trusted.
import {
  ACCESS_RING_BYTES,
  ACCESS_TARGET_BYTES_MAX,
  ACCESS_TEXT_BYTES_MAX,
  ACCESS_TEXTS,
  AccessCut,
  AccessKind,
  type AccessReason,
  AccessRecord,
  AccessRequest,
  AccessResponse,
  AccessRing,
} from "../abi/access-log.ts";
import { TIME_PAGE_ADDRESS, TimePage } from "../abi/boot.ts";
import type { GuestExports } from "./image.ts";
import { type GuestMemory, u32 } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";

const TWO_32 = 4294967296;

/** A connection, as the guest and its device know it. */
export interface LoggedConnection {
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A request, whose answer is about to be sent. One object serves all: copy what is kept. */
export interface LoggedHead extends LoggedConnection {
  /** When the head was complete, and now: monotonic nanoseconds of the machine. */
  readonly startNs: number;
  readonly nowNs: number;
  /** Of requests on the connection, with this one. */
  readonly count: number;
  readonly status: number;
  /** Of HTTP/1.minor. */
  readonly minor: number;
  /**
   * Lengths of the method, the target, the referer, the agent, the authority, the id and the
   * forwarded addresses, within the bounds of abi/access-log.ts; 0: none, or not known.
   */
  readonly lengths: Uint16Array;
  /** Where each of them begins in `view`. */
  readonly places: Uint32Array;
  /** The guest's memory. */
  readonly view: DataView;
}

/**
 * Takes what applications note. It is called while the guest has just returned, and should do what
 * takes time later. A response that is over at once is whole(); otherwise the first call is
 * request(), and the second, when it is over, response().
 */
export interface AccessSink {
  /** Are texts other than the method wanted? It may change. */
  readonly wantsTexts: boolean;
  whole(head: LoggedHead, bodyBytes: number, reason: AccessReason): void;
  request(head: LoggedHead): void;
  /** `bodyBytes` were handed over; a reason other than None says why there are no more. */
  response(
    connection: LoggedConnection,
    bodyBytes: number,
    reason: AccessReason,
    nowNs: number,
  ): void;
  /** The application gives up a connection. */
  cut(connection: LoggedConnection, reason: AccessReason): void;
  /** Records of the guest were lost for lack of room, or were none. */
  lost(records: number): void;
}

/** The guest with a log that is emptied each time it returns; without a sink, as it is. */
export function withAccessLog(
  guest: GuestExports,
  memory: GuestMemory,
  clock: Pick<Clock, "now">,
  sink: AccessSink | undefined,
): GuestExports {
  if (sink === undefined) return guest;
  const reader = new AccessReader(memory, clock, sink);
  return {
    ...guest,
    run: (budget) => {
      reader.ask();
      const result = guest.run(budget);
      reader.take();
      return result;
    },
  };
}

class Head implements LoggedHead {
  hostPort = 0;
  guestPort = 0;
  startNs = 0;
  nowNs = 0;
  count = 0;
  status = 0;
  minor = 0;
  readonly lengths = new Uint16Array(ACCESS_TEXTS);
  readonly places = new Uint32Array(ACCESS_TEXTS);
  readonly view: DataView;

  constructor(view: DataView) {
    this.view = view;
  }
}

class AccessReader {
  readonly #memory: GuestMemory;
  readonly #clock: Pick<Clock, "now">;
  readonly #sink: AccessSink;
  readonly #head: Head; // of the record at hand
  #lost = 0; // by the guest, as far as it is known

  constructor(memory: GuestMemory, clock: Pick<Clock, "now">, sink: AccessSink) {
    this.#memory = memory;
    this.#clock = clock;
    this.#sink = sink;
    this.#head = new Head(memory.view);
  }

  /** Tells the guest which texts to note. */
  ask(): void {
    const ring = this.#ring();
    if (ring === 0) return;
    const wanted = this.#sink.wantsTexts ? 1 : 0;
    this.#memory.view.setUint32(ring + AccessRing.texts, wanted, true);
  }

  take(): void {
    const { view } = this.#memory;
    const ring = this.#ring();
    if (ring === 0) return;
    const head = view.getUint32(ring + AccessRing.head, true);
    let tail = view.getUint32(ring + AccessRing.tail, true);
    if (head === tail) return;
    this.#head.nowNs = this.#clock.now();
    while (tail !== head) {
      const bytes = this.#record(ring, tail, u32(head - tail));
      if (bytes === 0) {
        this.#sink.lost(1); // and whatever follows it
        tail = head;
      } else {
        tail = u32(tail + bytes);
      }
    }
    view.setUint32(ring + AccessRing.tail, tail, true);
    const lost = view.getUint32(ring + AccessRing.lost, true);
    if (lost !== this.#lost) this.#sink.lost(u32(lost - this.#lost));
    this.#lost = lost;
  }

  /** Its address; 0: there is none within the memory. */
  #ring(): number {
    const ring = this.#memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.accessLog, true);
    return this.#memory.contains(ring, AccessRing.records + ACCESS_RING_BYTES) ? ring : 0;
  }

  /** Hands on a record. Returns its bytes; 0: it is none. */
  #record(ring: number, tail: number, most: number): number {
    const { view } = this.#memory;
    const place = tail % ACCESS_RING_BYTES;
    const rest = Math.min(ACCESS_RING_BYTES - place, most);
    const at = ring + AccessRing.records + place;
    if (rest < AccessCut.sizeof) return view.getUint16(at, true) === AccessKind.Skip ? rest : 0;
    const kind = view.getUint16(at + AccessRecord.kind, true);
    if (kind === AccessKind.Skip) return rest;
    const bytes = view.getUint16(at + AccessRecord.bytes, true);
    if (bytes > rest || bytes % 8 !== 0 || bytes < leastBytes(kind)) return 0;
    const head = this.#head;
    head.hostPort = view.getUint32(at + AccessRecord.hostPort, true);
    head.guestPort = view.getUint32(at + AccessRecord.guestPort, true);
    switch (kind) {
      case AccessKind.Request:
        return this.#request(at, bytes, rest);
      case AccessKind.Response:
        this.#sink.response(head, this.#sent(at), this.#reason(at), head.nowNs);
        return bytes;
      default:
        this.#sink.cut(head, view.getUint32(at + AccessCut.reason, true));
        return bytes;
    }
  }

  /** The same for a request, and for its response if that follows it. */
  #request(at: number, bytes: number, rest: number): number {
    const { view } = this.#memory;
    const head = this.#head;
    let place = at + AccessRequest.texts;
    for (let i = 0; i < ACCESS_TEXTS; i++) {
      const length = view.getUint16(at + AccessRequest.method + 2 * i, true);
      const most = i === 1 ? ACCESS_TARGET_BYTES_MAX : ACCESS_TEXT_BYTES_MAX;
      head.lengths[i] = Math.min(length, most);
      head.places[i] = place;
      place += length;
    }
    if (place > at + bytes) return 0;
    head.startNs = this.#u64(at + AccessRequest.startNs);
    head.count = view.getUint32(at + AccessRequest.count, true);
    head.status = view.getUint16(at + AccessRequest.status, true);
    head.minor = view.getUint16(at + AccessRequest.minor, true);
    const next = at + bytes;
    if (rest - bytes >= AccessResponse.sizeof && this.#isResponse(next)) {
      this.#sink.whole(head, this.#sent(next), this.#reason(next));
      return bytes + AccessResponse.sizeof;
    }
    this.#sink.request(head);
    return bytes;
  }

  /** Is there the response of the request at hand? */
  #isResponse(at: number): boolean {
    const { view } = this.#memory;
    return (
      view.getUint16(at + AccessRecord.kind, true) === AccessKind.Response &&
      view.getUint16(at + AccessRecord.bytes, true) === AccessResponse.sizeof &&
      view.getUint32(at + AccessRecord.hostPort, true) === this.#head.hostPort
    );
  }

  #sent(at: number): number {
    return this.#u64(at + AccessResponse.bodyBytes);
  }

  #reason(at: number): number {
    return this.#memory.view.getUint32(at + AccessResponse.reason, true);
  }

  /** As a double, without a BigInt: that would be an object for each request. */
  #u64(at: number): number {
    const { view } = this.#memory;
    return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
  }
}

function leastBytes(kind: number): number {
  if (kind === AccessKind.Request) return AccessRequest.texts;
  if (kind === AccessKind.Response) return AccessResponse.sizeof;
  return kind === AccessKind.Cut ? AccessCut.sizeof : Number.POSITIVE_INFINITY;
}
