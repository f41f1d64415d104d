// One vsock connection between a port of the guest and a stream socket of the host (virtio 5.10.6).
// What it owes the guest is a bit per kind of packet, paid in fixed order as rx buffers come.
//
//   guest RW ──▶ Outbound ──▶ socket         fwd_cnt grows when the kernel has the bytes
//   socket ──▶ Receiver ──▶ rx buffers       paused while the guest has no room
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VsockHdr,
  VsockOp,
} from "../../../../abi/vsock.ts";
import type { SocketEvents, StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Hub, Opened } from "../hub.ts";
import { CLOSE_MS, CONNECT_MS, HALF_CLOSE_MS, LINGER_MS, TAIL_MS } from "../hub.ts";
import type { GuestPacket, HostPacket } from "../rings/packet.ts";
import type { Route } from "../routes/routes.ts";
import { type ConnectionStats, REFUSED, traffic } from "../stats.ts";
import { Credit } from "./credit.ts";
import { HalfClose } from "./half-close.ts";
import { Ledger } from "./ledger.ts";
import { Owed } from "./owed.ts";
import { Peer } from "./peer.ts";
import { Receiver } from "./receiver.ts";
import { Sender } from "./sender.ts";
import { assertMay, State } from "./state.ts";

export class Connection implements SocketEvents {
  readonly route: Route;
  /** Links of the device's lists. */
  nextReady: Connection | null = null;
  listed = false;
  flushing = false;
  deadlineNs = Number.POSITIVE_INFINITY;
  /** The client reads it in front of all that the guest says, once the guest accepted. */
  greeting: Uint8Array | null = null;
  readonly peer = new Peer();
  readonly sender: Sender;
  readonly #hub: Hub;
  readonly #ledger: Ledger;
  readonly #credit: Credit;
  readonly #in: Receiver;
  readonly #owed: Owed;
  readonly #ends = new HalfClose();
  readonly #opened: Opened | null; // told once
  #state: State;

  /** Bytes of the guest go nowhere until a socket is attached. */
  constructor(
    hub: Hub,
    route: Route,
    begin: State.Requesting | State.Connecting,
    bufAlloc: number,
    opened: Opened | null = null,
  ) {
    this.#hub = hub;
    this.route = route;
    this.#state = begin;
    this.#opened = opened;
    this.#ledger = new Ledger(hub.ledger);
    this.#credit = new Credit(bufAlloc);
    this.sender = new Sender(hub, this.#credit, this.#ledger, route.type);
    this.#in = new Receiver(hub, this, this.#credit, this.#ledger);
    this.#owed = new Owed(this.#credit, this.#in);
    hub.deadlines.set(this, CONNECT_MS);
    if (begin === State.Requesting) this.#want(VsockOp.REQUEST);
  }

  attach(socket: StreamSocket): void {
    this.peer.attach(socket);
    this.#in.attach(socket);
  }

  get stats(): ConnectionStats {
    const { peerCid, hostPort, guestPort } = this.route;
    return { peerCid, hostPort, guestPort, inPlace: this.#in.inPlace, ...traffic(this.#ledger) };
  }

  // ---- the guest's side

  /** A sound packet of the guest. True: the connection keeps the chain until it is sent. */
  receive(packet: GuestPacket, chain: Chain): boolean {
    if (packet.op === VsockOp.RST) {
      if (this.#state === State.Requesting && this.peer.open) this.#hub.lost("guest", REFUSED);
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

  /** Any packet tells what the guest has room for (V7). */
  learnCredit(packet: GuestPacket): void {
    if (!this.#credit.learn(packet)) this.#hub.stats.rejected++;
    if (this.#credit.available === 0) return;
    this.#owed.answered();
    if (this.#in.waiting > 0) this.#hub.ready(this);
    else if (this.#in.starved) this.#in.readOn();
  }

  /** What emit() would send now; INVALID: nothing. */
  nextOp(): VsockOp {
    return this.#owed.next(this.#state === State.Established);
  }

  /** Payload bytes that the packet of nextOp() could carry. */
  get nextBytes(): number {
    return this.nextOp() === VsockOp.RW ? Math.min(this.#in.waiting, this.#credit.available) : 0;
  }

  /** Writes the packet of nextOp() into an rx chain with room for a header; returns its bytes. */
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

  /** Bytes of the client lead nowhere. */
  get discards(): boolean {
    return this.#state > State.Established || this.#ends.toGuestEnded;
  }

  /** They came. One that goes on sending to a guest that will receive no more is told (V15). */
  unwanted(): void {
    if (this.#state === State.Established && this.#ends.isUnheard) this.abort();
  }

  /** May payload go to the guest now? */
  get sends(): boolean {
    return this.#state === State.Established && !this.#owed.has(VsockOp.RESPONSE);
  }

  /** Fills in the header of the next packet. */
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

  /** Payload went to the guest. A client that has left in a message leaves no whole one. */
  delivered(): void {
    if (!this.peer.open) this.#hub.deadlines.set(this, TAIL_MS);
    if (this.peer.ended && this.#in.waiting === 0 && this.#in.torn) this.abort();
  }

  /** End of a turn: what the guest sent in it leaves in one system call. */
  flush(): void {
    if (this.sender.flush(this.peer.socket)) this.#want(VsockOp.CREDIT_UPDATE);
    if (this.sender.sending !== 0) this.#hub.stalls.add(this);
    this.#moveOn();
  }

  /** The send in flight has been there for another second. */
  look(unacknowledged: number): void {
    const { unsent } = this.peer.socket;
    if (this.sender.look(unsent, unacknowledged)) this.#want(VsockOp.CREDIT_UPDATE);
    if (this.sender.moves && this.#state >= State.Tail) this.#hub.deadlines.set(this, TAIL_MS);
  }

  /** The guest broke the protocol, or the socket broke: RST, and nothing else any more. */
  abort(): void {
    if (this.#state === State.Resetting || this.#state === State.Gone) return;
    this.#enter(State.Resetting);
    this.#want(VsockOp.RST);
    this.#breakOff();
  }

  /** The device forgets its guest, which is not told. */
  cut(): void {
    if (this.#state >= State.Resetting && this.sender.out.idle) this.peer.leave(false);
    else this.#breakOff();
    this.#forget();
  }

  /** Reads no more of the client, and tells the guest so. */
  drain(): void {
    if (this.#state > State.Established) return;
    this.#in.pause();
    this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_SEND);
  }

  /** The time that was set by the last change of state is over. */
  expired(): void {
    if (this.peer.waits && this.#state === State.Established) {
      // A client that is still there waits for a long answer, and may.
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
      this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH); // behind the chunk that is left
      this.#hub.deadlines.set(this, TAIL_MS);
    } else {
      this.failed();
      return;
    }
    this.#hub.settle();
  }

  // ---- inside

  /** A state begins without a deadline, unless it is told to keep the last one's. */
  #enter(next: State, deadlineNs = Number.POSITIVE_INFINITY): void {
    const from = this.#state;
    assertMay(from, next);
    this.#state = next;
    this.deadlineNs = deadlineNs;
    if (from === State.Requesting) this.#opened?.(next === State.Established);
  }

  #waitForGuest(): void {
    if (!this.peer.waits || this.#state !== State.Established) return;
    this.#hub.deadlines.set(this, HALF_CLOSE_MS);
  }

  #want(op: VsockOp): void {
    this.#owed.add(op);
    this.#hub.ready(this);
  }

  /** Bytes that the guest sent before it closed are innocent of what it sends after. */
  #violated(): void {
    this.#hub.stats.rejected++;
    if (this.#state === State.Tail) this.#answerClose();
    else this.abort();
  }

  /** Both sides agreed. A probe, which has no socket, has seen enough: it closes at once. */
  #establish(): void {
    this.#enter(State.Established);
    if (!this.peer.open) this.#stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH);
    if (this.greeting !== null) this.sender.out.preface(this.greeting);
    this.#hub.flushing.add(this);
    this.#hub.ready(this);
    this.#in.established();
  }

  #payload({ len: length, flags }: GuestPacket, chain: Chain): boolean {
    if (this.#state < State.Established || this.#ends.guestEnded || !this.#credit.take(length)) {
      this.#violated();
      return false;
    }
    const isStream = this.route.type !== VIRTIO_VSOCK_TYPE_SEQPACKET;
    if (length === 0 && isStream) return false;
    // It crossed our SHUTDOWN on the way, and nobody is left to read it.
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

  /** After bytes left: what had to wait for them. */
  #moveOn(): void {
    if (this.#state === State.Established) {
      // The client learns behind the last byte that the guest will send no more.
      if (this.#ends.guestEnded && this.sender.out.handedOver) this.peer.end();
    } else if (!this.sender.out.idle) this.#hub.deadlines.set(this, TAIL_MS);
    else if (this.#state === State.Tail) this.#answerClose();
    else if (this.#state >= State.Resetting) this.#closeSocket();
  }

  /** The guest closed: RST says that it is done (V16). */
  #answerClose(): void {
    this.#enter(State.Resetting, this.deadlineNs); // of the tail, if there is one yet
    this.#want(VsockOp.RST);
    if (this.sender.out.idle) this.#closeSocket();
  }

  #closeSocket(): void {
    if (!this.peer.close(this.#in.unread)) return;
    this.#in.discard();
    this.#hub.deadlines.set(this, LINGER_MS);
  }

  /** Nothing goes either way any more. The socket first: then no kernel call reads the chains. */
  #breakOff(): void {
    this.peer.leave(true);
    this.#in.discard();
    this.sender.out.drop();
  }

  #forget(): void {
    this.#owed.forget();
    this.#enter(State.Gone, this.deadlineNs); // of a socket that still drains
    this.#hub.freePorts(this);
    if (!this.peer.open) this.#hub.gone(this);
  }
}
