// How the guest's drivers treat a device's registers, access by access (virtio 3.1.1, 4.2).
import { describe, expect, test } from "vitest";
import { Mmio, Status } from "../../abi/virtio.ts";
import { Machine } from "../../host/node/machine.ts";
import { compileGuest } from "../support/guest.ts";
import { RINGS } from "../support/ring-kinds.ts";
import { ScriptedVsock, SocketGuest } from "../support/socket-guest.ts";

const image = await compileGuest("test/guest/sockets.ts");

interface Access {
  readonly kind: "read" | "write";
  readonly offset: number;
  readonly bytes: number;
  readonly value: number;
}

/** Boots with a register file that notes every access, and may lie about what is read. */
async function boot(
  lie: (offset: number, value: number) => number = (_, value) => value,
  withheldFeatures = 0n,
) {
  const device = new ScriptedVsock();
  const machine = await Machine.create({
    image: image.module,
    devices: [device],
    withheldFeatures,
  });
  const registers = machine.registers[0]!;
  const accesses: Access[] = [];
  const read = registers.read.bind(registers);
  const write = registers.write.bind(registers);
  registers.read = (offset, bytes) => {
    const value = lie(offset, read(offset, bytes));
    accesses.push({ kind: "read", offset, bytes, value });
    return value;
  };
  registers.write = (offset, bytes, value) => {
    accesses.push({ kind: "write", offset, bytes, value });
    write(offset, bytes, value);
  };
  machine.boot();
  const writes = (offset: number) =>
    accesses.filter((one) => one.kind === "write" && one.offset === offset).map((one) => one.value);
  return { machine, registers, accesses, writes };
}

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED } = {
  ACKNOWLEDGE: Status.ACKNOWLEDGE,
  DRIVER: Status.DRIVER,
  DRIVER_OK: Status.DRIVER_OK,
  FEATURES_OK: Status.FEATURES_OK,
  FAILED: Status.FAILED,
};

describe("a device that answers well", () => {
  test("C1, C10, C15: reset, then one status bit after the other, in the order of 3.1.1", async () => {
    const { writes, registers, machine } = await boot();
    const bits = [0, ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK];
    let sum = 0;
    expect(writes(Mmio.Status)).toEqual(bits.map((bit) => (sum |= bit)));
    expect(registers.illegalAccesses).toBe(0);
    machine.dispose();
  });

  test("FEATURES_OK is read back before the queues are set up (Toro fault 38)", async () => {
    const { accesses, machine } = await boot();
    const set = accesses.findIndex(
      (one) => one.kind === "write" && one.offset === Mmio.Status && one.value & FEATURES_OK,
    );
    const queue = accesses.findIndex((one) => one.offset === Mmio.QueueSel);
    const back = accesses.findIndex((one, i) => i > set && one.offset === Mmio.Status);
    expect(accesses[back]!.kind).toBe("read");
    expect(back).toBeLessThan(queue);
    machine.dispose();
  });

  test("M16: a driver that expects no shared memory leaves its registers alone", async () => {
    const { accesses, machine } = await boot();
    const first: number = Mmio.SHMSel;
    const last: number = Mmio.SHMBaseHigh;
    expect(accesses.filter(({ offset }) => offset >= first && offset <= last)).toEqual([]);
    machine.dispose();
  });

  test("C4: nothing is notified before DRIVER_OK", async () => {
    const { accesses, machine } = await boot();
    const ok = accesses.findIndex(
      (one) => one.kind === "write" && one.offset === Mmio.Status && one.value & DRIVER_OK,
    );
    const kick = accesses.findIndex((one) => one.offset === Mmio.QueueNotify);
    expect(kick).toBeGreaterThan(ok);
    machine.dispose();
  });

  test("M11: each half of the features is selected before it is read or written", async () => {
    const { accesses, machine } = await boot();
    const features: number[] = [Mmio.DeviceFeatures, Mmio.DriverFeatures];
    accesses.forEach((one, i) => {
      if (!features.includes(one.offset)) return;
      expect(accesses[i - 1]).toMatchObject({ kind: "write", offset: one.offset + 4 });
    });
    machine.dispose();
  });

  test("M7, M8: control registers by 32 bits, configuration by the width of its fields", async () => {
    const { accesses, machine } = await boot();
    for (const { offset, bytes } of accesses) {
      expect(bytes).toBe(4); // guest_cid is read as two halves, too
      expect(offset % 4).toBe(0);
    }
    machine.dispose();
  });

  test("M12, M13: no queue is larger than allowed, none is touched once it is live", async () => {
    const { accesses, machine } = await boot();
    const address: number[] = [Mmio.QueueSize, Mmio.QueueDescLow, Mmio.QueueDriverLow];
    let selected = -1;
    const live = new Set<number>();
    for (const { kind, offset, value } of accesses) {
      if (kind !== "write") continue;
      if (offset === Mmio.QueueSel) selected = value;
      if (offset === Mmio.QueueReady) live.add(selected);
      if (address.includes(offset)) expect(live.has(selected)).toBe(false);
      if (offset === Mmio.QueueSize) expect(value).toBeLessThanOrEqual(256);
    }
    expect([...live]).toEqual([0, 1, 2]);
    machine.dispose();
  });

  test("the upper halves of ring addresses are written, as 0 (Toro fault 40)", async () => {
    const { writes, machine } = await boot();
    for (const high of [Mmio.QueueDescHigh, Mmio.QueueDriverHigh, Mmio.QueueDeviceHigh]) {
      expect(writes(high)).toEqual([0, 0, 0]);
    }
    machine.dispose();
  });

  test("C11: a configuration that changes while it is read is read again", async () => {
    let generation = 0;
    const { accesses, machine } = await boot((offset, value) =>
      offset === Mmio.ConfigGeneration ? Math.min(generation++, 3) : value,
    );
    const reads = accesses.filter((one) => one.offset === Mmio.Config);
    expect(reads.length).toBeGreaterThan(1);
    machine.dispose();
  });

  test("C11: a configuration that never stands still does not hold the kernel", async () => {
    let generation = 0;
    const { accesses, machine } = await boot((offset, value) =>
      offset === Mmio.ConfigGeneration ? generation++ : value,
    );
    expect(accesses.filter((one) => one.offset === Mmio.Config)).toHaveLength(100);
    machine.dispose();
  });

  test("an interrupt is acknowledged before its queues are drained (Toro fault 1)", async () => {
    const g = await SocketGuest.boot(image);
    g.listen(80);
    const registers = g.machine.registers[0]!;
    const write = registers.write.bind(registers);
    let late = true;
    // A packet that comes right after the acknowledgement, and another one right before it.
    registers.write = (offset, bytes, value) => {
      const now = offset === Mmio.InterruptACK && late;
      if (now) late = false;
      if (now) g.device.raw(request(2));
      write(offset, bytes, value);
      if (now) g.device.raw(request(3));
      if (now) for (const queue of g.device.queues) queue?.signal();
    };
    g.device.raw(request(1));
    g.device.signal();
    g.settle();
    expect(g.sent().map((one) => one.dstPort)).toEqual([1, 2, 3]);
    g.dispose();
  });
});

describe.each(RINGS)("a device that does not, with %s", (_, withheld) => {
  const cases: [string, (offset: number, value: number) => number, number | null][] = [
    ["M9: another magic", (o, v) => (o === Mmio.MagicValue ? 1 : v), null],
    ["M9: version 1", (o, v) => (o === Mmio.Version ? 1 : v), null],
    ["M10: an empty slot", (o, v) => (o === Mmio.DeviceID ? 0 : v), null],
    ["C10: a reset that never ends", (o, v) => (o === Mmio.Status ? v | 64 : v), FAILED],
    ["D16, C16: FEATURES_OK does not stay", (o, v) => (o === Mmio.Status ? v & ~8 : v), FAILED],
    ["D16, C16: a queue of size 0", (o, v) => (o === Mmio.QueueSizeMax ? 0 : v), FAILED],
    ["D16: a queue beyond all limits", (o, v) => (o === Mmio.QueueSizeMax ? 1 << 20 : v), FAILED],
    ["a queue that is live already", (o, v) => (o === Mmio.QueueReady ? 1 : v), FAILED],
  ];
  test.each(cases)("%s", async (_, lie, status) => {
    const { machine, writes, accesses } = await boot(lie, withheld);
    if (status === null) {
      // Left alone: nothing but identification was read, and nothing written.
      expect(accesses.every((one) => one.kind === "read" && one.offset <= Mmio.DeviceID)).toBe(
        true,
      );
    } else {
      expect(writes(Mmio.Status).at(-1)).toBe(status);
    }
    // The kernel goes on without a network.
    expect(machine.call("SysSocket", 1)).toBe(-100);
    machine.dispose();
  });

  test("D16, C7: a queue size that is no power of two is rounded down", async () => {
    const { machine, writes } = await boot((o, v) => (o === Mmio.QueueSizeMax ? 100 : v), withheld);
    expect(writes(Mmio.QueueSize)).toEqual([64, 64, 8]);
    machine.dispose();
  });

  test("C14: after NEEDS_RESET the device is reset before its buffers are given up", async () => {
    const g = await SocketGuest.boot(image, { withheld });
    const socket = g.accept(g.listen(80), 80, 7);
    const reader = g.start("recv", socket, g.allocate(8), 8);
    const registers = g.machine.registers[0]!;
    const { view } = g.machine.memory;
    const { avail } = g.device.queue(1).rings;
    // The tx ring contradicts itself: the host's queue breaks and asks for a reset (C5).
    view.setUint16(avail + 2, view.getUint16(avail + 2, true) + 1000, true);
    registers.write(Mmio.QueueNotify, 4, 1);
    g.device.consume();
    g.device.signal();
    g.settle();
    expect(reader.result).toBe(-104);
    // Reset, which made every queue dead, and then marked as given up.
    expect(registers.read(Mmio.Status, 4)).toBe(FAILED);
    expect(g.device.queues).toEqual([]);
    g.dispose();
  });
});

/** REQUEST from host port `port` to port 80. */
function request(port: number): Uint8Array {
  const bytes = new Uint8Array(44);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 2, true);
  view.setUint32(8, 3, true);
  view.setUint32(16, port, true);
  view.setUint32(20, 80, true);
  view.setUint16(28, 1, true);
  view.setUint16(30, 1, true);
  view.setUint32(36, 65536, true);
  return bytes;
}
