// A capture of a vsock device that Wireshark reads: a pcap stream of link type VSOCK, with records
// as in captures of Linux's vsockmon interfaces.
//
//   pcap record │ af_vsockmon_hdr: addresses, operation │ struct virtio_vsock_hdr │ payload
import { VSOCK_PACKET_BYTES_MAX, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import type { Clock } from "../../../ports/clock.ts";
import type { Chain } from "../../../virtqueue.ts";
import { WallClock } from "../../../wall-clock.ts";
import type { PacketTap } from "./tap.ts";

const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
const PCAP_VERSION_MAJOR = 2;
const PCAP_VERSION_MINOR = 4;
const LINKTYPE_VSOCK = 271;

/** The file header. Byte offsets; numbers are little-endian, as the magic shows. */
const enum PcapFile {
  magic = 0,
  version_major = 4, // u16
  version_minor = 6, // u16
  snaplen = 16,
  linktype = 20,
  sizeof = 24,
}

/** The header of each record. Byte offsets. */
const enum PcapRecord {
  ts_sec = 0,
  ts_usec = 4,
  incl_len = 8,
  orig_len = 12,
  sizeof = 16,
}

/** struct af_vsockmon_hdr. Byte offsets; the addresses are laid out as in VsockHdr. */
const enum VsockMon {
  src_cid = 0, // le64
  op = 24, // le16
  transport = 26, // le16
  len = 28, // le16, length of the transport's header
  sizeof = 32,
}

const TRANSPORT_VIRTIO = 2;

const enum MonOp {
  Unknown = 0,
  Connect = 1,
  Disconnect = 2,
  Control = 3,
  Payload = 4,
}

const MON_OPS: Readonly<Record<number, MonOp>> = {
  [VsockOp.REQUEST]: MonOp.Connect,
  [VsockOp.RESPONSE]: MonOp.Connect,
  [VsockOp.RST]: MonOp.Disconnect,
  [VsockOp.SHUTDOWN]: MonOp.Disconnect,
  [VsockOp.RW]: MonOp.Payload,
  [VsockOp.CREDIT_UPDATE]: MonOp.Control,
  [VsockOp.CREDIT_REQUEST]: MonOp.Control,
};

/** Offsets in the record under construction. */
const MON_AT = PcapRecord.sizeof;
const PACKET_AT = MON_AT + VsockMon.sizeof;
const PACKET_BYTES_MAX = VsockHdr.sizeof + VSOCK_PACKET_BYTES_MAX;

/**
 * Writes one record per packet. The device's ledger does not count these copies: they are not part
 * of the data path.
 */
export class PacketCapture implements PacketTap {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #clock: Clock;
  readonly #wall: WallClock;
  #originUs = 0; // of the clock, since 1970
  readonly #record = new Uint8Array(PACKET_AT + PACKET_BYTES_MAX);
  readonly #view = new DataView(this.#record.buffer);

  /**
   * `write` is given the file header at once, and one whole record per call from then on. It must
   * copy the bytes before it returns, and must not throw.
   */
  constructor(write: (bytes: Uint8Array) => void, clock: Clock) {
    this.#write = write;
    this.#clock = clock;
    this.#wall = new WallClock(clock);
    write(front());
  }

  /** Includes packets that will be rejected, if there is a header at all. */
  fromGuest(chain: Chain): void {
    const bytes = chain.readableBytes;
    if (bytes < VsockHdr.sizeof) return;
    putBytes(this.#record, PACKET_AT, chain.readable(0, Math.min(bytes, PACKET_BYTES_MAX)));
    const len = this.#view.getUint32(PACKET_AT + VsockHdr.len, true);
    this.#finish(Math.min(VsockHdr.sizeof + len, bytes));
  }

  toGuest(chain: Chain, written: number): void {
    putBytes(this.#record, PACKET_AT, chain.writable(0, Math.min(written, PACKET_BYTES_MAX)));
    this.#finish(written);
  }

  /** Completes the record of a packet of `bytes`, of which as much as fits is in place. */
  #finish(bytes: number): void {
    const view = this.#view;
    const kept = Math.min(bytes, PACKET_BYTES_MAX);
    const ns = this.#clock.now();
    if (this.#wall.look(ns)) this.#originUs = Number(this.#wall.offsetNs) / 1000;
    const us = Math.floor(this.#originUs + ns / 1000);
    view.setUint32(PcapRecord.ts_sec, Math.floor(us / 1e6), true);
    view.setUint32(PcapRecord.ts_usec, us % 1e6, true);
    view.setUint32(PcapRecord.incl_len, VsockMon.sizeof + kept, true);
    view.setUint32(PcapRecord.orig_len, VsockMon.sizeof + bytes, true);
    this.#record.copyWithin(MON_AT + VsockMon.src_cid, PACKET_AT, PACKET_AT + VsockHdr.len);
    const op = view.getUint16(PACKET_AT + VsockHdr.op, true);
    view.setUint16(MON_AT + VsockMon.op, MON_OPS[op] ?? MonOp.Unknown, true);
    view.setUint16(MON_AT + VsockMon.transport, TRANSPORT_VIRTIO, true);
    view.setUint16(MON_AT + VsockMon.len, VsockHdr.sizeof, true);
    this.#write(this.#record.subarray(0, PACKET_AT + kept));
  }
}

function front(): Uint8Array {
  const bytes = new Uint8Array(PcapFile.sizeof);
  const view = new DataView(bytes.buffer);
  view.setUint32(PcapFile.magic, PCAP_MAGIC_MICROSECONDS, true);
  view.setUint16(PcapFile.version_major, PCAP_VERSION_MAJOR, true);
  view.setUint16(PcapFile.version_minor, PCAP_VERSION_MINOR, true);
  view.setUint32(PcapFile.snaplen, VsockMon.sizeof + PACKET_BYTES_MAX, true);
  view.setUint32(PcapFile.linktype, LINKTYPE_VSOCK, true);
  return bytes;
}
