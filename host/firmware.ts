// The guest's firmware: WASI by @wasmer/wasi for console, real-time clock, entropy and power-off.
// Only the four calls below are the machine's business; the others work on an empty file system.
import { createRequire } from "node:module";
import type * as WasmerWasi from "@wasmer/wasi";
import type { Clock } from "./clock.ts";
import type { GuestMemory } from "./memory.ts";

// An import would have Node search half a megabyte for the names of its exports.
const { init, WASI } = createRequire(import.meta.url)("@wasmer/wasi") as typeof WasmerWasi;

const FIRMWARE_MODULE = "wasi_snapshot_preview1";

/** An unfinished console line is shown when it has grown to this many characters. */
const CONSOLE_LINE_MAX = 4096;

const ERRNO_SUCCESS = 0;
const ERRNO_FAULT = 21;
const CLOCK_REALTIME = 0;

/** The guest asked for power-off; thrown through the guest. */
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
  /** Takes whole lines, newline included; at the end also an unfinished one. */
  readonly console: (text: string) => void;
  /** In place of the system's clock. */
  readonly clock?: Clock | undefined;
  /** In place of the system's entropy. */
  readonly entropy?: ((into: Uint8Array) => void) | undefined;
}

let loading: Promise<void> | null = null;

/** Loads @wasmer/wasi: some 30 ms, once per process. Machine.create() waits for it. */
export function loadFirmware(): Promise<void> {
  loading ??= load(); // init() called again before it is done would load again
  return loading;
}

async function load(): Promise<void> {
  await init();
  // V8 compiles what is called first, 2 ms of a console. Now the image is being compiled as well.
  new WASI({}).getStdoutString();
}

export class Firmware {
  readonly imports: WebAssembly.Imports;
  readonly #options: FirmwareOptions;
  readonly #wasi: WasmerWasi.WASI | null;
  #line = "";

  /** loadFirmware() has resolved before. */
  constructor(module: WebAssembly.Module, options: FirmwareOptions) {
    this.#options = options;
    const wanted = WebAssembly.Module.imports(module).some((one) => one.module === FIRMWARE_MODULE);
    this.#wasi = wanted ? new WASI({ args: ["torito"], env: {} }) : null;
    // getImports() refuses a module that imports nothing of WASI.
    this.imports = this.#wasi === null ? {} : this.#replace(this.#wasi, module);
  }

  /** Binds the memory that the instance exports. */
  attach(instance: WebAssembly.Instance): void {
    this.#wasi?.instantiate(instance, {});
  }

  /** Shows what is left of the last line. */
  flush(): void {
    if (this.#line !== "") this.#options.console(this.#line);
    this.#line = "";
  }

  #replace(wasi: WasmerWasi.WASI, module: WebAssembly.Module): WebAssembly.Imports {
    const all = wasi.getImports(module) as WebAssembly.Imports;
    const calls = all[FIRMWARE_MODULE] as Record<string, (...args: never[]) => unknown>;
    const { clock, entropy, memory } = this.#options;
    const write = calls.fd_write as (...args: number[]) => number;
    calls.fd_write = (...args: number[]) => {
      const errno = write(...args);
      this.#print(wasi.getStdoutString() + wasi.getStderrString());
      return errno;
    };
    // The library's own throws an object without a readable code.
    calls.proc_exit = (code: number) => {
      throw new PowerOff(code);
    };
    if (clock !== undefined) {
      calls.clock_time_get = (id: number, _precision: bigint, address: number) => {
        if (!memory.contains(address, 8)) return ERRNO_FAULT;
        const ns = id === CLOCK_REALTIME ? clock.realtime() : BigInt(Math.floor(clock.now()));
        memory.view.setBigUint64(memory.check(address, 8), ns, true);
        return ERRNO_SUCCESS;
      };
    }
    if (entropy !== undefined) {
      calls.random_get = (address: number, length: number) => {
        if (!memory.contains(address, length)) return ERRNO_FAULT;
        entropy(memory.bytes(address, length));
        return ERRNO_SUCCESS;
      };
    }
    return { [FIRMWARE_MODULE]: calls as WebAssembly.ModuleImports };
  }

  #print(text: string): void {
    const all = this.#line + text;
    const end = all.length > CONSOLE_LINE_MAX ? all.length : all.lastIndexOf("\n") + 1;
    this.#line = all.slice(end);
    if (end > 0) this.#options.console(all.slice(0, end));
  }
}
