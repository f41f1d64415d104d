// The guest's records of its thread switches, as the host takes them out of the ring. They are
// checked: a record with times that contradict others is dropped and counted.
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { TRACE_RECORDS, TraceRecord, TraceRing, traceRingBytes } from "../../abi/trace.ts";
import { type GuestMemory, u32 } from "../memory.ts";

/** The id of a thread is a handle, whose generation is not 0. Lower ones name other tracks. */
const THREAD_ID_MIN = 0x10000;
const TWO_32 = 4294967296;

/** One run of a thread. */
export interface Run {
  readonly thread: number;
  readonly entry: number;
  /** The thread that made it ready; 0: an interrupt, a timer or the host. */
  readonly waker: number;
  readonly startNs: number;
  readonly endNs: number;
  /** The queue that it waits in afterwards, or a TraceWait. */
  readonly waits: number;
}

export class Switches {
  readonly #memory: GuestMemory;
  readonly #run = { thread: 0, entry: 0, waker: 0, startNs: 0, endNs: 0, waits: 0 };
  #taken = 0; // TraceRing.written, when it was last read
  /** Of the last take(): records that were overwritten before they were read. */
  lost = 0;
  /** Of the last take(): records that contradict themselves, others, or their entry. */
  rejected = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Passes over all that is in the ring by now. */
  skip(): void {
    const ring = this.#ring();
    this.#taken = ring === 0 ? 0 : this.#memory.view.getUint32(ring + TraceRing.written, true);
  }

  /** Those of an entry into the guest. `each` gets an object that is reused for the next one. */
  take(sinceNs: number, untilNs: number, each: (run: Run) => void): void {
    this.lost = this.rejected = 0;
    const ring = this.#memory.attached ? this.#ring() : 0; // the guest may have ended itself
    if (ring === 0) return;
    const written = this.#memory.view.getUint32(ring + TraceRing.written, true);
    if (written === this.#taken) return;
    const kept = Math.min(u32(written - this.#taken), TRACE_RECORDS);
    this.lost = u32(written - this.#taken) - kept;
    this.#taken = written;
    const run = this.#run;
    let atNs = sinceNs;
    for (let left = kept; left > 0; left--) {
      const place = u32(written - left) % TRACE_RECORDS;
      this.#read(ring + TraceRing.records + place * TraceRecord.sizeof, untilNs);
      const isThread = run.thread >= THREAD_ID_MIN;
      if (!isThread || run.startNs < atNs || run.endNs < run.startNs || run.endNs > untilNs) {
        this.rejected++;
        continue;
      }
      atNs = run.endNs;
      each(run);
    }
  }

  /** The thread that runs now; 0: none, or it is not recorded. */
  running(): number {
    const ring = this.#memory.attached ? this.#ring() : 0;
    if (ring === 0) return 0;
    const { view } = this.#memory;
    const last = u32(view.getUint32(ring + TraceRing.written, true) - 1) % TRACE_RECORDS;
    const record = ring + TraceRing.records + last * TraceRecord.sizeof;
    const isRunning = this.#u64(record + TraceRecord.endNs, -1) === -1;
    return isRunning ? view.getInt32(record + TraceRecord.thread, true) : 0;
  }

  #read(record: number, untilNs: number): void {
    const { view } = this.#memory;
    const run = this.#run;
    run.thread = view.getInt32(record + TraceRecord.thread, true);
    run.entry = view.getUint32(record + TraceRecord.entry, true);
    run.waker = view.getInt32(record + TraceRecord.waker, true);
    run.startNs = this.#u64(record + TraceRecord.startNs);
    run.endNs = this.#u64(record + TraceRecord.endNs, untilNs);
    run.waits = view.getUint32(record + TraceRecord.waits, true);
  }

  /** All ones: `running`. */
  #u64(address: number, running = Number.POSITIVE_INFINITY): number {
    const { view } = this.#memory;
    const low = view.getUint32(address, true);
    const high = view.getUint32(address + 4, true);
    return low === 0xffffffff && high === 0xffffffff ? running : high * TWO_32 + low;
  }

  /** The address of the guest's ring; 0: there is none, or it cannot be there. */
  #ring(): number {
    const ring = this.#memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.trace, true);
    return this.#memory.contains(ring, traceRingBytes()) ? ring : 0;
  }
}
