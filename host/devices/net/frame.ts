// A frame on its way: its Ethernet header, read once, and the rest where it lies.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { readMac } from "./mac.ts";

/** Valid until the call that it is passed to returns. */
export interface Frame {
  readonly bytes: number;
  readonly destination: number;
  readonly source: number;
  /** All of it, in order. The first part begins with the whole header. */
  readonly parts: readonly Uint8Array[];
}

/** A frame in one piece, which nobody changes. It has at least a header. */
export class WholeFrame implements Frame {
  readonly destination: number;
  readonly source: number;
  readonly parts: readonly Uint8Array[];

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, EthernetHdr.sizeof);
    this.destination = readMac(view, EthernetHdr.h_dest);
    this.source = readMac(view, EthernetHdr.h_source);
    this.parts = [bytes];
  }

  get bytes(): number {
    return (this.parts[0] as Uint8Array).length;
  }
}
