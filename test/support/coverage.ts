// Guest coverage of a whole run, as a vitest global set-up: guest.ts leaves the hits of every test
// file in a folder, and the teardown prints the share of lines that ran, by source file.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { Coverage } from "../../host/cli/project/coverage.ts";
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
  const coverage = new Coverage();
  let any = false;
  for (const name of readdirSync(COVERAGE_FOLDER)) {
    const note = JSON.parse(readFileSync(`${COVERAGE_FOLDER}/${name}`, "utf8"));
    const { points, hits } = note as { points: Point[]; hits: number[] };
    coverage.add(points, hits);
    any = true;
  }
  if (!any) return;
  console.log("\nguest coverage (lines that ran)");
  for (const line of coverage.lines()) console.log(line);
}
