// The host's socket of a connection. It reads as much as the guest takes, straight into the slabs
// of the send queue where a stream is long, and writes what the receive queue has gathered.
import type { ReadSource, SocketEvents, StreamSocket } from "../../../../ports/sockets.ts";
import type { Loan } from "../../loan.ts";
import type { Envelope } from "../../network.ts";
import type { Local } from "../local.ts";
import { SLAB_BYTES } from "../slabs.ts";
import { Deadline } from "./deadline.ts";
import { Landing } from "./landing.ts";
import { lingerMs } from "./patience.ts";
import type { ReceiveQueue } from "./receive-queue.ts";
import type { SendQueue } from "./send-queue.ts";

/** After a read of that many bytes the next one goes into a slab of the connection's own. */
const BULK_BYTES = 16 * 1024;

/** The owner of the socket, and its events. */
export interface HostOwner {
  readonly envelope: Envelope;
  readonly sending: SendQueue;
  readonly receiving: ReceiveQueue;
  /** An outgoing connection is made. */
  connected(): void;
  /** Sends bytes in a lent buffer. False: the loan is as it was, for they cannot go now. */
  place(loan: Loan, bytes: number): boolean;
  /** Nothing is read until the guest has posted a buffer. */
  dried(): void;
  /** There are `bytes` more to send, or the end of it. */
  arrived(bytes: number): void;
  /** The kernel has taken what was written. */
  drained(): void;
  /** The connection broke, or could not be made. */
  failed(): void;
  /** The socket is gone: its bytes are needed by nobody else. The last event. */
  closed(): void;
}

export class HostEnd implements ReadSource {
  readonly #socket: StreamSocket;
  readonly #owner: HostOwner;
  readonly #local: Local;
  readonly #landing: Landing;
  readonly #stage: Uint8Array;
  #isPaused = true;
  #isBulk = false;
  /** Does the socket wait for a buffer of the guest, to be read in place? */
  isDry = false;
  #isLanding = false; // the kernel may write to the send queue's slab
  #ending: "no" | "due" | "done" = "no"; // the guest's end of the stream, towards the socket
  #closing: Deadline | null = null; // the guest is done
  #unsent: number | undefined; // of a reader who may be slow or gone
  #isOver = false; // close() or reset() was called

  /** `take`: connects or accepts with these events. Nothing is read before begin(). */
  constructor(owner: HostOwner, local: Local, take: (events: SocketEvents) => StreamSocket) {
    this.#owner = owner;
    this.#local = local;
    this.#landing = new Landing(local, owner.envelope, () => this.#leaveLoan());
    const { stageAt, memory } = local.workshop;
    this.#stage = memory.u8.subarray(stageAt, stageAt + SLAB_BYTES);
    this.#socket = take(this.#events);
    this.#socket.pause();
  }

  readonly #events: SocketEvents = {
    connected: () => this.#owner.connected(),
    data: (chunk) => {
      this.#local.stats.bytesRead += chunk.length;
      this.#take(chunk);
    },
    end: () => {
      if (this.#isOver) return;
      this.#owner.sending.isClosed = true;
      this.#owner.arrived(0);
    },
    sent: () => {
      this.#owner.receiving.sent();
      if (this.#isOver) return;
      this.#owner.drained();
      this.#linger();
    },
    failed: () => {
      if (!this.#isOver) this.#owner.failed();
    },
    closed: () => {
      this.#isOver = true;
      this.#isLanding = false;
      this.#landing.stop();
      this.#closing?.stop();
      this.#owner.closed();
    },
  };

  /** The guest takes bytes from now on. */
  begin(): void {
    this.#socket.readInto(this);
    this.regulate();
  }

  /** Reads, or does not, as the window and the slabs allow. */
  regulate(): void {
    if (this.#closing !== null) return;
    const { sending } = this.#owner;
    const { isLow } = this.#local.workshop.toGuest;
    if (isLow) this.#leaveSlab();
    sending.trim(this.#isLanding);
    if (this.isDry && this.#landing.reserve(sending.readable) !== null) {
      this.isDry = false;
      this.#socket.readInto(this);
    }
    const mayRead = sending.mayRead && !isLow && !this.isDry;
    if (this.#isOver || mayRead !== this.#isPaused) return;
    this.#isPaused = !mayRead;
    if (mayRead) this.#socket.resume();
    else this.#socket.pause();
  }

  /** The buffer of the guest that it would read into has to go back. */
  #leaveLoan(): void {
    this.#isBulk = false;
    if (!this.#isOver) this.#socket.readInto(this);
  }

  /** Others need the slab that an idle connection would read into: it reads into the stage. */
  #leaveSlab(): void {
    if (this.#isOver || !this.#isLanding || !this.#owner.sending.isIdle) return;
    this.#isBulk = false;
    this.#socket.readInto(this);
  }

  /** Writes what has gathered. */
  flush(): void {
    if (this.#isOver) return;
    this.#owner.receiving.flush(this.#socket, this.#local.workshop.memory);
    this.#checkEnd();
  }

  /** The address of the client or server; "": not known. */
  get peerAddress(): string {
    return this.#socket.peerAddress ?? "";
  }

  /** The guest sends no more: the socket hears of it when everything before is written. */
  end(): void {
    if (this.#ending === "no") this.#ending = "due";
    this.#checkEnd();
  }

  /**
   * The guest is done with it: bytes that still come are read and dropped, until the client has
   * ended as well or a while has passed.
   */
  finish(): void {
    if (this.#isOver) return;
    this.#closing = new Deadline(this.#local, () => this.#close());
    this.#socket.readInto(this);
    this.#landing.stop();
    this.#isPaused = false;
    this.#socket.resume();
    this.#linger();
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#landing.stop();
    this.#socket.reset();
  }

  // ---- ReadSource

  buffer(): Uint8Array {
    if (this.#closing !== null) {
      this.#isLanding = false;
      return this.#stage;
    }
    const { sending } = this.#owner;
    const most = sending.readable;
    const lent = this.#reserveInPlace(most);
    if (lent !== null) return lent;
    const { u8 } = this.#local.workshop.memory;
    const bytes = this.#isBulk && !this.#isOver ? sending.reserve(most) : 0;
    this.#isLanding = bytes > 0;
    return bytes > 0 ? u8.subarray(sending.at, sending.at + bytes) : this.#stage.subarray(0, most);
  }

  /** null: the bytes are read elsewhere, or not at all until the guest has posted a buffer. */
  #reserveInPlace(most: number): Uint8Array | null {
    const landing = this.#landing;
    if (!this.#isBulk || this.#isOver || !landing.isPossible) return null;
    const bytes = Math.min(most, this.#owner.sending.frameBytes);
    const lent = landing.reserve(bytes);
    if (lent === null && this.#local.whenOut === "stop") this.#dry();
    this.#isLanding = false;
    return lent;
  }

  #dry(): void {
    if (this.isDry) return;
    this.isDry = true;
    this.#isPaused = true;
    this.#socket.pause();
    this.#owner.dried();
  }

  #filledInPlace(length: number): void {
    const { stats } = this.#local;
    const loan = this.#landing.peek();
    if (loan !== null && this.#owner.place(loan, length)) {
      this.#landing.taken();
      stats.bytesInPlace += length;
      this.#moved(length);
      return;
    }
    stats.bytesCopiedOut += length;
    this.#take(this.#landing.front(length));
  }

  filled(length: number): void {
    this.#local.stats.bytesRead += length;
    if (this.#closing !== null) return;
    if (this.#landing.isThere) {
      this.#filledInPlace(length);
      return;
    }
    this.#isBulk = length >= BULK_BYTES;
    if (!this.#isLanding) {
      this.#take(this.#stage.subarray(0, length));
      return;
    }
    this.#owner.sending.commit(length);
    this.#moved(length);
  }

  // ---- inside

  #take(bytes: Uint8Array): void {
    if (this.#isOver || this.#closing !== null) return;
    if (this.#owner.sending.copy(bytes)) this.#moved(bytes.length);
    else this.#owner.failed(); // bytes that cannot be kept are lost, and so is the stream
  }

  #moved(bytes: number): void {
    if (this.#isOver) return;
    this.#owner.arrived(bytes);
    this.regulate();
  }

  #linger(): void {
    this.#closing?.set(lingerMs(this.#owner.receiving.pending));
  }

  /** Bytes that the kernel has taken are still delivered; others have had no reader for long. */
  #close(): void {
    if (this.#isOver) return;
    const { unsent } = this.#socket;
    if (this.#owner.receiving.pending === 0) {
      this.#isOver = true;
      this.#socket.close();
    } else if (unsent === this.#unsent) {
      this.reset();
    } else {
      this.#unsent = unsent;
      this.#linger();
    }
  }

  #checkEnd(): void {
    if (this.#ending !== "due" || this.#isOver || this.#owner.receiving.pending > 0) return;
    this.#ending = "done";
    this.#socket.end();
  }
}
