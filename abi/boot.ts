// Data that the host leaves in the guest's memory at boot, and the page that both use for the time.

/** The guest's static data begins here: below are null detection, boot information and the time. */
export const RESERVED_BYTES = 0x10000;
export const BOOT_INFO_ADDRESS = 0x1000;
export const COMMAND_LINE_ADDRESS = 0x1040;
export const TIME_PAGE_ADDRESS = 0x2000;
/** Bytes for the command line, which ends without a NUL. */
export const COMMAND_LINE_BYTES_MAX = TIME_PAGE_ADDRESS - COMMAND_LINE_ADDRESS;

export const BOOT_MAGIC = 0x6f726f74; // "toro"
export const BOOT_VERSION = 1;

/**
 * Boot-info block; its address is the argument of boot(). The host writes it once. Byte offsets.
 */
export const enum BootInfo {
  magic = 0, // u32
  version = 4, // u32
  memoryPages = 8, // u32, of 64 KiB
  cpuCount = 12, // u32
  commandLine = 16, // u32, address
  commandLineBytes = 20, // u32
  timePage = 24, // u32, address
  control = 32, // u32, address of the ControlBlock
  accessLog = 36, // u32, 1: the guest keeps an AccessRing
  sizeof = 40,
}

/** Time page. Byte offsets. */
export const enum TimePage {
  monotonicNs = 0, // u64, host writes on every entry into the guest
  nextTimerNs = 8, // u64, guest writes before run() returns; all ones: no timer
  heartbeat = 16, // u32, guest increments at every thread switch
  stats = 20, // u32, guest writes once: address of its NetStats block; 0: none
  trace = 24, // u32, guest writes: address of its TraceRing; 0: none yet
  consoleFull = 28, // u32, host writes; 1: nobody takes what is printed, who can wait should
  realtimeOffsetNs = 32, // i64, host writes on entry: nanoseconds since 1970 less monotonicNs
  heapTop = 40, // u32, guest writes: bytes of the RAM from here to HEAP_TAIL_BYTES before its end
  // are as the machine was created with them; 0: not known
  restored = 44, // u32, host writes 1 when it restores a snapshot; guest clears it
  generation = 48, // GENERATION_BYTES, host writes at boot and when it restores a snapshot
  accessLog = 64, // u32, guest writes once: address of its AccessRing; 0: none
  threads = 68, // u32, guest writes before run() returns, as the next two
  heapBytes = 72, // u64, of the whole heap
  heapInUse = 80, // u64
  counters = 88, // u32, guest writes once: address of its CounterTable; 0: none
  traceWanted = 92, // u32, host writes; 1: run() begins to record switches
  allocations = 96, // u64, guest writes before run() returns: blocks handed out since boot
  sizeof = 104,
}

/** Random bytes that no two machines share, not even clones of one snapshot. */
export const GENERATION_BYTES = 16;
/** The allocator's last header lies within these last bytes of the RAM. */
export const HEAP_TAIL_BYTES = 0x20000;

/** Why run() returned. */
export const enum RunResult {
  Halted = 0, // nothing is runnable before the next interrupt or timer
  BudgetSpent = 1, // threads are still runnable
}
