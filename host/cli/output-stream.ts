// stdout and stderr: what is written to them arrives, or it is said that it did not. A reader that
// is slow is waited for, one that has gone is no error, and a full disk is one.
import { fstatSync, writeSync } from "node:fs";
import type { Writable } from "node:stream";

/** Lines for people are left out when so much waits to be read. */
const UNREAD_BYTES_MAX = 1024 * 1024;

/** Says what happened to a stream, on stderr or on what is left of it. */
export type Tell = (message: string) => void;

export class OutputStream {
  /** Of both: replaced where lines have another form. */
  tell: Tell;
  /** Something was lost for another reason than a reader that went away. */
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

  /** A promise: there is more than the system takes, and it resolves when all of it is taken. */
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

  /** Resolves when everything has arrived, or nothing ever will. */
  flushed(): Promise<void> {
    if (this.#gone || this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Node's stream takes it for success when only a part had room on the disk. */
  #append(file: number, bytes: Buffer): undefined {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    } catch (error) {
      this.#onError(error as NodeJS.ErrnoException);
    }
  }

  // One function for all calls: Node keeps a record for each that differs.
  readonly #done = (): void => {
    this.#pending--;
    if (this.#pending > 0) return;
    this.#resolve();
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    if (leftOut > 0) this.tell(`${this.#name}: nobody read ${leftOut} lines, which were left out`);
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
