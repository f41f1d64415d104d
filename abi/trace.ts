// The trace of thread switches: a ring in the guest's memory that the guest writes and the host
// reads each time the guest has returned. The time page asks for it, and says where it is; once it
// is there it stays, and `written` goes on where it was when the trace is asked for again. If the
// host does not read it in time, the oldest entries are overwritten.

/** Records that the ring holds: more than a machine's usual budget of switches in one entry. */
export const TRACE_RECORDS: u32 = 16384;

/** Byte offsets. */
export const enum TraceRing {
  written = 0, // u32, records since boot, wraps; record n is in place n % TRACE_RECORDS
  records = 8, // TraceRecord each
}

/** One run of a thread, between two switches; written before the thread runs. Byte offsets. */
export const enum TraceRecord {
  startNs = 0, // u64, of the hypercall clock
  endNs = 8, // u64, all ones while the thread runs
  thread = 16, // i32, its id, positive
  entry = 20, // u32, table index of the function that it began with
  waker = 24, // i32, id of the thread that made it ready; 0: an interrupt, a timer or the host
  waits = 28, // u32, address of the wait queue that it is in afterwards, or a TraceWait
  sizeof = 32,
}

/** Instead of the address of a queue. */
export const enum TraceWait {
  None = 0, // it is ready, suspended, or has ended; or it is still running
  Time = 1, // it sleeps
}

export function traceRingBytes(): u32 {
  return 8 + TRACE_RECORDS * 32;
}
