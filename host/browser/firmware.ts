// The firmware library of a browser: the calls that a guest makes of WASI, written out. A library
// for all of WASI would be five times as large as everything else.
import type { FirmwareLibrary } from "../ports/firmware.ts";

/** The most bytes that getRandomValues() fills at a time. */
const RANDOM_BYTES_MAX = 65536;
const CLOCK_REALTIME = 0;

export const browserFirmware: FirmwareLibrary = {
  write: (_fd, bytes) => bytes,
  time: (id) =>
    id === CLOCK_REALTIME
      ? BigInt(Date.now()) * 1_000_000n
      : BigInt(Math.floor(performance.now() * 1e6)),
  random(into) {
    // It refuses shared memory, so it fills an array of our own.
    const own = new Uint8Array(Math.min(into.length, RANDOM_BYTES_MAX));
    for (let at = 0; at < into.length; at += own.length) {
      const part = own.subarray(0, Math.min(own.length, into.length - at));
      into.set(crypto.getRandomValues(part), at);
    }
  },
};
