// Queues in snapshots: where they stand, and the chains that their device holds, which the device
// of the clone gets once more.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GuestError } from "../../host/memory.ts";
import type { RingState } from "../../host/snapshot/register-state.ts";
import { type Chain, VirtQueue } from "../../host/virtqueue.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { RINGS } from "../support/ring-kinds.ts";
import { fakeDevice, RingPuppet } from "../support/ring-puppet.ts";
import { Site } from "../support/snapshot-site.ts";
import { Client } from "../support/web-server-script.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

describe.each([
  [false, false],
  [false, true],
  [true, false],
  [true, true],
])("SN17 a queue with INDIRECT %s, EVENT_IDX %s", (indirect, eventIdx) => {
  /** A queue whose device has taken three chains and returned the second. */
  function taken() {
    const device = fakeDevice();
    const driver = new RingPuppet(device, { indirect, eventIdx });
    const queue = device.queues[0] as VirtQueue;
    const heads = [1, 2, 3, 4].map((byte) => driver.add(0, [bytes(byte)], [4]));
    const chains = [queue.pop(), queue.pop(), queue.pop()] as Chain[];
    chains[1]?.release(0);
    return { device, driver, queue, heads, chains };
  }
  const another = (queue: VirtQueue) =>
    new VirtQueue(queue.memory, {
      ...queue.rings,
      name: "clone",
      size: queue.size,
      indirect,
      eventIdx,
      interrupt() {},
      rejected() {},
      broken() {},
    });

  test("gives the chains that were held, and then those in the ring", () => {
    const { driver, queue, heads } = taken();
    const clone = another(queue);
    clone.restore(queue.save());
    expect(clone.available).toBe(3);
    expect(clone.inFlight).toBe(0);
    const again = [...clone];
    expect(again.map((chain) => chain.head)).toEqual([heads[0], heads[2], heads[3]]);
    expect(again.map((chain) => chain.readable(0, 1)[0]?.[0])).toEqual([1, 3, 4]);
    expect(clone.inFlight).toBe(3);
    expect(clone.pop()).toBeNull();
    for (const chain of again) {
      chain.copyTo(0, bytes(9));
      chain.release(1);
    }
    expect(driver.used(0).map((one) => one.head)).toEqual([heads[1], heads[0], heads[2], heads[3]]);
    expect(clone.save().held).toEqual([]);
  });

  test("is saved the same before and after", () => {
    const { queue } = taken();
    const clone = another(queue);
    clone.restore(queue.save());
    expect(clone.save()).toEqual(queue.save());
  });

  test("that is broken stays broken", () => {
    const { queue } = taken();
    const clone = another(queue);
    clone.restore({ ...queue.save(), broken: true });
    expect([clone.pop(), clone.available]).toEqual([null, 0]);
  });

  test.each<[string, Partial<RingState>]>([
    ["outside of the ring", { held: [32768] }],
    ["twice", { held: [1, 1] }],
  ])("SN13 is refused if a head is held %s", (_, lie) => {
    const { queue } = taken();
    expect(() => another(queue).restore({ ...queue.save(), ...lie })).toThrow(GuestError);
  });
});

describe("SN17 a web server saved in the middle of a long response", () => {
  let directory: string;
  beforeAll(() => {
    directory = makeFolder();
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${directory}/large.bin`, "x".repeat(1 << 20));
    writeFileSync(`${directory}/index.html`, "home");
  });
  afterAll(removeFolders);

  test.each(RINGS)("serves on after the third clone, with rings of %s", async (_, withheld) => {
    const options = { withheldFeatures: withheld };
    let site = await Site.boot(directory, options);
    for (let i = 0; i < 3; i++) {
      // It takes nothing: chains of the tx ring stay with the device.
      const slow = site.connect(new Client(true));
      slow.get("/large.bin");
      expect(site.vsock.holdings.txDescriptors).toBeGreaterThan(0);
      site = await Site.restore(await site.machine.snapshot(), directory, options);
      expect(site.vsock.holdings.txDescriptors).toBe(0);
      expect(site.count("socketCount")).toBe(1);
      for (let k = 0; k < 40; k++) expect(site.get("/large.bin").length).toBeGreaterThan(1 << 20);
      expect(site.faults()).toBe(0);
    }
  });
});
