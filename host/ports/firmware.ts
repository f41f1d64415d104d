// The library that performs a guest's WASI calls, once their arguments have been checked. One
// instance serves all machines of a process.

/** Module name under which an image imports these calls. */
export const FIRMWARE_MODULE = "wasi_snapshot_preview1";

/** The most bytes that one write() is given. */
export const FIRMWARE_WRITE_BYTES_MAX = 65504;

/** The WASI implementation that provides a guest's firmware. */
export interface FirmwareLibrary {
  /** Bytes for the console, for a write to stdout (1) or stderr (2). Valid until the next call. */
  write(fd: number, bytes: Uint8Array): Uint8Array;
  /** Nanoseconds of CLOCK_REALTIME (0). */
  time(id: number): bigint;
  /** Fills the array with entropy. It may be a view of shared memory. */
  random(into: Uint8Array): void;
}
