// An operation of the server while the host is slow. It is a plain function that makes file calls
// and looks at tables; nothing in it waits. So it is run again and again: a call whose answer is
// not known yet goes to the thread pool and ends the run by an exception, and the next run, once
// the answer is there, gets it from the record and comes one call further. Tables are changed by
// the last run alone, at once and as they are by then: operations never see each other half done.
// What a run has changed before it is ended it takes back on the way out (undo.ts), or may change
// again. A handle that was closed meanwhile is found missing, as by any request; the nodes that an
// operation has used stay until its end.
import { equalBytes, joinBytes } from "../../../bytes.ts";
import type { LaterCall } from "../../../ports/files.ts";

/** Ends a run. It has no code, so nobody takes it for an answer of the host's (errno.ts). */
export const SUSPENDED = new Error("fs: waits for the host");

interface Answered {
  readonly call: LaterCall;
  readonly args: readonly unknown[];
  error: Error | null;
  result: unknown;
}

export class Replay {
  /** The call that the run has ended for. */
  wanted: { readonly call: LaterCall; readonly args: readonly unknown[] } | null = null;
  readonly #record: Answered[] = [];
  #next = 0;
  #effects: (() => void)[] = [];
  readonly #owners = new Map<object, () => void>();
  readonly #discard: (call: LaterCall, result: unknown) => void;

  /** `discard` takes back what an answer has brought and nobody took. */
  constructor(discard: (call: LaterCall, result: unknown) => void) {
    this.#discard = discard;
  }

  /** A run begins. */
  begin(): void {
    this.#next = 0;
    this.#effects = [];
    this.wanted = null;
  }

  /** Has the run been ended, and is on its way out? */
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
    this.#forgetRest(); // tables have changed since: what follows was asked of another state
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

  /** Has one of its answers brought that inode, or descriptor? It is nobody else's yet. */
  hasBrought(what: "inode" | "descriptor", number: number): boolean {
    return this.#record.some(
      ({ call, error, result }) => error === null && broughtBy(call, result)[what] === number,
    );
  }

  /** Done behind the last run; of others nothing is done. */
  effect(body: () => void): void {
    if (this.wanted === null) this.#effects.push(body);
  }

  /** `release` is called behind the last run. False: it is already to be, for that owner. */
  untilEnd(owner: object, release: () => void): boolean {
    if (this.#owners.has(owner)) return false;
    this.#owners.set(owner, release);
    return true;
  }

  /** The run's place in the record. */
  get mark(): number {
    return this.#next;
  }

  /** What was answered since `mark` is in a table that outlives the run: nobody asks it again. */
  keep(mark: number): void {
    this.#record.splice(mark, this.#next - mark);
    this.#next = mark;
  }

  /** The run has come to its end. */
  end(): void {
    this.#forgetRest();
    for (const effect of this.#effects) effect();
    this.#release();
  }

  /** There will be no further run. */
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

/** What an answer has brought that has to be let go. */
export function broughtBy(
  call: LaterCall,
  result: unknown,
): { readonly inode?: number; readonly descriptor?: number } {
  if (call === "root") return { inode: result as number };
  if (call === "open") return { descriptor: result as number };
  return call === "hold" || call === "create" ? (result as { inode: number }) : {};
}

/** Numbers and names; what is read or written follows from them, but for its length. */
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

/** What was read goes into the views of this run. */
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
