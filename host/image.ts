// The guest's image: required imports and exports, and its entry points.
import {
  BOOT_INFO_ADDRESS,
  BOOT_MAGIC,
  BOOT_VERSION,
  BootInfo,
  COMMAND_LINE_ADDRESS,
  COMMAND_LINE_BYTES_MAX,
  TIME_PAGE_ADDRESS,
  TimePage,
} from "../abi/boot.ts";
import { CONTROL_BLOCK_ADDRESS } from "../abi/control.ts";
import { type GuestMemory, PAGE_BYTES } from "./memory.ts";
import { checkSections } from "./sections.ts";

/** The guest's entry points, and all exports of the image. */
export interface GuestExports {
  readonly exports: WebAssembly.Exports;
  readonly initialize: () => void;
  readonly boot: (bootInfo: number) => void;
  readonly interrupt: (irq: number) => void;
  readonly run: (budget: number) => number;
  /** null: an image whose threads never survive a fault. */
  readonly fault: (() => void) | null;
}

/** WebAssembly's binary form. */
const I32 = 0x7f;
const FUNCTION = 0x60;

interface Signature {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
}

const REQUIRED = ["_initialize", "boot", "interrupt", "run"];
const ENTRY_POINTS: Readonly<Record<string, Signature>> = {
  _initialize: { parameters: [], results: [] },
  boot: { parameters: [I32], results: [] },
  interrupt: { parameters: [I32], results: [] },
  run: { parameters: [I32], results: [I32] },
  fault: { parameters: [], results: [] },
};

/** The bytes that each module was compiled from. */
const sources = new WeakMap<WebAssembly.Module, Uint8Array>();

/** The bytes of a module that compileImage() has compiled; undefined: it was given one. */
export function bytesOfModule(module: WebAssembly.Module): Uint8Array | undefined {
  return sources.get(module);
}

/**
 * The value of an exported global: a constant, or the address of static memory. Throws an Error if
 * there is none.
 */
export function globalOf({ exports }: GuestExports, name: string): number {
  const exported = exports[name];
  if (!(exported instanceof WebAssembly.Global)) throw new Error(`image: no global ${name}`);
  return Number(exported.value);
}

const GROWN = "image: its start function grows the memory, which has a fixed size";

/** Compiles and checks an image. Throws an Error that says what is wrong with it. */
export async function compileImage(
  image: BufferSource | WebAssembly.Module,
): Promise<WebAssembly.Module> {
  // A copy: the caller must not change the bytes between check and compilation.
  const bytes = image instanceof WebAssembly.Module ? null : bytesOf(image).slice();
  const module = bytes === null ? (image as WebAssembly.Module) : await compile(bytes);
  const exported = new Map(WebAssembly.Module.exports(module).map((one) => [one.name, one.kind]));
  if (exported.get("memory") !== "memory") throw new Error("image: it exports no memory");
  for (const name of REQUIRED) {
    if (exported.get(name) !== "function") throw new Error(`image: it exports no ${name}()`);
  }
  const imports = WebAssembly.Module.imports(module);
  if (!imports.some((one) => one.module === "env" && one.name === "memory")) {
    throw new Error("image: it does not import its memory as env.memory");
  }
  if (bytes !== null) {
    checkSections(bytes);
    sources.set(module, bytes);
  }
  return module;
}

async function compile(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new Error(`image: not a WebAssembly module: ${(error as Error).message}`);
  }
}

function bytesOf(image: BufferSource): Uint8Array<ArrayBuffer> {
  if (!ArrayBuffer.isView(image)) return new Uint8Array(image);
  return new Uint8Array(image.buffer as ArrayBuffer, image.byteOffset, image.byteLength);
}

/**
 * `imports` holds everything but the memory. The image's start function runs now. If it ends the
 * guest, initialize() reports that.
 */
export function instantiateImage(
  module: WebAssembly.Module,
  memory: GuestMemory,
  imports: WebAssembly.Imports,
): GuestExports {
  const all: WebAssembly.Imports = { ...imports, env: { memory: memory.wasm } };
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (all[from]?.[name] === undefined) {
      throw new Error(`image: it imports ${from}.${name}, which this machine does not provide`);
    }
  }
  let instance: WebAssembly.Instance;
  try {
    instance = new WebAssembly.Instance(module, all);
  } catch (error) {
    const unfit = /^WebAssembly\.Instance\(\): (.*)$/s.exec((error as Error)?.message ?? "");
    if (!memory.attached) throw new Error(GROWN);
    if (unfit === null) return endedInStart(error);
    // Most likely the image declares more memory than the machine has, or memory of the other kind.
    throw new Error(`image: it does not fit ${memory.byteLength} bytes of memory: ${unfit[1]}`);
  }
  if (!memory.attached) throw new Error(GROWN);
  for (const [name, signature] of Object.entries(ENTRY_POINTS)) {
    const entry = instance.exports[name];
    if (entry !== undefined) checkSignature(name, entry as () => void, signature);
  }
  const { _initialize, ...entries } = instance.exports as unknown as {
    _initialize: GuestExports["initialize"];
    fault?: () => void;
  } & Omit<GuestExports, "initialize" | "exports">;
  const { boot, interrupt, run, fault = null } = entries;
  return { exports: instance.exports, initialize: _initialize, boot, interrupt, run, fault };
}

function endedInStart(error: unknown): GuestExports {
  const initialize = () => {
    throw error;
  };
  return { exports: {}, initialize, boot() {}, interrupt() {}, run: () => 0, fault: null };
}

/** Links a module that imports a function of the wanted type: the only way to compare types. */
function checkSignature(name: string, entry: () => void, { parameters, results }: Signature): void {
  const module = new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 4 + parameters.length + results.length, 1, FUNCTION],
      ...[parameters.length, ...parameters, results.length, ...results],
      ...[2, 5, 1, 0, 0, 0, 0], // one import: no module name, no name, a function, type 0
    ]),
  );
  try {
    new WebAssembly.Instance(module, { "": { "": entry } });
  } catch {
    const list = (types: readonly number[]) => `(${types.map(() => "i32").join(", ")})`;
    const type = `${list(parameters)} -> ${list(results)}`;
    throw new Error(`image: its ${name}() is not of the type ${type}`);
  }
}

/**
 * Writes the boot-info block, the command line and an empty time page to guest memory.
 * `accessLog`: the guest is asked for the ring of its requests.
 */
export function writeBootInfo(memory: GuestMemory, commandLine: string, accessLog: boolean): void {
  const line = new TextEncoder().encode(commandLine);
  if (line.length > COMMAND_LINE_BYTES_MAX) {
    throw new Error(`kernel parameters: ${line.length} of ${COMMAND_LINE_BYTES_MAX} bytes`);
  }
  memory.bytes(COMMAND_LINE_ADDRESS, line.length).set(line);
  const u32s: [number, number][] = [
    [BootInfo.magic, BOOT_MAGIC],
    [BootInfo.version, BOOT_VERSION],
    [BootInfo.memoryPages, memory.ramBytes / PAGE_BYTES],
    [BootInfo.cpuCount, 1],
    [BootInfo.commandLine, COMMAND_LINE_ADDRESS],
    [BootInfo.commandLineBytes, line.length],
    [BootInfo.timePage, TIME_PAGE_ADDRESS],
    [BootInfo.control, CONTROL_BLOCK_ADDRESS],
    [BootInfo.accessLog, accessLog ? 1 : 0],
  ];
  for (const [field, value] of u32s) memory.view.setUint32(BOOT_INFO_ADDRESS + field, value, true);
  memory.view.setBigUint64(TIME_PAGE_ADDRESS + TimePage.nextTimerNs, ~0n, true);
}
