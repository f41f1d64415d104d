import { describe, expect, test } from "vitest";
import {
  INTERRUPT_CONFIG_CHANGE,
  INTERRUPT_USED_BUFFER,
  MMIO_MAGIC,
  Mmio,
  Status,
} from "../drivers/abi/virtio.ts";
import { GuestError, GuestMemory } from "../host/memory.ts";
import { RegisterFile } from "../host/mmio.ts";
import { type FakeDevice, fakeDevice, RING_EVENT_IDX, RingPuppet } from "./ring-puppet.ts";

const ACKNOWLEDGE = Status.ACKNOWLEDGE;
const DRIVER = Status.DRIVER;
const FEATURES_OK = Status.FEATURES_OK;
const DRIVER_OK = Status.DRIVER_OK;

function registerFile(device: FakeDevice = fakeDevice(), withheld = 0n) {
  const log: string[] = [];
  const line = { raised: 0, up: false };
  const registers = new RegisterFile(device, {
    memory: new GuestMemory(2),
    raise: () => {
      line.raised++;
      line.up = true;
    },
    lower: () => {
      line.up = false;
    },
    log: (message) => log.push(message),
    withheld,
  });
  const read = (offset: number) => registers.read(offset, 4);
  const write = (offset: number, value: number) => registers.write(offset, 4, value);
  return { device, registers, line, log, read, write };
}

/** Up to FEATURES_OK, everything accepted. */
function negotiated(device: FakeDevice = fakeDevice()) {
  const file = registerFile(device);
  file.write(Mmio.Status, ACKNOWLEDGE);
  file.write(Mmio.Status, ACKNOWLEDGE | DRIVER);
  for (const half of [0, 1]) {
    file.write(Mmio.DeviceFeaturesSel, half);
    file.write(Mmio.DriverFeaturesSel, half);
    file.write(Mmio.DriverFeatures, file.read(Mmio.DeviceFeatures));
  }
  file.write(Mmio.Status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  return file;
}

type File = ReturnType<typeof registerFile>;

function setUpQueue(
  { write }: File,
  index: number,
  { size = 4, desc = 0x1000, avail = 0x1100, used = 0x1200 } = {},
) {
  write(Mmio.QueueSel, index);
  write(Mmio.QueueSize, size);
  write(Mmio.QueueDescLow, desc);
  write(Mmio.QueueDriverLow, avail);
  write(Mmio.QueueDeviceLow, used);
  write(Mmio.QueueReady, 1);
}

describe("identity and features", () => {
  test("magic, version 2 and the device's type can be read at any time (M1)", () => {
    const { read } = registerFile();
    expect(read(Mmio.MagicValue)).toBe(MMIO_MAGIC);
    expect(read(Mmio.Version)).toBe(2);
    expect(read(Mmio.DeviceID)).toBe(42);
  });

  test("the rings' features and VERSION_1 are offered beside the device's own (C19)", () => {
    const { read, write } = registerFile();
    expect(read(Mmio.DeviceFeatures)).toBe(1 + 2 ** 28 + 2 ** 29);
    write(Mmio.DeviceFeaturesSel, 1);
    expect(read(Mmio.DeviceFeatures)).toBe(1);
  });

  test("a feature selector out of range reads 0 (G24)", () => {
    const { read, write } = registerFile();
    for (const selector of [2, 0x7fffffff, 0xffffffff]) {
      write(Mmio.DeviceFeaturesSel, selector);
      expect(read(Mmio.DeviceFeatures)).toBe(0);
    }
  });

  test("FEATURES_OK is refused without VERSION_1 (C8, C19)", () => {
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
  ])("FEATURES_OK is refused when bits of half %i were not offered (C6, C8, G24)", (half, bits) => {
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

  test("a refused driver may choose again, with less (C8)", () => {
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

  test("features are fixed from FEATURES_OK on (G23)", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    file.write(Mmio.DriverFeaturesSel, 0);
    file.write(Mmio.DriverFeatures, 0);
    file.write(Mmio.Status, 15);
    expect(file.registers.illegalAccesses).toBe(1);
    expect(device.accepted & RING_EVENT_IDX).toBe(RING_EVENT_IDX);
  });

  test("a withheld feature is not offered, and accepting it is refused (C8)", () => {
    const { read } = registerFile(fakeDevice(), RING_EVENT_IDX);
    expect(read(Mmio.DeviceFeatures)).toBe(1 + 2 ** 28);
  });
});

describe("status", () => {
  test("each step is accepted in the order of 3.1.1 only (C15)", () => {
    const { read, write, registers } = registerFile();
    for (const early of [DRIVER, FEATURES_OK, DRIVER_OK, ACKNOWLEDGE | DRIVER, 15, 64, 0x100]) {
      write(Mmio.Status, early);
      expect(read(Mmio.Status)).toBe(0);
    }
    expect(registers.illegalAccesses).toBe(7);
  });

  test("bits are only added: a value without one of them is ignored (C1)", () => {
    const { read, write, registers } = negotiated();
    write(Mmio.Status, ACKNOWLEDGE | DRIVER);
    write(Mmio.Status, FEATURES_OK | DRIVER_OK);
    expect(read(Mmio.Status)).toBe(ACKNOWLEDGE | DRIVER | FEATURES_OK);
    expect(registers.illegalAccesses).toBe(2);
  });

  test("after FAILED only a reset helps (C2)", () => {
    const { read, write, device } = negotiated();
    write(Mmio.Status, 11 | Status.FAILED);
    expect(read(Mmio.Status)).toBe(11 | Status.FAILED);
    write(Mmio.Status, 15 | Status.FAILED);
    expect(read(Mmio.Status)).toBe(11 | Status.FAILED);
    expect(device.calls).toEqual([]);
    write(Mmio.Status, 0);
    expect(read(Mmio.Status)).toBe(0);
  });

  test("DRIVER_OK hands the live queues and the features to the device", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 1);
    file.write(Mmio.Status, 15);
    expect(file.read(Mmio.Status)).toBe(15);
    expect(device.calls).toEqual(["activate"]);
    expect(device.queues.map((queue) => queue?.size ?? null)).toEqual([null, 4]);
    expect(device.accepted).toBe((1n << 32n) | (3n << 28n) | 1n);
  });

  test("a reset clears status, interrupts, queues and choices (C9, C10, M3)", () => {
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

  test("a reset before DRIVER_OK does not bother the device", () => {
    const { write, device } = negotiated();
    write(Mmio.Status, 0);
    expect(device.calls).toEqual([]);
  });
});

describe("queue registers", () => {
  test("a queue that does not exist has size 0 and cannot be set up (G24)", () => {
    const file = negotiated();
    for (const index of [2, 0xffff, 0xffffffff]) {
      setUpQueue(file, index);
      expect(file.read(Mmio.QueueSizeMax)).toBe(0);
      expect(file.read(Mmio.QueueReady)).toBe(0);
    }
    expect(file.registers.illegalAccesses).toBe(15);
  });

  test.each([
    ["size 0", { size: 0 }],
    ["a size that is no power of two", { size: 3 }],
    ["a size above the device's", { size: 16 }],
    ["size 0x10000", { size: 0x10000 }],
    ["size 2^31", { size: 0x80000000 }],
    ["an unaligned table", { desc: 0x1008 }],
    ["an unaligned driver area", { avail: 0x1101 }],
    ["an unaligned device area", { used: 0x1202 }],
    ["a table outside memory", { desc: 0x20000 }],
    ["a table across the end of memory", { desc: 0x1fff0 }],
    ["a driver area at the end of the address space", { avail: 0xfffffffe }],
    ["a device area at the end of the address space", { used: 0xfffffffc }],
  ])("QueueReady stays 0 for %s, and the driver may try again (G20, G21, M12)", (_, wrong) => {
    const file = negotiated();
    setUpQueue(file, 0, wrong);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    expect(file.log.length).toBe(1);
    expect(file.log[0]).toMatch(/fake in|outside guest memory/);
    setUpQueue(file, 0);
    expect(file.read(Mmio.QueueReady)).toBe(1);
  });

  test.each([Mmio.QueueDescHigh, Mmio.QueueDriverHigh, Mmio.QueueDeviceHigh])(
    "QueueReady stays 0 when register %i puts a ring above 4 GiB (G20)",
    (register) => {
      const file = negotiated();
      file.write(register, 1);
      setUpQueue(file, 0);
      expect(file.read(Mmio.QueueReady)).toBe(0);
    },
  );

  test("QueueReady without addresses or size is refused, and values but 0 and 1 are illegal (G22)", () => {
    const file = negotiated();
    file.write(Mmio.QueueReady, 1);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    setUpQueue(file, 0);
    file.write(Mmio.QueueReady, 2);
    file.write(Mmio.QueueReady, 1);
    expect(file.read(Mmio.QueueReady)).toBe(1);
    expect(file.registers.illegalAccesses).toBe(2);
  });

  test("rings that overlap hurt nobody but the guest (G18, G20)", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0, { desc: 0x1000, avail: 0x1000, used: 0x1000 });
    file.write(Mmio.Status, 15);
    const queue = device.queues[0]!;
    for (let i = 0; i < 10; i++) queue.pop()?.release(0xffffffff);
    expect(file.registers.brokenQueues).toBeLessThanOrEqual(1);
  });

  test("writing 0 to QueueReady takes a queue back before DRIVER_OK (M14)", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0);
    file.write(Mmio.QueueReady, 0);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    file.write(Mmio.Status, 15);
    expect(device.queues[0]).toBe(null);
    expect(file.registers.illegalAccesses).toBe(0);
  });

  test("size and addresses are fixed while a queue is live (M13)", () => {
    const file = negotiated();
    setUpQueue(file, 0);
    file.write(Mmio.QueueSize, 8);
    file.write(Mmio.QueueDescLow, 0x4000);
    expect(file.registers.illegalAccesses).toBe(2);
  });

  test("nothing about queues can be written before FEATURES_OK or after DRIVER_OK (G23)", () => {
    const early = registerFile();
    setUpQueue(early, 0);
    expect(early.registers.illegalAccesses).toBe(5);
    expect(early.read(Mmio.QueueReady)).toBe(0);
    const device = fakeDevice();
    const late = negotiated(device);
    setUpQueue(late, 0);
    late.write(Mmio.Status, 15);
    setUpQueue(late, 0, { size: 8, desc: 0x10000000 });
    setUpQueue(late, 1);
    late.write(Mmio.QueueReady, 0);
    expect(late.registers.illegalAccesses).toBe(11);
    expect(late.read(Mmio.QueueReady)).toBe(0); // queue 1
    expect(device.queues[0]!.size).toBe(4);
  });
});

describe("notifications and interrupts", () => {
  test("a kick before DRIVER_OK, of a dead or of an absent queue is ignored (C3, M5, G25, G26)", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0);
    file.write(Mmio.QueueNotify, 0);
    file.write(Mmio.Status, 15);
    for (const queue of [1, 2, 0xffff, 0x10000, 0x80000000, 0xffffffff]) {
      file.write(Mmio.QueueNotify, queue);
    }
    expect(device.calls).toEqual(["activate"]);
    expect(file.registers.illegalAccesses).toBe(7);
    file.write(Mmio.QueueNotify, 0);
    expect(device.calls).toEqual(["activate", "notify 0"]);
  });

  test("a kick that finds nothing does no harm (S17)", () => {
    const device = fakeDevice({
      notify: (queue) => {
        for (const chain of device.queues[queue]!) chain.release(0);
      },
    });
    const puppet = new RingPuppet(device);
    puppet.kick(0);
    puppet.kick(0);
    expect(puppet.interrupts).toBe(0);
    expect(puppet.used(0)).toEqual([]);
  });

  test("used buffers set bit 0 and nothing else; the line falls when it is acknowledged (M2)", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0);
    file.write(Mmio.Status, 15);
    const view = device.queues[0]!.memory.view;
    view.setUint32(0x1008, 4, true);
    view.setUint16(0x1102, 1, true);
    device.queues[0]!.pop()!.release(0);
    file.registers.halted();
    expect(file.read(Mmio.InterruptStatus)).toBe(INTERRUPT_USED_BUFFER);
    expect(file.line).toEqual({ raised: 1, up: true });
    file.write(Mmio.InterruptACK, 0xfffffffe); // M15: undefined bits and the other one
    expect(file.line.up).toBe(true);
    file.write(Mmio.InterruptACK, INTERRUPT_USED_BUFFER);
    expect(file.read(Mmio.InterruptStatus)).toBe(0);
    expect(file.line.up).toBe(false);
  });

  test("rings that contradict themselves ask for a reset, with a configuration interrupt (C5, G14)", () => {
    const device = fakeDevice({ notify: (queue) => void device.queues[queue]!.pop() });
    const puppet = new RingPuppet(device);
    puppet.memory.view.setUint16(puppet.rings(0).avail + 2, 9, true);
    puppet.kick(0);
    expect(puppet.status).toBe(15 | Status.DEVICE_NEEDS_RESET);
    expect(puppet.read(Mmio.InterruptStatus)).toBe(INTERRUPT_CONFIG_CHANGE);
    expect(puppet.registers.brokenQueues).toBe(1);
    expect(puppet.logs[0]).toContain("fake in: available index runs 9 ahead");
    puppet.initialise();
    expect(puppet.status).toBe(15);
  });

  test("one broken queue does not stop the other", () => {
    const device = fakeDevice({
      notify: (queue) => {
        for (const chain of device.queues[queue]!) chain.release(0);
      },
    });
    const puppet = new RingPuppet(device);
    puppet.memory.view.setUint16(puppet.rings(0).avail + 2, 0x8000, true);
    puppet.kick(0);
    puppet.add(1, [Uint8Array.of(1)], []);
    puppet.kick(1);
    expect(puppet.used(1).length).toBe(1);
    expect(puppet.acknowledge()).toBe(INTERRUPT_CONFIG_CHANGE | INTERRUPT_USED_BUFFER);
  });

  test("a GuestError of the device asks for a reset; other errors are the host's (C5)", () => {
    const failure = { error: new GuestError("nonsense") as Error };
    const device = fakeDevice({
      notify: () => {
        throw failure.error;
      },
      halted: () => {
        throw failure.error;
      },
    });
    const puppet = new RingPuppet(device);
    puppet.kick(0);
    expect(puppet.status & Status.DEVICE_NEEDS_RESET).toBe(Status.DEVICE_NEEDS_RESET);
    expect(puppet.logs).toEqual(["fake: nonsense; the device needs a reset"]);
    failure.error = new TypeError("a fault of the host");
    expect(() => puppet.kick(0)).toThrow("a fault of the host");
    expect(() => puppet.halted()).toThrow("a fault of the host");
  });

  test("the device is not told that the guest has halted before DRIVER_OK (C3)", () => {
    const device = fakeDevice();
    const puppet = new RingPuppet(device, { inactive: true });
    puppet.halted();
    expect(device.calls).toEqual([]);
  });
});

describe("accesses", () => {
  test("configuration is read at its natural width, also before FEATURES_OK (C13, M8)", () => {
    const { registers } = registerFile();
    expect(registers.read(Mmio.Config, 4)).toBe(0x04030201);
    expect(registers.read(Mmio.Config + 4, 4)).toBe(0x08070605);
    expect(registers.read(Mmio.Config + 2, 2)).toBe(0x0403);
    expect(registers.read(Mmio.Config + 7, 1)).toBe(8);
    expect(registers.read(Mmio.ConfigGeneration, 4)).toBe(0); // M4: nothing ever changes
    expect(registers.illegalAccesses).toBe(0);
  });

  test("configuration past its end or askew reads 0 (G27)", () => {
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

  test("narrow, askew, undocumented and wrong-way accesses are ignored and counted (M7, M8, G27)", () => {
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

  test("there is no shared memory region, whichever is selected (M16, G24)", () => {
    const { read, write } = registerFile();
    for (const region of [0, 1, 0xffffffff]) {
      write(Mmio.SHMSel, region);
      for (const half of [Mmio.SHMLenLow, Mmio.SHMLenHigh, Mmio.SHMBaseLow, Mmio.SHMBaseHigh]) {
        expect(read(half)).toBe(0xffffffff);
      }
    }
  });
});
