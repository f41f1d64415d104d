// For tests of an appliance, exported as `torito/test`: a guest on a machine of its own, whose
// clock moves only when told. `torito test` runs the tests that are written in the guest's language
// with the same functions; a test on the host boots the application, and needs no other library.
/// <reference types="node" preserve="true" />
import { ManualClock } from "../manual-clock.ts";
import type { MachineOptions } from "../options.ts";
import { Machine } from "./machine.ts";

export { ManualClock } from "../manual-clock.ts";
export type { MachineOptions } from "../options.ts";
export {
  type Compiled,
  type CompileOptions,
  compile,
  type Diagnostic,
  type Point,
} from "./builder.ts";
export { Machine } from "./machine.ts";

const MEMORY_BYTES = 16 * 1024 * 1024;
/** Simulated time until a test must have ended: nothing waits longer on purpose. */
const PATIENCE_MS = 60_000;

/** An image, or a module that several guests share, and its map. */
export interface GuestImage {
  readonly wasm: BufferSource | WebAssembly.Module;
  /** Source map as text, so that failures show lines. */
  readonly map?: string;
}

/** A guest that has booted. */
export interface Guest {
  readonly machine: Machine;
  /** The only clock that the guest sees. */
  readonly clock: ManualClock;
  /** The guest's output, by whole lines. */
  readonly console: string[];
  /**
   * Advances the clock, millisecond by millisecond, and lets the guest run in each. Ends early when
   * `until` returns true, or the machine has ended.
   */
  advance(ms: number, until?: () => boolean): void;
}

/** A test of the guest has failed. */
export class TestFailure extends Error {
  override name = "TestFailure";
  /** The innermost place in the author's own sources; empty if there is none. */
  readonly file: string;
  /** From 1; 0 without a place. */
  readonly line: number;
  /** From 1; 0 without a place. */
  readonly column: number;
  /** Frames of the guest, innermost first; empty: it did not panic. */
  readonly frames: string;
  /** Output of the test. */
  console: readonly string[] = [];

  /** `place` is used if it is the author's; otherwise that of the innermost frame that is. */
  constructor(message: string, frames = "", place: Place = NOWHERE) {
    super(message);
    const own = place.file !== "" && !LIBRARIES.test(place.file) ? place : ownPlace(frames);
    this.frames = frames;
    this.file = own.file;
    this.line = own.line;
    this.column = own.column;
  }
}

interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const NOWHERE: Place = { file: "", line: 0, column: 0 };
const LIBRARIES = /^(~lib\/|torito[/:])/;

function ownPlace(frames: string): Place {
  for (const [, file = "", line, column] of frames.matchAll(/\(([^()]+):(\d+):(\d+)\)$/gm)) {
    if (!LIBRARIES.test(file)) return { file, line: Number(line), column: Number(column) };
  }
  return NOWHERE;
}

/**
 * Boots an image on a fresh machine. Defaults: 16 MiB, no devices, entropy that is always the same.
 * Rejects as Machine.create() does. Dispose the machine when done.
 */
export async function bootGuest(
  { wasm, map }: GuestImage,
  options: Partial<MachineOptions> = {},
): Promise<Guest> {
  const clock = new ManualClock();
  const console: string[] = [];
  const machine = await Machine.create({
    image: moduleOf(wasm),
    sourceMap: map,
    memoryBytes: MEMORY_BYTES,
    clock,
    console: (text) => void console.push(text),
    entropy: (into) => into.fill(7),
    ...options,
  });
  machine.boot();
  const advance = (ms: number, until = () => false) => {
    for (let passed = 0; ; passed++) {
      while (clock.settle() > 0);
      if (passed >= ms || machine.ended || until()) return;
      clock.advance(1);
    }
  };
  return { machine, clock, console, advance };
}

/** Images of tests export their table, which a machine accepts of a module only. */
function moduleOf(wasm: GuestImage["wasm"]): WebAssembly.Module {
  return wasm instanceof WebAssembly.Module ? wasm : new WebAssembly.Module(wasm);
}

/** Names of the tests in an image of target `test`: `test_*` and `panics_*`. */
export function testsOf(image: GuestImage): string[] {
  return WebAssembly.Module.exports(moduleOf(image.wasm))
    .filter(({ name, kind }) => kind === "function" && /^(test|panics)_/.test(name))
    .map(({ name }) => name);
}

/**
 * Runs one test on a fresh machine, as a thread: it ends when all threads have, within a minute of
 * simulated time. `panics_*` must panic. `look` is given the machine before it
 * is disposed. Resolves with what the guest has printed. Rejects with a TestFailure.
 */
export async function runTest(
  image: GuestImage,
  name: string,
  options: Partial<MachineOptions> = {},
  look: (machine: Machine) => void = () => {},
): Promise<string[]> {
  const { machine, advance, console } = await bootGuest(image, options);
  console.length = 0; // the kernel's own lines
  try {
    const failure = await failureOf(machine, advance, name);
    if (name.startsWith("panics_")) {
      if (failure === null) throw new TestFailure("it should have panicked");
    } else if (failure !== null) throw failure;
    return console;
  } catch (error) {
    if (error instanceof TestFailure) error.console = console;
    throw error;
  } finally {
    look(machine);
    machine.dispose();
  }
}

async function failureOf(
  machine: Machine,
  advance: Guest["advance"],
  name: string,
): Promise<TestFailure | null> {
  try {
    machine.call(name);
    advance(PATIENCE_MS, () => machine.call("unfinished") === 0);
    if (!machine.ended && machine.call("unfinished") !== 0) {
      return new TestFailure("a thread has not ended within a minute");
    }
  } catch (error) {
    if (!machine.ended) throw error;
  }
  if (!machine.ended) return null;
  const exit = await machine.exited;
  if (exit.kind === "power-off") return new TestFailure(`power-off with exit code ${exit.code}`);
  return exit.kind === "panic" ? new TestFailure(exit.message, exit.stack, exit) : null;
}
