// A guest may offer more work at once than there is time for: what one turn does is bounded, and
// the rest is done in the turns after it, between which the host sees its other events.
import { describe, expect, test } from "vitest";
import { Mmio } from "../../abi/virtio.ts";
import type { VirtioDevice } from "../../host/device.ts";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import type { Machine } from "../../host/node/machine.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { count, HANDSHAKE, MIB, machine, u32, write } from "../support/wat-machine.ts";

const DESC = MIB;
const AVAIL = 2 * MIB;
const USED = 3 * MIB;
const NEXT = 1;
const WRITE = 2;

const DRIVER_OK = write(Mmio.Status, 15);

/** WAT: brings the device up with one queue, and kicks it at every turn until 0x4000 says stop. */
const withQueue = (queue: number, size: number) => ({
  boot: HANDSHAKE.replace(
    DRIVER_OK,
    [
      write(Mmio.QueueSel, queue),
      write(Mmio.QueueSize, size),
      write(Mmio.QueueDescLow, DESC),
      write(Mmio.QueueDriverLow, AVAIL),
      write(Mmio.QueueDeviceLow, USED),
      write(Mmio.QueueReady, 1),
      DRIVER_OK,
    ].join("\n"),
  ),
  run: `(if (i32.eqz (i32.load (i32.const 0x4000))) (then
      (i32.store (i32.const 0x4000) (i32.const 1)) ${write(Mmio.QueueNotify, queue)}))
    ${count(0x4004)} i32.const 0`,
  interrupt: write(Mmio.InterruptACK, 3),
});

/** Every descriptor goes on to the next one, and every one of them is the head of a chain. */
function offerAll(m: Machine, size: number, flags: number, bytes = 0): void {
  const { view } = m.memory;
  for (let i = 0; i < size; i++) {
    const at = DESC + i * 16;
    view.setUint32(at, 0x10000, true);
    view.setUint32(at + 8, bytes, true);
    view.setUint16(at + 12, flags | (i < size - 1 ? NEXT : 0), true);
    view.setUint16(at + 14, i + 1, true);
    view.setUint16(AVAIL + 4 + i * 2, i, true);
  }
  view.setUint16(AVAIL + 2, size, true);
}

const used = (m: Machine) => m.memory.view.getUint16(USED + 2, true);

async function boot(device: VirtioDevice, queue: number, size: number, flags: number, bytes = 0) {
  const options = { devices: [device], memoryBytes: 4 * MIB };
  const { machine: m, clock } = await machine(withQueue(queue, size), options);
  offerAll(m, size, flags, bytes);
  m.boot();
  return { m, clock };
}

describe("heads into one list, each legal by itself", () => {
  test("serves a few of 32768 in one kick, and the rest in later turns", async () => {
    const { m, clock } = await boot(new VsockDevice({ cid: 3 }), 1, 32768, 0);
    for (let turns = 0, before = -1; turns < 50; turns++) {
      expect(used(m) - before).toBeGreaterThan(0);
      expect(used(m) - before).toBeLessThan(40);
      before = used(m);
      expect(clock.deferred).toBe(1);
      clock.settle();
    }
    m.dispose();
  });

  test.each([
    ["packets of the guest", 1, 4096, 0],
    ["receive buffers that are none", 0, 4096, 0],
  ])("%s: serves all of them in the end", async (_, queue, size, flags) => {
    const vsock = new VsockDevice({ cid: 3 });
    const { m, clock } = await boot(vsock, queue, size, flags);
    if (queue === 0) void vsock.probe(80).catch(() => {});
    let turns = 0;
    for (; used(m) < size; turns++) expect(clock.settle()).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(5);
    expect(m.registers[0]!.brokenQueues).toBe(0);
    m.dispose();
  });

  test("buffers for events", async () => {
    const vsock = new VsockDevice({ cid: 3 });
    const { m, clock } = await boot(vsock, 2, 64, 0);
    vsock.resetTransport();
    while (clock.settle() > 0);
    expect(used(m)).toBe(64); // none of them can be written
    m.dispose();
  });

  test("counts bytes as well as requests of files", async () => {
    const site = new FsDevice({ directory: "test", tag: "site" });
    const { m, clock } = await boot(site, 1, 256, 0, MIB);
    expect(used(m)).toBeLessThan(10);
    while (clock.settle() > 0);
    expect(used(m)).toBe(256);
    m.dispose();
  });
});

test("counts work in a host event for the turn after it", async () => {
  const device = fakeDevice({ queueSizesMax: [32768, 4] });
  const { m, clock } = await boot(device, 0, 32768, WRITE);
  const queue = device.queues[0]!;
  let taken = 0;
  for (let chain = queue.pop(); chain !== null; chain = queue.pop()) taken++;
  expect(taken).toBeGreaterThan(0);
  expect(taken).toBeLessThan(40);
  const kicks = device.calls.filter((call) => call === "notify 0").length;
  expect(clock.settle()).toBe(1);
  expect(device.calls.filter((call) => call === "notify 0").length).toBe(kicks + 1);
  expect(queue.pop()).not.toBe(null);
  m.dispose();
});

test("serves postponed work when the guest powers off", async () => {
  const device = fakeDevice({ queueSizesMax: [32768, 4] });
  device.notify = () => {
    for (const chain of device.queues[0]!) chain.release(0);
  };
  const text = withQueue(0, 32768);
  const run = text.run.replace(count(0x4004), "(call $proc_exit (i32.const 0))");
  const { machine: m } = await machine(
    { ...text, run },
    { devices: [device], memoryBytes: 4 * MIB },
  );
  offerAll(m, 32768, 0);
  m.boot();
  expect(await m.exited).toEqual({ kind: "power-off", code: 0 });
  expect(used(m)).toBeGreaterThan(60); // one turn grants half of it
  expect(used(m)).toBeLessThan(80);
});

test("serves a queue of short chains within its kick", async () => {
  const device = fakeDevice({ queueSizesMax: [256, 4] });
  device.notify = () => {
    for (const chain of device.queues[0]!) chain.release(0);
  };
  const { machine: m, clock } = await machine(withQueue(0, 256), {
    devices: [device],
    memoryBytes: 4 * MIB,
  });
  offerAll(m, 256, 0);
  for (let i = 0; i < 256; i++) m.memory.view.setUint16(DESC + i * 16 + 12, 0, true);
  m.boot();
  expect(used(m)).toBe(256);
  expect(clock.deferred).toBe(0);
  expect(u32(m, 0x4004)).toBeGreaterThan(0);
  m.dispose();
});
