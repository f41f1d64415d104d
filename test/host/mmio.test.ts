import { describe, expect, test } from "vitest";
import {
  INTERRUPT_CONFIG_CHANGE,
  INTERRUPT_USED_BUFFER,
  MMIO_MAGIC,
  Mmio,
  Status,
} from "../../abi/virtio.ts";
import { negotiated, registerFile, setUpQueue } from "../support/register-file.ts";
import { fakeDevice, RING_EVENT_IDX, RingPuppet } from "../support/ring-puppet.ts";

const ACKNOWLEDGE = Status.ACKNOWLEDGE;
const DRIVER = Status.DRIVER;
const FEATURES_OK = Status.FEATURES_OK;
const DRIVER_OK = Status.DRIVER_OK;

describe("identity and features", () => {
  test("M1: reads magic, version 2 and the device's type at any time", () => {
    const { read } = registerFile();
    expect(read(Mmio.MagicValue)).toBe(MMIO_MAGIC);
    expect(read(Mmio.Version)).toBe(2);
    expect(read(Mmio.DeviceID)).toBe(42);
  });

  test("C19: offers the rings' features and VERSION_1 beside the device's own", () => {
    const { read, write } = registerFile();
    expect(read(Mmio.DeviceFeatures)).toBe(1 + 2 ** 28 + 2 ** 29);
    write(Mmio.DeviceFeaturesSel, 1);
    expect(read(Mmio.DeviceFeatures)).toBe(1);
  });

  test("G24: reads 0 with a feature selector out of range", () => {
    const { read, write } = registerFile();
    for (const selector of [2, 0x7fffffff, 0xffffffff]) {
      write(Mmio.DeviceFeaturesSel, selector);
      expect(read(Mmio.DeviceFeatures)).toBe(0);
    }
  });

  test("C8, C19: refuses FEATURES_OK without VERSION_1", () => {
    const { read, write, log } = registerFile();
    write(Mmio.Status, ACKNOWLEDGE);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER);
    write(Mmio.DriverFeatures, 1);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(read(Mmio.Status)).toBe(ACKNOWLEDGE | DRIVER);
    expect(log).toEqual(["features 0x1 are refused"]);
  });

  test.each([
    [0, 2],
    [1, 1 | 2],
    [2, 1],
    [0xffffffff, 1],
  ])("C6, C8, G24: refuses FEATURES_OK when bits of half %i were not offered", (half, bits) => {
    const { read, write } = registerFile();
    write(Mmio.Status, ACKNOWLEDGE);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER);
    write(Mmio.DriverFeaturesSel, 1);
    write(Mmio.DriverFeatures, 1);
    write(Mmio.DriverFeaturesSel, half);
    write(Mmio.DriverFeatures, bits);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(read(Mmio.Status)).toBe(ACKNOWLEDGE | DRIVER);
  });

  test("C8: lets a refused driver choose again, with less", () => {
    const { read, write } = registerFile();
    write(Mmio.Status, ACKNOWLEDGE);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER);
    write(Mmio.DriverFeatures, 0xff);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    write(Mmio.DriverFeatures, 1);
    write(Mmio.DriverFeaturesSel, 1);
    write(Mmio.DriverFeatures, 1);
    write(Mmio.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(read(Mmio.Status)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
  });

  test("G23: fixes features from FEATURES_OK on", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    file.write(Mmio.DriverFeaturesSel, 0);
    file.write(Mmio.DriverFeatures, 0);
    file.write(Mmio.Status, 15);
    expect(file.registers.illegalAccesses).toBe(1);
    expect(device.accepted & RING_EVENT_IDX).toBe(RING_EVENT_IDX);
  });

  test("C8: does not offer a withheld feature, and refuses a driver that accepts it", () => {
    const { read } = registerFile(fakeDevice(), RING_EVENT_IDX);
    expect(read(Mmio.DeviceFeatures)).toBe(1 + 2 ** 28);
  });
});

describe("status", () => {
  test("C15: accepts each step in the order of 3.1.1 only", () => {
    const { read, write, registers } = registerFile();
    for (const early of [DRIVER, FEATURES_OK, DRIVER_OK, ACKNOWLEDGE | DRIVER, 15, 64, 0x100]) {
      write(Mmio.Status, early);
      expect(read(Mmio.Status)).toBe(0);
    }
    expect(registers.illegalAccesses).toBe(7);
  });

  test("C1: only adds bits, and ignores a value without one of them", () => {
    const { read, write, registers } = negotiated();
    write(Mmio.Status, ACKNOWLEDGE | DRIVER);
    write(Mmio.Status, FEATURES_OK | DRIVER_OK);
    expect(read(Mmio.Status)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(registers.illegalAccesses).toBe(2);
  });

  test("C2: accepts only a reset after FAILED", () => {
    const { read, write, device } = negotiated();
    write(Mmio.Status, 11 | Status.FAILED);
    expect(read(Mmio.Status)).toBe(11 | Status.FAILED);
    write(Mmio.Status, 15 | Status.FAILED);
    expect(read(Mmio.Status)).toBe(11 | Status.FAILED);
    expect(device.calls).toEqual([]);
    write(Mmio.Status, 0);
    expect(read(Mmio.Status)).toBe(0);
  });

  test("hands the live queues and the features to the device on DRIVER_OK", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 1);
    file.write(Mmio.Status, 15);
    expect(file.read(Mmio.Status)).toBe(15);
    expect(device.calls).toEqual(["activate"]);
    expect(device.queues.map((queue) => queue?.size ?? null)).toEqual([null, 4]);
    expect(device.accepted).toBe((1n << 32n) | (3n << 28n) | 1n);
  });

  test("C9, C10, M3: a reset clears status, interrupts, queues and choices", () => {
    const device = fakeDevice();
    const puppet = new RingPuppet(device);
    const held = (() => {
      puppet.add(0, [Uint8Array.of(1)], []);
      return device.queues[0]!.pop()!;
    })();
    puppet.add(0, [Uint8Array.of(2)], []);
    device.queues[0]!.pop()!.release(0);
    puppet.kick(0);
    expect(puppet.read(Mmio.InterruptStatus)).toBe(INTERRUPT_USED_BUFFER);
    puppet.write(Mmio.Status, 0);
    expect(puppet.status).toBe(0);
    expect(puppet.read(Mmio.InterruptStatus)).toBe(0);
    for (const queue of [0, 1]) {
      puppet.write(Mmio.QueueSel, queue);
      expect(puppet.read(Mmio.QueueReady)).toBe(0);
    }
    expect(device.calls.at(-1)).toBe("reset");
    // G30: the request that the host still worked on comes too late.
    const { used } = puppet.rings(0);
    held.release(0);
    expect(puppet.memory.view.getUint16(used + 2, true)).toBe(1);
    puppet.initialise();
    expect(puppet.status).toBe(15);
  });

  test("does not pass a reset before DRIVER_OK on to the device", () => {
    const { write, device } = negotiated();
    write(Mmio.Status, 0);
    expect(device.calls).toEqual([]);
  });
});

describe("accesses", () => {
  test("M4: ConfigGeneration changes with the configuration; the driver hears of it once it is live", () => {
    const { device, registers, read, write, line } = negotiated();
    expect([read(Mmio.ConfigGeneration), read(Mmio.Config)]).toEqual([0, 0x04030201]);
    device.config[0] = 9;
    registers.configChanged();
    expect([read(Mmio.ConfigGeneration), read(Mmio.Config)]).toEqual([1, 0x04030209]);
    expect([line.raised, read(Mmio.InterruptStatus)]).toEqual([0, 0]);
    write(Mmio.Status, read(Mmio.Status) | DRIVER_OK);
    registers.configChanged();
    expect([line.raised, read(Mmio.InterruptStatus)]).toEqual([1, INTERRUPT_CONFIG_CHANGE]);
    expect(read(Mmio.ConfigGeneration)).toBe(2);
    write(Mmio.InterruptACK, INTERRUPT_CONFIG_CHANGE);
    expect(line.up).toBe(false);
  });

  test("C13, M8: reads configuration at its natural width, also before FEATURES_OK", () => {
    const { registers } = registerFile();
    expect(registers.read(Mmio.Config, 4)).toBe(0x04030201);
    expect(registers.read(Mmio.Config + 4, 4)).toBe(0x08070605);
    expect(registers.read(Mmio.Config + 2, 2)).toBe(0x0403);
    expect(registers.read(Mmio.Config + 7, 1)).toBe(8);
    expect(registers.read(Mmio.ConfigGeneration, 4)).toBe(0); // M4: nothing ever changes
    expect(registers.illegalAccesses).toBe(0);
  });

  test("G27: reads 0 past the end of the configuration, or unaligned", () => {
    const { registers } = registerFile();
    const accesses = [
      [8, 1],
      [8, 4],
      [6, 4],
      [7, 2],
      [1, 2],
      [0, 8],
      [0, 0],
      [0, 3],
    ] as const;
    for (const [offset, bytes] of accesses) {
      expect(registers.read(Mmio.Config + offset, bytes)).toBe(0);
    }
    registers.write(Mmio.Config, 4, 1);
    registers.write(Mmio.Config, 1, 1);
    expect(registers.illegalAccesses).toBe(accesses.length + 2);
  });

  test("M7, M8, G27: ignores and counts narrow, unaligned, undocumented and wrong-way accesses", () => {
    const { registers, read, write } = registerFile();
    registers.read(Mmio.MagicValue, 1);
    registers.read(Mmio.MagicValue, 2);
    registers.read(Mmio.MagicValue + 2, 4);
    registers.write(Mmio.Status, 1, 1);
    for (const writeOnly of [Mmio.QueueNotify, Mmio.InterruptACK, Mmio.QueueSel, Mmio.QueueSize]) {
      expect(read(writeOnly)).toBe(0);
    }
    for (const readOnly of [Mmio.MagicValue, Mmio.QueueSizeMax, Mmio.InterruptStatus]) {
      write(readOnly, 0xffffffff);
    }
    for (const nothing of [0x018, 0x0c0, 0x0f8]) {
      expect(read(nothing)).toBe(0);
      write(nothing, 1);
    }
    expect(registers.illegalAccesses).toBe(17);
    expect(read(Mmio.Status)).toBe(0);
  });

  const shared = [Mmio.SHMLenLow, Mmio.SHMLenHigh, Mmio.SHMBaseLow, Mmio.SHMBaseHigh];
  const none = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff];

  test("M16, G24: has no region without shared memory, whichever is selected", () => {
    const { read, write, registers } = registerFile();
    for (const region of [0, 1, 0xffffffff]) {
      write(Mmio.SHMSel, region);
      expect(shared.map(read)).toEqual(none);
    }
    expect(registers.illegalAccesses).toBe(0);
  });

  test("M16: reports a region's length and base; a reset selects the first", () => {
    const regions = [
      { base: 0x400000, length: 0x20000 },
      { base: 0xfff00000, length: 0x100000 },
    ];
    const { read, write } = registerFile(undefined, 0n, regions);
    expect(shared.map(read)).toEqual([0x20000, 0, 0x400000, 0]);
    write(Mmio.SHMSel, 1);
    expect(shared.map(read)).toEqual([0x100000, 0, 0xfff00000, 0]);
    write(Mmio.SHMSel, 2);
    expect(shared.map(read)).toEqual(none);
    write(Mmio.Status, 0);
    expect(shared.map(read)).toEqual([0x20000, 0, 0x400000, 0]);
  });
});
