// The counters of an application: numbers with names that it shows to whoever looks after the
// machine. A table in the guest's memory, which the host may read at any time; the time page says
// where it is. The host knows no application: names and texts are the guest's.

/** Counters of one machine; the host learns of no more. */
export const COUNTERS_MAX: u32 = 32;
/** Longer names and texts are none. */
export const COUNTER_TEXT_BYTES_MAX: u32 = 128;

/** Byte offsets. */
export const enum CounterTable {
  count = 0, // u32, guest writes: of counters, which stay
  counters = 8, // Counter
}

/** Byte offsets. */
export const enum Counter {
  value = 0, // u64
  kind = 8, // u32, CounterKind
  name = 12, // u32, an address: of snake_case, perhaps with one label, as in `hits{by="name"}`
  nameBytes = 16, // u32
  help = 20, // u32, an address: of a sentence
  helpBytes = 24, // u32
  sizeof = 32,
}

export const enum CounterKind {
  Counter = 0, // only grows; its name ends in _total
  Gauge = 1,
}
