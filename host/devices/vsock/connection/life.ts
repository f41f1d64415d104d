// The state machine of one connection (state.ts tells the story): how it opens, how each side ends
// it, how it breaks off, and how long it waits meanwhile.
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VsockOp,
} from "../../../../abi/vsock.ts";
import type { Ending, Hub } from "../hub.ts";
import type { Flushable } from "../rings/flushing.ts";
import type { PacketSource } from "../rings/pending.ts";
import type { Answered } from "../routes/route.ts";
import { REFUSED } from "../stats.ts";
import { HalfClose } from "./half-close.ts";
import type { Owed } from "./owed.ts";
import type { Peer } from "./peer.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import { assertMay, State } from "./state.ts";
import { CLOSE_MS, CONNECT_MS, DRAIN_MS, HALF_CLOSE_MS, LINGER_MS, TAIL_MS } from "./timeouts.ts";

/** The connection, as its life sees it. */
export interface Living extends Ending, PacketSource, Flushable {
  /** Sent to the client before anything else, once the guest has accepted. */
  readonly greeting: Uint8Array | null;
  readonly peer: Peer;
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly owed: Owed;
}

export class Life {
  readonly ends = new HalfClose();
  readonly #hub: Hub;
  readonly #connection: Living;
  readonly #answered: Answered | null;
  #state: State;

  /** `answered` is called once: with true when the guest accepts, with false if it never does. */
  constructor(
    hub: Hub,
    connection: Living,
    begin: State.Requesting | State.Connecting,
    answered: Answered | null,
  ) {
    this.#hub = hub;
    this.#connection = connection;
    this.#state = begin;
    this.#answered = answered;
  }

  get state(): State {
    return this.#state;
  }

  get isEstablished(): boolean {
    return this.#state === State.Established;
  }

  /** Does the connection want nothing more from the client? */
  get discards(): boolean {
    return this.#state > State.Established || this.ends.toGuestEnded;
  }

  /** The guest has not heard of it: REQUEST is still due. */
  get isUnannounced(): boolean {
    return this.#state === State.Requesting && this.#connection.owed.has(VsockOp.REQUEST);
  }

  // ---- opening

  begin(): void {
    this.#wait(CONNECT_MS);
    if (this.#state === State.Requesting) this.want(VsockOp.REQUEST);
  }

  /** The guest sent RESPONSE. */
  acceptedByGuest(): void {
    if (this.#state === State.Requesting && !this.isUnannounced) this.#establish();
    else this.violated();
  }

  /** The socket has connected. False: nobody waits for it any more. */
  acceptedByHost(): boolean {
    if (this.#state !== State.Connecting) return false;
    this.#establish();
    this.want(VsockOp.RESPONSE);
    return true;
  }

  /** Both sides agreed. A probe, which has no socket, closes at once. */
  #establish(): void {
    const { peer, greeting, sender, receiver } = this.#connection;
    this.#enter(State.Established);
    if (!peer.open) this.stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH);
    if (greeting !== null) sender.out.preface(greeting);
    this.#hub.flushing.add(this.#connection);
    this.#hub.toGuest.ready(this.#connection);
    receiver.established();
  }

  // ---- half close

  /** The guest sent SHUTDOWN. */
  shutdownByGuest(flags: number): void {
    if (this.#state < State.Established) {
      this.violated();
      return;
    }
    this.ends.byGuest(flags);
    if (this.ends.guestIsDeaf) this.#connection.receiver.discard();
    if (this.ends.guestClosed) {
      if (this.#state === State.Closing) this.#answerClose();
      else if (this.#state === State.Established) this.#enter(State.Tail);
    }
    this.#hub.flushing.add(this.#connection);
  }

  /** The guest is to learn that the client ends the directions of `flags`. */
  stopSending(flags: number): void {
    if (this.ends.byHost(flags)) this.want(VsockOp.SHUTDOWN);
  }

  /** SHUTDOWN went to the guest. */
  shutdownSent(): void {
    if (!this.ends.hostClosed) return;
    this.#enter(State.Closing);
    this.#wait(CLOSE_MS);
  }

  /** A client that has ended waits for the guest to do something: the wait begins anew. */
  waitForGuest(): void {
    if (this.#connection.peer.waits && this.isEstablished) this.#wait(HALF_CLOSE_MS);
  }

  // ---- what the socket reports

  /** The client sends no more. False: that is nothing to the guest any more. */
  clientEnded(): boolean {
    const { peer, receiver } = this.#connection;
    peer.ended = true;
    receiver.end();
    if (this.#state > State.Established) return false;
    if (receiver.waiting === 0 && receiver.torn) this.abort();
    else this.stopSending(VIRTIO_VSOCK_SHUTDOWN_SEND);
    this.waitForGuest();
    return true;
  }

  socketFailed(): void {
    if (this.isUnannounced) this.forget();
    else this.abort();
  }

  socketClosed(): void {
    const { peer, receiver, sender } = this.#connection;
    peer.open = false;
    receiver.end();
    if (this.#state >= State.Resetting) sender.out.drop(); // its tail
    if (this.#state === State.Gone) {
      this.#hub.gone(this.#connection);
    } else if (this.isEstablished && peer.ended && peer.endSent) {
      this.stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH); // after the chunk that is left
      this.#wait(TAIL_MS);
    } else {
      this.socketFailed();
    }
  }

  /** A client that has left in the middle of a message will never complete it. */
  delivered(): void {
    const { peer, receiver } = this.#connection;
    if (!peer.open) this.#wait(TAIL_MS);
    if (peer.ended && receiver.waiting === 0 && receiver.torn) this.abort();
  }

  /** Does what had to wait until bytes left for the client. */
  flushed(): void {
    const { peer, sender } = this.#connection;
    if (this.isEstablished) {
      // End of stream for the client, after the last byte.
      if (this.ends.guestEnded && sender.out.handedOver) peer.end();
    } else if (!sender.out.idle) this.#wait(TAIL_MS);
    else if (this.#state === State.Tail) this.#answerClose();
    else if (this.#state >= State.Resetting) this.#closeSocket();
  }

  /** A slow reader took some of the last bytes. */
  tailMoved(): void {
    if (this.#state >= State.Tail) this.#wait(TAIL_MS);
  }

  // ---- ending

  /** The guest sent RST (V14, V16). The client is reset too, unless the guest had closed before. */
  resetByGuest(): void {
    if (this.#state === State.Requesting && this.#connection.peer.open) {
      this.#hub.refused("guest", REFUSED);
    }
    if (this.#state < State.Tail || this.#state === State.Closing) this.#breakOff();
    this.forget();
  }

  /**
   * The guest broke the protocol. In Tail, bytes that it sent before it closed are still delivered.
   */
  violated(): void {
    this.#hub.stats.rejected++;
    if (this.#state === State.Tail) this.#answerClose();
    else this.abort();
  }

  /** The guest broke the protocol, or the socket broke: RST, and nothing else. */
  abort(): void {
    if (this.#state === State.Resetting || this.#state === State.Gone) return;
    this.#enter(State.Resetting);
    this.want(VsockOp.RST);
    this.#breakOff();
  }

  /** The device drops the connection without telling the guest. */
  cut(): void {
    const { peer, sender } = this.#connection;
    if (this.#state >= State.Resetting && sender.out.idle) peer.leave(false);
    else this.#breakOff();
    this.forget();
  }

  /**
   * Tells the guest that the client sends no more, though it may: bytes that still come are read
   * and discarded, until the client has seen the end and ended too, or DRAIN_MS have passed.
   */
  drain(): void {
    if (this.#state > State.Established) return;
    this.#connection.peer.drained = true;
    this.stopSending(VIRTIO_VSOCK_SHUTDOWN_SEND);
  }

  /** The deadline of the current wait has passed. */
  expired(): void {
    const { peer, sender } = this.#connection;
    if (peer.waits && this.isEstablished) {
      // A client that is still there may wait for a long answer.
      if (peer.socket.peerGone?.() === false) this.waitForGuest();
      else this.stopSending(VIRTIO_VSOCK_SHUTDOWN_BOTH);
      return;
    }
    if (this.isUnannounced) this.cut();
    else if (this.#state >= State.Resetting) peer.leave(!sender.out.idle);
    else this.abort();
  }

  /** The guest is done with it: its ports are free, while the socket may still drain. */
  forget(): void {
    this.#connection.owed.forget();
    this.#enter(State.Gone, this.#connection.deadlineNs); // that of a socket that still drains
    this.#hub.freePorts(this.#connection);
    if (!this.#connection.peer.open) this.#hub.gone(this.#connection);
  }

  /** The guest closed: RST says that it is done (V16). */
  #answerClose(): void {
    this.#enter(State.Resetting, this.#connection.deadlineNs); // that of the tail, if it has begun
    this.want(VsockOp.RST);
    if (this.#connection.sender.out.idle) this.#closeSocket();
  }

  #closeSocket(): void {
    const { peer, receiver } = this.#connection;
    if (!peer.close(receiver.unread)) return;
    receiver.discard();
    this.#wait(receiver.unread ? LINGER_MS : DRAIN_MS);
  }

  /** Ends both directions. The socket first, so that no system call reads the chains any more. */
  #breakOff(): void {
    const { peer, receiver, sender } = this.#connection;
    peer.leave(true);
    receiver.discard();
    sender.out.drop();
  }

  // ---- every transition

  /** The connection owes the guest a packet. */
  want(op: VsockOp): void {
    this.#connection.owed.add(op);
    this.#hub.toGuest.ready(this.#connection);
  }

  /** A new state has no deadline, unless the caller passes that of the last one on. */
  #enter(next: State, deadlineNs = Number.POSITIVE_INFINITY): void {
    const from = this.#state;
    assertMay(from, next);
    this.#state = next;
    this.#connection.deadlineNs = deadlineNs;
    if (from === State.Requesting) this.#answered?.(next === State.Established);
  }

  #wait(ms: number): void {
    this.#hub.deadlines.set(this.#connection, ms);
  }
}
