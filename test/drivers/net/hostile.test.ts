// The virtio-net driver against a device that lies (ND), with every combination of ring features.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { NetHdr } from "../../../abi/net.ts";
import { Status } from "../../../abi/virtio.ts";
import { card, noise, whoHas } from "../../support/frames.ts";
import {
  lie,
  type NetGuest,
  type NetGuestOptions,
  netGuests,
  rxHeader,
} from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";

const make = await netGuests();
const question = whoHas("10.0.0.1", "10.0.0.2", card(2));

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions = {}) => make({ withheld, ...options });

  /** After all that, a question is still answered, and the ring is full. */
  function expectAlive(g: NetGuest, posted: number): void {
    g.sent();
    g.inject(question);
    expect(g.sentArp()).toHaveLength(1);
    expect(g.device.queue(0).available).toBe(posted);
    expect(g.faults()).toBe(0);
  }

  test("ND1: used lengths that hold no frame, or more than the MTU", async () => {
    const g = await boot();
    const posted = g.device.queue(0).available;
    g.sent();
    for (let i = 0; i < 300; i++) {
      for (const used of [0, 1, 11, 12, 13, 25, 12 + 1515, 12 + 4096]) {
        g.device.raw(rxHeader(), question, used);
      }
      g.device.signal();
      g.settle();
    }
    expect([g.sent(), g.stats().frames]).toEqual([[], 0]);
    expectAlive(g, posted);
  });

  test("ND1: a used length beyond the buffer fails the device", async () => {
    const g = await boot();
    const ping = g.ping("10.0.0.2", 8, 500);
    g.device.buffer().release(12 + 4097);
    g.device.signal();
    g.settle();
    expectGone(g);
    g.advance(1000);
    expect(ping.result()).toBe(-Errno.ETIMEDOUT);
  });

  test("ND2: a number of buffers other than 1", async () => {
    const g = await boot();
    const posted = g.device.queue(0).available;
    for (const [low, high] of [
      [0, 0],
      [2, 0],
      [17, 0],
      [18, 0],
      [255, 255],
      [1, 1],
    ]) {
      const fields = { [NetHdr.num_buffers]: low ?? 0, [NetHdr.num_buffers + 1]: high ?? 0 };
      g.device.raw(rxHeader(fields), question);
    }
    g.device.signal();
    g.settle();
    expect(g.stats().frames).toBe(0);
    expectAlive(g, posted);
  });

  test("ND4, ND5: offloads that were not negotiated, with fields that make no sense", async () => {
    const g = await boot();
    const posted = g.device.queue(0).available;
    for (const type of [1, 3, 4, 5, 0x80, 0x81, 0xff]) {
      g.device.raw(rxHeader({ [NetHdr.gso_type]: type }), question);
    }
    for (const start of [0, 14, 34, 255]) {
      const fields = { [NetHdr.flags]: 1, [NetHdr.csum_start]: start, [NetHdr.csum_offset]: 255 };
      g.device.raw(rxHeader(fields), question);
    }
    g.device.signal();
    g.settle();
    expect(g.stats().frames).toBe(0);
    expectAlive(g, posted);
  });

  test("ND6: a link that comes and goes a thousand times", async () => {
    const g = await boot();
    const posted = g.device.queue(0).available;
    const before = g.call("heapBlocks");
    for (let i = 0; i < 1000; i++) {
      g.device.setStatus(i & 1);
      g.settle();
    }
    expect(g.sentArp()).toHaveLength(501);
    expect(g.call("heapBlocks")).toBeLessThanOrEqual(before + 1);
    expectAlive(g, posted);
  });

  test("ND7: an MTU that cannot be is refused", async () => {
    for (const mtu of [0, 1, 67, 65523, 65535]) {
      const g = await boot({ config: { mtu } });
      expect(g.lines.join("")).toContain(`virtio-net, irq 5: failed with error ${Errno.EINVAL}`);
      expectGone(g);
    }
    for (const mtu of [68, 65522]) {
      const g = await boot({ config: { mtu }, memoryBytes: 64 * 1024 * 1024 });
      expect(g.sentArp(), String(mtu)).toHaveLength(1);
    }
  });

  test("ND7: an MTU that changes afterwards changes nothing", async () => {
    const g = await boot();
    new DataView(g.device.config.buffer).setUint16(10, 9000, true);
    g.device.setStatus(1);
    g.settle();
    expect(g.ping("10.0.0.2", 1473).result()).toBe(-Errno.EMSGSIZE);
  });

  test("ND7: a MAC that no card has is replaced", async () => {
    for (const mac of ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"]) {
      const g = await boot({ config: { mac } });
      const own = g.sent()[0]?.from ?? "";
      expect(Number.parseInt(own.slice(0, 2), 16) & 3).toBe(2);
    }
  });

  test("ND10: used elements of no buffer, of one twice, and an index that runs ahead fail the device", async () => {
    const lies: ((g: NetGuest, queue: number) => void)[] = [
      (g, queue) => lie(g, queue, 5000),
      (g, queue) => lie(g, queue, 200),
      (g, queue) => {
        const { view } = g.machine.memory;
        const { used } = g.device.queue(queue).rings;
        view.setUint16(used + 2, view.getUint16(used + 2, true) + 1000, true);
      },
    ];
    for (const one of lies) {
      for (const queue of [0, 1]) {
        const g = await boot();
        one(g, queue);
        g.machine.call("interrupt", 5);
        g.settle();
        expectGone(g);
      }
    }
  });

  test("ND10: a lie that a send finds, and no interrupt, fails the device as well", async () => {
    const g = await boot();
    lie(g, 1, 5000);
    const before = g.ping("10.0.0.2", 8, 500);
    g.advance(1);
    expectGone(g);
    g.advance(2000);
    expect(before.result()).toBe(-Errno.ETIMEDOUT);
  });

  test("a device that asks for a reset is given up, and leaves no timer", async () => {
    const g = await boot();
    const ping = g.ping("10.0.0.2", 8, 5000);
    const registers = g.machine.registers[0] as (typeof g.machine.registers)[number];
    g.machine.memory.view.setUint16(g.device.queue(1).rings.avail + 2, 5000, true);
    registers.write(0x50, 4, 1); // a kick, as if the ring were in order
    g.device.consume();
    g.device.signal();
    g.settle();
    expectGone(g);
    expect(ping.result()).toBeUndefined();
    g.advance(6000);
    expect([ping.result(), g.call("isTimerRunning")]).toEqual([-Errno.ETIMEDOUT, 0]);
  });

  test("rings of one entry are refused, and so is a second card", async () => {
    const g = await boot({ queueSize: 1 });
    expect(g.lines.join("")).toContain(`failed with error ${Errno.ENODEV}`);
    const two = await boot({ second: true });
    expect(two.lines.join("")).toContain(`virtio-net, irq 6: failed with error ${Errno.EBUSY}`);
    expect(two.sentArp()).toHaveLength(1);
    two.machine.call("interrupt", 6);
    expectAlive(two, two.device.queue(0).available);
  });

  test("frames of noise, each of them cut at every byte, do no harm", async () => {
    const g = await boot();
    const posted = g.device.queue(0).available;
    for (let bytes = 14; bytes < 80; bytes++) {
      g.inject(noise(bytes, bytes), question.subarray(0, Math.min(bytes, 41)));
    }
    expectAlive(g, posted);
  });

  /** The card is gone for good; the machine goes on. */
  function expectGone(g: NetGuest): void {
    expect(g.ping("10.0.0.2").result()).toBe(-Errno.ENETDOWN);
    const status = g.machine.registers[0]?.read(0x70, 4) ?? 0;
    expect(status & Status.FAILED).toBe(Status.FAILED);
    expect(g.call("buffersInFlight", 1) + g.call("buffersInFlight", 2)).toBe(0);
  }
});
