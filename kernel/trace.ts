// The guest's side of a trace: on the host's request, every run of a thread is recorded in a ring
// that the host reads. The guest never waits for the host, and overwrites old records.
import { TRACE_RECORDS, TraceRecord, TraceRing, traceRingBytes } from "../abi/trace";
import { arch_enter } from "./arch/asyncify";
import { publishTrace } from "./clock";
import { clock } from "./hypercall";
import { ToroAllocMem } from "./memory";
import { Thread } from "./thread";

/** The ring; 0: no trace, and a switch costs one test more. */
export let traceRing: usize = 0;

/** Starts the trace, before there are threads. Returns false when there is no memory for it. */
export function traceInit(): bool {
  traceRing = ToroAllocMem(traceRingBytes());
  publishTrace(traceRing);
  return traceRing != 0;
}

/** arch_enter, recorded. Only the scheduler calls it, as its frame must not be unwound. */
export function tracedEnter(thread: Thread): bool {
  const written = load<u32>(traceRing, TraceRing.written);
  const place: usize = (written % TRACE_RECORDS) * TraceRecord.sizeof;
  const record = traceRing + TraceRing.records + place;
  store<u64>(record, clock(), TraceRecord.startNs);
  store<u64>(record, u64.MAX_VALUE, TraceRecord.endNs);
  store<i32>(record, thread.id, TraceRecord.thread);
  store<u32>(traceRing, written + 1, TraceRing.written);
  const alive = arch_enter(thread);
  store<u64>(record, clock(), TraceRecord.endNs);
  return alive;
}
