// The packets of a vsock device, each as an event on its track of the machine's trace.
import { VsockHdr } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import type { DeviceTrace } from "../../../device.ts";
import { vsockName } from "../../../operation-names.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { PacketTap } from "./tap.ts";

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
    if (!this.#trace.isOn || chain.readableBytes < VsockHdr.sizeof) return;
    this.#tell("from guest", chain.readable(0, VsockHdr.sizeof));
  }

  toGuest(chain: Chain, written: number): void {
    this.#next?.toGuest(chain, written);
    if (!this.#trace.isOn) return;
    this.#tell("to guest", chain.writable(0, VsockHdr.sizeof));
  }

  #tell(way: string, parts: readonly Uint8Array[]): void {
    putBytes(this.#header, 0, parts);
    const op = this.#view.getUint16(VsockHdr.op, true);
    this.#trace.instant(`${vsockName(op)} ${way}`, {
      srcPort: this.#view.getUint32(VsockHdr.src_port, true),
      dstPort: this.#view.getUint32(VsockHdr.dst_port, true),
      len: this.#view.getUint32(VsockHdr.len, true),
    });
  }
}

/** As in "RW 80 -> 1073741824, 512 bytes"; "": it is too short for a header. */
export function describePacket(head: DataView): string {
  if (head.byteLength < VsockHdr.sizeof) return "";
  const op = vsockName(head.getUint16(VsockHdr.op, true));
  const [from, to] = [VsockHdr.src_port, VsockHdr.dst_port].map((at) => head.getUint32(at, true));
  return `${op} ${from} -> ${to}, ${head.getUint32(VsockHdr.len, true)} bytes`;
}
