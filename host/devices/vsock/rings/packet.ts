// The 44-byte header of a vsock packet (virtio 5.10.6), read from and written to chains. Each field
// is read from guest memory once, so it cannot change after it was checked, however the header is
// split over descriptors (S2).
import {
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_PACKET_BYTES_MAX,
  VsockHdr,
  type VsockOp,
} from "../../../../abi/vsock.ts";
import type { Chain } from "../../../virtqueue.ts";

/** A packet from the guest. One object serves all: its fields are valid until the next read(). */
export class GuestPacket {
  dstCid = 0;
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

  /** False: the chain holds no valid packet from `guestCid` (V8, V11, V23). */
  read(chain: Chain, guestCid: number): boolean {
    if (chain.readableBytes < VsockHdr.sizeof || chain.writableBytes > 0) return false;
    let at = chain.readableAt(0, VsockHdr.sizeof);
    let view = chain.memory.view;
    if (at < 0) {
      chain.copyFrom(0, this.#bytes);
      view = this.#view;
      at = 0;
    }
    if (cidAt(view, at + VsockHdr.src_cid) !== guestCid) return false;
    this.dstCid = cidAt(view, at + VsockHdr.dst_cid);
    if (this.dstCid < 0) return false;
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

  /** Does the chain hold as much payload as the header says? It may hold more (V12). */
  fits(chain: Chain): boolean {
    return this.len <= chain.readableBytes - VsockHdr.sizeof && this.len <= VSOCK_PACKET_BYTES_MAX;
  }
}

/** -1: not a CID, since its upper half must be 0 (5.10.4). */
function cidAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : -1;
}

/** A packet to the guest. One object serves all: set the fields, then write(). */
export class HostPacket {
  len = 0;
  type = VIRTIO_VSOCK_TYPE_STREAM;
  op: VsockOp = 0;
  flags = 0;
  bufAlloc = 0;
  fwdCnt = 0;
  readonly #bytes = new Uint8Array(VsockHdr.sizeof);
  readonly #view = new DataView(this.#bytes.buffer);

  /** The destination of all packets. */
  set guestCid(cid: number) {
    this.#view.setUint32(VsockHdr.dst_cid, cid, true);
  }

  /** The peer is the host or another guest. */
  address(peerCid: number, peerPort: number, guestPort: number): void {
    const view = this.#view;
    view.setUint32(VsockHdr.src_cid, peerCid, true);
    view.setUint32(VsockHdr.src_port, peerPort, true);
    view.setUint32(VsockHdr.dst_port, guestPort, true);
  }

  /** Writes the header to the front of a chain, which has room for it. */
  write(chain: Chain): void {
    const view = this.#view;
    view.setUint32(VsockHdr.len, this.len, true);
    view.setUint16(VsockHdr.type, this.type, true);
    view.setUint16(VsockHdr.op, this.op, true);
    view.setUint32(VsockHdr.flags, this.flags, true);
    view.setUint32(VsockHdr.buf_alloc, this.bufAlloc, true);
    view.setUint32(VsockHdr.fwd_cnt, this.fwdCnt, true);
    chain.copyTo(0, this.#bytes);
  }
}
