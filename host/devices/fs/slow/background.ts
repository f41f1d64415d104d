// Requests while the host is slow, as with a cold disk or a share of the network: what has to be
// asked of the host goes to the thread pool, so that nobody else waits, until its answers are quick
// again. Data are copied once more: the guest's memory may only be touched as long as the request
// is the device's. A host that answers from its caches is asked in the kick.
import type { LaterCall } from "../../../ports/files.ts";
import { errnoOf } from "../errno.ts";
import type { HandleTable, OpenFile } from "../nodes/handles.ts";
import type { FuseRequest } from "../request.ts";
import type { FsStats } from "../stats.ts";
import type { HostCalls } from "./host-calls.ts";
import type { Replay } from "./replay.ts";

/** What is left to the thread pool. */
const enum Slow {
  Nothing,
  Data, // reads and writes: what they are about was not in the host's caches; names may well be
  All,
}

/** An answer of the thread pool within this time is quick ... */
const QUICK_NS = 1_000_000;
/** ... and after so many in a row the host is not slow, or not any more. */
const QUICK_ANSWERS = 8;
/** Calls that the host is asked at a time; the others wait here, and their chains bound them. */
const CALLS_MAX = 16;
/** Requests that are kept whole while they wait; more stay in the ring. */
const PARKED_MAX = 64;

/** What waits for its turn. */
interface Waiting {
  /** Makes the call, and calls `end` when it is answered. */
  begin(end: () => void): void;
  /** The session has ended: the call is not made. */
  cancel(): void;
}

export class Background {
  readonly #calls: HostCalls;
  readonly #handles: HandleTable;
  readonly #stats: FsStats;
  readonly #slowNs: number;
  readonly #stallNs: number;
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  #slow = Slow.Nothing;
  #quick = 0; // answers in a row
  readonly #running = new Set<{ readonly sinceNs: number }>(); // the oldest comes first
  #parked = 0;

  /**
   * A kick that takes longer than `slowMs` was held up by data, one of more than `stallMs` by a
   * host that is slow with everything; `now` in nanoseconds.
   */
  constructor(
    calls: HostCalls,
    handles: HandleTable,
    stats: FsStats,
    { slowMs, stallMs }: { readonly slowMs: number; readonly stallMs: number },
    now: () => number,
  ) {
    this.#calls = calls;
    this.#handles = handles;
    this.#stats = stats;
    this.#slowNs = slowMs * 1e6;
    this.#stallNs = stallMs * 1e6;
    this.#now = now;
  }

  /** A kick has been served since then. For how long was the guest held up; 0: it was not. */
  served(sinceNs: number): number {
    const tookNs = this.#now() - sinceNs;
    const stalled = tookNs > this.#stallNs;
    if (tookNs <= this.#slowNs && !stalled) return 0;
    this.#quick = 0;
    if (stalled) this.#slow = Slow.All;
    else if (this.#slow === Slow.Nothing) this.#slow = Slow.Data;
    return stalled ? tookNs : 0;
  }

  /** Has the host been slow with everything since then? */
  stalled(sinceNs: number): boolean {
    return this.#now() - sinceNs > this.#stallNs;
  }

  /** Are reads and writes to be left to the thread pool? */
  get wanted(): boolean {
    return this.#slow !== Slow.Nothing;
  }

  /** And all other calls that the host may have to look at its disk for? */
  get wantsAll(): boolean {
    return this.#slow === Slow.All;
  }

  /** Are there so many requests that the next ones stay in the ring? */
  get full(): boolean {
    return this.#parked >= PARKED_MAX;
  }

  /**
   * Runs `attempt`, which serves the request, and runs it again whenever the host has answered what
   * it waits for. Returns as it does; or 0, and the request is parked, and finished later.
   */
  serve(request: FuseRequest, attempt: () => number): number {
    const replay = this.#calls.newReplay();
    const result = this.#calls.run(replay, attempt);
    if (result !== null) return result;
    request.parked = true;
    this.#parked++;
    const unpark = () => {
      this.#parked--;
      request.unpark();
    };
    const stop = () => {
      replay.abandon();
      if (request.chain.live) request.finish(errnoOf(sessionEnded()));
      unpark();
    };
    const goOn = () => {
      if (!request.chain.live) return stop();
      const outcome = this.#calls.run(replay, attempt);
      if (outcome === null) return this.#await(replay, goOn, stop);
      if (!request.detached) request.finish(outcome);
      unpark();
    };
    this.#await(replay, goOn, stop);
    return 0;
  }

  /** Runs `body`, which answers nobody, as often as serve() does; `ended` comes behind it. */
  run(body: () => void, ended: () => void): void {
    const replay = this.#calls.newReplay();
    const once = () => {
      body();
      return true;
    };
    const goOn = () => {
      if (this.#calls.run(replay, once) === null) this.#await(replay, goOn, stop);
      else ended();
    };
    const stop = () => {
      replay.abandon();
      ended();
    };
    goOn();
  }

  read(request: FuseRequest, file: OpenFile, size: number, offset: number | bigint): void {
    const answer = request.detach();
    this.#addOf(file, {
      begin: (end) => {
        const bytes = new Uint8Array(size);
        const done = (error: Error | null, got: number) => {
          end();
          if (error !== null) return answer(errnoOf(error));
          this.#stats.bytesRead += got;
          this.#stats.bytesCopied += got;
          answer(got, bytes.subarray(0, got));
        };
        orDone(done, () => this.#calls.readLater(file.descriptor, bytes, offset, done));
      },
      cancel: () => answer(errnoOf(sessionEnded())),
    });
  }

  /** `reply` makes the reply out of the bytes that were written; `undo` comes when none were. */
  write(
    request: FuseRequest,
    file: OpenFile,
    bytes: Uint8Array,
    offset: number,
    reply: (written: number) => Uint8Array,
    undo: () => void,
  ): void {
    const answer = request.detach();
    file.node.writes++;
    const failed = (error: Error) => {
      file.node.writes--;
      undo();
      answer(errnoOf(error));
    };
    this.#addOf(file, {
      begin: (end) => {
        const done = (error: Error | null, written: number) => {
          end();
          if (error !== null) return failed(error);
          file.node.writes--;
          this.#stats.bytesWritten += written;
          this.#stats.bytesCopied += written;
          let payload: Uint8Array;
          try {
            payload = reply(written);
          } catch (fault) {
            return answer(errnoOf(fault)); // nobody else would catch it here
          }
          answer(payload.length, payload);
        };
        orDone(done, () => this.#calls.writeLater(file.descriptor, bytes, offset, done));
      },
      cancel: () => failed(sessionEnded()),
    });
  }

  /** The session is over: what has not begun does not begin any more. */
  clear(): void {
    for (const one of this.#waiting.splice(0)) one.cancel();
  }

  /** Leaves the wanted call to the pool; then goes on, or stops where the session has ended. */
  #await(replay: Replay, goOn: () => void, stop: () => void): void {
    const { call, args } = replay.wanted as { call: LaterCall; args: readonly unknown[] };
    const unpin = this.#calls.pin(call, args);
    this.#add({
      begin: (answered) =>
        this.#calls.later(call, args, (error, result) => {
          answered();
          unpin();
          replay.answered(error, result);
          const sinceNs = this.#now();
          goOn();
          this.served(sinceNs);
        }),
      cancel: () => {
        unpin();
        stop();
      },
    });
  }

  /** Until its end the file's descriptor is nobody else's. */
  #addOf(file: OpenFile, { begin, cancel }: Waiting): void {
    this.#handles.begin(file);
    this.#add({
      begin: (end) =>
        begin(() => {
          end();
          this.#handles.end(file);
        }),
      cancel: () => {
        this.#handles.end(file);
        cancel();
      },
    });
  }

  #add(one: Waiting): void {
    this.#waiting.push(one);
    this.#calls.outside(() => this.#go());
  }

  #go(): void {
    while (this.#running.size < CALLS_MAX) {
      const one = this.#waiting.shift();
      if (one === undefined) return;
      const call = { sinceNs: this.#now() };
      this.#running.add(call);
      one.begin(() => {
        this.#running.delete(call);
        // While one hangs the host is slow, however quick others are.
        const [oldest = call] = this.#running;
        const isQuick = this.#now() - Math.min(call.sinceNs, oldest.sinceNs) < QUICK_NS;
        this.#quick = isQuick ? this.#quick + 1 : 0;
        if (this.#quick >= QUICK_ANSWERS) this.#slow = Slow.Nothing;
        this.#go();
      });
    }
  }
}

function sessionEnded(): Error {
  return Object.assign(new Error("the session has ended"), { code: "EIO" });
}

/** What is refused at once is answered like everything else. */
function orDone(done: (error: Error, bytes: number) => void, body: () => void): void {
  try {
    body();
  } catch (error) {
    done(error as Error, 0);
  }
}
