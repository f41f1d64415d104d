// Compiles and runs the unit tests that are written in AssemblyScript, and notes which statements
// of the guest ran: test/support/coverage.ts adds up the notes of all test files.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import type { Point } from "../../tools/coverage.mjs";
import { compileOnce, type Options } from "./compiled.ts";
import { COVERAGE_FOLDER } from "./coverage.ts";

export interface GuestImage {
  /** Bytes of an image that is to be saved. */
  readonly module: WebAssembly.Module | Uint8Array<ArrayBuffer>;
  readonly map: string;
  readonly points: Point[];
  /** By statement: did it run in any test? */
  readonly hits: Uint8Array;
}

export async function compileGuest(
  entry: string,
  options: Options = {},
  target: "release" | "test" = "test",
): Promise<GuestImage> {
  const all = { kind: "calls", coverage: "all", ...options } as const;
  const { wasm, map, points } = await compileOnce(entry, target, all);
  const hits = new Uint8Array(points.length);
  afterAll(() => {
    mkdirSync(COVERAGE_FOLDER, { recursive: true });
    const name = `${entry.replaceAll("/", "-")}-${process.pid}-${Date.now()}.json`;
    writeFileSync(`${COVERAGE_FOLDER}/${name}`, JSON.stringify({ points, hits: [...hits] }));
  });
  const module = target === "release" ? wasm : new WebAssembly.Module(wasm);
  return { module, map, points, hits };
}

/** A guest without an application, whose functions a test calls, as bytes that can be saved. */
export function savedGuest(entry: string) {
  return compileOnce(entry, "release", { kind: "calls" });
}

export interface GuestRun {
  readonly machine: Machine;
  readonly clock: ManualClock;
  /** The guest's console. */
  readonly lines: string[];
}

/** Simulated time until a test must have ended: nothing waits longer on purpose. */
const PATIENCE_MS = 60_000;

/** Boots a machine, calls the test and lets its threads end. Rejects with the guest's panic. */
export async function runGuest(
  image: GuestImage,
  name: string,
  options: Partial<MachineOptions> = {},
): Promise<GuestRun> {
  const clock = new ManualClock();
  const lines: string[] = [];
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 16 * 1024 * 1024,
    clock,
    console: (line) => lines.push(line),
    entropy: (into) => into.fill(7),
    ...options,
  });
  machine.boot();
  try {
    machine.call(name);
    for (let ms = 0; ms < PATIENCE_MS && machine.call("unfinished") !== 0; ms++) {
      while (clock.settle() > 0);
      clock.advance(1);
    }
    if (machine.call("unfinished") !== 0) throw new Error(`${name}: a thread never ended`);
    return { machine, clock, lines };
  } catch (error) {
    // A panic between two calls is seen by the next one, which knows nothing of it.
    const exit = await Promise.race([machine.exited, null]);
    if (exit?.kind !== "panic" || exit.message === (error as Error).message) throw error;
    throw new Error(`${name}: ${exit.message}\n${exit.stack}`, { cause: error });
  } finally {
    collectHits(image, machine);
    machine.dispose();
  }
}

/** Adds what ran on a machine to the image's hits. */
export function collectHits({ points, hits }: GuestImage, machine: Machine): void {
  machine.memory.bytes(machine.global("coverage"), points.length).forEach((hit, i) => {
    if (hit === 1) hits[i] = 1;
  });
}
