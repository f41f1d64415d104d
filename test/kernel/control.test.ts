// The control block: what the host tells the guest about its service while it runs.
import { beforeAll, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { savedGuest } from "../support/guest.ts";

let image: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  image = (await savedGuest("test/guest/snapshots.ts")).wasm;
});

async function boot() {
  const clock = new ManualClock();
  const machine = await Machine.create({ image, memoryBytes: 4 * 1024 * 1024, clock });
  machine.boot();
  return machine;
}

test("a guest drains when the host says so, until it takes that back", async () => {
  const machine = await boot();
  expect([machine.control.draining, machine.call("draining")]).toEqual([false, 0]);
  machine.control.draining = true;
  expect([machine.control.draining, machine.call("draining")]).toEqual([true, 1]);
  machine.control.draining = false;
  expect(machine.call("draining")).toBe(0);
});

test("each change of the settings is another generation, beyond the last number too", async () => {
  // With this entropy a clone begins at the last number.
  const entropy = (into: Uint8Array) => void into.fill(0xff);
  const machine = await boot();
  const first = machine.call("settings");
  machine.control.settingsChanged();
  const second = machine.call("settings");
  expect(second).not.toBe(first);
  machine.control.settingsChanged();
  expect([first, second]).not.toContain(machine.call("settings"));
  const clone = await Machine.restore(await machine.snapshot(), { entropy });
  const last = clone.call("settings");
  expect(Number(last) >>> 0).toBe(0xffffffff);
  clone.control.settingsChanged();
  expect(clone.call("settings")).toBe(0);
});

test("a restored machine does not drain, and its guest looks at the settings again", async () => {
  const machine = await boot();
  machine.control.draining = true;
  machine.control.settingsChanged();
  const seen = machine.call("settings");
  const clone = await Machine.restore(await machine.snapshot(), {});
  expect(clone.call("draining")).toBe(0);
  expect(clone.call("settings")).not.toBe(seen);
});

test("a machine that goes back keeps what the host says now", async () => {
  const machine = await boot();
  const snapshot = await machine.snapshot();
  machine.control.draining = true;
  machine.control.settingsChanged();
  const now = machine.call("settings");
  machine.rewind(snapshot);
  expect([machine.call("draining"), machine.call("settings")]).toEqual([1, now]);
});
