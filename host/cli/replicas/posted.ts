// Output of a replica, which the process writes: only one writer keeps lines whole.
import { setTimeout } from "node:timers";
import type { LineSink } from "../service/log-output.ts";

/** Characters of a console that may be on their way before its guest has to wait. */
const PRINTED_MAX = 64 * 1024;
/** Lines wait this long for others. */
const BATCH_MS = 100;
/** A batch this large does not wait. */
const BATCH_LINES = 1024;
/** Lines that may wait here or be on their way; more are dropped. */
const LINES_MAX = 16384;

/** A console. */
export class PostedConsole {
  readonly #post: (text: string) => void;
  #unread = 0;
  #waiting: (() => void)[] = [];

  constructor(post: (text: string) => void) {
    this.#post = post;
  }

  /** Returns a promise if the reader is slow; it resolves when he has taken everything. */
  readonly write = (text: string): Promise<void> | undefined => {
    this.#unread += text.length;
    this.#post(text);
    if (this.#unread <= PRINTED_MAX) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  };

  /** The process has written this much. */
  printed(length: number): void {
    this.#unread -= length;
    if (this.#unread === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The access log. The process closes it. */
export class PostedLines implements LineSink {
  dropped = 0;
  readonly #post: (lines: readonly string[]) => void;
  #waiting: (() => string)[] = [];
  #underWay = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(post: (lines: readonly string[]) => void) {
    this.#post = post;
  }

  add(line: () => string): void {
    if (this.#waiting.length + this.#underWay >= LINES_MAX) {
      this.dropped++;
      return;
    }
    this.#waiting.push(line);
    if (this.#waiting.length === BATCH_LINES) setImmediate(this.#send);
    else this.#timer ??= setTimeout(this.#send, BATCH_MS);
  }

  /** The process has taken this many. */
  logged(lines: number): void {
    this.#underWay -= lines;
  }

  async flushed(): Promise<void> {
    this.#send();
  }

  close(): Promise<void> {
    return this.flushed();
  }

  readonly #send = (): void => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#waiting.length === 0) return;
    const lines = this.#waiting.splice(0).map((line) => line());
    this.#underWay += lines.length;
    this.#post(lines);
  };
}
