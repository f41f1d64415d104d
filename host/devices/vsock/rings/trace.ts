// The packets of a vsock device, each as an event on its track of the machine's trace.
import { VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import type { DeviceTrace } from "../../../device.ts";
import { vsockName } from "../../../operation-names.ts";
import { type ConnectionKey, connectionKey, type FlowStep } from "../../../trace/flows.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { PacketTap } from "./tap.ts";

/** A header, and enough of the payload to know a request by. */
const PEEKED_BYTES = VsockHdr.sizeof + 256;

export class PacketTrace implements PacketTap {
  readonly #trace: DeviceTrace;
  readonly #next: PacketTap | null;
  readonly #packet = new Uint8Array(PEEKED_BYTES); // the first bytes of one
  readonly #view = new DataView(this.#packet.buffer);

  /** Passes everything on to `next`. */
  constructor(trace: DeviceTrace, next: PacketTap | null) {
    this.#trace = trace;
    this.#next = next;
  }

  fromGuest(chain: Chain): void {
    this.#next?.fromGuest(chain);
    if (!this.#trace.isOn || chain.readableBytes < VsockHdr.sizeof) return;
    putBytes(this.#packet, 0, chain.readable(0, Math.min(chain.readableBytes, PEEKED_BYTES)));
    const key = this.#key(VsockHdr.dst_cid, VsockHdr.dst_port, VsockHdr.src_port);
    this.#tell("from guest", this.#step(key, false));
    if (this.#op === VsockOp.RST) this.#trace.flows.closed(key);
  }

  toGuest(chain: Chain, written: number): void {
    this.#next?.toGuest(chain, written);
    if (!this.#trace.isOn) return;
    putBytes(this.#packet, 0, chain.writable(0, Math.min(written, PEEKED_BYTES)));
    const key = this.#key(VsockHdr.src_cid, VsockHdr.src_port, VsockHdr.dst_port);
    this.#tell("to guest", this.#step(key, true));
    if (this.#op === VsockOp.RST) this.#trace.flows.closed(key);
  }

  get #op(): number {
    return this.#view.getUint16(VsockHdr.op, true);
  }

  #key(cid: VsockHdr, remotePort: VsockHdr, localPort: VsockHdr): ConnectionKey {
    const view = this.#view;
    const [remote, local] = [view.getUint32(remotePort, true), view.getUint32(localPort, true)];
    return connectionKey(view.getUint32(cid, true), remote, local);
  }

  /** Payload is a step of the request that its connection carries. */
  #step(key: ConnectionKey, toGuest: boolean): FlowStep | undefined {
    if (this.#op !== VsockOp.RW) return undefined;
    const { flows } = this.#trace;
    const bytes = this.#view.getUint32(VsockHdr.len, true);
    const end = Math.min(PEEKED_BYTES, VsockHdr.sizeof + bytes);
    const first = this.#packet.subarray(VsockHdr.sizeof, end);
    const now = this.#trace.now();
    return toGuest
      ? flows.toGuest(key, first, bytes, now)
      : flows.fromGuest(key, first, bytes, now);
  }

  #tell(way: string, flow: FlowStep | undefined): void {
    const view = this.#view;
    const args = {
      srcPort: view.getUint32(VsockHdr.src_port, true),
      dstPort: view.getUint32(VsockHdr.dst_port, true),
      len: view.getUint32(VsockHdr.len, true),
    };
    this.#trace.instant(`${vsockName(this.#op)} ${way}`, args, flow);
  }
}

/** As in "RW 80 -> 1073741824, 512 bytes"; "": it is too short for a header. */
export function describePacket(head: DataView): string {
  if (head.byteLength < VsockHdr.sizeof) return "";
  const op = vsockName(head.getUint16(VsockHdr.op, true));
  const [from, to] = [VsockHdr.src_port, VsockHdr.dst_port].map((at) => head.getUint32(at, true));
  return `${op} ${from} -> ${to}, ${head.getUint32(VsockHdr.len, true)} bytes`;
}
