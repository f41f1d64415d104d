// A trace as a file.
import type { TraceSink } from "./event.ts";

/**
 * Writes events as a JSON array: a sink for Machine.trace(). A file that is cut off after any of its
 * writes can still be loaded.
 */
export class JsonTrace {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #encoder = new TextEncoder();
  #front = "[\n";
  #ended = false;

  /** `write` takes an event per call, and must not throw. */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  readonly sink: TraceSink = (event) => {
    if (this.#ended) return;
    this.#write(this.#encoder.encode(this.#front + JSON.stringify(event)));
    this.#front = ",\n";
  };

  /** Ends the array. Calling it again does nothing. */
  readonly end = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    this.#write(this.#encoder.encode(this.#front === "[\n" ? "[]\n" : "\n]\n"));
  };
}
