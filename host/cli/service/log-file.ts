// A file of log lines, written in batches. It may be a pipe that nobody reads, or a full disk:
// lines that cannot be written are counted, and nothing waits for them.
import { close, constants, fstatSync, openSync, write } from "node:fs";
import { setTimeout } from "node:timers";
import type { LineSink } from "./log-output.ts";

/** Lines wait this long for others. */
const BATCH_MS = 100;
/** A batch this large does not wait. */
const BATCH_LINES = 1024;
/** Lines that may wait while a batch is being written; more are dropped. */
const WAITING_LINES_MAX = 16384;

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Paths of requests are for the operator and the group's log readers. */
const MODE = 0o640;
const NEWLINE = 10;
const EMPTY = Buffer.alloc(0);

export class LogFile implements LineSink {
  /** Lines that were not written. */
  dropped = 0;
  readonly #path: string;
  readonly #failed: (message: string) => void;
  readonly #fd: number;
  #waiting: (() => string)[] = [];
  #rest: Buffer = EMPTY; // of a line that was begun
  #timer: NodeJS.Timeout | null = null;
  #isWriting = false;
  #flushed: (() => void)[] = [];

  /**
   * Opens the file, or stdout for `-`. Throws if that is not possible. `failed` gets the reason
   * when lines are lost, unless a reader is slow.
   */
  constructor(path: string, failed: (message: string) => void) {
    this.#path = path === "-" ? "/proc/self/fd/1" : path;
    this.#failed = failed;
    this.#fd = this.#open();
  }

  add(line: () => string): void {
    if (this.#waiting.length >= WAITING_LINES_MAX) {
      this.dropped++;
      return;
    }
    this.#waiting.push(line);
    if (this.#waiting.length === BATCH_LINES) setImmediate(this.#write);
    else this.#timer ??= setTimeout(this.#write, BATCH_MS);
  }

  /** Resolves when the file is closed. */
  async close(): Promise<void> {
    await this.flushed();
    if (this.#fd !== 1) close(this.#fd);
  }

  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.#flushed.push(resolve);
      this.#write();
    });
  }

  #open(): number {
    try {
      return openSync(this.#path, FLAGS, MODE);
    } catch (error) {
      // Stdout may be a socket, as under a service manager, which cannot be opened again.
      if (this.#path.startsWith("/proc/") && fstatSync(1).isSocket()) return 1;
      throw error;
    }
  }

  readonly #write = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isWriting) return;
    const lines = this.#waiting.splice(0);
    if (lines.length === 0 && this.#rest.length === 0) {
      this.#settle();
      return;
    }
    const text = lines.map((line) => line()).join("");
    const bytes = Buffer.concat([this.#rest, Buffer.from(text, "utf8")]);
    this.#isWriting = true;
    write(this.#fd, bytes, (error, written) => {
      this.#isWriting = false;
      this.#took(bytes, error === null ? written : 0, error);
      if (this.#waiting.length > 0 || this.#flushed.length > 0) setImmediate(this.#write);
    });
  };

  /** Drops all that was not written, but for the rest of a line that was begun. */
  #took(bytes: Buffer, written: number, error: NodeJS.ErrnoException | null): void {
    const begun = written > 0 ? bytes[written - 1] !== NEWLINE : this.#rest.length > 0;
    const end = begun && written < bytes.length ? bytes.indexOf(NEWLINE, written) + 1 : written;
    this.#rest = Buffer.from(bytes.subarray(written, end));
    for (let at = end; at < bytes.length; at = bytes.indexOf(NEWLINE, at) + 1) this.dropped++;
    if (error !== null && error.code !== "EAGAIN") this.#failed(`${this.#path}: ${error.message}`);
    if (written === 0) this.#settle(); // nobody reads: the rest of the line waits for the next
  }

  #settle(): void {
    for (const resolve of this.#flushed.splice(0)) resolve();
  }
}
