// The host's end of a connection: one socket, which is told once that the guest will send no more,
// and left once.
import { NOBODY, type StreamSocket } from "../../../ports/sockets.ts";

/** The socket of a probe, which has none: discards everything and reports nothing. Stateless. */
export const SINK: StreamSocket = {
  events: NOBODY,
  readInto: () => false,
  send: () => true,
  end() {},
  pause() {},
  resume() {},
  close() {},
  reset() {},
};

export class Peer {
  socket: StreamSocket = SINK;
  /** Until closed(). */
  open = false;
  /** The client will send no more. */
  ended = false;
  /** The client was told that the guest will send no more. */
  endSent = false;
  #left = false;

  /** Does the client, which has ended, wait for the guest to end as well? */
  get waits(): boolean {
    return this.ended && this.open;
  }

  attach(socket: StreamSocket): void {
    this.socket = socket;
    this.open = true;
  }

  end(): void {
    if (this.endSent) return;
    this.endSent = true;
    this.socket.end();
  }

  /**
   * Closes, unless the client has bytes under way that nobody read: the kernel would reset it, and
   * our last ones might be lost. Then only sending ends, and the answer is true: it is to be read
   * on, until the client ends, too, or until leave().
   */
  close(unread: boolean): boolean {
    if (!this.open || this.#left) return false;
    this.#left = true;
    const lingers = unread && !this.ended;
    if (lingers) this.socket.end();
    else this.socket.close();
    return lingers;
  }

  leave(broken: boolean): void {
    if (!this.open) return;
    this.#left = true;
    if (broken) this.socket.reset();
    else this.socket.close();
  }
}
