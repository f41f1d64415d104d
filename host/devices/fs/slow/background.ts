// Requests while the host is slow, for instance with a cold disk or a network share. Host calls
// then go to the thread pool, so that other guests and clients need not wait, until answers are
// quick again. Data is copied once more, because guest memory may only be touched while the device
// owns the request. A host that answers from its caches is called in the kick.
import type { LaterCall } from "../../../ports/files.ts";
import { errnoOf } from "../errno.ts";
import type { OpenFile } from "../nodes/open-file.ts";
import type { FuseRequest } from "../request.ts";
import type { FsStats } from "../stats.ts";
import type { Activity } from "./activity.ts";
import type { HostCalls } from "./host-calls.ts";
import type { Replay } from "./replay.ts";

/** Which calls go to the thread pool. */
const enum Slow {
  Nothing,
  Data, // reads and writes: data was not in the host's caches, though names may be
  All,
}

/** An answer of the thread pool within this time is quick ... */
const QUICK_NS = 1_000_000;
/** ... and after this many in a row the host is no longer slow. */
const QUICK_ANSWERS = 8;
/** Calls in the thread pool at a time. Others wait here, bounded by their chains. */
const CALLS_MAX = 16;
/** Requests that may be parked. Others stay in the ring. */
const PARKED_MAX = 64;

/** Open files, as calls in the thread pool see them. */
export interface BusyFiles {
  /** Until end() the file's descriptor stays open. */
  begin(file: OpenFile): void;
  end(file: OpenFile): void;
}

/** A call that waits for its turn. */
interface Waiting {
  /** Makes the call, and calls `end` when it is answered. */
  begin(end: () => void): void;
  /** The session has ended: the call is not made. */
  cancel(): void;
}

export class Background {
  readonly #calls: HostCalls;
  readonly #handles: () => BusyFiles;
  readonly #stats: FsStats;
  readonly #activity: Activity;
  readonly #slowNs: number;
  readonly #stallNs: number;
  readonly #now: () => number;
  readonly #waiting: Waiting[] = [];
  #slow = Slow.Nothing;
  #quick = 0; // answers in a row
  readonly #running = new Set<{ readonly sinceNs: number }>(); // oldest first
  #parked = 0;

  /**
   * A kick that takes longer than `slowMs` was held up by data; beyond `stallMs` the host is slow
   * with everything. `now` in nanoseconds.
   */
  constructor(
    calls: HostCalls,
    handles: () => BusyFiles,
    stats: FsStats,
    activity: Activity,
    { slowMs, stallMs }: { readonly slowMs: number; readonly stallMs: number },
    now: () => number,
  ) {
    this.#calls = calls;
    this.#handles = handles;
    this.#stats = stats;
    this.#activity = activity;
    this.#slowNs = slowMs * 1e6;
    this.#stallNs = stallMs * 1e6;
    this.#now = now;
  }

  /** A kick was served since then. Returns for how long the guest was held up; 0: not at all. */
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

  /** Do reads and writes go to the thread pool? */
  get wanted(): boolean {
    return this.#slow !== Slow.Nothing;
  }

  /** And all other calls that may wait for a disk? */
  get wantsAll(): boolean {
    return this.#slow === Slow.All && this.#calls.canWait;
  }

  /** Must further requests stay in the ring? */
  get full(): boolean {
    return this.#parked >= PARKED_MAX;
  }

  /**
   * Runs `attempt`, which serves the request, and repeats it whenever the host has answered a call
   * that it waits for. Returns its result; or 0 if the request is parked, to be finished later.
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

  /** Runs `body` in the same way, without a request; then calls `ended`. */
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
          this.#stats.copiedRead += got;
          answer(got, bytes.subarray(0, got));
        };
        orDone(done, () => this.#calls.readLater(file.descriptor, bytes, offset, done));
      },
      cancel: () => answer(errnoOf(sessionEnded())),
    });
  }

  /** `reply` builds the reply from the number of bytes written; `undo` is called if it failed. */
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
          this.#stats.copiedWritten += written;
          let payload: Uint8Array;
          try {
            payload = reply(written);
          } catch (fault) {
            return answer(errnoOf(fault)); // no caller would catch it
          }
          answer(payload.length, payload);
        };
        orDone(done, () => this.#calls.writeLater(file.descriptor, bytes, offset, done));
      },
      cancel: () => failed(sessionEnded()),
    });
  }

  /** The session is over: calls that have not begun are dropped. */
  clear(): void {
    for (const one of this.#waiting.splice(0)) one.cancel();
  }

  /** Makes the wanted call in the pool; then goes on, or stops if the session has ended. */
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

  /** Keeps the file's descriptor open until the call has ended. */
  #addOf(file: OpenFile, { begin, cancel }: Waiting): void {
    const handles = this.#handles();
    handles.begin(file);
    this.#add({
      begin: (end) =>
        begin(() => {
          end();
          handles.end(file);
        }),
      cancel: () => {
        handles.end(file);
        cancel();
      },
    });
  }

  #add(one: Waiting): void {
    const ended = this.#activity.begin();
    this.#waiting.push({
      begin: (answered) =>
        one.begin(() => {
          answered();
          ended();
        }),
      cancel: () => {
        one.cancel();
        ended();
      },
    });
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
        // While one call hangs the host is slow, however quick others are.
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

/** A synchronous failure is answered like any other. */
function orDone(done: (error: Error, bytes: number) => void, body: () => void): void {
  try {
    body();
  } catch (error) {
    done(error as Error, 0);
  }
}
