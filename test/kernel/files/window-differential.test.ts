// A guest that maps files, against what the rules of SysMapFile say: random calls, stores and
// changes of the host, and after each of them the same bytes in the calls, the mappings, and on the
// host.
import * as fs from "node:fs";
import { afterAll, expect, test } from "vitest";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { WindowTwins } from "../../support/differential-window.ts";
import { fileGuests } from "../../support/file-guest.ts";
import { Random } from "../../support/simulation-random.ts";

const STEPS = 300;
const SLOT = 65536;
const boot = await fileGuests();
afterAll(removeFolders);

/** A host with a thread pool that works when it is told to, or late; its results arrive late. */
class PooledHost {
  readonly files: ReturnType<typeof hostFiles>;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    const host = hostFiles();
    const own: Partial<typeof host> = {
      readLater: (descriptor, view, offset, done) =>
        this.#later(() => host.read(descriptor, [view], offset), done),
      writeLater: (descriptor, view, offset, done) =>
        this.#later(() => host.write(descriptor, [view], offset), done),
    };
    this.files = new Proxy(host, {
      get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
    });
  }

  work(): void {
    for (const one of this.#waiting.splice(0)) one();
  }

  #later(call: () => number, done: (error: Error | null, bytes: number) => void): void {
    let result = 0;
    this.#waiting.push(() => {
      result = call();
    });
    setImmediate(() => {
      this.work();
      done(null, result);
    });
  }
}

test.each(Array.from({ length: 10 }, (_, i) => i + 1))(
  "F11 F12 F18: after each of 300 random calls all who look at mapped files see the same, seed %i",
  async (seed) => {
    const random = new Random(seed);
    const [directory, elsewhere] = [makeFolder(), makeFolder()];
    const host = new PooledHost();
    const guest = await boot({
      directory,
      windowBytes: random.between(4, 8) * SLOT,
      attrTimeoutMs: seed % 4 === 0 ? 0 : 1000,
      // Less than no time: every kick is said to have been held up by the host.
      limits: { slowMs: seed % 2 === 0 ? -1 : 4 },
      files: host.files,
    });
    const twins = new WindowTwins(guest, directory, elsewhere, random, () => host.work());
    for (let step = 0; step < STEPS; step++) {
      const { what, faults } = await twins.step();
      expect({ seed, step, what, faults }).toEqual({ seed, step, what, faults: [] });
    }
    await twins.close();
    expect(fs.readdirSync(elsewhere)).toEqual([]);
  },
);
