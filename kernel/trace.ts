// The guest's side of a trace: on the host's request, every run of a thread is recorded in a ring
// that the host reads. The guest never waits for the host, and overwrites old records.
import { TRACE_RECORDS, TraceRecord, TraceRing, traceRingBytes, TraceWait } from "../abi/trace";
import { arch_enter } from "./arch/asyncify";
import { isTraceWanted, publishTrace } from "./clock";
import { clock } from "./hypercall";
import { ToroAllocMem } from "./memory";
import { nodeAt, Thread, ThreadState } from "./thread";

/** The ring while switches are recorded; 0: they are not, and a switch costs one test more. */
export let traceRing: usize = 0;
let ring: usize = 0; // of the ring, once there was a trace
let isOn: bool = false; // as the host wanted it last

/**
 * At each entry of the host: begins to record, or ends it, as the host wants it. Returns false when
 * there is no memory for the ring.
 */
export function followTrace(): bool {
  const wanted = isTraceWanted();
  if (wanted == isOn) return true;
  isOn = wanted;
  if (wanted && ring == 0) {
    ring = ToroAllocMem(traceRingBytes());
    publishTrace(ring);
  }
  traceRing = wanted ? ring : 0;
  return !wanted || ring != 0;
}

/** arch_enter, recorded. Only the scheduler calls it, as its frame must not be unwound. */
export function tracedEnter(thread: Thread): bool {
  const written = load<u32>(traceRing, TraceRing.written);
  const place: usize = (written % TRACE_RECORDS) * TraceRecord.sizeof;
  const record = traceRing + TraceRing.records + place;
  store<u64>(record, clock(), TraceRecord.startNs);
  store<u64>(record, u64.MAX_VALUE, TraceRecord.endNs);
  store<i32>(record, thread.id, TraceRecord.thread);
  store<u32>(record, thread.entry, TraceRecord.entry);
  store<i32>(record, thread.waker, TraceRecord.waker);
  store<u32>(record, TraceWait.None, TraceRecord.waits);
  thread.waker = 0;
  store<u32>(traceRing, written + 1, TraceRing.written);
  const alive = arch_enter(thread);
  store<u64>(record, clock(), TraceRecord.endNs);
  store<u32>(record, waitOf(thread), TraceRecord.waits);
  return alive;
}

function waitOf(thread: Thread): u32 {
  if (thread.state != ThreadState.Waiting) return TraceWait.None;
  const queue = nodeAt(thread, 0).list;
  return queue ? <u32>changetype<usize>(queue) : TraceWait.Time;
}
