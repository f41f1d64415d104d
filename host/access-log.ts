// The host's side of the access log: empties the ring of requests each time the guest has returned.
// Both the place of the ring and its content come from the guest: they are not trusted.
import {
  ACCESS_RING_BYTES,
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

/** A connection, as the guest and its device know it. */
export interface LoggedConnection {
  readonly hostPort: number;
  readonly guestPort: number;
}

/** A request, whose answer is about to be sent. */
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
   * forwarded addresses; 0: none, or not known.
   */
  readonly lengths: readonly number[];
  /** The texts themselves, one after the other. They are the guest's: copy what is kept. */
  readonly texts: Uint8Array;
}

/**
 * Takes what applications note. It is called while the guest has just returned, and should do what
 * takes time later. The first call is for the request, the second when its response is over.
 */
export interface AccessSink {
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
      const result = guest.run(budget);
      reader.take();
      return result;
    },
  };
}

class AccessReader {
  readonly #memory: GuestMemory;
  readonly #clock: Pick<Clock, "now">;
  readonly #sink: AccessSink;
  #nowNs = 0;
  #lost = 0; // by the guest, as far as it is known

  constructor(memory: GuestMemory, clock: Pick<Clock, "now">, sink: AccessSink) {
    this.#memory = memory;
    this.#clock = clock;
    this.#sink = sink;
  }

  take(): void {
    const { view } = this.#memory;
    const ring = view.getUint32(TIME_PAGE_ADDRESS + TimePage.accessLog, true);
    if (ring === 0) return;
    if (!this.#memory.contains(ring, AccessRing.records + ACCESS_RING_BYTES)) return;
    const head = view.getUint32(ring + AccessRing.head, true);
    let tail = view.getUint32(ring + AccessRing.tail, true);
    if (head === tail) return;
    this.#nowNs = this.#clock.now();
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
    const hostPort = view.getUint32(at + AccessRecord.hostPort, true);
    const guestPort = view.getUint32(at + AccessRecord.guestPort, true);
    const connection = { hostPort, guestPort };
    switch (kind) {
      case AccessKind.Request:
        return this.#request(connection, at, bytes) ? bytes : 0;
      case AccessKind.Response: {
        const sent = Number(view.getBigUint64(at + AccessResponse.bodyBytes, true));
        const reason = view.getUint32(at + AccessResponse.reason, true);
        this.#sink.response(connection, sent, reason, this.#nowNs);
        return bytes;
      }
      default:
        this.#sink.cut(connection, view.getUint32(at + AccessCut.reason, true));
        return bytes;
    }
  }

  #request({ hostPort, guestPort }: LoggedConnection, at: number, bytes: number): boolean {
    const { view } = this.#memory;
    const lengths: number[] = [];
    let length = 0;
    for (let i = 0; i < ACCESS_TEXTS; i++) {
      const one = view.getUint16(at + AccessRequest.method + 2 * i, true);
      lengths.push(one);
      length += one;
    }
    if (AccessRequest.texts + length > bytes) return false;
    this.#sink.request({
      hostPort,
      guestPort,
      nowNs: this.#nowNs,
      startNs: Number(view.getBigUint64(at + AccessRequest.startNs, true)),
      count: view.getUint32(at + AccessRequest.count, true),
      status: view.getUint16(at + AccessRequest.status, true),
      minor: view.getUint16(at + AccessRequest.minor, true),
      lengths,
      texts: this.#memory.bytes(at + AccessRequest.texts, length),
    });
    return true;
  }
}

function leastBytes(kind: number): number {
  if (kind === AccessKind.Request) return AccessRequest.texts;
  if (kind === AccessKind.Response) return AccessResponse.sizeof;
  return kind === AccessKind.Cut ? AccessCut.sizeof : Number.POSITIVE_INFINITY;
}
