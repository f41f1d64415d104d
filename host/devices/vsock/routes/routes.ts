// Where REQUEST of the guest leads: a port of the host to what it is mapped to, or else to the path
// with the port behind it; another CID to the guest that has it.
import { VMADDR_CID_HOST } from "../../../../abi/vsock.ts";
import type { SocketAddress, Sockets, StreamSocket } from "../../../ports/sockets.ts";
import { NOBODY } from "../../../ports/sockets.ts";
import type { GuestPacket } from "../rings/packet.ts";
import type { VsockSwitch } from "./switch.ts";
import { isGuestTarget } from "./table.ts";

/** Who is to talk to whom, as the guest sees it. */
export interface Route {
  /** Of the host, or of another guest. */
  readonly peerCid: number;
  /** The peer's port. */
  readonly hostPort: number;
  readonly guestPort: number;
  /** VIRTIO_VSOCK_TYPE of all its packets. */
  readonly type: number;
}

export class Routes {
  readonly #sockets: Sockets;
  readonly #mapped: ReadonlyMap<number, SocketAddress>;
  readonly #switch: VsockSwitch | null;
  #path: string | null = null;

  constructor(
    sockets: Sockets,
    mapped: ReadonlyMap<number, SocketAddress>,
    network: VsockSwitch | null,
  ) {
    this.#sockets = sockets;
    this.#mapped = mapped;
    this.#switch = network;
  }

  /** Host ports that are not mapped lead to the path, with the port behind it. Once. */
  publish(path: string): void {
    if (this.#path !== null) throw new Error(`vsock: ${this.#path} is published already`);
    this.#path = path;
  }

  /** May packets to the CID be answered? Without a switch there is the host alone (V31). */
  has(cid: number): boolean {
    return cid === VMADDR_CID_HOST || this.#switch !== null;
  }

  /** A socket that connects as the guest of `cid` asks; null: the destination is none. */
  connect(cid: number, { srcPort, dstCid, dstPort, type }: GuestPacket): StreamSocket | null {
    if (dstCid !== VMADDR_CID_HOST) {
      const from = { peerCid: cid, hostPort: srcPort, guestPort: dstPort, type };
      return this.#switch?.connect(dstCid, from) ?? null;
    }
    const target = this.#target(dstPort);
    return target === undefined ? null : this.#sockets.connect(target, NOBODY);
  }

  #target(hostPort: number): SocketAddress | undefined {
    const mapped = this.#mapped.get(hostPort);
    if (mapped !== undefined || this.#path === null || !isGuestTarget(hostPort)) return mapped;
    return { path: `${this.#path}_${hostPort}` };
  }
}
