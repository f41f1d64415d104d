// Reads and writes while the host is slow, as with a cold disk or a share of the network: by the
// thread pool, so that nobody else waits. Data are copied once more: the guest's memory may only be
// touched as long as the request is the device's. A host that answers from its caches is asked in
// the kick.
import type { FileChanges, Files } from "../../files.ts";
import { errnoOf } from "./errno.ts";
import type { HandleTable, OpenFile } from "./handles.ts";
import type { FuseRequest } from "./request.ts";
import type { FsStats } from "./stats.ts";

/** The time during which a slow host is not waited for. */
const SLOW_FOR_NS = 1_000_000_000;
/** Calls in the thread pool; more are made in the kick. */
const CALLS_MAX = 16;

export class Background {
  readonly #files: Files;
  readonly #handles: HandleTable;
  readonly #stats: FsStats;
  readonly #slowNs: number;
  #slowUntilNs = Number.NEGATIVE_INFINITY;
  #calls = 0;

  /** A kick that takes longer than `slowNs` was held up by the host. */
  constructor(files: Files, handles: HandleTable, stats: FsStats, slowNs: number) {
    this.#files = files;
    this.#slowNs = slowNs;
    this.#handles = handles;
    this.#stats = stats;
  }

  /** A kick has been served from `sinceNs` to `nowNs`. */
  served(sinceNs: number, nowNs: number): void {
    if (nowNs - sinceNs > this.#slowNs) this.#slowUntilNs = nowNs + SLOW_FOR_NS;
  }

  /** Is a call that begins with the kick at `nowNs` to be left to the thread pool? */
  wanted(nowNs: number): boolean {
    return nowNs < this.#slowUntilNs && this.#calls < CALLS_MAX;
  }

  read(request: FuseRequest, file: OpenFile, size: number, offset: number | bigint): void {
    const bytes = new Uint8Array(size);
    const answer = request.detach();
    this.#begin(file);
    this.#files.readLater(file.descriptor, bytes, offset, (error, got) => {
      this.#end(file);
      if (error !== null) return answer(errnoOf(error));
      this.#stats.bytesRead += got;
      this.#stats.bytesCopied += got;
      answer(got, bytes.subarray(0, got));
    });
  }

  /** `reply` makes the reply out of the bytes that were written. */
  write(
    changes: FileChanges,
    request: FuseRequest,
    file: OpenFile,
    bytes: Uint8Array,
    offset: number,
    reply: (written: number) => Uint8Array,
  ): void {
    const answer = request.detach();
    this.#begin(file);
    changes.writeLater(file.descriptor, bytes, offset, (error, written) => {
      this.#end(file);
      if (error !== null) return answer(errnoOf(error));
      this.#stats.bytesWritten += written;
      this.#stats.bytesCopied += written;
      const payload = reply(written);
      answer(payload.length, payload);
    });
  }

  #begin(file: OpenFile): void {
    this.#calls++;
    this.#handles.begin(file);
  }

  #end(file: OpenFile): void {
    this.#calls--;
    this.#handles.end(file);
  }
}
