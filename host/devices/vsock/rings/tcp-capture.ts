// A capture of a vsock device in the form of TCP over IPv4, link type RAW: tools that do not know
// vsock follow its streams, read HTTP and export its files. Payload, its order and its times are as
// they were; the rest stands for what vsock has:
//
//   CID c               10.0.(c >> 8).(c & 255)
//   ports above 65535   32768 + the lowest 15 bits
//   REQUEST, RESPONSE   SYN, SYN+ACK
//   RW                  PSH+ACK, in segments of up to 65,000 bytes
//   SHUTDOWN of SEND    FIN+ACK, once
//   RST                 the rest of an orderly close if the peer is done, otherwise RST+ACK
//   credit              the window, in units of 256 bytes
//
// Acknowledged is everything that was captured: vsock loses nothing. Messages (seqpacket) have no
// form in TCP, and are left out.
import {
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_PACKET_BYTES_MAX,
  VsockHdr,
  VsockOp,
} from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import { u32 } from "../../../memory.ts";
import { type CaptureOptions, PcapRecord, PcapWriter } from "../../../pcap.ts";
import type { Clock } from "../../../ports/clock.ts";
import type { Chain } from "../../../virtqueue.ts";
import { isOf } from "./capture.ts";
import type { PacketTap } from "./tap.ts";

const LINKTYPE_RAW = 101;
/** The length of an IPv4 packet has 16 bits. */
const SEGMENT_BYTES_MAX = 65_000;
const SNAPLEN = 262_144;
/** Streams that are known at once, two for each connection: the oldest are forgotten. */
const STREAMS_MAX = 1 << 16;

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;

/** Header lengths; a SYN has options: its segment size and its window's scale. */
const IP_BYTES = 20;
const TCP_BYTES = 20;
const WINDOW_SHIFT = 8;
const SYN_OPTIONS = [2, 4, SEGMENT_BYTES_MAX >> 8, SEGMENT_BYTES_MAX & 255, 1, 3, 3, WINDOW_SHIFT];
const PROTOCOL_TCP = 6;

const IP_AT = PcapRecord.sizeof;
const TCP_AT = IP_AT + IP_BYTES;

/** One direction of a connection. */
interface Stream {
  /** Number of the next byte; SYN and FIN count as one. */
  sequence: number;
  /** Payload so far. */
  bytes: number;
  isEnded: boolean;
}

export class TcpCapture implements PacketTap {
  readonly #pcap: PcapWriter;
  readonly #port: number | null;
  readonly #streams = new Map<string, Stream>();
  #requests = 0; // for a connection, so far
  readonly #packet = new Uint8Array(VsockHdr.sizeof + VSOCK_PACKET_BYTES_MAX);
  readonly #header = new DataView(this.#packet.buffer);
  readonly #record = new Uint8Array(TCP_AT + TCP_BYTES + SYN_OPTIONS.length + SEGMENT_BYTES_MAX);
  readonly #view = new DataView(this.#record.buffer);

  /**
   * `write` is given the file header at once, and one whole record per call from then on. It must
   * copy the bytes before it returns, and must not throw.
   */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock,
    { snaplen = SNAPLEN, port = null }: CaptureOptions = {},
  ) {
    this.#pcap = new PcapWriter(write, clock, LINKTYPE_RAW, snaplen);
    this.#port = port;
  }

  fromGuest(chain: Chain): void {
    const bytes = Math.min(chain.readableBytes, this.#packet.length);
    if (bytes < VsockHdr.sizeof) return;
    putBytes(this.#packet, 0, chain.readable(0, bytes));
    this.#take(bytes);
  }

  toGuest(chain: Chain, written: number): void {
    const bytes = Math.min(written, this.#packet.length);
    putBytes(this.#packet, 0, chain.writable(0, bytes));
    this.#take(bytes);
  }

  /** A packet of that many bytes is in #packet. */
  #take(bytes: number): void {
    const header = this.#header;
    if (header.getUint16(VsockHdr.type, true) !== VIRTIO_VSOCK_TYPE_STREAM) return;
    if (!isOf(this.#port, header, 0)) return;
    const op = header.getUint16(VsockHdr.op, true);
    const [own, peer] = this.#ends();
    const mine = this.#stream(`${own} ${peer}`);
    const theirs = this.#stream(`${peer} ${own}`);
    if (op === VsockOp.REQUEST) {
      const sequence = NEW.sequence + (this.#requests++ & 0xffff); // ports come again
      Object.assign(mine, NEW, { sequence });
      Object.assign(theirs, NEW, { sequence });
    }
    const flags = this.#flags(op, mine, theirs);
    const len = header.getUint32(VsockHdr.len, true);
    const payload = op === VsockOp.RW ? Math.min(len, bytes - VsockHdr.sizeof) : 0;
    let sent = 0;
    do {
      const part = Math.min(payload - sent, SEGMENT_BYTES_MAX);
      this.#segment(flags, VsockHdr.sizeof + sent, part, mine, theirs);
      sent += part;
    } while (sent < payload);
    if (op !== VsockOp.RST) return;
    this.#streams.delete(`${own} ${peer}`);
    this.#streams.delete(`${peer} ${own}`);
  }

  #flags(op: number, mine: Stream, theirs: Stream): number {
    switch (op) {
      case VsockOp.REQUEST:
        return SYN;
      case VsockOp.RESPONSE:
        return SYN | ACK;
      case VsockOp.RW:
        return PSH | ACK;
      case VsockOp.SHUTDOWN: {
        const ends =
          (this.#header.getUint32(VsockHdr.flags, true) & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
        if (!ends || mine.isEnded) return ACK;
        mine.isEnded = true;
        return FIN | ACK;
      }
      case VsockOp.RST:
        if (!theirs.isEnded) return RST | ACK;
        return mine.isEnded ? ACK : FIN | ACK;
      default:
        return ACK;
    }
  }

  /** Addresses of the sender and of the receiver. */
  #ends(): [string, string] {
    const header = this.#header;
    const at = (cid: VsockHdr, port: VsockHdr) =>
      `${header.getUint32(cid, true)}:${header.getUint32(port, true)}`;
    return [at(VsockHdr.src_cid, VsockHdr.src_port), at(VsockHdr.dst_cid, VsockHdr.dst_port)];
  }

  #stream(key: string): Stream {
    const known = this.#streams.get(key);
    if (known !== undefined) return known;
    if (this.#streams.size >= STREAMS_MAX) {
      for (const oldest of this.#streams.keys()) {
        this.#streams.delete(oldest);
        break;
      }
    }
    const stream = { ...NEW };
    this.#streams.set(key, stream);
    return stream;
  }

  /** Writes a segment with `bytes` bytes of payload, which are in #packet from `from` on. */
  #segment(flags: number, from: number, bytes: number, mine: Stream, theirs: Stream): void {
    const [record, view] = [this.#record, this.#view];
    const isSyn = (flags & SYN) !== 0;
    const tcpBytes = TCP_BYTES + (isSyn ? SYN_OPTIONS.length : 0);
    const total = IP_BYTES + tcpBytes + bytes;
    this.#putIp(total);
    this.#putPorts();
    view.setUint32(TCP_AT + 4, mine.sequence);
    view.setUint32(TCP_AT + 8, (flags & ACK) === 0 ? 0 : theirs.sequence);
    view.setUint16(TCP_AT + 12, ((tcpBytes / 4) << 12) | flags);
    view.setUint16(TCP_AT + 14, this.#window(isSyn, theirs));
    view.setUint32(TCP_AT + 16, 0); // checksum, urgent pointer
    if (isSyn) record.set(SYN_OPTIONS, TCP_AT + TCP_BYTES);
    record.set(this.#packet.subarray(from, from + bytes), TCP_AT + tcpBytes);
    const pseudo = sum(view, IP_AT + 12, 8) + PROTOCOL_TCP + tcpBytes + bytes;
    view.setUint16(TCP_AT + 16, checksum(pseudo + sum(view, TCP_AT, tcpBytes + bytes)));
    mine.sequence = u32(mine.sequence + bytes + ((flags & (SYN | FIN)) === 0 ? 0 : 1));
    mine.bytes = u32(mine.bytes + bytes);
    this.#pcap.record(record, view, total, total);
  }

  #putIp(total: number): void {
    const view = this.#view;
    view.setUint32(IP_AT, 0x45000000 | total);
    view.setUint32(IP_AT + 4, 0x4000); // not to be fragmented
    view.setUint32(IP_AT + 8, (64 << 24) | (PROTOCOL_TCP << 16)); // hops
    view.setUint32(IP_AT + 12, addressOf(this.#header.getUint32(VsockHdr.src_cid, true)));
    view.setUint32(IP_AT + 16, addressOf(this.#header.getUint32(VsockHdr.dst_cid, true)));
    view.setUint16(IP_AT + 10, checksum(sum(view, IP_AT, IP_BYTES)));
  }

  #putPorts(): void {
    const header = this.#header;
    this.#view.setUint16(TCP_AT, portOf(header.getUint32(VsockHdr.src_port, true)));
    this.#view.setUint16(TCP_AT + 2, portOf(header.getUint32(VsockHdr.dst_port, true)));
  }

  /** Room that the sender has, in the form that its segment says it. */
  #window(isSyn: boolean, theirs: Stream): number {
    const room = this.#header.getUint32(VsockHdr.buf_alloc, true);
    const inFlight = u32(theirs.bytes - this.#header.getUint32(VsockHdr.fwd_cnt, true));
    const free = Math.max(0, room - inFlight);
    return Math.min(0xffff, isSyn ? free : free >> WINDOW_SHIFT);
  }
}

/**
 * Sequence numbers begin shortly before they wrap, so that long streams do not become wrong one day
 * but would be at once. Readers show them relative to the first.
 */
const NEW: Stream = { sequence: 0xffff_0000, bytes: 0, isEnded: false };

const addressOf = (cid: number) => (10 << 24) | (cid & 0xffff);
const portOf = (port: number) => (port < 65_536 ? port : 32_768 | (port & 0x7fff));

/** Of 16-bit words; an odd byte is the upper half of one. */
function sum(view: DataView, at: number, bytes: number): number {
  let total = 0;
  const even = at + (bytes & ~1);
  for (let i = at; i < even; i += 2) total += view.getUint16(i);
  return (bytes & 1) === 0 ? total : total + (view.getUint8(even) << 8);
}

function checksum(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
