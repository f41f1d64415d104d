// A growing file, such as that of `--pcap`. Records are gathered in a buffer of fixed size and
// written synchronously: recording may cost time, but neither memory nor the machine. Only the
// owner may read the file, for it holds what clients sent.
import { closeSync, fchmodSync, fstatSync, openSync, writeSync } from "node:fs";

const BUFFER_BYTES = 64 * 1024;
/** The longest time that output stays in the buffer. */
const FLUSH_MS = 1000;
const PRIVATE = 0o600;
/** As a path: the standard output, which a program reads as it comes. */
export const STDOUT = "-";
const STDOUT_FD = 1;
/** A pipe that is full is tried again after this time. */
const FULL_MS = 1;

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
    this.#fd = path === STDOUT ? STDOUT_FD : openPrivate(path);
  }

  /** Was something lost? */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  /** After close(), or a failure: does nothing. */
  readonly write = (bytes: Uint8Array): void => {
    if (this.#used + bytes.length > BUFFER_BYTES) this.#flush();
    if (bytes.length > BUFFER_BYTES || this.#path === STDOUT) {
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
        at += writeSome(this.#fd, bytes, at);
      }
    } catch (error) {
      this.#end(error as Error);
    }
  }

  #end(failure: Error | null): void {
    const fd = this.#fd;
    this.#fd = -1;
    try {
      if (fd !== STDOUT_FD) closeSync(fd);
    } catch (error) {
      failure ??= error as Error;
    }
    // Whoever reads a pipe may leave when it has seen enough.
    if (failure === null || (failure as NodeJS.ErrnoException).code === "EPIPE") return;
    this.#incomplete = true;
    this.#failed(`the ${this.#what} ${this.#path} ends here: ${failure.message}`);
  }
}

/** A file that exists keeps its mode when it is opened; a pipe or a device shall keep it. */
function openPrivate(path: string): number {
  const fd = openSync(path, "w", PRIVATE);
  if (fstatSync(fd).isFile()) fchmodSync(fd, PRIVATE);
  return fd;
}

/** Waits for the reader of a pipe that is full. Returns how many bytes were written. */
function writeSome(fd: number, bytes: Uint8Array, at: number): number {
  for (;;) {
    try {
      return writeSync(fd, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_MS);
    }
  }
}
