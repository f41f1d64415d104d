// Two connected stream sockets within this process. They behave like a kernel's: a call on one
// causes events on the other, and events come only from the event loop.
import type { Clock } from "../ports/clock.ts";
import { NOBODY, type ReadSource, type SocketEvents, type StreamSocket } from "../ports/sockets.ts";
import { Wire } from "./wire.ts";

/** Sockets that are served before the host's other events. */
const SERVED_MAX = 64;

const NOTHING = new Uint8Array(0);

/** Sockets with events due; each is in it at most once. */
export class PairLoop {
  readonly #clock: Pick<Clock, "defer">;
  #due: PairSocket[] = [];
  #deferred = false;

  constructor(clock: Pick<Clock, "defer">) {
    this.#clock = clock;
  }

  /** Two sockets. The first is connected once the second has accepted. */
  pair(): [PairSocket, PairSocket] {
    const first = new PairSocket(this);
    const second = new PairSocket(this);
    first.join(second);
    second.join(first);
    return [first, second];
  }

  /** @internal A socket has events due. */
  wake(socket: PairSocket): void {
    if (socket.due) return;
    socket.due = true;
    this.#due.push(socket);
    this.#defer();
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#clock.defer(this.#serve);
  }

  readonly #serve = (): void => {
    for (let served = 0; this.#due.length > 0 && served < SERVED_MAX; ) {
      const round = this.#due;
      this.#due = [];
      served += round.length;
      for (const socket of round) {
        socket.due = false;
        socket.serve();
      }
    }
    this.#deferred = false;
    if (this.#due.length > 0) this.#defer();
  };
}

/** One of two connected sockets. */
export class PairSocket implements StreamSocket {
  events: SocketEvents = NOBODY;
  /** Is it in the loop's list? */
  due = false;
  readonly #loop: PairLoop;
  readonly #out = new Wire();
  #peer = this as PairSocket;
  #source: ReadSource | null = null;
  #buffer: Uint8Array = NOTHING; // of the source, for the next read
  #connectedDue = false;
  #sentDue = false;
  #paused = false;
  #finished = false; // no more sends
  #endDelivered = false;
  #left = false; // closed or reset by its owner
  #broken = false; // by the peer
  #gone = false;

  constructor(loop: PairLoop) {
    this.#loop = loop;
  }

  /** Once, by the loop. */
  join(peer: PairSocket): void {
    this.#peer = peer;
  }

  /** The owner has accepted, so the peer is connected; or refused, and will reset the socket. */
  readonly answered = (accepted: boolean): void => {
    if (!accepted) return;
    this.#peer.#connectedDue = true;
    this.#peer.#wake();
  };

  readInto(source: ReadSource): boolean {
    this.#source = source;
    this.#buffer = source.buffer();
    return true;
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#peer.#left) {
      this.#break();
      return false;
    }
    this.#peer.#wake();
    return this.#out.put(parts);
  }

  get unsent(): number {
    return this.#out.lentBytes;
  }

  peerGone(): boolean {
    return this.#peer.#left;
  }

  end(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#peer.#wake();
    this.#wake();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  close(): void {
    if (this.#left) return;
    // Closing with bytes unread, or with a send in flight, breaks the connection.
    if (!this.#peer.#out.empty || this.#out.lent) {
      this.reset();
      return;
    }
    this.#left = true;
    this.end();
    this.#wake();
  }

  reset(): void {
    if (this.#left) return;
    this.#left = true;
    this.#out.drop();
    this.#peer.#break();
    this.#wake();
  }

  /** Delivers all events that are due. Called by the loop. */
  serve(): void {
    if (this.#gone) return;
    if (this.#broken && !this.#left) {
      this.#gone = true;
      this.events.failed(new Error("the peer broke the connection off"));
      this.events.closed();
      return;
    }
    if (this.#connectedDue && this.#alive) {
      this.#connectedDue = false;
      this.events.connected();
    }
    this.#read();
    if (this.#sentDue && this.#alive) {
      this.#sentDue = false;
      this.events.sent();
    }
    if (!this.#left && !(this.#finished && this.#endDelivered && this.#out.empty)) return;
    this.#gone = true;
    this.events.closed();
  }

  get #alive(): boolean {
    return !this.#left && !this.#broken;
  }

  #read(): void {
    const from = this.#peer;
    while (!this.#paused && this.#alive && !from.#out.empty) {
      const wasLent = from.#out.lent;
      if (this.#source === null) this.events.data(from.#out.take());
      else this.#fill(this.#source);
      if (wasLent && !from.#out.lent) from.#sentDue = true;
      if (wasLent !== from.#out.lent || from.#finished) from.#wake();
    }
    if (!this.#endDelivered && from.#finished && from.#out.empty && !this.#paused && this.#alive) {
      this.#endDelivered = true;
      this.events.end();
    }
  }

  #fill(source: ReadSource): void {
    const filled = this.#peer.#out.fill(this.#buffer);
    source.filled(filled);
    if (this.#alive) this.#buffer = source.buffer();
  }

  #break(): void {
    if (this.#gone) return;
    this.#broken = true;
    this.#out.drop();
    this.#wake();
  }

  #wake(): void {
    if (!this.#gone) this.#loop.wake(this);
  }
}
