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

export interface Taken {
  readonly runs: readonly Run[];
  /** Overwritten before they were read. */
  readonly lost: number;
  /** That contradict themselves, others, or the entry that they are from. */
  readonly rejected: number;
}

const NOTHING: Taken = { runs: [], lost: 0, rejected: 0 };

export class Switches {
  readonly #memory: GuestMemory;
  #taken = 0; // TraceRing.written, when it was last read

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** Passes over all that is in the ring by now. */
  skip(): void {
    const ring = this.#ring();
    this.#taken = ring === 0 ? 0 : this.#memory.view.getUint32(ring + TraceRing.written, true);
  }

  /** Those of an entry into the guest. */
  take(sinceNs: number, untilNs: number): Taken {
    const ring = this.#memory.attached ? this.#ring() : 0; // the guest may have ended itself
    if (ring === 0) return NOTHING;
    const written = this.#memory.view.getUint32(ring + TraceRing.written, true);
    if (written === this.#taken) return NOTHING;
    const kept = Math.min(u32(written - this.#taken), TRACE_RECORDS);
    const lost = u32(written - this.#taken) - kept;
    this.#taken = written;
    const runs: Run[] = [];
    let atNs = sinceNs;
    let rejected = 0;
    for (let left = kept; left > 0; left--) {
      const place = u32(written - left) % TRACE_RECORDS;
      const run = this.#read(ring + TraceRing.records + place * TraceRecord.sizeof, untilNs);
      const isThread = run.thread >= THREAD_ID_MIN;
      if (!isThread || run.startNs < atNs || run.endNs < run.startNs || run.endNs > untilNs) {
        rejected++;
        continue;
      }
      runs.push(run);
      atNs = run.endNs;
    }
    return { runs, lost, rejected };
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

  #read(record: number, untilNs: number): Run {
    const { view } = this.#memory;
    return {
      thread: view.getInt32(record + TraceRecord.thread, true),
      entry: view.getUint32(record + TraceRecord.entry, true),
      waker: view.getInt32(record + TraceRecord.waker, true),
      startNs: this.#u64(record + TraceRecord.startNs),
      endNs: this.#u64(record + TraceRecord.endNs, untilNs),
      waits: view.getUint32(record + TraceRecord.waits, true),
    };
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
