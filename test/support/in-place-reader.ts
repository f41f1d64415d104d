// Reading in place as Node does it, for sockets that the test plays: the buffer is
// chosen before the bytes come, and stays chosen while the socket is paused.
import type { ReadSource } from "../../host/ports/sockets.ts";

export class InPlaceReader {
  readonly #source: ReadSource;
  #armed: Uint8Array;

  constructor(source: ReadSource) {
    this.#source = source;
    this.#armed = source.buffer();
  }

  /** The buffer that the next read fills. */
  get armed(): Uint8Array {
    return this.#armed;
  }

  /** One read from the front of `bytes`; returns how many it took. */
  read(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.#armed.length);
    if (length === 0) throw new Error("a read into nothing, or of nothing");
    this.#armed.set(bytes.subarray(0, length));
    this.#source.filled(length);
    this.#armed = this.#source.buffer();
    return length;
  }
}
