// TCP segments: the header of one that has arrived, and one that is written.
import { EthernetHdr } from "../../../../../abi/ethernet.ts";
import { IPPROTO_TCP, IpHdr } from "../../../../../abi/ip.ts";
import { TCPOPT_NOP, TcpHdr, TH_ACK, TH_FIN, TH_RST, TH_SYN } from "../../../../../abi/tcp.ts";
import type { Frame } from "../../frame.ts";
import type { Envelope } from "../../network.ts";
import type { Offload } from "../../offload/offload.ts";
import type { Arrival } from "../arrival.ts";
import type { Local } from "../local.ts";
import { type SynOptions, writeSynOptions } from "./options.ts";
import { plus } from "./sequence.ts";

/** The header of a segment of the guest. One object serves all. */
export class Segment {
  sourcePort = 0;
  port = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  headerBytes = 0;
  payloadBytes = 0;

  /** False: there can be no such header. Its checksum has not been looked at. */
  read({ view, dataAt: at, bytes }: Arrival): boolean {
    if (bytes < TcpHdr.sizeof) return false;
    this.headerBytes = (view.getUint8(at + TcpHdr.doff) >>> 4) * 4;
    if (this.headerBytes < TcpHdr.sizeof || this.headerBytes > bytes) return false;
    this.payloadBytes = bytes - this.headerBytes;
    this.sourcePort = view.getUint16(at + TcpHdr.source);
    this.port = view.getUint16(at + TcpHdr.dest);
    this.seq = view.getUint32(at + TcpHdr.seq);
    this.ack = view.getUint32(at + TcpHdr.ack_seq);
    this.flags = view.getUint8(at + TcpHdr.flags);
    this.window = view.getUint16(at + TcpHdr.window);
    return true;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  /** Of sequence numbers that it takes. */
  get length(): number {
    return this.payloadBytes + (this.has(TH_SYN) ? 1 : 0) + (this.has(TH_FIN) ? 1 : 0);
  }
}

/** The fields of a segment to the guest. */
export interface Fields {
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  /** As it stands in the header, scaled already. */
  readonly window: number;
  readonly options?: SynOptions | null;
  /** A longer payload stands for segments of that many bytes. Missing: it is one. */
  readonly segmentBytes?: number;
}

/**
 * A segment to the guest; its payload lies elsewhere in the memory. The sum is left to a guest that
 * takes it so: then nobody makes it, for the bytes have gone through this process alone (NW23).
 */
export function writeSegment(
  local: Local,
  envelope: Envelope,
  fields: Fields,
  payloadAt = 0,
  payloadBytes = 0,
): Frame {
  const { departure, card } = local;
  const headerBytes = writeHeader(local, envelope, fields, 0, payloadBytes);
  if (!card.takes.checksums) {
    const { view, dataAt, memory } = departure;
    const rest = payloadBytes === 0 ? 0 : memory.sum(payloadAt, payloadBytes);
    view.setUint16(dataAt + TcpHdr.check, departure.checksum(headerBytes, rest));
  }
  return departure.finish(IpHdr.sizeof + headerBytes, payloadAt, payloadBytes);
}

/** The same around a payload that lies in its place in the guest; its options are `padBytes`. */
export function writeAround(
  local: Local,
  envelope: Envelope,
  fields: Fields,
  padBytes: number,
  payload: Uint8Array,
): Frame {
  const headerBytes = writeHeader(local, envelope, fields, padBytes, payload.length);
  return local.departure.finishAround(IpHdr.sizeof + headerBytes, payload);
}

/** Returns its length. The checksum is 0, or that of a guest which takes it unmade. */
function writeHeader(
  { departure, card }: Local,
  { source, sourcePort, destination, port }: Envelope,
  { seq, ack, flags, window, options = null, segmentBytes = 0 }: Fields,
  padBytes: number,
  payloadBytes: number,
): number {
  const { view, dataAt: at, memory } = departure;
  const optionsAt = at + TcpHdr.sizeof;
  memory.u8.fill(TCPOPT_NOP, optionsAt, optionsAt + padBytes);
  const extra = options === null ? padBytes : writeSynOptions(view, optionsAt, options);
  const headerBytes = TcpHdr.sizeof + extra;
  departure.ip(card.mac, source, destination, IPPROTO_TCP, headerBytes + payloadBytes);
  view.setUint16(at + TcpHdr.source, sourcePort);
  view.setUint16(at + TcpHdr.dest, port);
  view.setUint32(at + TcpHdr.seq, seq);
  view.setUint32(at + TcpHdr.ack_seq, ack);
  view.setUint8(at + TcpHdr.doff, (headerBytes / 4) << 4);
  view.setUint8(at + TcpHdr.flags, flags);
  view.setUint16(at + TcpHdr.window, window);
  view.setUint32(at + TcpHdr.check, 0); // and the urgent pointer
  if (card.takes.checksums) {
    view.setUint16(at + TcpHdr.check, departure.pseudoSum);
    departure.offload = payloadBytes > segmentBytes ? cutInto(segmentBytes, headerBytes) : WHOLE;
  }
  return headerBytes;
}

const WHOLE: Offload = {
  checksumStart: EthernetHdr.sizeof + IpHdr.sizeof,
  checksumOffset: TcpHdr.check,
  segmentBytes: 0,
  headerBytes: 0,
};

/** Frames of one connection after the other have the same; 0 bytes: it is one segment. */
let cut: Offload = WHOLE;

function cutInto(segmentBytes: number, tcpBytes: number): Offload {
  if (segmentBytes === 0) return WHOLE;
  const headerBytes = WHOLE.checksumStart + tcpBytes;
  if (cut.segmentBytes !== segmentBytes || cut.headerBytes !== headerBytes) {
    cut = { ...WHOLE, segmentBytes, headerBytes };
  }
  return cut;
}

/** RFC 9293, 3.10.7.1: the answer to a segment of no connection. null: RST is not answered. */
export function refusal(segment: Segment): Fields | null {
  if (segment.has(TH_RST)) return null;
  if (segment.has(TH_ACK)) return { seq: segment.ack, ack: 0, flags: TH_RST, window: 0 };
  const ack = plus(segment.seq, segment.length);
  return { seq: 0, ack, flags: TH_RST | TH_ACK, window: 0 };
}
