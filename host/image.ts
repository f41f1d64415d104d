// The guest's image: what the machine demands of its imports and exports, and how it is entered.
import {
  BOOT_INFO_ADDRESS,
  BOOT_MAGIC,
  BOOT_VERSION,
  BootInfo,
  COMMAND_LINE_ADDRESS,
  COMMAND_LINE_BYTES_MAX,
  TIME_PAGE_ADDRESS,
  TimePage,
} from "../drivers/abi/boot.ts";
import { type GuestMemory, PAGE_BYTES } from "./memory.ts";

/** The guest's entry points, and the instance that they belong to. */
export interface GuestExports {
  readonly instance: WebAssembly.Instance;
  readonly initialize: () => void;
  readonly boot: (bootInfo: number) => void;
  readonly interrupt: (irq: number) => void;
  readonly run: (budget: number) => number;
}

const ENTRY_POINTS = ["_initialize", "boot", "interrupt", "run"] as const;

/** Compiles and checks an image. Throws an Error that says what is wrong with it. */
export async function compileImage(
  image: BufferSource | WebAssembly.Module,
): Promise<WebAssembly.Module> {
  const module = image instanceof WebAssembly.Module ? image : await compile(image);
  const exported = new Map(WebAssembly.Module.exports(module).map((one) => [one.name, one.kind]));
  if (exported.get("memory") !== "memory") throw new Error("image: it exports no memory");
  for (const name of ENTRY_POINTS) {
    if (exported.get(name) !== "function") throw new Error(`image: it exports no ${name}()`);
  }
  const imports = WebAssembly.Module.imports(module);
  if (!imports.some((one) => one.module === "env" && one.name === "memory")) {
    throw new Error("image: it does not import its memory as env.memory");
  }
  return module;
}

async function compile(bytes: BufferSource): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new Error(`image: not a WebAssembly module: ${(error as Error).message}`);
  }
}

/** `imports` holds everything but the memory. */
export function instantiateImage(
  module: WebAssembly.Module,
  memory: GuestMemory,
  imports: WebAssembly.Imports,
): GuestExports {
  const all: WebAssembly.Imports = { ...imports, env: { memory: memory.wasm } };
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (all[from]?.[name] === undefined) {
      throw new Error(`image: it imports ${from}.${name}, which this machine does not have`);
    }
  }
  try {
    const instance = new WebAssembly.Instance(module, all);
    const { _initialize, boot, interrupt, run } = instance.exports as unknown as {
      _initialize: GuestExports["initialize"];
    } & Omit<GuestExports, "initialize" | "instance">;
    return { instance, initialize: _initialize, boot, interrupt, run };
  } catch (error) {
    // Mostly: the image declares more memory than the machine has, or memory of the other kind.
    const reason = (error as Error).message.replace(/^WebAssembly\.Instance\(\): /, "");
    throw new Error(`image: it does not fit ${memory.byteLength} bytes of memory: ${reason}`);
  }
}

/**
 * Leaves the boot-info block, the command line and an empty time page in the guest's memory.
 * `trace` asks the guest for a ring of its thread switches.
 */
export function writeBootInfo(memory: GuestMemory, commandLine: string, trace: boolean): void {
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
    [BootInfo.trace, trace ? 1 : 0],
  ];
  for (const [field, value] of u32s) memory.view.setUint32(BOOT_INFO_ADDRESS + field, value, true);
  memory.view.setBigUint64(TIME_PAGE_ADDRESS + TimePage.nextTimerNs, ~0n, true);
}
