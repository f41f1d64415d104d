// Where the devices' shared memory lies: above the RAM, below 4 GiB, and never the guest's own.
import { describe, expect, test } from "vitest";
import type { VirtioDevice } from "../../host/device.ts";
import { layOut } from "../../host/layout.ts";
import { Machine } from "../../host/node/machine.ts";
import { compileGuest } from "../support/guest.ts";
import { fakeDevice } from "../support/ring-puppet.ts";

const MIB = 1024 * 1024;
const image = await compileGuest("test/guest/memory.ts");

function withRegions(...sharedMemory: number[]): VirtioDevice {
  return Object.assign(fakeDevice(), { sharedMemory });
}

describe("the layout of memory", () => {
  test("puts regions after the RAM in the order of devices and numbers", () => {
    const [a, b, c] = [withRegions(65536, MIB), fakeDevice(), withRegions(2 * MIB)];
    const { memory, regions } = layOut(4 * MIB, [a, b, c], false);
    expect(memory.ramBytes).toBe(4 * MIB);
    expect(memory.byteLength).toBe(7 * MIB + 65536);
    expect(regions.get(a)).toEqual([
      { base: 4 * MIB, length: 65536 },
      { base: 4 * MIB + 65536, length: MIB },
    ]);
    expect(regions.get(b)).toEqual([]);
    expect(regions.get(c)).toEqual([{ base: 5 * MIB + 65536, length: 2 * MIB }]);
  });

  test("refuses a size that is no multiple of 64 KiB, and more than 4 GiB in all", () => {
    for (const bytes of [0, -65536, 65535, 65537, 1.5, Number.NaN]) {
      expect(() => layOut(bytes, [], false)).toThrow("a multiple of 64 KiB");
      expect(() => layOut(MIB, [withRegions(bytes)], false)).toThrow("not a multiple of 64 KiB");
    }
    expect(() => layOut(4096 * MIB + 65536, [], false)).toThrow("4 GiB at most");
    expect(() => layOut(MIB, [withRegions(4095 * MIB, 65536)], false)).toThrow("over 4 GiB");
  });
});

describe("a machine with shared memory", () => {
  test("reports only RAM to the guest, and the region to its device", async () => {
    const lines: string[] = [];
    const device = withRegions(2 * MIB);
    let told: readonly number[] | undefined;
    device.attach = ({ sharedMemory }) => {
      told = sharedMemory;
    };
    const machine = await Machine.create({
      image: image.module,
      memoryBytes: 4 * MIB,
      devices: [device],
      console: (line) => lines.push(line),
    });
    machine.boot();
    expect(told).toEqual([4 * MIB]);
    expect(lines[0]).toContain("torito: 4 MiB");
    const region = machine.memory.bytes(4 * MIB, 2 * MIB);
    expect(region.every((byte) => byte === 0)).toBe(true); // no heap has been there
    machine.dispose();
  });

  test("panics at boot when the image would lie in the region", async () => {
    const devices = [withRegions(4 * MIB)];
    const options = { image: image.module, memoryBytes: 65536, devices };
    const machine = await Machine.create(options);
    machine.boot();
    expect(await machine.exited).toMatchObject({
      kind: "panic",
      message: expect.stringContaining("no memory after the image"),
    });
  });
});
