// TCP between two guests under a seed: scripts of sends, receives, loans, shutdowns and closes over
// a network that loses, repeats, reorders, delays and damages frames, has a narrow path, and goes
// away. The stream that arrives is a beginning of the one that was sent, all of it at the end of
// the stream, and in the end nothing is left over. TORITO_TWINS=from,count runs other seeds than
// those of every day.
import { describe, expect, test } from "vitest";
import { compileGuest } from "../support/guest.ts";
import { runTwins, type ScriptReport } from "../support/twin-script.ts";

const image = await compileGuest("test/guest/tcp.ts");

const [FROM = 1, COUNT = 200] = (process.env.TORITO_TWINS ?? "")
  .split(",")
  .filter(Boolean)
  .map(Number);
const GROUP = 20;
const GROUPS = Array.from({ length: Math.ceil(COUNT / GROUP) }, (_, i) => FROM + i * GROUP);
const reports: ScriptReport[] = [];

describe("twins", () => {
  test.each(GROUPS)("TC20, TC30, TC41, TC42, TC43: seeds from %i on", async (first) => {
    const end = Math.min(first + GROUP, FROM + COUNT);
    for (let seed = first; seed < end; seed++) reports.push(await runTwins(image, seed));
  });

  test("have met every fault, and most of their connections ended in order", () => {
    const sum = (of: (report: ScriptReport) => number) =>
      reports.reduce((a, one) => a + of(one), 0);
    for (const fault of ["lost", "duplicated", "damaged", "late", "tooLong"] as const) {
      expect(
        sum(({ faults }) => faults[fault]),
        fault,
      ).toBeGreaterThan(0);
    }
    const connections = sum((one) => one.connections);
    expect(sum((one) => one.inOrder)).toBeGreaterThan(connections / 2);
    expect(sum((one) => one.inOrder)).toBeLessThan(connections);
  });

  test("do the same under the same seed, and something else under another", async () => {
    const once = await runTwins(image, 7);
    expect(await runTwins(image, 7)).toEqual(once);
    expect(await runTwins(image, 8)).not.toEqual(once);
  });
});
