// The firmware: the calls of WASI preview 1 that the kernel uses. Each returns 0 or a WASI errno.

/**
 * Writes `count` buffers {address u32, bytes u32} at `iovs` to descriptor `fd`: 1 is the console.
 * It takes the bytes that it has room for, and stores their number at `written`; none: 6, AGAIN.
 */
export declare function fd_write(fd: u32, iovs: usize, count: u32, written: usize): u32;

/** Stores the time of clock `id` (0: the real-time clock) as u64 nanoseconds at `out`. */
export declare function clock_time_get(id: u32, precision: u64, out: usize): u32;

/** Fills `bytes` bytes at `address` with entropy. */
export declare function random_get(address: usize, bytes: u32): u32;

/** Power-off: does not return. */
export declare function proc_exit(code: u32): void;
