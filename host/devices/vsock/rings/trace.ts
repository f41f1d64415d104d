// The packets of a vsock device, each as an event on its track of the machine's trace.
import { VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import type { DeviceTrace } from "../../../device.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { PacketTap } from "./tap.ts";

const OPS: Readonly<Record<number, string>> = {
  [VsockOp.INVALID]: "INVALID",
  [VsockOp.REQUEST]: "REQUEST",
  [VsockOp.RESPONSE]: "RESPONSE",
  [VsockOp.RST]: "RST",
  [VsockOp.SHUTDOWN]: "SHUTDOWN",
  [VsockOp.RW]: "RW",
  [VsockOp.CREDIT_UPDATE]: "CREDIT_UPDATE",
  [VsockOp.CREDIT_REQUEST]: "CREDIT_REQUEST",
};

export class PacketTrace implements PacketTap {
  readonly #trace: DeviceTrace;
  readonly #next: PacketTap | null;
  readonly #header = new Uint8Array(VsockHdr.sizeof);
  readonly #view = new DataView(this.#header.buffer);

  /** Passes everything on to `next`. */
  constructor(trace: DeviceTrace, next: PacketTap | null) {
    this.#trace = trace;
    this.#next = next;
  }

  fromGuest(chain: Chain): void {
    this.#next?.fromGuest(chain);
    if (chain.readableBytes < VsockHdr.sizeof) return;
    this.#tell("from guest", chain.readable(0, VsockHdr.sizeof));
  }

  toGuest(chain: Chain, written: number): void {
    this.#next?.toGuest(chain, written);
    this.#tell("to guest", chain.writable(0, VsockHdr.sizeof));
  }

  #tell(way: string, parts: readonly Uint8Array[]): void {
    putBytes(this.#header, 0, parts);
    const op = this.#view.getUint16(VsockHdr.op, true);
    this.#trace.instant(`${OPS[op] ?? `op ${op}`} ${way}`, {
      srcPort: this.#view.getUint32(VsockHdr.src_port, true),
      dstPort: this.#view.getUint32(VsockHdr.dst_port, true),
      len: this.#view.getUint32(VsockHdr.len, true),
    });
  }
}
