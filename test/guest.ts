// Compiles and runs the unit tests that are written in AssemblyScript.
import { ManualClock } from "../host/clock.ts";
import type { VirtioDevice } from "../host/device.ts";
import { Machine } from "../host/machine.ts";
import { compile } from "../tools/compile.mjs";
import type { Point } from "../tools/coverage.mjs";

export interface GuestImage {
  readonly module: WebAssembly.Module;
  readonly map: string;
  readonly points: Point[];
  /** By statement: did it run in any test? */
  readonly hits: Uint8Array;
}

export async function compileGuest(entry: string): Promise<GuestImage> {
  const { wasm, map, points } = await compile(entry, "test", { coverage: true });
  return { module: new WebAssembly.Module(wasm), map, points, hits: new Uint8Array(points.length) };
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
  options: { parameters?: string; devices?: VirtioDevice[]; memoryBytes?: number } = {},
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
  } finally {
    collectHits(image, machine);
    machine.dispose();
  }
}

function collectHits(image: GuestImage, machine: Machine): void {
  const hits = machine.memory.bytes(machine.global("coverage"), image.points.length);
  for (let i = 0; i < hits.length; i++) image.hits[i] |= hits[i] as number;
}

/** A line per source file: statements that ran, and the lines that did not. */
export function coverageReport(images: readonly GuestImage[]): string[] {
  const files = new Map<string, Map<number, boolean>>();
  for (const { points, hits } of images) {
    points.forEach(({ file, line }, i) => {
      const lines = files.get(file) ?? new Map<number, boolean>();
      lines.set(line, (lines.get(line) ?? false) || hits[i] === 1);
      files.set(file, lines);
    });
  }
  return [...files].sort().map(([file, lines]) => {
    const missed = [...lines].filter(([, hit]) => !hit).map(([line]) => line);
    const share = `${lines.size - missed.length}/${lines.size} lines`;
    return `${file}: ${share}${missed.length > 0 ? `, not ${missed.sort((a, b) => a - b).join(" ")}` : ""}`;
  });
}
