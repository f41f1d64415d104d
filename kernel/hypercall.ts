// The hypercalls, which are all that the guest can ask of the host. Each declaration is an import
// of the image, module "hypercall"; host/hypercall.ts implements this file, and the compiler checks
// it against these types. A hypercall never runs guest code: it may complete requests in guest
// memory and mark interrupts pending, which the host delivers once the present call into the guest
// returns.

/**
 * Reads a device register; `address` is on the MMIO bus, `bytes` is 1, 2 or 4. Nothing there: 0.
 */
export declare function mmioRead(address: u32, bytes: u32): u32;

/** Writes a device register. A write to QueueNotify may complete requests before it returns. */
export declare function mmioWrite(address: u32, bytes: u32, value: u32): void;

/** Monotonic nanoseconds now; the time page holds those of the last entry into the guest. */
export declare function clock(): u64;

/**
 * Ends the guest: does not return. `message` and `file` are addresses of UTF-16 strings with their
 * byte length at address - 4, or 0.
 */
export declare function panic(message: usize, file: usize, line: u32, column: u32): void;

/**
 * As panic(), for an error that concerns only the running thread: does not return. The host
 * discards the frames from run() on, logs the error, and enters the guest at fault().
 */
export declare function fault(message: usize, file: usize, line: u32, column: u32): void;
