// A packet of the guest, read once (NG11): its headers are copied, and decided on; the payload of
// TCP is copied later, straight to where it goes.
import { ETH_P_IP, ETH_P_IPV6, EthernetHdr } from "../../../../abi/ethernet.ts";
import { IP_MF, IP_OFFMASK, IP_VERSION, IpHdr } from "../../../../abi/ip.ts";
import type { Frame } from "../frame.ts";
import type { UserNetworkStats } from "./stats.ts";
import { fold, pseudoSum, type SumMemory } from "./sum.ts";

/** Headers of Ethernet, IPv4 without options, and TCP with all of them. */
const FRONT_BYTES = 94;
const IP_AT: number = EthernetHdr.sizeof;
const SOUND = 0xffff;

/** One object serves all packets: its fields are valid until the next read(). */
export class Arrival {
  /** EtherType. */
  type = 0;
  source = 0;
  destination = 0;
  protocol = 0;
  /** Of the packet's data: its header and its payload. */
  bytes = 0;
  readonly memory: SumMemory;
  readonly view: DataView;
  /** Address of the frame, and of the packet's data. */
  readonly at: number;
  readonly dataAt: number;
  #frame: Frame | null = null;
  #copied = 0; // of the frame

  constructor(memory: SumMemory, at: number) {
    this.memory = memory;
    this.view = memory.view;
    this.at = at;
    this.dataAt = at + IP_AT + IpHdr.sizeof;
  }

  /** Bytes of the frame. */
  get frameBytes(): number {
    return this.#frame?.bytes ?? 0;
  }

  read(frame: Frame): void {
    this.#frame = frame;
    this.#copied = 0;
    this.#copyUpTo(Math.min(frame.bytes, FRONT_BYTES));
    this.type = this.view.getUint16(this.at + EthernetHdr.h_proto);
  }

  /** Reads the IPv4 header. False: the packet is dropped, and counted. */
  readIp({ dropped }: UserNetworkStats): boolean {
    if (this.type !== ETH_P_IP) {
      if (this.type === ETH_P_IPV6) dropped.ipv6++;
      else dropped.protocol++;
      return false;
    }
    const { view } = this;
    const at = this.at + IP_AT;
    const room = this.frameBytes - IP_AT;
    const first = room < IpHdr.sizeof ? 0 : view.getUint8(at);
    const total = view.getUint16(at + IpHdr.tot_len);
    if (first >>> 4 !== IP_VERSION || (first & 15) * 4 < IpHdr.sizeof || total > room) {
      dropped.malformed++;
    } else if ((first & 15) * 4 > IpHdr.sizeof) {
      dropped.options++;
    } else if (total < IpHdr.sizeof) {
      dropped.malformed++;
    } else if (this.memory.sum(at, IpHdr.sizeof) !== SOUND) {
      dropped.checksum++;
    } else if ((view.getUint16(at + IpHdr.frag_off) & (IP_MF | IP_OFFMASK)) !== 0) {
      dropped.fragment++;
    } else {
      this.source = view.getUint32(at + IpHdr.saddr);
      this.destination = view.getUint32(at + IpHdr.daddr);
      this.protocol = view.getUint8(at + IpHdr.protocol);
      this.bytes = total - IpHdr.sizeof;
      return true;
    }
    return false;
  }

  /** Copies what read() has not: all of the frame lies at `at` then. */
  complete(): void {
    this.#copyUpTo(this.frameBytes);
  }

  /** Copies `bytes` of the packet's data, from `from` on, to an address of the memory. */
  copyTo(target: number, from: number, bytes: number): void {
    const start = this.dataAt - this.at + from;
    if (this.#copied >= start + bytes) {
      this.memory.u8.copyWithin(target, this.at + start, this.at + start + bytes);
    } else {
      this.#copy(target, start, bytes);
    }
  }

  /** The sum of a pseudo header for the packet's data. */
  get pseudoSum(): number {
    return pseudoSum(this.source, this.destination, this.protocol, this.bytes);
  }

  /**
   * Has its sender left the checksum of TCP or UDP to others? Then it was never made, and the
   * packet, which has gone through this process alone, is taken as good (NW25).
   */
  get needsChecksum(): boolean {
    return this.#frame?.offload?.checksumStart === IP_AT + IpHdr.sizeof;
  }

  /** Is the checksum of TCP or UDP right? The frame is complete. */
  get isSound(): boolean {
    if (this.needsChecksum) return true;
    return fold(this.pseudoSum + this.memory.sum(this.dataAt, this.bytes)) === SOUND;
  }

  #copyUpTo(end: number): void {
    if (end <= this.#copied) return;
    this.#copy(this.at + this.#copied, this.#copied, end - this.#copied);
    this.#copied = end;
  }

  /** Of the frame, from `from` on. */
  #copy(target: number, from: number, bytes: number): void {
    let skip = from;
    let at = target;
    const end = target + bytes;
    for (const part of this.#frame?.parts ?? []) {
      if (at === end) return;
      if (skip >= part.length) {
        skip -= part.length;
        continue;
      }
      const isWhole = skip === 0 && part.length <= end - at;
      const piece = isWhole ? part : part.subarray(skip, skip + end - at);
      this.memory.u8.set(piece, at);
      at += piece.length;
      skip = 0;
    }
  }
}
