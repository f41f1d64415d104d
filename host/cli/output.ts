// A growing file, such as that of `--pcap`. Records are gathered in a buffer of fixed size and
// written synchronously: recording may cost time, but neither memory nor the machine.
import { closeSync, openSync, writeSync } from "node:fs";

const BUFFER_BYTES = 64 * 1024;
/** The longest time that output stays in the buffer. */
const FLUSH_MS = 1000;

export class OutputFile {
  readonly #what: string;
  readonly #path: string;
  readonly #failed: (message: string) => void;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #fd: number; // -1: closed
  #used = 0;
  #timer: NodeJS.Timeout | null = null;
  #incomplete = false;

  /**
   * `what` names the file in messages. Throws if it cannot be created. `failed` is called once if
   * it cannot be written later.
   */
  constructor(what: string, path: string, failed: (message: string) => void) {
    this.#what = what;
    this.#path = path;
    this.#failed = failed;
    this.#fd = openSync(path, "w");
  }

  /** Was something lost? */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  /** After close(), or a failure: does nothing. */
  readonly write = (bytes: Uint8Array): void => {
    if (this.#used + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES) {
      this.#append(bytes);
      return;
    }
    if (this.#fd < 0) return;
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#timer ??= setTimeout(this.#flush, FLUSH_MS).unref();
  };

  /** Writes the rest. Calling it again does nothing. */
  readonly close = (): void => {
    this.#flush();
    if (this.#fd >= 0) this.#end(null);
  };

  readonly #flush = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    this.#append(bytes);
  };

  /** A failure ends the file, so that no partial record is followed by others. */
  #append(bytes: Uint8Array): void {
    try {
      for (let at = 0; this.#fd >= 0 && at < bytes.length; ) {
        at += writeSync(this.#fd, bytes, at);
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #end(failure: Error | null): void {
    const fd = this.#fd;
    this.#fd = -1;
    try {
      closeSync(fd);
    } catch (error) {
      failure ??= error as Error;
    }
    if (failure === null) return;
    this.#incomplete = true;
    this.#failed(`the ${this.#what} ${this.#path} ends here: ${failure.message}`);
  }
}
