// The host's end of a connection: one socket, which is ended once and closed once.
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
  /** Until its closed event. */
  open = false;
  /** The client will send no more. */
  ended = false;
  /** Sending has ended: the client gets end of stream. */
  endSent = false;
  /** The device drains: bytes that come from now on reach nobody. */
  drained = false;
  #left = false;

  /** Has the client ended, and does it wait for the guest to end as well? */
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
   * Closes the socket. If bytes of the client are unread the kernel would answer with a reset, and
   * our last bytes might be lost; after a drain such bytes may be on their way. Then only sending
   * ends, and true is returned. The caller must read on until the client ends as well, or until
   * leave().
   */
  close(unread: boolean): boolean {
    if (!this.open || this.#left) return false;
    this.#left = true;
    const lingers = (unread || this.drained) && !this.ended;
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
