// The firmware library on Node: @wasmer/wasi. It works on a page of memory of its own. Given a
// guest's memory it would hold on to that memory for good, and trust whatever addresses the guest
// passes; so bytes go through this page instead.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { compileFunction } from "node:vm";
import type * as WasmerWasi from "@wasmer/wasi";
import {
  FIRMWARE_MODULE,
  FIRMWARE_WRITE_BYTES_MAX,
  type FirmwareLibrary,
} from "../ports/firmware.ts";

const STDOUT = 1;

/** Layout of the library's page. */
const IOVEC_AT = 0;
const RESULT_AT = 16;
const DATA_AT = 32;
const DATA_BYTES = FIRMWARE_WRITE_BYTES_MAX; // DATA_AT + DATA_BYTES is a page

/**
 * The only guest that the library ever sees, as bytes:
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

class WasmerFirmware implements FirmwareLibrary {
  readonly #wasi: WasmerWasi.WASI;
  readonly #calls: Wasi;
  readonly #page: Uint8Array;
  readonly #view: DataView;

  constructor(wasi: WasmerWasi.WASI) {
    this.#wasi = wasi;
    const module = new WebAssembly.Module(PAGE_MODULE);
    const imports = wasi.getImports(module) as WebAssembly.Imports;
    const instance = new WebAssembly.Instance(module, imports);
    wasi.instantiate(instance, {});
    this.#calls = imports[FIRMWARE_MODULE] as unknown as Wasi;
    const { buffer } = instance.exports.memory as WebAssembly.Memory;
    this.#page = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.write(STDOUT, new Uint8Array(0)); // compiles it now: 2 ms
  }

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

let loading: Promise<FirmwareLibrary> | null = null;

/** Loads @wasmer/wasi, once per process: some 30 ms. Machine.create() waits for it. */
export function loadFirmware(): Promise<FirmwareLibrary> {
  loading ??= load(); // a second init() before the first is done would load everything again
  return loading;
}

async function load(): Promise<FirmwareLibrary> {
  const { init, WASI } = await loadLibrary();
  await init();
  return new WasmerFirmware(new WASI({ args: ["torito"], env: {} }));
}

async function loadLibrary(): Promise<typeof WasmerWasi> {
  try {
    return loadScript();
  } catch {
    return import("@wasmer/wasi"); // of a bundle, which contains it and has nothing beside it
  }
}

/**
 * As `require` would. With `import` Node would scan half a megabyte for the names of its exports.
 * The library asks whether the module that it is given is a Request or a Response. To it there are
 * none, for Node loads its whole HTTP client, 30 ms and 5 MB, when somebody looks at these globals.
 */
function loadScript(): typeof WasmerWasi {
  const require = createRequire(import.meta.url);
  const filename = require.resolve("@wasmer/wasi");
  const hidden = ["Request", "Response"];
  const names = ["exports", "require", "__filename", ...hidden];
  const script = compileFunction(readFileSync(filename, "utf8"), names, { filename });
  const exports = {};
  script(exports, require, filename);
  return exports as typeof WasmerWasi;
}
