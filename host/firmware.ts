// The guest's firmware: WASI by @wasmer/wasi for console, real-time clock, entropy and power-off.
// The library works on a page of its own, one for all machines of the process. Given a guest's
// memory it would never let go of it, and it would believe what the guest says: arguments are
// checked here, and bytes go through that page. Other calls of WASI there are not.
import { createRequire } from "node:module";
import type * as WasmerWasi from "@wasmer/wasi";
import type { Console } from "./console.ts";
import type { GuestMemory } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";

// An import would have Node search half a megabyte for the names of its exports.
const { init, WASI } = createRequire(import.meta.url)("@wasmer/wasi") as typeof WasmerWasi;

const FIRMWARE_MODULE = "wasi_snapshot_preview1";

const ERRNO_SUCCESS = 0;
const ERRNO_AGAIN = 6;
const ERRNO_BADF = 8;
const ERRNO_FAULT = 21;
const ERRNO_INVAL = 28;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const STDOUT = 1;
const STDERR = 2;
/** Buffers of one fd_write; as many as Linux takes. */
const IOVECS_MAX = 1024;
const IOVEC_BYTES = 8;

/** The guest asked for power-off; thrown through the guest. */
export class PowerOff extends Error {
  override name = "PowerOff";
  readonly code: number;

  constructor(code: number) {
    super(`power-off with code ${code}`);
    this.code = code;
  }
}

/** Where things are in the library's page. */
const IOVEC_AT = 0;
const RESULT_AT = 16;
const DATA_AT = 32;
const DATA_BYTES = 65536 - DATA_AT;

/**
 * The guest that the library knows, in bytes:
 * `(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
 *   (memory (export "memory") 1))`
 */
const PAGE_MODULE = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 9, 1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f],
  ...[2, 35, 1, 22, ...ascii(FIRMWARE_MODULE), 8, ...ascii("fd_write"), 0, 0],
  ...[5, 3, 1, 0, 1],
  ...[7, 10, 1, 6, ...ascii("memory"), 2, 0],
]);

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

interface Wasi {
  fd_write(fd: number, iovs: number, count: number, written: number): number;
  clock_time_get(id: number, precision: bigint, at: number): number;
  random_get(at: number, bytes: number): number;
}

/** The library, and the page that it works on. */
class Library {
  readonly #wasi = new WASI({ args: ["torito"], env: {} });
  readonly #calls: Wasi;
  readonly #page: Uint8Array;
  readonly #view: DataView;

  constructor() {
    const module = new WebAssembly.Module(PAGE_MODULE);
    const imports = this.#wasi.getImports(module) as WebAssembly.Imports;
    const instance = new WebAssembly.Instance(module, imports);
    this.#wasi.instantiate(instance, {});
    this.#calls = imports[FIRMWARE_MODULE] as unknown as Wasi;
    const { buffer } = instance.exports.memory as WebAssembly.Memory;
    this.#page = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.write(STDOUT, new Uint8Array(0)); // V8 compiles what is called first, 2 ms of a console
  }

  /** What the library makes of at most DATA_BYTES of output. */
  write(fd: number, bytes: Uint8Array): Uint8Array {
    this.#page.set(bytes, DATA_AT);
    this.#view.setUint32(IOVEC_AT, DATA_AT, true);
    this.#view.setUint32(IOVEC_AT + 4, bytes.length, true);
    this.#calls.fd_write(fd, IOVEC_AT, 1, RESULT_AT);
    return fd === STDOUT ? this.#wasi.getStdoutBuffer() : this.#wasi.getStderrBuffer();
  }

  time(id: number): bigint {
    this.#calls.clock_time_get(id, 1n, RESULT_AT);
    return this.#view.getBigUint64(RESULT_AT, true);
  }

  random(into: Uint8Array): void {
    for (let at = 0; at < into.length; at += DATA_BYTES) {
      const bytes = Math.min(into.length - at, DATA_BYTES);
      this.#calls.random_get(DATA_AT, bytes);
      into.set(this.#page.subarray(DATA_AT, DATA_AT + bytes), at);
    }
  }
}

let loading: Promise<Library> | null = null;

/** Loads @wasmer/wasi: some 30 ms, once per process. Machine.create() waits for it. */
export function loadFirmware(): Promise<Library> {
  loading ??= load(); // init() called again before it is done would load again
  return loading;
}

async function load(): Promise<Library> {
  await init();
  return new Library();
}

export type FirmwareLibrary = Library;

export interface FirmwareOptions {
  readonly memory: GuestMemory;
  readonly console: Console;
  /** The console had no room for all of a write: a guest that does not try again loses the rest. */
  readonly refused: () => void;
  /** In place of the system's clock. */
  readonly clock?: Clock | undefined;
  /** In place of the system's entropy. */
  readonly entropy?: ((into: Uint8Array) => void) | undefined;
  /** Throws through the guest. */
  readonly powerOff: (code: number) => never;
}

/** The imports of one machine's image. */
export function createFirmware(library: Library, options: FirmwareOptions): WebAssembly.Imports {
  const { memory, console, clock, powerOff, refused } = options;
  const entropy = options.entropy ?? ((into: Uint8Array) => library.random(into));

  /** Takes what there is room for: less than all is a short write, nothing at all AGAIN. */
  function fd_write(fd: number, iovs: number, count: number, written: number): number {
    memory.assertAttached();
    if (fd !== STDOUT && fd !== STDERR) return ERRNO_BADF;
    if (count < 0 || count > IOVECS_MAX) return ERRNO_INVAL;
    if (!memory.contains(iovs, count * IOVEC_BYTES)) return ERRNO_FAULT;
    if (!memory.contains(written, 4)) return ERRNO_FAULT;
    const list = memory.bytes(iovs, count * IOVEC_BYTES).slice(); // what is checked is what is used
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
      const part = bytes.subarray(at, at + Math.min(DATA_BYTES, console.room));
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
    if (clock === undefined) return library.time(id);
    return id === CLOCK_REALTIME ? clock.realtime() : BigInt(Math.floor(clock.now()));
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
