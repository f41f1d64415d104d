// Output of a replica, which the process writes: only one writer keeps lines whole.
import { setTimeout } from "node:timers";
import { LINES_BYTES, LineBuffer } from "../../service/line-buffer.ts";
import type { LineSink } from "../service/log-output.ts";

/** Characters of a console that may be on their way before its guest has to wait. */
const PRINTED_MAX = 64 * 1024;
/** Lines wait this long for others, until a buffer is full of them. */
const BATCH_MS = 100;
/** Bytes of lines that may be on their way while a buffer is filled; lines beyond them are lost. */
const UNDER_WAY_MAX = 63 * LINES_BYTES;

/** Whole lines of an access log, at most LINES_BYTES, and how many they are. */
export interface PostedBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lines: number;
}

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
  readonly #post: (batch: PostedBatch) => void;
  readonly #filling = new LineBuffer();
  #lines = 0; // in the buffer
  #underWay = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `post` may transfer the bytes. */
  constructor(post: (batch: PostedBatch) => void) {
    this.#post = post;
  }

  room(bytes: number, lines = 1): LineBuffer | null {
    this.#timer ??= setTimeout(this.#onTimer, BATCH_MS);
    if (!this.#filling.has(bytes)) {
      if (!this.#maySend) {
        this.dropped += lines;
        return null;
      }
      this.#send();
    }
    this.#lines += lines;
    return this.#filling;
  }

  /** The process has taken this much. */
  logged(bytes: number): void {
    this.#underWay -= bytes;
  }

  /** Those that are left are sent in any case. */
  async flushed(): Promise<void> {
    this.#send();
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#send();
  }

  get #maySend(): boolean {
    return this.#underWay + this.#filling.length <= UNDER_WAY_MAX;
  }

  readonly #onTimer = (): void => {
    this.#timer = null;
    if (this.#maySend) this.#send();
    else this.#timer = setTimeout(this.#onTimer, BATCH_MS);
  };

  #send(): void {
    const { length } = this.#filling;
    if (length === 0) return;
    this.#underWay += length;
    this.#post({ bytes: this.#filling.bytes.slice(0, length), lines: this.#lines });
    this.#filling.length = 0;
    this.#lines = 0;
  }
}
