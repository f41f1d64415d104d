// A packet to the guest. Its headers are written here; the payload of TCP stays where it is.
import { ETH_P_IP, EthernetHdr } from "../../../../abi/ethernet.ts";
import { IP_DF, IP_VERSION, IpHdr } from "../../../../abi/ip.ts";
import type { Frame } from "../frame.ts";
import { writeMac } from "../mac.ts";
import type { Offload } from "../offload/offload.ts";
import { GATEWAY, isOwn, macOfOwn } from "./address.ts";
import { fold, pseudoSum, type SumMemory } from "./sum.ts";

const IP_AT: number = EthernetHdr.sizeof;
const TTL = 64;

/** One object serves all packets: a frame is valid until the next one is written. */
export class Departure implements Frame {
  bytes = 0;
  destination = 0;
  source = 0;
  offload: Offload | null = null;
  readonly parts: Uint8Array[] = [];
  readonly memory: SumMemory;
  readonly view: DataView;
  /** Address of the packet's data: the header of TCP, UDP or ICMP. */
  readonly dataAt: number;
  readonly #at: number;
  #id = 0;

  constructor(memory: SumMemory, at: number) {
    this.memory = memory;
    this.view = memory.view;
    this.#at = at;
    this.dataAt = at + IP_AT + IpHdr.sizeof;
  }

  /** The beginning of a frame of one of the network's own addresses. */
  ethernet(mac: number, sender: number, type: number): number {
    this.destination = mac;
    this.source = macOfOwn(sender);
    this.offload = null;
    writeMac(this.view, this.#at + EthernetHdr.h_dest, mac);
    writeMac(this.view, this.#at + EthernetHdr.h_source, this.source);
    this.view.setUint16(this.#at + EthernetHdr.h_proto, type);
    return this.#at + IP_AT;
  }

  /**
   * Frame and IPv4 header of a packet with `bytes` of data. Addresses elsewhere are the gateway's.
   */
  ip(mac: number, source: number, destination: number, protocol: number, bytes: number): void {
    const { view } = this;
    const at = this.ethernet(mac, isOwn(source) ? source : GATEWAY, ETH_P_IP);
    this.#id = (this.#id + 1) & 0xffff;
    view.setUint8(at, (IP_VERSION << 4) | (IpHdr.sizeof / 4));
    view.setUint8(at + IpHdr.tos, 0);
    view.setUint16(at + IpHdr.tot_len, IpHdr.sizeof + bytes);
    view.setUint16(at + IpHdr.id, this.#id);
    view.setUint16(at + IpHdr.frag_off, IP_DF);
    view.setUint8(at + IpHdr.ttl, TTL);
    view.setUint8(at + IpHdr.protocol, protocol);
    view.setUint16(at + IpHdr.check, 0);
    view.setUint32(at + IpHdr.saddr, source);
    view.setUint32(at + IpHdr.daddr, destination);
    view.setUint16(at + IpHdr.check, ~this.memory.sum(at, IpHdr.sizeof) & 0xffff);
    this.#pseudo = pseudoSum(source, destination, protocol, bytes);
  }
  #pseudo = 0;

  /** The checksum of TCP or UDP; `written` bytes lie here, the others have the sum `rest`. */
  checksum(written: number, rest = 0): number {
    return ~fold(this.#pseudo + this.memory.sum(this.dataAt, written) + rest) & 0xffff;
  }

  /** Stands in the place of a checksum that is left to the guest (NW12). */
  get pseudoSum(): number {
    return fold(this.#pseudo);
  }

  /** The frame: `bytes` after its Ethernet header here, and a payload elsewhere. */
  finish(bytes: number, payloadAt = 0, payloadBytes = 0): Frame {
    const { u8 } = this.memory;
    this.bytes = IP_AT + bytes + payloadBytes;
    this.parts.length = 0;
    this.parts.push(u8.subarray(this.#at, this.#at + IP_AT + bytes));
    if (payloadBytes > 0) this.parts.push(u8.subarray(payloadAt, payloadAt + payloadBytes));
    return this;
  }

  /** The same with a payload that lies in memory of the guest. */
  finishAround(bytes: number, payload: Uint8Array): Frame {
    this.finish(bytes);
    this.bytes += payload.length;
    this.parts.push(payload);
    return this;
  }
}
