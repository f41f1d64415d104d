// The guest's side of a connection: what it has sent and acknowledged, and the segments to it.
import { TcpHdr, TH_ACK, TH_FIN, TH_PUSH, TH_RST, TH_SYN } from "../../../../../abi/tcp.ts";
import type { Loan } from "../../loan.ts";
import type { Envelope } from "../../network.ts";
import type { Arrival } from "../arrival.ts";
import type { Local } from "../local.ts";
import { readSynOptions } from "./options.ts";
import { ReceiveQueue } from "./receive-queue.ts";
import { Receiver, WINDOW_SHIFT } from "./receiver.ts";
import { type Fields, type Segment, writeAround, writeSegment } from "./segment.ts";
import { SendQueue } from "./send-queue.ts";
import { type Acknowledged, Sender } from "./sender.ts";

/** Headers of IPv4 and TCP without options. */
const HEADERS_BYTES = 40;
/** Of a packet of IPv4, whose length has 16 bits. */
const FRAME_PAYLOAD_MAX = 0xffff - HEADERS_BYTES;

export class GuestEnd {
  readonly sending: SendQueue;
  readonly receiver: Receiver;
  isSynDue = false;
  isProbeDue = false;
  readonly #local: Local;
  readonly #envelope: Envelope;
  readonly #sender: Sender;
  #scales = true; // windows, as far as is known

  constructor(local: Local, envelope: Envelope, iss: number) {
    const { memory, toGuest, toHost } = local.workshop;
    this.#local = local;
    this.#envelope = envelope;
    this.sending = new SendQueue(memory, toGuest);
    this.receiver = new Receiver(new ReceiveQueue(toHost));
    this.#sender = new Sender(this.sending, iss);
  }

  /** Takes the options of the guest's SYN. */
  learn(segment: Segment, { view, dataAt }: Arrival): void {
    const options = readSynOptions(view, dataAt + TcpHdr.sizeof, dataAt + segment.headerBytes);
    this.#scales = options.shift !== null;
    this.sending.mss = Math.min(options.mss, this.#local.card.mtu - HEADERS_BYTES);
    this.sending.frameBytes = this.#frameBytesMax();
    this.sending.window = segment.window;
    this.#sender.shift = options.shift ?? 0;
    this.receiver.begin(segment.seq, this.#scales);
  }

  /** Does it acknowledge our SYN, and nothing more? */
  acknowledgesSyn(segment: Segment): boolean {
    return segment.has(TH_ACK) && segment.ack === this.#sender.seqOf(0);
  }

  /** Its acknowledgement, and its window. */
  acknowledge(segment: Segment): Acknowledged {
    const before = this.#sender.repeated;
    const kind = this.#sender.acknowledge(segment);
    this.#local.stats.retransmitted += this.#sender.repeated - before;
    this.receiver.isAckDue ||= kind === "bad";
    return kind;
  }

  /** Has it dropped bytes that are nowhere else? */
  get hasHole(): boolean {
    return this.#sender.hasHole;
  }

  /**
   * Nothing was acknowledged for too long. What was read in place is not here any more: the guest
   * is asked for its ACK instead, and its third one that covers nothing tells that it is lost.
   */
  lost(): void {
    if (this.sending.isHeadPlaced) {
      this.isProbeDue = true;
      return;
    }
    this.#sender.lost();
    this.#local.stats.retransmitted++;
  }

  /**
   * Sends `bytes` that were read into a lent buffer. False: the window is too small, or others
   * come first; nothing has happened.
   */
  place(loan: Loan, bytes: number): boolean {
    const { sending, receiver } = this;
    if (!sending.mayPlace(bytes)) return false;
    const { next: ack, window } = receiver;
    const seq = this.#sender.seqOf(sending.nxt);
    const segmentBytes = sending.mss - loan.padBytes;
    const fields = { seq, ack, flags: TH_ACK | TH_PUSH, window, segmentBytes };
    const payload = loan.payload.subarray(0, bytes);
    loan.deliver(writeAround(this.#local, this.#envelope, fields, loan.padBytes, payload));
    receiver.announced();
    sending.placed(bytes);
    this.#local.stats.segmentsSent++;
    return true;
  }

  /** The longest payload of a frame. */
  #frameBytesMax(): number {
    const { mss } = this.sending;
    const isCut = this.#local.card.takes.segments;
    return isCut ? FRAME_PAYLOAD_MAX - (FRAME_PAYLOAD_MAX % mss) : mss;
  }

  /** Does its window keep bytes back, with no ACK under way that would open it? */
  get isShut(): boolean {
    const { sending } = this;
    if (sending.inFlight > 0 || sending.isDone) return false;
    return sending.hasUnsent || (!sending.isClosed && sending.room <= 0);
  }

  /** Both directions have ended, and both sides know. */
  get isDone(): boolean {
    return this.sending.isDone && this.receiver.hasEnded && !this.receiver.isAckDue;
  }

  /** SYN, or SYN-ACK, if one is due. False: the guest has posted no buffer. */
  sendSyn(isAnswer: boolean): boolean {
    if (!this.isSynDue) return true;
    const fields = {
      seq: this.#sender.iss,
      ack: isAnswer ? this.receiver.next : 0,
      flags: TH_SYN | (isAnswer ? TH_ACK : 0),
      window: this.receiver.synWindow,
      options: {
        mss: this.#local.card.mtu - HEADERS_BYTES,
        shift: this.#scales ? WINDOW_SHIFT : null,
      },
    };
    if (!this.#offer(fields)) return false;
    this.isSynDue = false;
    return true;
  }

  /** All that may be sent of an open connection. False: the guest has posted no buffer. */
  sendAll(): boolean {
    while (this.sending.next()) if (!this.#sendData()) return false;
    if (this.isProbeDue && !this.#sendProbe()) return false;
    return !this.receiver.isAckDue || this.#send(TH_ACK, this.sending.nxt);
  }

  /** RST; `isAnswer`: to a SYN, of which nothing but this has been heard. */
  reset(isAnswer: boolean): void {
    const fields = {
      seq: isAnswer ? 0 : this.#sender.seqOf(this.sending.nxt),
      ack: this.receiver.next,
      flags: TH_RST | TH_ACK,
      window: 0,
    };
    this.#local.card.deliver(writeSegment(this.#local, this.#envelope, fields));
  }

  #sendData(): boolean {
    const { at, bytes, offset, hasFin, isLast } = this.sending;
    const flags = TH_ACK | (hasFin ? TH_FIN : 0) | (isLast && bytes > 0 ? TH_PUSH : 0);
    if (!this.#send(flags, offset, at, bytes)) {
      if (this.#local.whenOut !== "drop") return false;
      this.#local.stats.dropped.noBuffer++;
    }
    this.sending.sent();
    return true;
  }

  /** A byte that the guest has already: it answers with its window. */
  #sendProbe(): boolean {
    if (!this.#send(TH_ACK, this.sending.una - 1)) return false;
    this.isProbeDue = false;
    return true;
  }

  #send(flags: number, offset: number, at = 0, bytes = 0): boolean {
    const { next: ack, window } = this.receiver;
    const segmentBytes = this.sending.mss;
    const fields = { seq: this.#sender.seqOf(offset), ack, flags, window, segmentBytes };
    if (!this.#offer(fields, at, bytes)) return false;
    this.receiver.announced();
    return true;
  }

  #offer(fields: Fields, at = 0, bytes = 0): boolean {
    const { card, stats } = this.#local;
    if (!card.offer(writeSegment(this.#local, this.#envelope, fields, at, bytes))) return false;
    stats.segmentsSent++;
    return true;
  }
}
