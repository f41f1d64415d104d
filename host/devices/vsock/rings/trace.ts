// The packets of a vsock device, each as an event on its track of the machine's trace.
import { VSOCK_QUEUE_TX, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import { putBytes } from "../../../bytes.ts";
import type { DeviceTrace, StepKinds } from "../../../device.ts";
import { vsockName } from "../../../operation-names.ts";
import { connectionKey } from "../../../trace/connection-key.ts";
import { EventKind, type Flow, MACHINE } from "../../../trace/event.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { PacketTap } from "./tap.ts";

/** Of the payload: enough to know a request by. */
const FIRST_BYTES_MAX = 256;
const PEEKED_BYTES = VsockHdr.sizeof + FIRST_BYTES_MAX;

/** Events by operation. */
const TO_GUEST = eventKinds("to guest");
const FROM_GUEST = eventKinds("from guest");

export class PacketTrace implements PacketTap {
  readonly #trace: DeviceTrace;
  readonly #next: PacketTap | null;
  readonly #copy = new Uint8Array(PEEKED_BYTES); // of a packet that lies in pieces
  readonly #copyView = new DataView(this.#copy.buffer);
  // The packet: its header, and the first bytes of its payload.
  #view: DataView = this.#copyView;
  #at = 0;
  readonly #first = { source: this.#copy as Uint8Array, at: 0, end: 0 };

  /** Passes everything on to `next`. */
  constructor(trace: DeviceTrace, next: PacketTap | null) {
    this.#trace = trace;
    this.#next = next;
  }

  fromGuest(chain: Chain): void {
    this.#next?.fromGuest(chain);
    const bytes = chain.readableBytes;
    if (!this.#trace.isOn || bytes < VsockHdr.sizeof) return;
    const more = Math.min(bytes - VsockHdr.sizeof, FIRST_BYTES_MAX);
    const payload = more === 0 ? 0 : chain.readableAt(VsockHdr.sizeof, more);
    if (!this.#isAt(chain, chain.readableAt(0, VsockHdr.sizeof), payload)) {
      this.#take(chain.readable(0, Math.min(bytes, PEEKED_BYTES)));
    }
    this.#tell(false, more);
  }

  toGuest(chain: Chain, written: number): void {
    this.#next?.toGuest(chain, written);
    if (!this.#trace.isOn) return;
    const more = Math.min(written - VsockHdr.sizeof, FIRST_BYTES_MAX);
    const payload = more === 0 ? 0 : chain.writableAt(VsockHdr.sizeof, more);
    if (!this.#isAt(chain, chain.writableAt(0, VsockHdr.sizeof), payload)) {
      this.#take(chain.writable(0, Math.min(written, PEEKED_BYTES)));
    }
    this.#tell(true, more);
  }

  /** Looks at a packet where it lies. False: one of both addresses is none. */
  #isAt({ memory }: Chain, header: number, payload: number): boolean {
    if (header < 0 || payload < 0) return false;
    this.#view = memory.view;
    this.#at = header;
    this.#first.source = memory.u8;
    this.#first.at = payload;
    return true;
  }

  #take(parts: readonly Uint8Array[]): void {
    putBytes(this.#copy, 0, parts);
    this.#view = this.#copyView;
    this.#at = 0;
    this.#first.source = this.#copy;
    this.#first.at = VsockHdr.sizeof;
  }

  /** `more` bytes of what follows the header can be looked at. */
  #tell(isToGuest: boolean, more: number): void {
    const [view, at] = [this.#view, this.#at];
    const srcPort = view.getUint32(at + VsockHdr.src_port, true);
    const dstPort = view.getUint32(at + VsockHdr.dst_port, true);
    const len = view.getUint32(at + VsockHdr.len, true);
    const op = view.getUint16(at + VsockHdr.op, true);
    const { flows } = this.#trace;
    const key = isToGuest
      ? connectionKey(view.getUint32(at + VsockHdr.src_cid, true), srcPort, dstPort)
      : connectionKey(view.getUint32(at + VsockHdr.dst_cid, true), dstPort, srcPort);
    const nowNs = this.#trace.now();
    let flow: Flow = 0;
    if (op === VsockOp.RW) {
      const first = this.#first;
      first.end = first.at + Math.min(more, len);
      // Payload is a step of the request that its connection carries.
      flow = isToGuest
        ? flows.toGuest(key, first, len, nowNs)
        : flows.fromGuest(key, first, len, nowNs);
    }
    const known = isToGuest ? TO_GUEST : FROM_GUEST;
    const kinds = known[op] ?? kindsOf(op, isToGuest ? "to guest" : "from guest");
    this.#trace.happened(kinds, nowNs, flow, srcPort, dstPort, len);
    if (op === VsockOp.RST) flows.closed(key);
  }
}

function eventKinds(way: string): readonly StepKinds[] {
  return Array.from({ length: VsockOp.CREDIT_REQUEST + 1 }, (_, op) => kindsOf(op, way));
}

function kindsOf(op: number, way: string): StepKinds {
  const name = `${vsockName(op)} ${way}`;
  const keys = ["srcPort", "dstPort", "len"];
  return {
    instant: new EventKind("i", MACHINE, name, keys),
    step: new EventKind("X", MACHINE, name, keys),
  };
}

/** As in "RW 80 -> 1073741824, 512 bytes"; "": it is too short for a header, or no packet. */
export function describePacket(queue: number, head: DataView): string {
  if (queue !== VSOCK_QUEUE_TX || head.byteLength < VsockHdr.sizeof) return "";
  const op = vsockName(head.getUint16(VsockHdr.op, true));
  const [from, to] = [VsockHdr.src_port, VsockHdr.dst_port].map((at) => head.getUint32(at, true));
  return `${op} ${from} -> ${to}, ${head.getUint32(VsockHdr.len, true)} bytes`;
}
