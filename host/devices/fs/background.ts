// Reads and writes while the host is slow, as with a cold disk or a share of the network: by the
// thread pool, so that nobody else waits, until its answers are quick again. Data are copied once
// more: the guest's memory may only be touched as long as the request is the device's. A host that
// answers from its caches is asked in the kick.
import type { FileChanges, Files } from "../../files.ts";
import { errnoOf } from "./errno.ts";
import type { HandleTable, OpenFile } from "./handles.ts";
import type { FuseRequest } from "./request.ts";
import type { FsStats } from "./stats.ts";

/** An answer of the thread pool within this time is quick ... */
const QUICK_NS = 1_000_000;
/** ... and after so many in a row the host is not slow, or not any more. */
const QUICK_ANSWERS = 8;
/** Calls in the thread pool; more are made in the kick. */
const CALLS_MAX = 16;

export class Background {
  readonly #files: Files;
  readonly #handles: HandleTable;
  readonly #stats: FsStats;
  readonly #slowNs: number;
  readonly #now: () => number;
  #slow = false;
  #quick = 0; // answers in a row
  #calls = 0;

  /** A kick that takes longer than `slowNs` was held up by the host; `now` in nanoseconds. */
  constructor(
    files: Files,
    handles: HandleTable,
    stats: FsStats,
    slowNs: number,
    now: () => number,
  ) {
    this.#now = now;
    this.#files = files;
    this.#slowNs = slowNs;
    this.#handles = handles;
    this.#stats = stats;
  }

  /** A kick has been served since then. */
  served(sinceNs: number): void {
    if (this.#now() - sinceNs <= this.#slowNs) return;
    this.#slow = true;
    this.#quick = 0;
  }

  /** Is the next call to be left to the thread pool? */
  get wanted(): boolean {
    return this.#slow && this.#calls < CALLS_MAX;
  }

  read(request: FuseRequest, file: OpenFile, size: number, offset: number | bigint): void {
    const bytes = new Uint8Array(size);
    const answer = request.detach();
    const done = (error: Error | null, got: number) => {
      this.#end(file, sinceNs);
      if (error !== null) return answer(errnoOf(error));
      this.#stats.bytesRead += got;
      this.#stats.bytesCopied += got;
      answer(got, bytes.subarray(0, got));
    };
    const sinceNs = this.#begin(file);
    try {
      this.#files.readLater(file.descriptor, bytes, offset, done);
    } catch (error) {
      done(error as Error, 0);
    }
  }

  /** `reply` makes the reply out of the bytes that were written; `undo` comes when none were. */
  write(
    changes: FileChanges,
    request: FuseRequest,
    file: OpenFile,
    bytes: Uint8Array,
    offset: number,
    reply: (written: number) => Uint8Array,
    undo: () => void,
  ): void {
    const answer = request.detach();
    const done = (error: Error | null, written: number) => {
      this.#end(file, sinceNs);
      file.node.writes--;
      if (error !== null) {
        undo();
        return answer(errnoOf(error));
      }
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
    const sinceNs = this.#begin(file);
    file.node.writes++;
    try {
      changes.writeLater(file.descriptor, bytes, offset, done);
    } catch (error) {
      done(error as Error, 0);
    }
  }

  #begin(file: OpenFile): number {
    this.#calls++;
    this.#handles.begin(file);
    return this.#now();
  }

  #end(file: OpenFile, sinceNs: number): void {
    this.#calls--;
    this.#handles.end(file);
    this.#quick = this.#now() - sinceNs < QUICK_NS ? this.#quick + 1 : 0;
    if (this.#quick >= QUICK_ANSWERS) this.#slow = false;
  }
}
