// The guest's firmware: the WASI preview 1 calls of a guest, for console, real-time clock, entropy
// and power-off. Addresses and lengths are checked here; what a call does is up to the firmware
// library of the host (ports/firmware.ts), which sees no guest memory.
import type { Console } from "./console.ts";
import type { GuestMemory } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";
import {
  FIRMWARE_MODULE,
  FIRMWARE_WRITE_BYTES_MAX,
  type FirmwareLibrary,
} from "./ports/firmware.ts";

const ERRNO_SUCCESS = 0;
const ERRNO_AGAIN = 6;
const ERRNO_BADF = 8;
const ERRNO_FAULT = 21;
const ERRNO_INVAL = 28;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const STDOUT = 1;
const STDERR = 2;
/** Buffers of one fd_write: as many as Linux accepts. */
const IOVECS_MAX = 1024;
const IOVEC_BYTES = 8;

/** The guest powered off. Thrown through the guest. */
export class PowerOff extends Error {
  override name = "PowerOff";
  readonly code: number;

  constructor(code: number) {
    super(`power-off with code ${code}`);
    this.code = code;
  }
}

export interface FirmwareOptions {
  readonly memory: GuestMemory;
  readonly console: Console;
  /** The console had no room for all of a write. A guest that does not retry loses the rest. */
  readonly refused: () => void;
  /** The machine's, for the monotonic time: a snapshot takes the guest to another host. */
  readonly clock: Clock;
  /** Replaces the library's real-time clock. */
  readonly realtime?: Clock | undefined;
  /** Replaces the library's entropy. */
  readonly entropy?: ((into: Uint8Array) => void) | undefined;
  /** Throws through the guest. */
  readonly powerOff: (code: number) => never;
}

/** The imports of one machine's image. */
export function createFirmware(
  library: FirmwareLibrary,
  options: FirmwareOptions,
): WebAssembly.Imports {
  const { memory, console, clock, realtime, powerOff, refused } = options;
  const entropy = options.entropy ?? ((into: Uint8Array) => library.random(into));

  /** Writes as much as the console has room for: a short write, or AGAIN if there is no room. */
  function fd_write(fd: number, iovs: number, count: number, written: number): number {
    memory.assertAttached();
    if (fd !== STDOUT && fd !== STDERR) return ERRNO_BADF;
    if (count < 0 || count > IOVECS_MAX) return ERRNO_INVAL;
    if (!memory.contains(iovs, count * IOVEC_BYTES)) return ERRNO_FAULT;
    if (!memory.contains(written, 4)) return ERRNO_FAULT;
    // A copy: the guest must not change it after the check.
    const list = memory.bytes(iovs, count * IOVEC_BYTES).slice();
    const iovecs = new DataView(list.buffer);
    let asked = 0;
    for (let at = 0; at < list.length; at += IOVEC_BYTES) {
      const bytes = iovecs.getUint32(at + 4, true);
      if (!memory.contains(iovecs.getUint32(at, true), bytes)) return ERRNO_FAULT;
      asked += bytes;
    }
    let taken = 0;
    for (let at = 0; at < list.length && console.room > 0; at += IOVEC_BYTES) {
      const [address, bytes] = [iovecs.getUint32(at, true), iovecs.getUint32(at + 4, true)];
      taken += take(fd, memory.bytes(address, bytes));
    }
    if (taken < asked) refused();
    memory.view.setUint32(memory.check(written, 4), taken, true);
    return taken === 0 && asked > 0 ? ERRNO_AGAIN : ERRNO_SUCCESS;
  }

  function take(fd: number, bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && console.room > 0) {
      const part = bytes.subarray(at, at + Math.min(FIRMWARE_WRITE_BYTES_MAX, console.room));
      console.add(library.write(fd, part));
      console.deliver();
      at += part.length;
    }
    return at;
  }

  function clock_time_get(id: number, _precision: bigint, address: number): number {
    memory.assertAttached();
    if (id !== CLOCK_REALTIME && id !== CLOCK_MONOTONIC) return ERRNO_INVAL;
    if (!memory.contains(address, 8)) return ERRNO_FAULT;
    memory.view.setBigUint64(memory.check(address, 8), timeOf(id), true);
    return ERRNO_SUCCESS;
  }

  function timeOf(id: number): bigint {
    if (id === CLOCK_MONOTONIC) return BigInt(Math.floor(clock.now()));
    return realtime?.realtime() ?? library.time(id);
  }

  function random_get(address: number, length: number): number {
    memory.assertAttached();
    if (!memory.contains(address, length)) return ERRNO_FAULT;
    entropy(memory.bytes(address, length));
    return ERRNO_SUCCESS;
  }

  const calls = { fd_write, clock_time_get, random_get, proc_exit: powerOff };
  return { [FIRMWARE_MODULE]: calls };
}
