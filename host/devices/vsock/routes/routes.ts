// Where a REQUEST of the guest leads. A port of the host leads to the address it is mapped to, or
// else to the published path with the port appended; another CID leads to the guest that has it.
import { VMADDR_CID_HOST } from "../../../../abi/vsock.ts";
import type { SocketAddress, Sockets, StreamSocket } from "../../../ports/sockets.ts";
import { NOBODY } from "../../../ports/sockets.ts";
import type { GuestPacket } from "../rings/packet.ts";
import { isGuestTarget } from "./route.ts";
import type { VsockSwitch } from "./switch.ts";

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

  /** Host ports that are not mapped lead to the path, with `_port` appended. Once. */
  publish(path: string): void {
    if (this.#path !== null) throw new Error(`vsock: ${this.#path} is published already`);
    this.#path = path;
  }

  /** May packets to the CID be answered? Without a switch only the host has one (V31). */
  has(cid: number): boolean {
    return cid === VMADDR_CID_HOST || this.#switch !== null;
  }

  /** A socket that connects as the guest of `cid` asks; null: there is no such destination. */
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
