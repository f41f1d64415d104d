// The host's socket of a connection. It reads as much as the guest takes, straight into the slabs
// of the send queue where a stream is long, and writes what the receive queue has gathered.
import type { ReadSource, SocketEvents, StreamSocket } from "../../../../ports/sockets.ts";
import { SLAB_BYTES } from "../slabs.ts";
import type { Workshop } from "../workshop.ts";
import type { ReceiveQueue } from "./receive-queue.ts";
import type { SendQueue } from "./send-queue.ts";

/** After a read of that many bytes the next one goes into a slab of the connection's own. */
const BULK_BYTES = 16 * 1024;

/** The owner of the socket, and its events. */
export interface HostOwner {
  readonly sending: SendQueue;
  readonly receiving: ReceiveQueue;
  /** An outgoing connection is made. */
  connected(): void;
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
  readonly #workshop: Workshop;
  readonly #stage: Uint8Array;
  #isPaused = true;
  #isBulk = false;
  #isLanding = false; // the kernel may write to the send queue's slab
  #ending: "no" | "due" | "done" = "no"; // the guest's end of the stream, towards the socket
  #isOver = false; // close() or reset() was called

  /** `take`: connects or accepts with these events. Nothing is read before begin(). */
  constructor(owner: HostOwner, workshop: Workshop, take: (events: SocketEvents) => StreamSocket) {
    this.#owner = owner;
    this.#workshop = workshop;
    const { stageAt, memory } = workshop;
    this.#stage = memory.u8.subarray(stageAt, stageAt + SLAB_BYTES);
    this.#socket = take(this.#events);
    this.#socket.pause();
  }

  readonly #events: SocketEvents = {
    connected: () => this.#owner.connected(),
    data: (chunk) => this.#take(chunk),
    end: () => {
      if (this.#isOver) return;
      this.#owner.sending.isClosed = true;
      this.#owner.arrived(0);
    },
    sent: () => {
      this.#owner.receiving.sent();
      if (!this.#isOver) this.#owner.drained();
    },
    failed: () => {
      if (!this.#isOver) this.#owner.failed();
    },
    closed: () => {
      this.#isOver = true;
      this.#isLanding = false;
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
    const { sending } = this.#owner;
    const { isLow } = this.#workshop.toGuest;
    if (isLow) this.#leaveSlab();
    sending.trim(this.#isLanding);
    const mayRead = sending.mayRead && !isLow;
    if (this.#isOver || mayRead !== this.#isPaused) return;
    this.#isPaused = !mayRead;
    if (mayRead) this.#socket.resume();
    else this.#socket.pause();
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
    this.#owner.receiving.flush(this.#socket, this.#workshop.memory);
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

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.reset();
  }

  // ---- ReadSource

  buffer(): Uint8Array {
    const { sending } = this.#owner;
    const most = sending.readable;
    const { u8 } = this.#workshop.memory;
    const bytes = this.#isBulk && !this.#isOver ? sending.reserve(most) : 0;
    this.#isLanding = bytes > 0;
    return bytes > 0 ? u8.subarray(sending.at, sending.at + bytes) : this.#stage.subarray(0, most);
  }

  filled(length: number): void {
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
    if (this.#isOver) return;
    if (this.#owner.sending.copy(bytes)) this.#moved(bytes.length);
    else this.#owner.failed(); // bytes that cannot be kept are lost, and so is the stream
  }

  #moved(bytes: number): void {
    if (this.#isOver) return;
    this.#owner.arrived(bytes);
    this.regulate();
  }

  #checkEnd(): void {
    if (this.#ending !== "due" || this.#isOver || this.#owner.receiving.pending > 0) return;
    this.#ending = "done";
    this.#socket.end();
  }
}
