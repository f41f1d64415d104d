// The guest's file system against the host's own: the same random calls on both, step by step, and
// after each of them the same results, errors, and trees.
import * as nodefs from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "./appliance.ts";
import { fileGuests } from "./file-guest.ts";
import { FileTwins } from "./file-twins.ts";
import { Random } from "./simulation-random.ts";

const STEPS = 400;
const boot = await fileGuests();
let umask = 0;

beforeAll(() => {
  umask = process.umask(0);
});
afterAll(() => {
  process.umask(umask);
  removeFolders();
});

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  "after each of 400 random calls both trees are the same, seed %i",
  async (seed) => {
    const [directory, other] = [makeFolder(), makeFolder()];
    for (const one of [directory, other]) nodefs.chmodSync(one, 0o755);
    // With a time-out of 0 the guest believes nothing; else it must know what it did itself.
    const guest = await boot({ directory, attrTimeoutMs: seed % 3 === 0 ? 0 : 1000 });
    const twins = new FileTwins(guest, other, new Random(seed));
    for (let step = 0; step < STEPS; step++) {
      const [what, ours, theirs] = await twins.step();
      expect({ step, what, result: ours }).toEqual({ step, what, result: theirs });
      expect({ step, what, tree: twins.ofGuest() }).toEqual({
        step,
        what,
        tree: twins.ofHost(other),
      });
      expect({ step, what, tree: twins.ofHost(directory) }).toEqual({
        step,
        what,
        tree: twins.ofHost(other),
      });
      if (step % 50 === 49) guest.advance(1500);
    }
    twins.close();
  },
);
