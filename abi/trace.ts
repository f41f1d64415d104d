// The trace of thread switches: a ring in the guest's memory that the guest writes and the host
// reads each time the guest has returned. It is there only when the boot information asks for it;
// the time page says where. If the host does not read it in time, the oldest entries are
// overwritten.

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
  sizeof = 24,
}

export function traceRingBytes(): u32 {
  return 8 + TRACE_RECORDS * 24;
}
