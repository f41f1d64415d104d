// stdout and stderr: output arrives, or its loss is reported. A slow reader is waited for; one that
// has gone is not an error, but a full disk is.
import { fstatSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";

/** Lines for people are dropped while this much waits to be read. */
const UNREAD_BYTES_MAX = 1024 * 1024;

/** Reports a failure on stderr, or on what is left of it. */
export type Tell = (message: string) => void;

export class OutputStream {
  /** Shared by both streams; replaced when log lines have another format. */
  tell: Tell;
  /** Output was lost, not just because the reader went away. */
  failed = false;
  readonly #name: string;
  readonly #stream: Writable;
  readonly #file: number | null; // descriptor; null: no file on a disk
  #gone = false;
  #pending = 0; // calls that the stream has not called back for
  #leftOut = 0;
  #waiting: (() => void)[] = [];

  constructor(name: string, stream: Writable & { readonly fd: number }, tell: Tell) {
    this.tell = tell;
    this.#name = name;
    this.#stream = stream;
    this.#file = fstatSync(stream.fd).isFile() ? stream.fd : null;
    stream.on("error", this.#onError);
  }

  /** Returns a promise if the system does not take everything; it resolves when it has. */
  readonly write = (text: string): Promise<void> | undefined => {
    if (this.#gone) return undefined;
    if (this.#file !== null) return this.#append(this.#file, Buffer.from(text));
    this.#pending++;
    this.#stream.write(text, this.#done);
    return this.#stream.writableLength === 0 ? undefined : this.flushed();
  };

  /** Writes a line that need not be waited for, unless nobody reads. */
  readonly line = (text: string): void => {
    if (this.#stream.writableLength <= UNREAD_BYTES_MAX) void this.write(text);
    else this.#leftOut++;
  };

  /** Bytes that wait to be read. */
  get unread(): number {
    return this.#gone ? 0 : this.#stream.writableLength;
  }

  /** Resolves when all output has arrived, or never will. */
  flushed(): Promise<void> {
    if (this.#gone || this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Node's stream reports success even if only a part fitted on the disk. */
  #append(file: number, bytes: Buffer): undefined {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    } catch (error) {
      this.#onError(error as NodeJS.ErrnoException);
    }
  }

  // One function for all calls: Node keeps a record for each distinct one.
  readonly #done = (): void => {
    this.#pending--;
    if (this.#pending > 0) return;
    this.#resolve();
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    if (leftOut > 0) this.tell(`${this.#name}: dropped ${leftOut} lines that nobody read`);
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    if (this.#gone) return;
    this.#gone = true;
    this.#resolve();
    if (error.code === "EPIPE") return;
    this.failed = true;
    this.tell(`${this.#name} ends here: ${error.message}`);
  };

  #resolve(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
