// One TCP connection of a guest, ended here, and the host's socket that it goes on by. The link to
// the guest is this process: it loses nothing and keeps the order, unless the guest's driver drops
// a frame. So there is no congestion control, no reassembly, and one timer.
import { TH_ACK, TH_RST, TH_SYN } from "../../../../../abi/tcp.ts";
import type { SocketEvents, StreamSocket } from "../../../../ports/sockets.ts";
import type { Loan } from "../../loan.ts";
import type { Envelope } from "../../network.ts";
import type { Arrival } from "../arrival.ts";
import type { Local } from "../local.ts";
import { Deadline } from "./deadline.ts";
import { GuestEnd } from "./guest-end.ts";
import { HostEnd, type HostOwner } from "./host-end.ts";
import { CONNECT_MS, INVITE_MS, PROBES_UNANSWERED, probeMs, RETRIES, retryMs } from "./patience.ts";
import type { Segment } from "./segment.ts";
import { assertMay, FlowState } from "./state.ts";

/** The table of flows, as one of them sees it. */
export interface FlowOwner {
  readonly local: Local;
  /** The flow has something to send, outside of the guest's turn. */
  stirred(flow: Flow): void;
  /** The flow goes on when the guest has posted buffers. */
  waits(flow: Flow): void;
  /** The guest has taken part in the handshake. */
  answered(flow: Flow): void;
  /** The guest's ports may be used again. */
  over(flow: Flow): void;
  /** The host's socket is closed as well. */
  left(flow: Flow): void;
}

export class Flow implements HostOwner {
  state: FlowState;
  /** Addresses as they stand in a segment to the guest. */
  readonly envelope: Envelope;
  /** The next one with the same ports, in the table. */
  next: Flow | null = null;
  /** Did a client of a published port begin it? */
  readonly isInbound: boolean;
  /** When one of the sides was heard of. */
  lastMs: number;
  readonly #owner: FlowOwner;
  readonly #guest: GuestEnd;
  readonly #deadline: Deadline;
  #host: HostEnd | null = null; // null: a probe
  #tries = 0; // without an answer
  #probes = 0; // of a closed window
  #isHostClosed = false;

  constructor(owner: FlowOwner, envelope: Envelope, iss: number, state: FlowState) {
    this.#owner = owner;
    this.envelope = envelope;
    this.state = state;
    this.isInbound = state === FlowState.Waiting;
    this.lastMs = owner.local.nowMs;
    this.#guest = new GuestEnd(owner.local, envelope, iss);
    this.#deadline = new Deadline(owner.local, () => this.#timedOut());
  }

  get sending() {
    return this.#guest.sending;
  }

  get receiving() {
    return this.#guest.receiver.queue;
  }

  /** Of the host's end; "": not known. */
  get peerAddress(): string {
    return this.#host?.peerAddress ?? "";
  }

  /** Payload that the host's end has given so far, and that the guest has. */
  get bytesToGuest(): number {
    return this.sending.end;
  }

  get bytesFromGuest(): number {
    return this.receiving.bytes;
  }

  // ---- beginnings

  /** The guest's SYN: `connect` begins a connection with these events. */
  connect(
    segment: Segment,
    arrival: Arrival,
    connect: (events: SocketEvents) => StreamSocket,
  ): void {
    this.#guest.learn(segment, arrival);
    this.#host = new HostEnd(this, this.#owner.local, connect);
    this.#deadline.set(CONNECT_MS);
  }

  /** A client of a published port, for whom invite() follows. */
  accept(socket: StreamSocket): void {
    this.#host = new HostEnd(this, this.#owner.local, (events) => {
      socket.events = events;
      return socket;
    });
  }

  /** SYN to the guest. */
  invite(waitMs = INVITE_MS[0] as number): void {
    this.#go(FlowState.SynSent);
    this.#guest.isSynDue = true;
    this.#deadline.set(waitMs);
  }

  // ---- segments of the guest

  /** Copies the payload to its place, if it is what comes next; its sum is in the queue then. */
  put(segment: Segment, arrival: Arrival): boolean {
    if (this.state !== FlowState.Open || !this.#guest.receiver.takesAll(segment)) return false;
    return this.receiving.put(arrival, segment.headerBytes, segment.payloadBytes);
  }

  /** `isPut`: put() has copied the payload. The checksum is right. */
  receive(segment: Segment, arrival: Arrival, isPut: boolean): void {
    this.lastMs = this.#owner.local.nowMs;
    switch (this.state) {
      case FlowState.Connecting:
        if (segment.has(TH_RST) && segment.seq === this.#guest.receiver.next) this.#gone("byGuest");
        return;
      case FlowState.SynSent:
        this.#heardAnswer(segment, arrival);
        return;
      case FlowState.SynReceived:
      case FlowState.Open:
        this.#heard(segment, arrival, isPut);
        return;
    }
  }

  #heard(segment: Segment, arrival: Arrival, isPut: boolean): void {
    const { receiver } = this.#guest;
    const isExact = segment.seq === receiver.next;
    if (segment.has(TH_RST)) {
      if (isExact) this.#gone("byGuest");
      else receiver.isAckDue = true; // RFC 5961, 3
    } else if (segment.has(TH_SYN)) {
      if (this.state === FlowState.SynReceived) this.#guest.isSynDue = true;
      else receiver.isAckDue = true; // RFC 5961, 4
    } else if (segment.has(TH_ACK)) {
      if (this.state === FlowState.SynReceived) {
        if (!this.#guest.acknowledgesSyn(segment)) return;
        this.#open();
      }
      this.#acknowledged(segment);
      if (this.#guest.hasHole) return;
      receiver.receive(segment, arrival, isPut, this.#owner.local.stats);
      if (receiver.hasEnded) this.#host?.end();
    }
  }

  #acknowledged(segment: Segment): void {
    const kind = this.#guest.acknowledge(segment);
    if (kind === "bad" || kind === "old") return;
    if (kind === "new" || this.sending.inFlight === 0) this.#tries = 0;
    if (kind === "new") this.#deadline.clear();
    if (!this.#guest.isShut) this.#probes = 0;
    if (!this.#guest.hasHole) return;
    this.#owner.local.stats.ended.hole++;
    this.#breakOff();
  }

  /** The answer to SYN. */
  #heardAnswer(segment: Segment, arrival: Arrival): void {
    if (!this.#guest.acknowledgesSyn(segment)) return;
    if (segment.has(TH_RST)) {
      this.#refused();
    } else if (segment.has(TH_SYN)) {
      this.#guest.learn(segment, arrival);
      this.#guest.receiver.isAckDue = true;
      this.#open();
    }
  }

  // ---- events of the host's socket

  connected(): void {
    if (this.state !== FlowState.Connecting) return;
    this.#go(FlowState.SynReceived);
    this.#guest.isSynDue = true;
    this.#deadline.set(retryMs(0));
    this.#owner.stirred(this);
  }

  place(loan: Loan, bytes: number): boolean {
    return this.state === FlowState.Open && this.#guest.place(loan, bytes);
  }

  dried(): void {
    this.#owner.waits(this);
  }

  arrived(bytes: number): void {
    this.lastMs = this.#owner.local.nowMs;
    this.#owner.local.stats.bytesToGuest += bytes;
    if (this.state === FlowState.Open) this.#owner.stirred(this);
  }

  drained(): void {
    this.lastMs = this.#owner.local.nowMs;
    this.#host?.flush();
    if (this.state !== FlowState.Open) return;
    this.#guest.receiver.drained();
    if (this.#guest.receiver.isAckDue) this.#owner.stirred(this);
  }

  failed(): void {
    if (this.state === FlowState.Over) return;
    const { refused, ended } = this.#owner.local.stats;
    if (this.state === FlowState.Connecting) refused.host++;
    else ended.byHost++;
    this.#breakOff();
  }

  closed(): void {
    this.#isHostClosed = true;
    if (this.state === FlowState.Over) this.#leave();
  }

  // ---- endings

  /** The client is about to say no more: the guest gets an end, and may still answer. */
  hangUp(): void {
    if (this.state !== FlowState.Open || this.sending.isClosed) return;
    this.sending.isClosed = true;
    this.#owner.stirred(this);
  }

  /** Ends it, to make room for another one. */
  evict(): void {
    this.#owner.local.stats.ended.evicted++;
    if (this.state === FlowState.Over) this.#host?.reset();
    else this.#breakOff();
  }

  /** Ends it; the guest has no driver any more, or knows. */
  forget(): void {
    this.#host?.reset();
    if (this.state !== FlowState.Over) this.#over();
  }

  /** Probes are refused until the guest listens: they do not count. */
  #refused(): void {
    if (this.#host !== null) this.#owner.local.stats.refused.guest++;
    this.forget();
  }

  #gone(reason: "byGuest" | "vanished"): void {
    this.#owner.local.stats.ended[reason]++;
    this.forget();
  }

  /** RST to both sides. */
  #breakOff(): void {
    if (this.state !== FlowState.Waiting) {
      this.#guest.reset(this.state === FlowState.Connecting);
      this.#owner.local.card.settle();
    }
    this.forget();
  }

  #over(): void {
    this.#go(FlowState.Over);
    this.#deadline.stop();
    this.#owner.over(this);
    if (this.#host === null || this.#isHostClosed) this.#leave();
    else this.#host.finish();
  }

  #leave(): void {
    this.sending.release();
    this.receiving.release();
    this.#owner.left(this);
  }

  // ---- sending, and time

  /** Sends all that may be sent. False: the guest has posted no buffer. */
  emit(): boolean {
    this.#host?.flush();
    switch (this.state) {
      case FlowState.SynSent:
        return this.#guest.sendSyn(false);
      case FlowState.SynReceived:
        return this.#guest.sendSyn(true);
      case FlowState.Open:
        return this.#emitOpen();
    }
    return true;
  }

  #emitOpen(): boolean {
    if (!this.#guest.sendAll()) return false;
    if (this.#guest.isDone) {
      this.#over();
      return true;
    }
    this.#host?.regulate();
    this.#setDeadline();
    return this.#host?.isDry !== true;
  }

  #setDeadline(): void {
    if (this.#deadline.isSet) return;
    if (this.sending.inFlight > 0) this.#deadline.set(retryMs(this.#tries));
    else if (this.#guest.isShut) this.#deadline.set(probeMs(this.#probes));
  }

  /** The pool of slabs has become low, or is not low any more. */
  regulate(): void {
    if (this.state === FlowState.Open) this.#host?.regulate();
  }

  #timedOut(): void {
    this.#tries++;
    switch (this.state) {
      case FlowState.Connecting:
        this.failed();
        return;
      case FlowState.SynSent:
        this.#inviteAgain();
        break;
      case FlowState.SynReceived:
        this.#guest.isSynDue = true;
        this.#deadline.set(retryMs(this.#tries));
        this.#giveUpAfter(RETRIES);
        break;
      case FlowState.Open:
        this.#sendAgain();
        break;
    }
    this.#owner.stirred(this);
  }

  #inviteAgain(): void {
    const waitMs = INVITE_MS[this.#tries];
    if (waitMs === undefined || this.#host === null) {
      this.#refused();
      return;
    }
    this.#guest.isSynDue = true;
    this.#deadline.set(waitMs);
  }

  #sendAgain(): void {
    if (this.sending.inFlight > 0) {
      this.#guest.lost();
      this.#giveUpAfter(RETRIES);
    } else {
      this.#probes++;
      this.#guest.isProbeDue = this.#guest.isShut;
      this.#giveUpAfter(PROBES_UNANSWERED);
    }
  }

  #giveUpAfter(most: number): void {
    if (this.#tries <= most) return;
    this.#guest.reset(false);
    this.#gone("vanished");
  }

  #open(): void {
    this.#tries = 0;
    this.#deadline.clear();
    this.#owner.answered(this);
    this.#go(FlowState.Open);
    if (this.#host === null) {
      this.#guest.reset(false); // a probe has its answer
      this.#over();
    } else {
      this.#host.begin();
    }
  }

  #go(state: FlowState): void {
    assertMay(this.state, state);
    this.state = state;
  }
}
