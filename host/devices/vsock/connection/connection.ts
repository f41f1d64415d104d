// One vsock connection between a port of the guest and a stream socket of the host (virtio 5.10.6).
// This class carries packets and payload between the two; parts of it do the rest:
//
//   guest RW ──▶ Sender, Outbound ──▶ socket     fwd_cnt advances as the kernel takes the bytes
//   socket ──▶ Receiver ──▶ rx buffers           paused while the guest has no room
//   Owed                                         packets due to the guest, one bit each
//   Life, HalfClose                              its state: opening, ending, every wait
//   Credit, Peer                                 what each side may still do
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VsockHdr, VsockOp } from "../../../../abi/vsock.ts";
import type { SocketEvents, StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Hub } from "../hub.ts";
import type { GuestPacket, HostPacket } from "../rings/packet.ts";
import type { PacketSource } from "../rings/pending.ts";
import type { Answered, Route } from "../routes/route.ts";
import { type ConnectionStats, traffic } from "../stats.ts";
import { Credit } from "./credit.ts";
import { Ledger } from "./ledger.ts";
import { Life, type Living } from "./life.ts";
import { Owed } from "./owed.ts";
import { Peer } from "./peer.ts";
import { Receiver, type ReceiverOwner } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { State } from "./state.ts";

export class Connection implements SocketEvents, ReceiverOwner, Living {
  readonly route: Route;
  /** Links of the device's lists. */
  place = 0;
  serial = 0;
  nextReady: PacketSource | null = null;
  isReady = false;
  flushing = false;
  deadlineNs = Number.POSITIVE_INFINITY;
  greeting: Uint8Array | null = null;
  /** Called once it has no socket any more; for whoever brought the client. */
  ended: (() => void) | null = null;
  readonly peer = new Peer();
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly owed: Owed;
  readonly #hub: Hub;
  readonly #ledger: Ledger;
  readonly #credit: Credit;
  readonly #life: Life;
  #isLate = false; // bytes came after drain()

  /** Until a socket is attached, payload of the guest is discarded. */
  constructor(
    hub: Hub,
    route: Route,
    begin: State.Requesting | State.Connecting,
    bufAlloc: number,
    answered: Answered | null = null,
  ) {
    this.#hub = hub;
    this.route = route;
    this.#ledger = new Ledger(hub.ledger);
    this.#credit = new Credit(bufAlloc);
    this.sender = new Sender(hub.share, hub.budget, this.#credit, this.#ledger, route.type);
    this.receiver = new Receiver(hub, this, this.#credit, this.#ledger);
    this.owed = new Owed(this.#credit, this.receiver);
    this.#life = new Life(hub, this, begin, answered);
    this.#life.begin();
  }

  attach(socket: StreamSocket): void {
    this.peer.attach(socket);
    this.receiver.attach(socket);
  }

  /** Is it over for the guest? The socket may still close. */
  get isForgotten(): boolean {
    return this.#life.state === State.Gone;
  }

  /** Bytes of the device's budget. */
  get charged(): number {
    return this.sender.charged;
  }

  get stats(): ConnectionStats {
    const { peerCid, hostPort, guestPort } = this.route;
    const { inPlace } = this.receiver;
    return { peerCid, hostPort, guestPort, inPlace, ...traffic(this.#ledger) };
  }

  // ---- packets of the guest

  /** A well-formed packet. True: the connection keeps the chain until its payload is sent. */
  receive(packet: GuestPacket, chain: Chain): boolean {
    if (packet.op === VsockOp.RST) {
      this.#life.resetByGuest();
      return false;
    }
    if (this.#life.state === State.Resetting) return false;
    this.#life.waitForGuest();
    this.learnCredit(packet);
    switch (packet.op) {
      case VsockOp.INVALID:
        this.#hub.stats.rejected++;
        return false;
      case VsockOp.RESPONSE:
        this.#life.acceptedByGuest();
        return false;
      case VsockOp.RW:
        return this.#payload(packet, chain);
      case VsockOp.SHUTDOWN:
        this.#life.shutdownByGuest(packet.flags);
        return false;
      case VsockOp.CREDIT_UPDATE:
      case VsockOp.CREDIT_REQUEST:
        if (this.#life.state < State.Established) this.#life.violated();
        else if (this.#credit.asked(packet.op)) this.#wantCreditUpdate();
        return false;
      default: // a second REQUEST (K6), and numbers that are no operation (K3)
        this.#life.violated();
        return false;
    }
  }

  /** Any packet says how much room the guest has (V7). */
  learnCredit(packet: GuestPacket): void {
    if (!this.#credit.learn(packet)) this.#hub.stats.rejected++;
    if (this.#credit.available === 0) return;
    this.owed.answered();
    if (this.receiver.waiting > 0) this.#hub.toGuest.ready(this);
    else if (this.receiver.starved) this.receiver.readOn();
  }

  #payload({ len: length, flags }: GuestPacket, chain: Chain): boolean {
    const { state, ends } = this.#life;
    if (state < State.Established || ends.guestEnded || !this.#credit.take(length)) {
      this.#life.violated();
      return false;
    }
    const isStream = this.route.type !== VIRTIO_VSOCK_TYPE_SEQPACKET;
    if (length === 0 && isStream) return false;
    // It crossed our SHUTDOWN, and nobody is left to read it.
    if (state === State.Closing) {
      if (this.sender.consumed(length)) this.#wantCreditUpdate();
      return false;
    }
    this.#hub.flushing.add(this);
    if (isStream) return this.sender.out.take(chain, length);
    const kept = this.sender.out.takePart(chain, length, flags);
    if (this.sender.out.messageBytes >= this.#credit.bufAlloc) this.abort(); // it can never end
    return kept;
  }

  // ---- packets to the guest

  nextOp(): VsockOp {
    return this.owed.next(this.#life.isEstablished);
  }

  get nextBytes(): number {
    if (this.nextOp() !== VsockOp.RW) return 0;
    return Math.min(this.receiver.waiting, this.#credit.available);
  }

  emit(chain: Chain, packet: HostPacket): number {
    const op = this.nextOp();
    const length = op === VsockOp.RW ? this.receiver.emit(chain) : 0;
    if (op === VsockOp.RW && length === 0) return 0;
    this.stamp(packet, op, length);
    packet.write(chain);
    if (op === VsockOp.SHUTDOWN) this.#life.shutdownSent();
    else if (op === VsockOp.RST) this.#life.forget();
    return VsockHdr.sizeof + length;
  }

  stamp(packet: HostPacket, op: VsockOp, length: number): void {
    const { peerCid, hostPort, guestPort, type } = this.route;
    packet.address(peerCid, hostPort, guestPort);
    packet.type = type;
    packet.op = op;
    packet.len = length;
    packet.flags = op === VsockOp.SHUTDOWN ? this.#life.ends.host : 0;
    if (op === VsockOp.RW) {
      packet.flags = this.receiver.marks;
      this.sender.heard();
    }
    this.#credit.stamp(packet);
    this.owed.paid(op);
  }

  #wantCreditUpdate(): void {
    this.#life.want(VsockOp.CREDIT_UPDATE);
  }

  // ---- bytes of the client

  get discards(): boolean {
    return this.#life.discards;
  }

  get sends(): boolean {
    return this.#life.isEstablished && !this.owed.has(VsockOp.RESPONSE);
  }

  /** A client that goes on sending to a guest that will receive no more is reset (V15). */
  unwanted(): void {
    if (this.peer.drained && !this.#isLate) {
      this.#isLate = true;
      this.#hub.stats.late++;
    }
    if (this.#life.isEstablished && this.#life.ends.isUnheard) this.abort();
  }

  delivered(): void {
    this.#life.delivered();
  }

  // ---- bytes of the guest

  /** At the end of a turn all that the guest sent in it leaves in one system call. */
  flush(): void {
    if (this.sender.flush(this.peer.socket)) this.#wantCreditUpdate();
    if (this.sender.sending !== 0) this.#hub.stalls.add(this);
    this.#life.flushed();
  }

  look(unacknowledged: number): void {
    const { unsent } = this.peer.socket;
    if (this.sender.look(unsent, unacknowledged)) this.#wantCreditUpdate();
    if (this.sender.moves) this.#life.tailMoved();
  }

  // ---- ended by the device

  abort(): void {
    this.#life.abort();
  }

  /** The device drops the connection without telling the guest. */
  cut(): void {
    this.#life.cut();
  }

  /** Payload bytes of the client that the guest has got. */
  get bytesToGuest(): number {
    return this.#ledger.bytesToGuest;
  }

  /** Tells the guest that the client sends no more, and discards what it sends. */
  drain(): void {
    this.#life.drain();
  }

  expired(): void {
    this.#life.expired();
  }

  // ---- events of the socket

  connected(): void {
    if (this.#life.acceptedByHost()) this.#hub.settle();
  }

  data(chunk: Uint8Array): void {
    this.receiver.data(chunk);
  }

  end(): void {
    if (this.#life.clientEnded()) this.#hub.settle();
  }

  sent(): void {
    if (this.sender.sent()) this.#wantCreditUpdate();
    this.flush();
    this.#hub.settle();
  }

  failed(): void {
    this.#life.socketFailed();
    this.#hub.settle();
  }

  closed(): void {
    this.#life.socketClosed();
    this.#hub.settle();
  }
}
