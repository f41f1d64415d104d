// The guest's console on its way to whoever reads it: bytes become text, by whole lines. A reader
// that is slow is waited for; what the guest prints meanwhile is kept, up to a bound.

/** An unfinished line is shown when it has grown to this many bytes. */
const LINE_BYTES_MAX = 4096;
/** Of what has gathered the reader gets so much at a time. */
const PIECE_BYTES_MAX = 64 * 1024;

/** So much is kept for a slow reader, and the firmware takes no more. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** The kernel is told, which lets the threads wait that print. */
const FULL_BYTES = KEPT_BYTES_MAX / 4;
/** A guest that does not care, or prints where nobody can wait, has no turns for a while. */
const STUFFED_BYTES = KEPT_BYTES_MAX / 2;
/** All is well again. */
const DRAINED_BYTES = KEPT_BYTES_MAX / 16;

const BUFFER_BYTES_MIN = 4096;
const NEWLINE = 10;

/** Takes text; a promise says that it must not be given more before that has resolved. */
export type Print = (text: string) => unknown;

export interface ConsoleOptions {
  readonly print: Print;
  /** Whether those who print should wait, whenever that changes. */
  readonly full: (full: boolean) => void;
  /** The reader has failed where no call of these is: it gets nothing more. */
  readonly failed: (error: unknown) => void;
}

export class Console {
  readonly #options: ConsoleOptions;
  readonly #decoder = new TextDecoder(); // holds what a piece has of a character at its end
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

  /** Bytes that can be added now. */
  get room(): number {
    return this.#closed ? 0 : KEPT_BYTES_MAX - this.#used;
  }

  /** Has the guest printed so much that it should not go on? */
  get stuffed(): boolean {
    return this.#stuffed;
  }

  /** Adds bytes for which there is room; deliver() follows. */
  add(bytes: Uint8Array): void {
    const used = this.#used + bytes.length;
    if (used > this.#bytes.length) this.#resize(used);
    this.#bytes.set(bytes, this.#used);
    this.#used = used;
  }

  /** Gives the reader what it can take. Throws what the reader throws. */
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
   * The guest is gone: the reader gets what is left. Throws what it throws; a promise is for the
   * moment when a slow one has all.
   */
  finish(): Promise<void> | null {
    this.#closed = true;
    this.deliver();
    if (!this.#busy) return null;
    return new Promise((resolve) => {
      this.#finished = resolve;
    });
  }

  /** The reader gets all that is left at once, and nobody waits for it any more. */
  abandon(): void {
    this.#closed = true;
    try {
      while (this.#used > 0) this.#give(this.#end());
      this.#finished();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** How much goes to the reader now: 0 is nothing yet. */
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
