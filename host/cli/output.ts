// A file that grows, as that of `--pcap`. Records gather in a buffer of fixed size and are written
// synchronously: looking on may cost time, but never memory, and never the machine.
import { closeSync, openSync, writeSync } from "node:fs";

const BUFFER_BYTES = 64 * 1024;
/** Who watches the file while it grows sees nothing older than that missing. */
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
   * `what` it is, for messages. Throws if the file cannot be created. `failed` is told once if it
   * cannot be written later.
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

  /** Writes what is left. More than once does nothing. */
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

  /** What fails ends the file: no record is there in part and followed by others. */
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
