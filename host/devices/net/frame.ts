// A frame on its way: its Ethernet header, read once, and the rest where it lies.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { readMac } from "./mac.ts";
import type { Offload } from "./offload/offload.ts";

/** Valid until the call that it is passed to returns. */
export interface Frame {
  readonly bytes: number;
  readonly destination: number;
  readonly source: number;
  /** All of it, in order. The first part begins with the whole header. */
  readonly parts: readonly Uint8Array[];
  /** Work that is left to its receiver, who may refuse it to the device. null, missing: none. */
  readonly offload?: Offload | null;
}

/** A frame whose bytes nobody changes. The first of its parts has the whole header. */
export class WholeFrame implements Frame {
  readonly bytes: number;
  readonly destination: number;
  readonly source: number;
  readonly parts: readonly Uint8Array[];
  readonly offload: Offload | null;

  constructor(first: Uint8Array, rest: Uint8Array | null = null, offload: Offload | null = null) {
    const view = new DataView(first.buffer, first.byteOffset, EthernetHdr.sizeof);
    this.destination = readMac(view, EthernetHdr.h_dest);
    this.source = readMac(view, EthernetHdr.h_source);
    this.parts = rest === null ? [first] : [first, rest];
    this.bytes = first.length + (rest?.length ?? 0);
    this.offload = offload;
  }
}

/** Copies the first bytes of a frame, as many as fit. Returns how many. */
export function copyFront({ parts }: Frame, into: Uint8Array): number {
  let at = 0;
  for (const part of parts) {
    if (at === into.length) break;
    const taken = part.subarray(0, into.length - at);
    into.set(taken, at);
    at += taken.length;
  }
  return at;
}

/** Bytes of the longest frame that this one stands for: the MTU limits those. */
export function wireBytesOf({ bytes, offload }: Frame): number {
  if (!offload || offload.segmentBytes === 0) return bytes;
  return Math.min(bytes, offload.headerBytes + offload.segmentBytes);
}
