// The guest's file system against the host's own: the same random calls on both, step by step, and
// after each of them the same results, errors, and trees.
import * as nodefs from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryFiles } from "../../../host/node/devices.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { FileChanges, Files, LaterDone } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { FileTwins } from "../../support/differential-files.ts";
import { fileGuests } from "../../support/file-guest.ts";
import { Random } from "../../support/simulation-random.ts";

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

/** Files whose thread pool answers at once: what is left to it is made as its record says. */
function slowFiles() {
  const files = hostFiles();
  const answer = (done: (error: Error | null, result?: unknown) => void, call: () => unknown) => {
    let result: unknown;
    try {
      result = call();
    } catch (error) {
      return done(error as Error, 0);
    }
    done(null, result);
  };
  const own: Partial<Files & FileChanges> = {
    later: (call, args, done) => {
      const method = files[call] as (...args: readonly unknown[]) => unknown;
      answer(done, () => method.apply(files, [...args]));
    },
    readLater: (file, view, at, done) =>
      answer(done as LaterDone, () => files.read(file, [view], at)),
    writeLater: (file, view, at, done) =>
      answer(done as LaterDone, () => files.write(file, [view], at)),
  };
  return new Proxy(files, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
}

test.each(
  [false, true].flatMap((slow) => Array.from({ length: 12 }, (_, i) => [i + 1, slow] as const)),
)(
  "after each of 400 random calls both trees are the same, seed %i, on a slow host: %s",
  async (seed, slow) => {
    const [directory, other] = [makeFolder(), makeFolder()];
    for (const one of [directory, other]) nodefs.chmodSync(one, 0o755);
    // With a time-out of 0 the guest believes nothing; else it must know what it did itself.
    const attrTimeoutMs = seed % 3 === 0 ? 0 : 1000;
    const host = slow ? { files: slowFiles(), limits: { slowMs: 4, stallMs: -1 } } : {};
    const guest = await boot({ directory, attrTimeoutMs, ...host });
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

test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
  "after each of 400 random calls a tree in memory is the same, seed %i",
  async (seed) => {
    const other = makeFolder();
    nodefs.chmodSync(other, 0o755);
    const attrTimeoutMs = seed % 3 === 0 ? 0 : 1000;
    const guest = await boot({ directory: "/", files: new MemoryFiles(), attrTimeoutMs });
    const twins = new FileTwins(guest, other, new Random(seed));
    for (let step = 0; step < STEPS; step++) {
      const [what, ours, theirs] = await twins.step();
      expect({ step, what, result: ours }).toEqual({ step, what, result: theirs });
      const tree = twins.ofHost(other);
      expect({ step, what, tree: twins.ofGuest() }).toEqual({ step, what, tree });
      if (step % 50 === 49) guest.advance(1500);
    }
    twins.close();
  },
);
