// The guest's console: turns bytes into text and passes it on by whole lines. Output is buffered,
// up to a limit, while the reader is busy.

/** An unfinished line is passed on when it has grown to this many bytes. */
const LINE_BYTES_MAX = 4096;
/** The most that the reader gets at a time. */
const PIECE_BYTES_MAX = 64 * 1024;

/** The size of the buffer. While it is full the firmware accepts nothing. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** From here on the kernel makes threads that print wait. */
const FULL_BYTES = KEPT_BYTES_MAX / 4;
/** From here on a guest that prints regardless gets no turns. */
const STUFFED_BYTES = KEPT_BYTES_MAX / 2;
/** Down to here both end. */
const DRAINED_BYTES = KEPT_BYTES_MAX / 16;

const BUFFER_BYTES_MIN = 4096;
const NEWLINE = 10;

/** Takes text. If it returns a promise, it gets no more before that has resolved. */
export type Print = (text: string) => unknown;

export interface ConsoleOptions {
  readonly print: Print;
  /** Called when threads that print should start or stop waiting. */
  readonly full: (full: boolean) => void;
  /** The reader's promise was rejected. It gets nothing more. */
  readonly failed: (error: unknown) => void;
}

export class Console {
  readonly #options: ConsoleOptions;
  readonly #decoder = new TextDecoder(); // keeps an incomplete character at the end of a piece
  #bytes = new Uint8Array(BUFFER_BYTES_MIN);
  #used = 0;
  #busy = false; // the reader's promise is open
  #closed = false;
  #full = false;
  #stuffed = false;
  #finished: () => void = () => {};

  constructor(options: ConsoleOptions) {
    this.#options = options;
  }

  /** Should threads that print wait? */
  get full(): boolean {
    return this.#full;
  }

  /** The line that the guest has begun, as far as the reader has not got it: a copy. */
  get line(): Uint8Array {
    return this.#bytes.slice(this.#lineStart(), this.#used);
  }

  /**
   * The guest is another now, which has begun this line; that of the one before is dropped. Throws
   * what the reader throws.
   */
  restart(line: Uint8Array): void {
    this.#used = this.#lineStart();
    this.add(line);
    this.deliver();
  }

  #lineStart(): number {
    return this.#used === 0 ? 0 : this.#bytes.lastIndexOf(NEWLINE, this.#used - 1) + 1;
  }

  /** Free bytes of the buffer. */
  get room(): number {
    return this.#closed ? 0 : KEPT_BYTES_MAX - this.#used;
  }

  /** Has the guest printed so much that it should get no turns? */
  get stuffed(): boolean {
    return this.#stuffed;
  }

  /** Adds bytes, for which there is room. The caller calls deliver() next. */
  add(bytes: Uint8Array): void {
    const used = this.#used + bytes.length;
    if (used > this.#bytes.length) this.#resize(used);
    this.#bytes.set(bytes, this.#used);
    this.#used = used;
  }

  /** Passes on as much as the reader takes. Throws what the reader throws. */
  deliver(): void {
    try {
      while (!this.#busy && this.#used > 0) {
        const end = this.#end();
        if (end === 0) break;
        this.#give(end);
      }
    } finally {
      this.#weigh();
    }
  }

  /**
   * The guest is gone: passes the rest on. Throws what the reader throws. A promise resolves when a
   * slow reader has taken everything.
   */
  finish(): Promise<void> | null {
    this.#closed = true;
    this.deliver();
    if (!this.#busy) return null;
    return new Promise((resolve) => {
      this.#finished = resolve;
    });
  }

  /** Passes all of the rest on at once, and waits for the reader no longer. */
  abandon(): void {
    this.#closed = true;
    try {
      while (this.#used > 0) this.#give(this.#end());
      this.#finished();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Bytes to pass on now; 0: none yet. */
  #end(): number {
    const limit = Math.min(this.#used, PIECE_BYTES_MAX);
    const end = this.#bytes.lastIndexOf(NEWLINE, limit - 1) + 1;
    if (end > 0 && !(this.#closed && limit === this.#used)) return end;
    return this.#closed || limit > LINE_BYTES_MAX ? limit : 0;
  }

  #give(end: number): void {
    const last = this.#closed && end === this.#used;
    const text = this.#decoder.decode(this.#bytes.subarray(0, end), { stream: !last });
    this.#bytes.copyWithin(0, end, this.#used);
    this.#used -= end;
    if (this.#used === 0 && this.#bytes.length > PIECE_BYTES_MAX) this.#resize(0);
    if (text === "") return;
    const result = this.#options.print(text);
    if (!isPromise(result)) return;
    this.#busy = true;
    result.then(this.#resume, this.#fail);
  }

  readonly #resume = (): void => {
    this.#busy = false;
    try {
      this.deliver();
    } catch (error) {
      this.#fail(error);
    }
    if (this.#closed && !this.#busy) this.#finished();
  };

  readonly #fail = (error: unknown): void => {
    this.#closed = true;
    this.#used = 0;
    this.#options.failed(error);
    this.#finished();
  };

  #weigh(): void {
    if (this.#used >= STUFFED_BYTES) this.#stuffed = true;
    if (this.#used <= DRAINED_BYTES) this.#stuffed = false;
    const full = this.#used >= (this.#full ? DRAINED_BYTES + 1 : FULL_BYTES);
    if (full === this.#full) return;
    this.#full = full;
    this.#options.full(full);
  }

  #resize(bytes: number): void {
    let capacity = BUFFER_BYTES_MIN;
    while (capacity < bytes) capacity *= 2;
    const larger = new Uint8Array(capacity);
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
