// A capture of a vsock device that Wireshark reads: a pcap stream of link type VSOCK, with records
// as in captures of Linux's vsockmon interfaces.
//
//   pcap record │ af_vsockmon_hdr: addresses, operation │ struct virtio_vsock_hdr │ payload
import { VSOCK_PACKET_BYTES_MAX, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import { type CaptureOptions, PcapRecord, PcapWriter } from "../../../pcap.ts";
import type { Clock } from "../../../ports/clock.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { PacketTap } from "./tap.ts";

const LINKTYPE_VSOCK = 271;

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
/** All of every packet. */
const SNAPLEN = VsockMon.sizeof + PACKET_BYTES_MAX;

/**
 * Writes one record per packet. The device's ledger does not count these copies: they are not part
 * of the data path.
 */
export class PacketCapture implements PacketTap {
  readonly #pcap: PcapWriter;
  readonly #port: number | null;
  readonly #record = new Uint8Array(PACKET_AT + PACKET_BYTES_MAX);
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
    this.#pcap = new PcapWriter(write, clock, LINKTYPE_VSOCK, snaplen);
    this.#port = port;
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
    if (!isOf(this.#port, view, PACKET_AT)) return;
    this.#record.copyWithin(MON_AT + VsockMon.src_cid, PACKET_AT, PACKET_AT + VsockHdr.len);
    const op = view.getUint16(PACKET_AT + VsockHdr.op, true);
    view.setUint16(MON_AT + VsockMon.op, MON_OPS[op] ?? MonOp.Unknown, true);
    view.setUint16(MON_AT + VsockMon.transport, TRANSPORT_VIRTIO, true);
    view.setUint16(MON_AT + VsockMon.len, VsockHdr.sizeof, true);
    this.#pcap.record(this.#record, view, VsockMon.sizeof + kept, VsockMon.sizeof + bytes);
  }
}

/** Is a packet, whose header is at `at`, from or to that port? null: any. */
export function isOf(port: number | null, view: DataView, at: number): boolean {
  if (port === null) return true;
  const [from, to] = [at + VsockHdr.src_port, at + VsockHdr.dst_port];
  return view.getUint32(from, true) === port || view.getUint32(to, true) === port;
}
