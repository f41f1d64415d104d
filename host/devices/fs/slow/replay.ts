// How an operation waits for a slow host without waiting: by being repeated.
//
// An operation is a plain function that makes file calls and looks at tables. When it needs an
// answer that is not there yet, the call goes to the thread pool, and an exception ends the run.
// Once the answer is there, the operation runs again from the start: answers it had before come
// from a record, so it gets one call further each time, until it completes.
//
//   run 1   peek ✗ suspended                       record: peek
//   run 2   peek ✓  hold ✗ suspended               record: peek, hold
//   run 3   peek ✓  hold ✓  tables changed, reply
//
// Only the last run changes tables, at once and in their state at that time, so operations never
// see each other half done. What a suspended run has changed it undoes on the way out (undo.ts). If
// the tables have changed so that a run asks for something else, the rest of the record is
// discarded. A handle that was closed in between is simply missing, as for any request; nodes that
// an operation has used stay until it has ended.
import { equalBytes, joinBytes } from "../../../bytes.ts";
import type { LaterCall } from "../../../ports/files.ts";

/** Suspends a run. It has no code, so it is not mistaken for an error of the host (errno.ts). */
export const SUSPENDED = new Error("fs: waits for the host");

interface Answered {
  readonly call: LaterCall;
  readonly args: readonly unknown[];
  error: Error | null;
  result: unknown;
}

export class Replay {
  /** The call that the suspended run needs. */
  wanted: { readonly call: LaterCall; readonly args: readonly unknown[] } | null = null;
  readonly #record: Answered[] = [];
  #next = 0;
  #effects: (() => void)[] = [];
  readonly #owners = new Map<object, () => void>();
  readonly #discard: (call: LaterCall, result: unknown) => void;

  /** `discard` releases what an unused answer holds. */
  constructor(discard: (call: LaterCall, result: unknown) => void) {
    this.#discard = discard;
  }

  /** A run begins. */
  begin(): void {
    this.#next = 0;
    this.#effects = [];
    this.wanted = null;
  }

  /** Was the run suspended? */
  get suspended(): boolean {
    return this.wanted !== null;
  }

  /** The recorded answer of the run's next call, returned or thrown; or `ask` gets it now. */
  call(call: LaterCall, args: readonly unknown[], ask: (() => unknown) | null): unknown {
    if (this.wanted !== null) throw SUSPENDED;
    const known = this.#record[this.#next];
    if (known !== undefined && known.call === call && isSame(known.args, args)) {
      this.#next++;
      if (known.error !== null) throw known.error;
      return call === "read" ? fill(args, known.result) : known.result;
    }
    this.#forgetRest(); // tables have changed: later answers belong to another state
    if (ask === null) {
      this.wanted = { call, args };
      throw SUSPENDED;
    }
    const answered: Answered = { call, args, error: null, result: undefined };
    try {
      answered.result = ask();
    } catch (error) {
      answered.error = error as Error;
    }
    this.#record.push(answered);
    this.#next++;
    if (answered.error !== null) throw answered.error;
    if (call === "read") answered.result = taken(args, answered.result as number);
    return call === "read" ? (answered.result as Uint8Array).length : answered.result;
  }

  /** The pool has answered the wanted call. */
  answered(error: Error | null, result: unknown): void {
    if (this.wanted === null) throw new Error("fs: nothing was asked");
    this.#record.push({ ...this.wanted, error, result });
  }

  /** Does an answer of the record own that inode or descriptor? */
  hasBrought(what: "inode" | "descriptor", number: number): boolean {
    return this.#record.some(
      ({ call, error, result }) => error === null && broughtBy(call, result)[what] === number,
    );
  }

  /** Runs body after the last run, and only then. */
  effect(body: () => void): void {
    if (this.wanted === null) this.#effects.push(body);
  }

  /** Calls `release` after the last run. False: that is due already, for this owner. */
  untilEnd(owner: object, release: () => void): boolean {
    if (this.#owners.has(owner)) return false;
    this.#owners.set(owner, release);
    return true;
  }

  /** The position of the run in its record. */
  get mark(): number {
    return this.#next;
  }

  /** Answers since `mark` are in a table that outlives the run, and will not be asked for again. */
  keep(mark: number): void {
    this.#record.splice(mark, this.#next - mark);
    this.#next = mark;
  }

  /** The operation is complete. */
  end(): void {
    this.#forgetRest();
    for (const effect of this.#effects) effect();
    this.#release();
  }

  /** The operation is given up. */
  abandon(): void {
    this.#next = 0;
    this.#forgetRest();
    this.#release();
  }

  #release(): void {
    const all = [...this.#owners.values()];
    this.#owners.clear();
    for (const release of all) release();
  }

  #forgetRest(): void {
    for (const { call, error, result } of this.#record.splice(this.#next)) {
      if (error === null) this.#discard(call, result);
    }
  }
}

/** The inode or descriptor that an answer holds. */
export function broughtBy(
  call: LaterCall,
  result: unknown,
): { readonly inode?: number; readonly descriptor?: number } {
  if (call === "root") return { inode: result as number };
  if (call === "open") return { descriptor: result as number };
  return call === "hold" || call === "create" ? (result as { inode: number }) : {};
}

/** Compares numbers and names. Of buffers only the length matters: their content follows. */
function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.every((one, i) => {
    const other = b[i];
    if (one instanceof Uint8Array && other instanceof Uint8Array) {
      return equalBytes(one, other);
    }
    if (Array.isArray(one) && Array.isArray(other)) return bytesIn(one) === bytesIn(other);
    return one === other;
  });
}

function bytesIn(views: readonly Uint8Array[]): number {
  return views.reduce((sum, view) => sum + view.length, 0);
}

/** Copies what was read into the views of this run. */
function fill(args: readonly unknown[], result: unknown): number {
  const bytes = result as Uint8Array;
  let done = 0;
  for (const view of args[1] as readonly Uint8Array[]) {
    const part = bytes.subarray(done, done + view.length);
    view.set(part);
    done += part.length;
  }
  return done;
}

function taken(args: readonly unknown[], got: number): Uint8Array {
  return joinBytes(args[1] as readonly Uint8Array[]).subarray(0, got);
}
