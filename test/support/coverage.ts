// Guest coverage of a whole run, as a vitest global set-up: guest.ts leaves the hits of every test
// file in a folder, and the teardown prints the share of lines that ran, by source file.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import type { Point } from "../../tools/coverage.mjs";
import { IMAGES_FOLDER } from "./compiled.ts";

export const COVERAGE_FOLDER = "coverage/guest";

/** Images of other sources that are kept from earlier runs. */
const IMAGES_KEPT_MS = 24 * 3600 * 1000;

export function setup(): void {
  removeOldImages();
  rmSync(COVERAGE_FOLDER, { recursive: true, force: true });
  mkdirSync(COVERAGE_FOLDER, { recursive: true });
}

function removeOldImages(): void {
  if (!existsSync(IMAGES_FOLDER)) return;
  for (const name of readdirSync(IMAGES_FOLDER)) {
    const path = `${IMAGES_FOLDER}/${name}`;
    if (Date.now() - statSync(path).mtimeMs > IMAGES_KEPT_MS) rmSync(path);
  }
}

export function teardown(): void {
  const files = new Map<string, Map<number, boolean>>();
  for (const name of readdirSync(COVERAGE_FOLDER)) {
    const note = JSON.parse(readFileSync(`${COVERAGE_FOLDER}/${name}`, "utf8"));
    const { points, hits } = note as { points: Point[]; hits: number[] };
    points.forEach(({ file, line }, i) => {
      const lines = files.get(file) ?? new Map<number, boolean>();
      lines.set(line, (lines.get(line) ?? false) || hits[i] === 1);
      files.set(file, lines);
    });
  }
  if (files.size === 0) return;
  let total = 0;
  let ran = 0;
  console.log("\nguest coverage (lines that ran)");
  for (const [file, lines] of [...files].sort(([a], [b]) => a.localeCompare(b))) {
    const missed = [...lines].filter(([, hit]) => !hit).map(([line]) => line);
    total += lines.size;
    ran += lines.size - missed.length;
    const share = `${lines.size - missed.length}/${lines.size}`.padStart(9);
    console.log(`${share}  ${file}${missed.length > 0 ? `  not ${ranges(missed)}` : ""}`);
  }
  console.log(`${`${ran}/${total}`.padStart(9)}  ${((100 * ran) / total).toFixed(1)} %`);
}

/** `3 5-9 12` */
function ranges(lines: number[]): string {
  const parts: string[] = [];
  lines.sort((a, b) => a - b);
  for (let i = 0; i < lines.length; ) {
    let end = i;
    while ((lines[end + 1] as number) - (lines[end] as number) <= 1) end++;
    parts.push(end === i ? `${lines[i]}` : `${lines[i]}-${lines[end]}`);
    i = end + 1;
  }
  return parts.join(" ");
}
