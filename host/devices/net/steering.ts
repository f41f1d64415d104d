// Which pair of queues a frame to the guest takes (MQ, virtio 5.1.6.5.6): that on which the guest
// last sent a frame of the same flow (NW30).
import { ETH_P_IP, EthernetHdr } from "../../../abi/ethernet.ts";
import { IPPROTO_TCP, IPPROTO_UDP, IpHdr } from "../../../abi/ip.ts";
import { copyFront, type Frame } from "./frame.ts";
import type { Envelope } from "./network.ts";

/** Flows share a place if their hashes do: then one of them takes the other's pair. */
const PLACES = 1024;
const PORTS_BYTES = 4;
/** With the longest header of IPv4. */
const FRONT_BYTES = EthernetHdr.sizeof + 60 + PORTS_BYTES;

export class Steering {
  readonly #pairs = new Uint8Array(PLACES);
  readonly #front = new Uint8Array(FRONT_BYTES);
  readonly #view = new DataView(this.#front.buffer);

  /** The guest has sent a frame on a pair. */
  learn(frame: Frame, pair: number): void {
    this.#pairs[this.#placeOf(frame)] = pair;
  }

  pairOf(frame: Frame): number {
    return this.#pairs[this.#placeOf(frame)] as number;
  }

  /** The pair of a connection of TCP, by its addresses and ports. */
  pairOfTcp({ source, destination, sourcePort, port }: Envelope): number {
    return this.#pairs[placeOf(source ^ destination, sourcePort ^ port, IPPROTO_TCP)] as number;
  }

  clear(): void {
    this.#pairs.fill(0);
  }

  /**
   * By addresses and ports, the same in both directions. Frames that are neither TCP nor UDP have
   * one in common.
   */
  #placeOf(frame: Frame): number {
    const view = this.#view;
    const bytes = copyFront(frame, this.#front);
    const ip: number = EthernetHdr.sizeof;
    if (bytes < ip + IpHdr.sizeof || view.getUint16(EthernetHdr.h_proto) !== ETH_P_IP) return 0;
    const protocol = view.getUint8(ip + IpHdr.protocol);
    const ports = ip + (view.getUint8(ip) & 15) * 4;
    const hasPorts = protocol === IPPROTO_TCP || protocol === IPPROTO_UDP;
    if (!hasPorts || ports + PORTS_BYTES > bytes) return 0;
    const addresses = view.getUint32(ip + IpHdr.saddr) ^ view.getUint32(ip + IpHdr.daddr);
    const both = view.getUint16(ports) ^ view.getUint16(ports + 2);
    return placeOf(addresses, both, protocol);
  }
}

function placeOf(addresses: number, ports: number, protocol: number): number {
  const mixed = Math.imul(addresses ^ (ports << 8) ^ protocol, 0x9e3779b1); // Knuth, 6.4
  return (mixed >>> 22) % PLACES;
}
