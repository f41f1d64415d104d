// One vsock connection between a port of the guest and a stream socket of the host (virtio 5.10.6).
// This class is its state machine (state.ts tells the story); parts of it do the rest:
//
//   guest RW ──▶ Sender, Outbound ──▶ socket     fwd_cnt advances as the kernel takes the bytes
//   socket ──▶ Receiver ──▶ rx buffers           paused while the guest has no room
//   Owed                                         packets due to the guest, one bit each
//   Credit, HalfClose, Peer                      what each side may still do
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VsockHdr,
  VsockOp,
} from "../../../../abi/vsock.ts";
import type { SocketEvents, StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Hub } from "../hub.ts";
import type { GuestPacket, HostPacket } from "../rings/packet.ts";
import type { PacketSource } from "../rings/pending.ts";
import type { Answered, Route } from "../routes/route.ts";
import { type ConnectionStats, REFUSED, traffic } from "../stats.ts";
import { Credit } from "./credit.ts";
import { HalfClose } from "./half-close.ts";
import { Ledger } from "./ledger.ts";
import { Owed } from "./owed.ts";
import { Peer } from "./peer.ts";
import { Receiver, type ReceiverOwner } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { assertMay, State } from "./state.ts";
import { CLOSE_MS, CONNECT_MS, HALF_CLOSE_MS, LINGER_MS, TAIL_MS } from "./timeouts.ts";

export class Connection implements SocketEvents, ReceiverOwner {
  readonly route: Route;
  /** Links of the device's lists. */
  nextReady: PacketSource | null = null;
  isReady = false;
  flushing = false;
  deadlineNs = Number.POSITIVE_INFINITY;
  /** Sent to the client before anything else, once the guest has accepted. */
  greeting: Uint8Array | null = null;
  readonly peer = new Peer();
  readonly sender: Sender;
  readonly #hub: Hub;
  readonly #ledger: Ledger;
  readonly #credit: Credit;
  readonly #in: Receiver;
  readonly #owed: Owed;
  readonly #ends = new HalfClose();
  readonly #answered: Answered | null;
  #state: State;

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
    this.#state = begin;
    this.#answered = answered;
    this.#ledger = new Ledger(hub.ledger);
    this.#credit = new Credit(bufAlloc);
    this.sender = new Sender(hub.share, hub.budget, this.#credit, this.#ledger, route.type);
    this.#in = new Receiver(hub, this, this.#credit, this.#ledger);
    this.#owed = new Owed(this.#credit, this.#in);
    hub.deadlines.set(this, CONNECT_MS);
    if (begin === State.Requesting) this.#want(VsockOp.REQUEST);
  }

  attach(socket: StreamSocket): void {
    this.peer.attach(socket);
    this.#in.attach(socket);
  }

  /** Bytes of the device's budget. */
  get charged(): number {
    return this.sender.charged;
  }

  get stats(): ConnectionStats {
    const { peerCid, hostPort, guestPort } = this.route;
    return { peerCid, hostPort, guestPort, inPlace: this.#in.inPlace, ...traffic(this.#ledger) };
  }

  // ---- the guest's side

  /** A well-formed packet. True: the connection keeps the chain until its payload is sent. */
  receive(packet: GuestPacket, chain: Chain): boolean {
    if (packet.op === VsockOp.RST) {
      if (this.#state === State.Requesting && this.peer.open) this.#hub.refused("guest", REFUSED);
      // V14, V16. The client is reset too, unless the guest had closed before.
      if (this.#state < State.Tail || this.#state === State.Closing) this.#breakOff();
      this.#forget();
      return false;
    }
    if (this.#state === State.Resetting) return false;
    this.#waitForGuest();
    this.learnCredit(packet);
    switch (packet.op) {
      case VsockOp.INVALID:
        this.#hub.stats.rejected++;
        return false;
      case VsockOp.RESPONSE:
        if (this.#state === State.Requesting && !this.#owed.has(VsockOp.REQUEST)) this.#establish();
        else this.#violated();
        return false;
      case VsockOp.RW:
        return this.#payload(packet, chain);
      case VsockOp.SHUTDOWN:
        if (this.#state >= State.Established) this.#shutdownByGuest(packet.flags);
        else this.#violated();
        return false;
      case VsockOp.CREDIT_UPDATE:
      case VsockOp.CREDIT_REQUEST:
        if (this.#state < State.Established) this.#violated();
        else if (this.#credit.asked(packet.op)) this.#want(VsockOp.CREDIT_UPDATE);
        return false;
      default: // a second REQUEST (K6), and numbers that are no operation (K3)
        this.#violated();
        return false;
    }
  }

  /** Any packet says how much room the guest has (V7). */
  learnCredit(packet: GuestPacket): void {
    if (!this.#credit.learn(packet)) this.#hub.stats.rejected++;
    if (this.#credit.available === 0) return;
    this.#owed.answered();
    if (this.#in.waiting > 0) this.#hub.toGuest.ready(this);
    else if (this.#in.starved) this.#in.readOn();
  }

  nextOp(): VsockOp {
    return this.#owed.next(this.#state === State.Established);
  }

  get nextBytes(): number {
    return this.nextOp() === VsockOp.RW ? Math.min(this.#in.waiting, this.#credit.available) : 0;
  }

  emit(chain: Chain, packet: HostPacket): number {
    const op = this.nextOp();
    const length = op === VsockOp.RW ? this.#in.emit(chain) : 0;
    if (op === VsockOp.RW && length === 0) return 0;
    this.stamp(packet, op, length);
    packet.write(chain);
    if (op === VsockOp.SHUTDOWN && this.#ends.hostClosed) {
      this.#enter(State.Closing);
      this.#hub.deadlines.set(this, CLOSE_MS);
    }
    if (op === VsockOp.RST) this.#forget();
    return VsockHdr.sizeof + length;
  }

  get discards(): boolean {
    return this.#state > State.Established || this.#ends.toGuestEnded;
  }

  /** A client that goes on sending to a guest that will receive no more is reset (V15). */
  unwanted(): void {
    if (this.#state === State.Established && this.#ends.isUnheard) this.abort();
  }

  get sends(): boolean {
    return this.#state === State.Established && !this.#owed.has(VsockOp.RESPONSE);
  }

  stamp(packet: HostPacket, op: VsockOp, length: number): void {
    const { peerCid, hostPort, guestPort, type } = this.route;
    packet.address(peerCid, hostPort, guestPort);
    packet.type = type;
    packet.op = op;
    packet.len = length;
    packet.flags = op === VsockOp.SHUTDOWN ? this.#ends.host : 0;
    if (op === VsockOp.RW) {
      packet.flags = this.#in.marks;
      this.sender.heard();
    }
    this.#credit.stamp(packet);
    this.#owed.paid(op);
  }

  /** A client that has left in the middle of a message will never complete it. */
  delivered(): void {
    if (!this.peer.open) this.#hub.deadlines.set(this, TAIL_MS);
    if (this.peer.ended && this.#in.waiting === 0 && this.#in.torn) this.abort();
  }

  /** At the end of a turn all that the guest sent in it leaves in one system call. */
  flush(): void {
    if (this.sender.flush(this.peer.socket)) this.#want(VsockOp.CREDIT_UPDATE);
    if (this.sender.sending !== 0) this.#hub.stalls.add(this);
    this.#moveOn();
  }

  look(unacknowledged: number): void {
    const { unsent } = this.peer.socket;
    if (this.sender.look(unsent, unacknowledged)) this.#want(VsockOp.CREDIT_UPDATE);
    if (this.sender.moves && this.#state >= State.Tail) this.#hub.deadlines.set(this, TAIL_MS);
  }

  /** The guest broke the protocol, or the socket broke: RST, and nothing else. */
  abort(): void {
    if (this.#state === State.Resetting || this.#state === State.Gone) return;
    this.#enter(State.Resetting);
    this.#want(VsockOp.RST);
    this.#breakOff();
  }

  /** The device drops the connection without telling the guest. */
  cut(): void {
    if (this.#state >= State.Resetting && this.sender.out.idle) this.peer.leave(false);
    else this.#breakOff();
    this.#forget();
  }

  /** Reads no more from the client, and tells the guest so. */
  drain(): void {
    if (this.#state > State.Established) return;
    this.#in.pause();
    this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_SEND);
  }

  expired(): void {
    if (this.peer.waits && this.#state === State.Established) {
      // A client that is still there may wait for a long answer.
      if (this.peer.socket.peerGone?.() === false) this.#waitForGuest();
      else this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH);
      return;
    }
    if (this.#state === State.Requesting && this.#owed.has(VsockOp.REQUEST)) {
      this.cut(); // the guest has not heard of it
    } else if (this.#state >= State.Resetting) this.peer.leave(!this.sender.out.idle);
    else this.abort();
  }

  // ---- the socket's side

  connected(): void {
    if (this.#state !== State.Connecting) return;
    this.#establish();
    this.#want(VsockOp.RESPONSE);
    this.#hub.settle();
  }

  data(chunk: Uint8Array): void {
    this.#in.data(chunk);
  }

  end(): void {
    this.peer.ended = true;
    this.#in.end();
    if (this.#state > State.Established) return;
    if (this.#in.waiting === 0 && this.#in.torn) this.abort();
    else this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_SEND);
    this.#waitForGuest();
    this.#hub.settle();
  }

  sent(): void {
    if (this.sender.sent()) this.#want(VsockOp.CREDIT_UPDATE);
    this.flush();
    this.#hub.settle();
  }

  failed(): void {
    if (this.#state === State.Requesting && this.#owed.has(VsockOp.REQUEST)) this.#forget();
    else this.abort();
    this.#hub.settle();
  }

  closed(): void {
    this.peer.open = false;
    this.#in.end();
    if (this.#state >= State.Resetting) this.sender.out.drop(); // its tail
    if (this.#state === State.Gone) {
      this.#hub.gone(this);
    } else if (this.#state === State.Established && this.peer.ended && this.peer.endSent) {
      this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH); // after the chunk that is left
      this.#hub.deadlines.set(this, TAIL_MS);
    } else {
      this.failed();
      return;
    }
    this.#hub.settle();
  }

  // ---- inside

  /** A new state has no deadline, unless the caller passes that of the last one on. */
  #enter(next: State, deadlineNs = Number.POSITIVE_INFINITY): void {
    const from = this.#state;
    assertMay(from, next);
    this.#state = next;
    this.deadlineNs = deadlineNs;
    if (from === State.Requesting) this.#answered?.(next === State.Established);
  }

  #waitForGuest(): void {
    if (!this.peer.waits || this.#state !== State.Established) return;
    this.#hub.deadlines.set(this, HALF_CLOSE_MS);
  }

  #want(op: VsockOp): void {
    this.#owed.add(op);
    this.#hub.toGuest.ready(this);
  }

  /** In Tail, bytes that the guest sent before it closed are still delivered. */
  #violated(): void {
    this.#hub.stats.rejected++;
    if (this.#state === State.Tail) this.#answerClose();
    else this.abort();
  }

  /** Both sides agreed. A probe, which has no socket, closes at once. */
  #establish(): void {
    this.#enter(State.Established);
    if (!this.peer.open) this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH);
    if (this.greeting !== null) this.sender.out.preface(this.greeting);
    this.#hub.flushing.add(this);
    this.#hub.toGuest.ready(this);
    this.#in.established();
  }

  #payload({ len: length, flags }: GuestPacket, chain: Chain): boolean {
    if (this.#state < State.Established || this.#ends.guestEnded || !this.#credit.take(length)) {
      this.#violated();
      return false;
    }
    const isStream = this.route.type !== VIRTIO_VSOCK_TYPE_SEQPACKET;
    if (length === 0 && isStream) return false;
    // It crossed our SHUTDOWN, and nobody is left to read it.
    if (this.#state === State.Closing) {
      if (this.sender.consumed(length)) this.#want(VsockOp.CREDIT_UPDATE);
      return false;
    }
    this.#hub.flushing.add(this);
    if (isStream) return this.sender.out.take(chain, length);
    const kept = this.sender.out.takePart(chain, length, flags);
    if (this.sender.out.messageBytes >= this.#credit.bufAlloc) this.abort(); // it can never end
    return kept;
  }

  #shutdownByGuest(flags: number): void {
    this.#ends.byGuest(flags);
    if (this.#ends.guestIsDeaf) this.#in.discard();
    if (this.#ends.guestClosed) {
      if (this.#state === State.Closing) this.#answerClose();
      else if (this.#state === State.Established) this.#enter(State.Tail);
    }
    this.#hub.flushing.add(this);
  }

  #stopSending(flags: number): void {
    if (this.#ends.byHost(flags)) this.#want(VsockOp.SHUTDOWN);
  }

  /** Does what had to wait until bytes left. */
  #moveOn(): void {
    if (this.#state === State.Established) {
      // End of stream for the client, after the last byte.
      if (this.#ends.guestEnded && this.sender.out.handedOver) this.peer.end();
    } else if (!this.sender.out.idle) this.#hub.deadlines.set(this, TAIL_MS);
    else if (this.#state === State.Tail) this.#answerClose();
    else if (this.#state >= State.Resetting) this.#closeSocket();
  }

  /** The guest closed: RST says that it is done (V16). */
  #answerClose(): void {
    this.#enter(State.Resetting, this.deadlineNs); // that of the tail, if it has begun
    this.#want(VsockOp.RST);
    if (this.sender.out.idle) this.#closeSocket();
  }

  #closeSocket(): void {
    if (!this.peer.close(this.#in.unread)) return;
    this.#in.discard();
    this.#hub.deadlines.set(this, LINGER_MS);
  }

  /** Ends both directions. The socket first, so that no system call reads the chains any more. */
  #breakOff(): void {
    this.peer.leave(true);
    this.#in.discard();
    this.sender.out.drop();
  }

  #forget(): void {
    this.#owed.forget();
    this.#enter(State.Gone, this.deadlineNs); // that of a socket that still drains
    this.#hub.freePorts(this);
    if (!this.peer.open) this.#hub.gone(this);
  }
}
