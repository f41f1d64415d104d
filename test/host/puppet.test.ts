// A whole machine with a hand-written guest in place of the kernel: registers, rings, interrupts,
// turns and power-off in one piece.
import { readFileSync } from "node:fs";
import { beforeAll, expect, test } from "vitest";
import type { VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import type { Chain } from "../../host/virtqueue.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { assemble } from "../support/wat.ts";

let image: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  image = await assemble(
    "puppet.wat",
    readFileSync(new URL("../support/puppet.wat", import.meta.url), "utf8"),
  );
});

const KICKS = 0x4000;
const INTERRUPTS = 0x4004;
const USED = 0x4008;
const LEFT = 0x400c;

async function puppet(requests: number, overrides: Partial<VirtioDevice> = {}) {
  const clock = new ManualClock();
  const device = fakeDevice(overrides);
  const machine = await Machine.create({
    image,
    memoryBytes: 65536,
    clock,
    devices: [device],
    entropy: (into) => into.fill(7),
  });
  machine.memory.view.setUint32(LEFT, requests, true);
  const word = (address: number) => machine.memory.view.getUint32(address, true);
  return { machine, device, clock, word };
}

/** Replies with the request's bytes plus one each. */
function serve(chain: Chain): void {
  const request = new Uint8Array(8);
  chain.copyFrom(0, request);
  chain.release(
    chain.copyTo(
      0,
      request.map((byte) => byte + 1),
    ),
  );
}

test("completes within the kick, without leaving the turn", async () => {
  const { machine, device, word, clock } = await puppet(3, {
    notify: () => {
      for (const chain of device.queues[0]!) serve(chain);
    },
  });
  machine.boot();
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect([word(KICKS), word(INTERRUPTS), word(USED)]).toEqual([3, 3, 3]);
  expect([...machine.memory.bytes(0x9000, 3)]).toEqual([3, 1, 1]);
  expect(clock.deferred).toBe(0);
  // The last look at what was handed over is that of the power-off.
  expect(device.calls).toEqual(["activate", ...Array(4).fill("halted"), "dispose"]);
});

test("runs gathered work when the guest has halted", async () => {
  const { machine, device, word } = await puppet(2, {
    halted: () => {
      for (const chain of device.queues[0]!) serve(chain);
    },
  });
  machine.boot();
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect(word(INTERRUPTS)).toBe(2);
});

test("delivers a completion in a host event by signal() and turn()", async () => {
  const { machine, device, word, clock } = await puppet(1);
  machine.boot();
  const queue = device.queues[0]!;
  const chain = queue.pop()!;
  expect([word(KICKS), word(INTERRUPTS)]).toEqual([1, 0]);
  device.host!.turn(); // nothing is pending: the guest is left alone
  expect(clock.deferred).toBe(0);
  serve(chain);
  queue.signal();
  device.host!.turn();
  device.host!.turn();
  expect(word(INTERRUPTS)).toBe(0); // after the other events of this moment, once for all
  expect(clock.settle()).toBe(1);
  expect(word(INTERRUPTS)).toBe(1);
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
});

test("ignores turn() inside a kick: a hypercall never runs the guest", async () => {
  const { machine, device, word } = await puppet(1, {
    notify: () => {
      for (const chain of device.queues[0]!) serve(chain);
      device.queues[0]!.signal();
      const before = word(INTERRUPTS);
      device.host!.turn();
      expect(word(INTERRUPTS)).toBe(before);
    },
  });
  machine.boot();
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
});

test("G28: leaves the event loop time in a storm of completions", async () => {
  const { machine, device, word, clock } = await puppet(1000, {
    notify: () => {
      for (const chain of device.queues[0]!) serve(chain);
    },
  });
  machine.boot();
  expect(word(KICKS)).toBe(64);
  let turns = 1;
  while (clock.settle() > 0) turns++;
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect(word(KICKS)).toBe(1000);
  expect(turns).toBe(16);
});

test("two runs on the same clock, with the same entropy, leave the same memory", async () => {
  const memories = [];
  for (let run = 0; run < 2; run++) {
    const { machine, device, clock } = await puppet(5, {
      notify: () => {
        const chain = device.queues[0]!.pop()!;
        device.host!.after(3, () => {
          serve(chain);
          device.queues[0]!.signal();
          device.host!.turn();
        });
      },
    });
    machine.boot();
    clock.advance(100);
    expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
    memories.push(machine.memory.u8);
  }
  expect(Buffer.compare(memories[0]!, memories[1]!)).toBe(0);
});

test("drops the work of devices at the machine's end", async () => {
  const { machine, device } = await puppet(1);
  machine.boot();
  const chain = device.queues[0]!.pop()!;
  machine.dispose();
  serve(chain);
  device.queues[0]!.signal();
  device.host!.turn();
  expect(await machine.exited).toEqual({ kind: "disposed" });
});
