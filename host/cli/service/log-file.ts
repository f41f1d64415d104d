// A file of log lines, written in batches. It may be a pipe that nobody reads, or a full disk:
// lines that cannot be written are counted, and nothing waits for them.
import {
  accessSync,
  close,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  write,
} from "node:fs";
import { dirname } from "node:path";
import { setTimeout } from "node:timers";
import { LineBuffer } from "../../service/line-buffer.ts";
import type { LineSink } from "./log-output.ts";

/** Lines wait this long for others, until a buffer is full of them. */
const BATCH_MS = 100;
/** Full buffers that may wait while one is being written; lines beyond them are lost. */
export const FULL_MAX = 63;
/** Buffers that are kept for more lines. */
const SPARE_MAX = 2;

const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Paths of requests are for the operator and the group's log readers. */
const MODE = 0o640;
const NEWLINE = 10;
const EMPTY = new Uint8Array(0);

/** Throws if a log cannot be opened there, and makes none. */
export function assertOpens(path: string): void {
  if (path === "-") return;
  if (existsSync(path)) closeSync(openSync(path, FLAGS, MODE));
  else accessSync(dirname(path), constants.W_OK);
}

export class LogFile implements LineSink {
  /** Lines that were not written. */
  dropped = 0;
  readonly #path: string;
  readonly #failed: (message: string) => void;
  readonly #fd: number;
  #filling = new LineBuffer();
  #full: LineBuffer[] = []; // the oldest first
  #spare: LineBuffer[] = [];
  #rest: Uint8Array = EMPTY; // of a line that was begun
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

  room(bytes: number, lines = 1): LineBuffer | null {
    this.#timer ??= setTimeout(this.#onTimer, BATCH_MS);
    if (this.#filling.has(bytes)) return this.#filling;
    if (this.#full.length >= FULL_MAX) {
      this.dropped += lines;
      return null;
    }
    this.#full.push(this.#filling);
    this.#filling = this.#spare.pop() ?? new LineBuffer();
    if (this.#full.length === 1) setImmediate(this.#write);
    return this.#filling;
  }

  /** Resolves when the file is closed. */
  async close(): Promise<void> {
    await this.flushed();
    if (this.#timer !== null) clearTimeout(this.#timer);
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

  readonly #onTimer = (): void => {
    this.#timer = null;
    if (this.#full.length < FULL_MAX) this.#cutOff();
    else this.#timer = setTimeout(this.#onTimer, BATCH_MS);
    this.#write();
  };

  /** The lines so far do not wait for others. */
  #cutOff(): void {
    if (this.#filling.length === 0) return;
    this.#full.push(this.#filling);
    this.#filling = this.#spare.pop() ?? new LineBuffer();
  }

  readonly #write = (): void => {
    if (this.#isWriting) return;
    if (this.#flushed.length > 0) this.#cutOff();
    const lines = this.#full.shift();
    if (lines === undefined && this.#rest.length === 0) {
      this.#settle();
      return;
    }
    const bytes = this.#withRest(lines);
    this.#isWriting = true;
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      this.#isWriting = false;
      this.#took(bytes, error === null ? written : 0, error);
      if (lines !== undefined && this.#spare.length < SPARE_MAX) {
        lines.length = 0;
        this.#spare.push(lines);
      }
      if (this.#full.length > 0 || this.#flushed.length > 0) setImmediate(this.#write);
    });
  };

  #withRest(lines: LineBuffer | undefined): Uint8Array {
    const added = lines?.bytes.subarray(0, lines.length) ?? EMPTY;
    return this.#rest.length === 0 ? added : Buffer.concat([this.#rest, added]);
  }

  /** Drops all that was not written, but for the rest of a line that was begun. */
  #took(bytes: Uint8Array, written: number, error: NodeJS.ErrnoException | null): void {
    const begun = written > 0 ? bytes[written - 1] !== NEWLINE : this.#rest.length > 0;
    const end = begun && written < bytes.length ? bytes.indexOf(NEWLINE, written) + 1 : written;
    this.#rest = bytes.slice(written, end);
    for (let at = end; at < bytes.length; at = bytes.indexOf(NEWLINE, at) + 1) this.dropped++;
    if (error !== null && error.code !== "EAGAIN") this.#failed(`${this.#path}: ${error.message}`);
    // Nobody reads: the rest of the line waits for the next.
    if (written === 0 && this.#full.length === 0) this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#flushed.splice(0)) resolve();
  }
}
