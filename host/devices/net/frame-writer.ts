// Puts frames into a byte stream, each after its length. The frames of a turn leave in one system
// call; while the kernel has not taken them, further ones gather in a second buffer.
import { putBytes } from "../../bytes.ts";
import type { StreamSocket } from "../../ports/sockets.ts";
import type { Frame } from "./frame.ts";
import { LENGTH_BYTES } from "./frame-parser.ts";

/** Of frames that wait for the kernel; a further one is dropped. */
const BUFFER_BYTES = 1024 * 1024;

/** Frames that have been added, as one piece of the stream. */
class Batch {
  readonly #bytes = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #used = 0;

  get isEmpty(): boolean {
    return this.#used === 0;
  }

  /** False: there is no room. */
  add({ bytes, parts }: Frame): boolean {
    if (this.#used + LENGTH_BYTES + bytes > BUFFER_BYTES) return false;
    this.#view.setUint32(this.#used, bytes);
    putBytes(this.#bytes, this.#used + LENGTH_BYTES, parts);
    this.#used += LENGTH_BYTES + bytes;
    return true;
  }

  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#used);
    this.#used = 0;
    return taken;
  }
}

export class FrameWriter {
  readonly #socket: StreamSocket;
  #gathering = new Batch();
  #other: Batch | null = null;
  #isSending = false;

  constructor(socket: StreamSocket) {
    this.#socket = socket;
  }

  /** Copies a frame. False: there is no room for it. */
  add(frame: Frame): boolean {
    return this.#gathering.add(frame);
  }

  /** Sends what has been added, unless the kernel still has the bytes before it. */
  flush(): void {
    if (this.#isSending || this.#gathering.isEmpty) return;
    const full = this.#gathering;
    this.#gathering = this.#other ?? new Batch();
    this.#other = full;
    this.#isSending = !this.#socket.send([full.take()]);
  }

  /** SocketEvents.sent() */
  sent(): void {
    this.#isSending = false;
    this.flush();
  }
}
