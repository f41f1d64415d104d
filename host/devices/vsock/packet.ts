// The 44-byte header of a vsock packet (virtio 5.10.6), in and out of chains. Each field is read
// out of guest memory once, so that what was checked cannot change, however the header is split
// over descriptors (S2).
import {
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  VSOCK_PACKET_BYTES_MAX,
  VsockHdr,
  type VsockOp,
} from "../../../drivers/abi/vsock.ts";
import type { Chain } from "../../virtqueue.ts";

/** A packet of the guest. One object serves them all: its fields live until the next read(). */
export class GuestPacket {
  srcPort = 0;
  dstPort = 0;
  len = 0;
  type = 0;
  op: VsockOp = 0;
  flags = 0;
  bufAlloc = 0;
  fwdCnt = 0;
  readonly #bytes = new Uint8Array(VsockHdr.sizeof); // of a header in pieces
  readonly #view = new DataView(this.#bytes.buffer);

  /** False: the chain holds no packet from `guestCid` to the host (V8, V11, V23, V31). */
  read(chain: Chain, guestCid: number): boolean {
    if (chain.readableBytes < VsockHdr.sizeof || chain.writableBytes > 0) return false;
    let at = chain.readableAt(0, VsockHdr.sizeof);
    let view = chain.memory.view;
    if (at < 0) {
      chain.copyFrom(0, this.#bytes);
      view = this.#view;
      at = 0;
    }
    if (!isCid(view, at + VsockHdr.src_cid, guestCid)) return false;
    if (!isCid(view, at + VsockHdr.dst_cid, VMADDR_CID_HOST)) return false;
    this.srcPort = view.getUint32(at + VsockHdr.src_port, true);
    this.dstPort = view.getUint32(at + VsockHdr.dst_port, true);
    this.len = view.getUint32(at + VsockHdr.len, true);
    this.type = view.getUint16(at + VsockHdr.type, true);
    this.op = view.getUint16(at + VsockHdr.op, true);
    this.flags = view.getUint32(at + VsockHdr.flags, true);
    this.bufAlloc = view.getUint32(at + VsockHdr.buf_alloc, true);
    this.fwdCnt = view.getUint32(at + VsockHdr.fwd_cnt, true);
    return true;
  }

  /** Does the chain hold the payload that the header promises? More room is fine (V12). */
  fits(chain: Chain): boolean {
    return this.len <= chain.readableBytes - VsockHdr.sizeof && this.len <= VSOCK_PACKET_BYTES_MAX;
  }
}

/** The upper half of a CID is 0 (5.10.4). */
function isCid(view: DataView, at: number, cid: number): boolean {
  return view.getUint32(at, true) === cid && view.getUint32(at + 4, true) === 0;
}

/** A packet for the guest. One object serves them all: set the fields, then write(). */
export class HostPacket {
  hostPort = 0;
  guestPort = 0;
  len = 0;
  type = VIRTIO_VSOCK_TYPE_STREAM;
  op: VsockOp = 0;
  flags = 0;
  bufAlloc = 0;
  fwdCnt = 0;
  readonly #bytes = new Uint8Array(VsockHdr.sizeof);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(guestCid: number) {
    this.#view.setUint32(VsockHdr.src_cid, VMADDR_CID_HOST, true);
    this.#view.setUint32(VsockHdr.dst_cid, guestCid, true);
  }

  /** Writes the header to the front of a chain, which has room for it. */
  write(chain: Chain): void {
    const view = this.#view;
    view.setUint32(VsockHdr.src_port, this.hostPort, true);
    view.setUint32(VsockHdr.dst_port, this.guestPort, true);
    view.setUint32(VsockHdr.len, this.len, true);
    view.setUint16(VsockHdr.type, this.type, true);
    view.setUint16(VsockHdr.op, this.op, true);
    view.setUint32(VsockHdr.flags, this.flags, true);
    view.setUint32(VsockHdr.buf_alloc, this.bufAlloc, true);
    view.setUint32(VsockHdr.fwd_cnt, this.fwdCnt, true);
    chain.copyTo(0, this.#bytes);
  }
}
