import { describe, expect, test } from "vitest";
import { INTERRUPT_CONFIG_CHANGE, INTERRUPT_USED_BUFFER, Mmio, Status } from "../../abi/virtio.ts";
import { GuestError } from "../../host/memory.ts";
import type { VirtQueue } from "../../host/virtqueue.ts";
import { negotiated, registerFile, setUpQueue } from "../support/register-file.ts";
import { fakeDevice, RingPuppet } from "../support/ring-puppet.ts";

describe("queue registers", () => {
  test("G24: reports size 0 for a queue that does not exist, which cannot be set up", () => {
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
  ])("G20, G21, M12: QueueReady stays 0 for %s, and the driver may try again", (_, wrong) => {
    const file = negotiated();
    setUpQueue(file, 0, wrong);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    expect(file.log.length).toBe(1);
    expect(file.log[0]).toMatch(/fake in|outside guest memory/);
    setUpQueue(file, 0);
    expect(file.read(Mmio.QueueReady)).toBe(1);
  });

  test.each([Mmio.QueueDescHigh, Mmio.QueueDriverHigh, Mmio.QueueDeviceHigh])(
    "G20: QueueReady stays 0 when register %i puts a ring above 4 GiB",
    (register) => {
      const file = negotiated();
      file.write(register, 1);
      setUpQueue(file, 0);
      expect(file.read(Mmio.QueueReady)).toBe(0);
    },
  );

  test("G22: refuses QueueReady without addresses or size, and values but 0 and 1", () => {
    const file = negotiated();
    file.write(Mmio.QueueReady, 1);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    setUpQueue(file, 0);
    file.write(Mmio.QueueReady, 2);
    file.write(Mmio.QueueReady, 1);
    expect(file.read(Mmio.QueueReady)).toBe(1);
    expect(file.registers.illegalAccesses).toBe(2);
  });

  test("G18, G20: rings that overlap harm only the guest", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0, { desc: 0x1000, avail: 0x1000, used: 0x1000 });
    file.write(Mmio.Status, 15);
    const queue = device.queues[0]!;
    for (let i = 0; i < 10; i++) queue.pop()?.release(0xffffffff);
    expect(file.registers.brokenQueues).toBeLessThanOrEqual(1);
  });

  test("M14: writing 0 to QueueReady takes a queue back before DRIVER_OK", () => {
    const device = fakeDevice();
    const file = negotiated(device);
    setUpQueue(file, 0);
    file.write(Mmio.QueueReady, 0);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    file.write(Mmio.Status, 15);
    expect(device.queues[0]).toBe(null);
    expect(file.registers.illegalAccesses).toBe(0);
  });

  test("M14: writing 0 to QueueReady stops a live queue, and no other one", () => {
    const stopped: number[] = [];
    const device = fakeDevice({ stopped: (queue) => stopped.push(queue) });
    const file = negotiated(device);
    setUpQueue(file, 0);
    setUpQueue(file, 1, { desc: 0x2000, avail: 0x2100, used: 0x2200 });
    file.write(Mmio.Status, 15);
    const [queue, other] = device.queues as [VirtQueue, VirtQueue];
    const { view } = queue.memory;
    for (const avail of [0x1100, 0x2100]) view.setUint16(avail + 2, 2, true);
    const held = queue.pop()!;
    file.write(Mmio.QueueSel, 0);
    file.write(Mmio.QueueReady, 0);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    expect(stopped).toEqual([0]);
    // The device has nothing of it any more: what it held is not its own, and it gets nothing else.
    expect(held.live).toBe(false);
    held.release(8);
    expect(queue.pop()).toBe(null);
    expect(queue.available).toBe(0);
    expect(view.getUint32(0x1200, true)).toBe(0);
    expect(file.registers.illegalAccesses).toBe(0);
    // Kicks, another stop and a new start are illegal until a reset.
    for (const value of [0, 1]) file.write(Mmio.QueueReady, value);
    file.write(Mmio.QueueNotify, 0);
    expect(file.read(Mmio.QueueReady)).toBe(0);
    expect(file.registers.illegalAccesses).toBe(3);
    expect(file.read(Mmio.Status)).toBe(15);
    other.pop()!.release(0);
    file.write(Mmio.QueueNotify, 1);
    expect(view.getUint16(0x2202, true)).toBe(1);
    expect(device.calls.at(-1)).toBe("notify 1");
  });

  test("asks for a reset, or ends the machine, when a device throws as its queue is stopped", () => {
    const stop = (error: Error) => {
      const stopped = () => {
        throw error;
      };
      const file = negotiated(fakeDevice({ stopped }));
      setUpQueue(file, 0);
      file.write(Mmio.Status, 15);
      file.write(Mmio.QueueReady, 0);
      return file.read(Mmio.Status) & Status.DEVICE_NEEDS_RESET;
    };
    expect(stop(new GuestError("half a packet"))).toBe(Status.DEVICE_NEEDS_RESET);
    expect(() => stop(new TypeError("broken"))).toThrow("broken");
  });

  test("M13: fixes size and addresses while a queue is live", () => {
    const file = negotiated();
    setUpQueue(file, 0);
    file.write(Mmio.QueueSize, 8);
    file.write(Mmio.QueueDescLow, 0x4000);
    expect(file.registers.illegalAccesses).toBe(2);
  });

  test("G23: ignores queue registers before FEATURES_OK and after DRIVER_OK", () => {
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
  test("C3, M5, G25, G26: ignores a kick before DRIVER_OK, or of a dead or absent queue", () => {
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

  test("S17: ignores a kick that finds nothing", () => {
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

  test("M2: sets only bit 0 for used buffers, and lowers the line on acknowledgement", () => {
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

  test("C5, G14: asks for a reset, with a configuration interrupt, when rings contradict themselves", () => {
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

  test("keeps one queue going when the other is broken", () => {
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

  test("C5: asks for a reset on a GuestError of the device; other errors are the host's", () => {
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

  test("C3: does not call halted() before DRIVER_OK", () => {
    const device = fakeDevice();
    const puppet = new RingPuppet(device, { inactive: true });
    puppet.halted();
    expect(device.calls).toEqual([]);
  });
});
