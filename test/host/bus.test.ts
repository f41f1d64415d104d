import { expect, test } from "vitest";
import { MMIO_MAGIC } from "../../abi/virtio.ts";
import { BUS_BASE, BUS_SLOTS_MAX, BUS_STRIDE, Bus } from "../../host/bus.ts";
import { GuestMemory } from "../../host/memory.ts";
import { RegisterFile } from "../../host/mmio.ts";
import { fakeDevice } from "../support/ring-puppet.ts";

function slot(): RegisterFile {
  const ignore = () => {};
  const memory = new GuestMemory(1);
  return new RegisterFile(fakeDevice(), { memory, raise: ignore, lower: ignore, log: ignore });
}

test("M10: reads 0 and counts accesses that hit no device", () => {
  const bus = new Bus();
  bus.plug(slot());
  expect(bus.read(BUS_BASE, 4)).toBe(MMIO_MAGIC);
  const strays = [0, BUS_BASE - 4, BUS_BASE + 0x200, BUS_BASE + BUS_STRIDE, 0xfffffffc];
  for (const address of strays) {
    expect(bus.read(address, 4)).toBe(0);
    bus.write(address, 4, 1);
  }
  expect(bus.read(BUS_BASE + 0x1fe, 4)).toBe(0);
  expect(bus.strayAccesses).toBe(2 * strays.length + 1);
});

test("announces devices in the order of their slots", () => {
  const bus = new Bus();
  bus.plug(slot());
  bus.plug(slot());
  expect(bus.announcement()).toBe(
    "virtio_mmio.device=512@0x10000000:5 virtio_mmio.device=512@0x10001000:6",
  );
});

test("refuses a device too many", () => {
  const bus = new Bus();
  for (let i = 0; i < BUS_SLOTS_MAX; i++) bus.plug(slot());
  expect(() => bus.plug(slot())).toThrow("24 slots");
});

test("delivers no interrupt that was acknowledged before", () => {
  const bus = new Bus();
  bus.raise(3);
  bus.raise(4);
  bus.lower(3);
  expect(bus.pending).toBe(1 << 4);
  expect(bus.asserted).toBe(1 << 4);
});
