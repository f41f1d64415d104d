// Joins the devices of several machines in this process, so that their guests reach each other by
// CID. It carries connections, not packets: each guest talks to its own device, with credit and
// limits of its own.
import type { Clock } from "../../../ports/clock.ts";
import { PairLoop, type PairSocket } from "../../../sockets/pair.ts";
import type { Route } from "./route.ts";

/** A device, as the other members of its switch see it. */
export interface SwitchMember {
  /**
   * Another guest connects by `socket`, on which answered() must be called once the guest here has
   * accepted. Messages are framed on it as on a socket of the host. False: refused, and the socket
   * is left as it is.
   */
  called(from: Route, socket: PairSocket): boolean;
}

export class VsockSwitch {
  readonly #loop: PairLoop;
  readonly #members = new Map<number, SwitchMember>();

  /** Data between guests arrives by `clock.defer`. */
  constructor(clock: Pick<Clock, "defer">) {
    this.#loop = new PairLoop(clock);
  }

  /** CIDs of the devices that belong to it. */
  get cids(): number[] {
    return [...this.#members.keys()];
  }

  /** Called by a device when it is made. Throws when another one has the CID. */
  join(cid: number, member: SwitchMember): void {
    this.#assertFree(cid);
    this.#members.set(cid, member);
  }

  /** Called by a device whose guest gets another CID. Throws when another one has it. */
  move(from: number, to: number): void {
    const member = this.#members.get(from);
    if (member === undefined) return;
    this.#assertFree(to);
    this.#members.delete(from);
    this.#members.set(to, member);
  }

  /** Called by a device when it is disposed. */
  leave(cid: number): void {
    this.#members.delete(cid);
  }

  /**
   * The socket of a connection that the guest of `from.peerCid` begins; null: refused. Only CIDs of
   * other devices are reachable. A guest reaches itself without a device: VMADDR_CID_LOCAL (1) is
   * reserved (virtio 5.10.4), and a guest's own CID is never that of a peer.
   */
  connect(cid: number, from: Route): PairSocket | null {
    const member = cid === from.peerCid ? undefined : this.#members.get(cid);
    if (member === undefined) return null;
    const [near, far] = this.#loop.pair();
    return member.called(from, far) ? near : null;
  }

  #assertFree(cid: number): void {
    if (this.#members.has(cid)) throw new Error(`vsock: CID ${cid} is taken in this switch`);
  }
}
