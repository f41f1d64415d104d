// `torito inspect`: what a snapshot's file is, without what its guest knew.
import type { Snapshot } from "../node/snapshot.ts";
import { ageText, readSnapshot } from "./snapshots.ts";
import { stdout } from "./streams.ts";
import { asLongAsItTakes, type End } from "./usage.ts";

export async function inspect(path: string): Promise<End> {
  stdout.write(`${describe(await readSnapshot(path), Date.now()).join("\n")}\n`);
  return asLongAsItTakes(0);
}

/** One line for each fact. */
export function describe(snapshot: Snapshot, nowMs: number): string[] {
  const { image, devices, nowNs, runs } = snapshot.content;
  const taken = new Date(snapshot.takenMs);
  const date = Number.isNaN(taken.getTime()) ? "at no time" : taken.toISOString();
  const age = ageText(nowMs - snapshot.takenMs);
  const [mib, kib] = [snapshot.memoryBytes >> 20, snapshot.bytes >> 10];
  return [
    `image        ${image.hash}`,
    `taken        ${date}, ${age} ago, ${ageText(nowNs / 1e6)} after boot`,
    `memory       ${mib} MiB, ${kib} KiB in ${runs.length} runs in use`,
    `devices      ${devices.map(({ name }) => name).join(", ") || "none"}`,
    `connections  ${snapshot.connections}, which are reset`,
  ];
}
