// IN3: a guest that lies about itself harms its picture only.
import { expect, test } from "vitest";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { Inspector, type MachineView } from "../../host/inspect/inspector.ts";
import type { Layout } from "../../host/inspect/layout.ts";
import { makeFolder } from "../support/appliance.ts";
import { Random } from "../support/simulation-random.ts";
import { Site } from "../support/snapshot-site.ts";

/** Lists are cut there, whatever the guest says. */
const LISTED_MAX = 500;
const BLOCKS_MAX = 20_000;

function checkBounds({ threads, sockets, devices, connections }: MachineView): void {
  expect(threads?.listed.length).toBeLessThanOrEqual(LISTED_MAX);
  expect(threads?.total).toBeLessThanOrEqual(65_536);
  expect(sockets?.listed.length).toBeLessThanOrEqual(LISTED_MAX);
  expect(connections.listed.length).toBeLessThanOrEqual(LISTED_MAX);
  for (const { queues } of devices) {
    for (const { ring } of queues) {
      expect(ring?.cells.length ?? 0).toBeLessThanOrEqual(512);
      expect(ring?.held.length ?? 0).toBeLessThanOrEqual(32);
      for (const { buffers } of ring?.held ?? []) expect(buffers.length).toBeLessThanOrEqual(16);
    }
  }
}

async function site() {
  const one = await Site.boot(makeFolder());
  one.connect();
  const inspector = new Inspector({ machine: one.machine, clock: null });
  const { insight, memory } = one.machine;
  const look = () => {
    const view = inspector.view();
    JSON.stringify(view);
    checkBounds(view);
    expect(insight.heapMap()?.blocks.length).toBeLessThanOrEqual(BLOCKS_MAX);
    return view;
  };
  const at = (name: string) => one.machine.global(`layout_${name}`);
  return { ...one, machine: one.machine, memory, look, at };
}

test("IN3: noise in all of its memory, a hundred times", async () => {
  const { machine, memory, look } = await site();
  const random = new Random(3);
  const words = new Uint32Array(memory.u8.buffer, memory.u8.byteOffset, memory.byteLength / 4);
  for (let round = 0; round < 100; round++) {
    // Small numbers and addresses are more dangerous than noise alone.
    for (let n = 0; n < 50_000; n++) {
      const kind = random.below(4);
      const value = kind === 0 ? random.below(2 ** 32) : random.below(memory.byteLength);
      words[random.below(words.length)] = kind === 3 ? 1 + random.below(64) : value;
    }
    look();
  }
  for (const value of [0, 1, 0x7fffffff, 0xffffffff]) {
    words.fill(value);
    look();
  }
  machine.dispose();
});

test("IN3: tables of any size, anywhere, that are full of one object", async () => {
  const { machine, memory, look, at } = await site();
  const { view } = memory;
  for (const table of ["threads", "sockets"]) {
    const address = at(table);
    const [slots, capacity] = [at("table_slots"), at("table_capacity")] as [number, number];
    for (const [where, size] of [
      [0xffffffff, 0xffffffff],
      [memory.byteLength - 4, 65_536],
      [0, 0xffffffff],
      [0x20000, 65_536],
    ] as const) {
      view.setUint32(address + slots, where, true);
      view.setUint32(address + capacity, size, true);
      look();
    }
  }
  machine.dispose();
});

test("IN3: lists that go in circles", async () => {
  const { machine, memory, look, at } = await site();
  const { view } = memory;
  const socket = 0x40000; // its next is itself
  view.setUint32(socket + at("socket_nextInBucket"), socket, true);
  for (let i = 0; i < at("buckets_count"); i++) view.setUint32(at("buckets") + 4 * i, socket, true);
  expect(look().sockets?.total).toBeGreaterThan(0);
  machine.dispose();
});

test("IN3: rings whose chains are circles, and indices that leap", async () => {
  const { machine, memory, look } = await site();
  const { view } = memory;
  for (const registers of machine.registers) {
    for (const { size, desc, driver, ring } of registers.state().queues) {
      if (ring === null) continue;
      for (let i = 0; i < size; i++) {
        view.setUint16(desc[0] + i * 16 + 12, 1, true); // NEXT
        view.setUint16(desc[0] + i * 16 + 14, (i + 1) % size, true);
      }
      for (const index of [0, 1, 0x7fff, 0xffff]) {
        view.setUint16(driver[0] + 2, index, true);
        look();
      }
      view.setUint16(desc[0] + 12, 4, true); // INDIRECT, a table of tables
      look();
    }
  }
  machine.dispose();
});

test("IN3: an image of another kernel shows its devices, and nothing of itself", async () => {
  const { machine, memory, look } = await site();
  // Its globals are there, but what they point at is empty.
  memory.u8.fill(0);
  memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.trace, 0xffffffff, true);
  const { threads, sockets, devices } = look();
  expect([threads?.total, sockets?.total]).toEqual([0, 0]);
  expect(devices).toHaveLength(2);
  machine.dispose();
});

/** Every name that the host asks for is one that the image exports. */
test("the layout of host and image is the same", async () => {
  const { machine } = await site();
  const { readLayout } = await import("../../host/inspect/layout.ts");
  const layout = readLayout((name) => machine.global(name)) as Layout;
  expect(layout).not.toBeNull();
  expect(layout.thread.id).not.toBe(layout.thread.state);
  machine.dispose();
});
