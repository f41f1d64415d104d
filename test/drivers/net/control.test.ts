// The control queue and the pairs of queues of the virtio-net driver, with every combination of
// ring features.
import { describe, expect, test } from "vitest";
import { Status } from "../../../abi/virtio.ts";
import { card, whoHas } from "../../support/frames.ts";
import {
  ALL_FEATURES,
  type CardGuest,
  cardGuests,
  type NetGuestOptions,
  rxHeader,
} from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { tcpFrame } from "../../support/tcp-frames.ts";

const make = await cardGuests();
const [CTRL_VQ, ANNOUNCE, MQ] = [1n << 17n, 1n << 21n, 1n << 22n];
const FEATURES = ALL_FEATURES | CTRL_VQ | ANNOUNCE;
const PAIRS = ALL_FEATURES | CTRL_VQ | MQ;
const [LINK_UP, MUST_ANNOUNCE] = [1, 2];
const question = whoHas("10.0.0.1", "10.0.0.2", card(2));

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions & { mode?: string } = {}) =>
    make({ withheld, features: FEATURES, ...options });
  const four = (options: NetGuestOptions & { mode?: string } = {}) =>
    boot({ features: PAIRS, config: { pairs: 4 }, mode: "net.pairs=4", ...options });

  /** Takes the commands in a queue, and answers each; undefined: not yet. */
  function commands(g: CardGuest, queue: number, ack?: number, used = 1): number[][] {
    const taken = [];
    for (const chain of g.device.queue(queue)) {
      const bytes = Buffer.alloc(chain.readableBytes);
      chain.copyFrom(0, bytes);
      taken.push([...bytes]);
      expect(chain.writableBytes).toBe(1);
      if (ack === undefined) continue;
      chain.copyTo(0, Buffer.from([ack]));
      chain.release(used);
    }
    g.device.signal();
    g.settle();
    return taken;
  }

  function isGone(g: CardGuest): boolean {
    return ((g.machine.registers[0]?.read(0x70, 4) ?? 0) & Status.FAILED) !== 0;
  }

  /** The queues that frames of flows were sent on; 32 flows, each of them twice. */
  function queuesOfFlows(g: CardGuest): number[] {
    g.device.sent.length = 0;
    for (let i = 0; i < 64; i++) {
      const frame = tcpFrame();
      frame.writeUInt16BE(50_000 + (i % 32), 34);
      g.sendWork(frame, { headerBytes: 54, parts: i < 32 ? 0 : 1 });
    }
    return g.device.sent.map(({ queue }) => queue);
  }

  test("NW33: accepts the queue if it has a use for it, and gives no command without a feature", async () => {
    const control = (g: CardGuest) => g.device.accepted & (CTRL_VQ | ANNOUNCE | MQ);
    for (const [features, accepted] of [
      [ALL_FEATURES | CTRL_VQ, 0n],
      [ALL_FEATURES | ANNOUNCE, 0n],
      [FEATURES | MQ, CTRL_VQ | ANNOUNCE],
      [FEATURES & ~(1n << 16n), 0n], // STATUS
    ] as const) {
      const g = await boot({ features });
      expect(control(g)).toBe(accepted);
      g.device.setStatus(LINK_UP | MUST_ANNOUNCE);
      g.settle();
      expect(g.device.queues[2] === null).toBe(accepted === 0n);
      expect(isGone(g)).toBe(false);
    }
    const g = await four({ features: PAIRS & ~CTRL_VQ });
    expect([control(g), g.device.queues.filter((queue) => queue !== null).length]).toEqual([0n, 2]);
  });

  test("NW32: announces the address when it is asked to, and says so once", async () => {
    const g = await boot();
    g.sent();
    g.device.setStatus(LINK_UP | MUST_ANNOUNCE);
    g.settle();
    expect(g.sentArp()).toMatchObject([{ op: 1, sender: "10.0.0.1", target: "10.0.0.1" }]);
    expect(commands(g, 2, 0)).toEqual([[3, 0]]);
    g.device.setStatus(LINK_UP);
    g.settle();
    expect([g.sent(), commands(g, 2, 0)]).toEqual([[], []]);
    g.inject(question);
    expect(g.sentArp()).toHaveLength(1);
  });

  test("NW32: announcements that are asked for without end are made one at a time", async () => {
    const g = await boot();
    g.sent();
    for (let i = 0; i < 50; i++) {
      g.device.setStatus(LINK_UP | MUST_ANNOUNCE);
      g.settle();
    }
    expect(g.sentArp()).toHaveLength(50);
    expect(commands(g, 2, 0)).toEqual([[3, 0]]);
    expect(commands(g, 2, 0)).toEqual([[3, 0]]);
    expect(commands(g, 2, 0)).toEqual([]);
  });

  test("NW29: sets all queues up, asks for them, and sends on the first until the device agrees", async () => {
    const g = await four();
    expect(g.device.queues.filter((queue) => queue === null)).toEqual([]);
    expect(g.device.queues).toHaveLength(9);
    for (const queue of [0, 2, 4, 6]) expect(g.device.queue(queue).available).toBeGreaterThan(4);
    expect(new Set(queuesOfFlows(g))).toEqual(new Set([1]));
    expect(commands(g, 8, 0)).toEqual([[4, 0, 4, 0]]);
    const queues = queuesOfFlows(g);
    expect(new Set(queues)).toEqual(new Set([1, 3, 5, 7]));
    expect(queues.slice(32)).toEqual(queues.slice(0, 32)); // each flow keeps its own
    g.sent();
    g.inject(question);
    expect(g.device.sent.map(({ queue }) => queue)).toEqual([1]); // of no flow
  });

  test("NW29: uses as many pairs as both sides want", async () => {
    for (const [pairs, mode, count] of [
      [2, "net.pairs=4", 2],
      [4, "net.pairs=3", 3],
      [1, "net.pairs=4", 1],
    ] as const) {
      const g = await four({ config: { pairs }, mode });
      const live = g.device.queues.slice(0, -1).filter((queue) => queue !== null);
      expect(live).toHaveLength(2 * count);
      const asked = commands(g, 2 * pairs, 0);
      expect(asked).toEqual(count === 1 ? [] : [[4, 0, count, 0]]);
    }
  });

  test("NW17: takes frames from all pairs, and posts their buffers again where they were", async () => {
    const g = await four();
    commands(g, 8, 0);
    g.watch();
    const posted = () => [0, 2, 4, 6].map((queue) => g.device.queue(queue).available);
    const full = posted();
    for (let round = 0; round < 3; round++) {
      for (const queue of [0, 2, 4, 6]) {
        for (let i = 0; i < 5; i++) g.device.raw(rxHeader(), tcpFrame(), undefined, queue);
      }
      g.device.signal();
      g.settle();
      expect(posted()).toEqual(full);
    }
    expect([g.seen().count, g.counters().dropped, g.faults()]).toEqual([60, 0, 0]);
  });

  test("ND8: a command that is never answered fails the device, after a second", async () => {
    const g = await four();
    expect(commands(g, 8)).toEqual([[4, 0, 4, 0]]);
    g.advance(999);
    expect(isGone(g)).toBe(false);
    g.advance(2);
    expect(isGone(g)).toBe(true);
    expect(g.pooled().inFlight).toBe(0);
    g.advance(10_000);
  });

  test("ND8: an answer stops the clock", async () => {
    const g = await four();
    commands(g, 8, 0);
    g.advance(5000);
    expect(isGone(g)).toBe(false);
  });

  test.each([
    ["1", 1, 1],
    ["7", 7, 1],
    ["nothing", 0, 0],
  ])("ND8: an answer of %s leaves one pair in use", async (_answer, ack, used) => {
    const g = await four();
    commands(g, 8, ack, used);
    g.advance(2000);
    expect(new Set(queuesOfFlows(g))).toEqual(new Set([1]));
    expect(isGone(g)).toBe(false);
  });

  test("ND8: an answer that comes twice fails the device", async () => {
    const g = await four();
    commands(g, 8, 0);
    const { view } = g.machine.memory;
    const { used } = g.device.queue(8).rings;
    view.setUint16(used + 2, view.getUint16(used + 2, true) + 1, true);
    g.machine.call("interrupt", 5);
    g.settle();
    g.device.setStatus(LINK_UP);
    g.settle();
    expect(isGone(g)).toBe(true);
  });

  test("ND9: a number of pairs that cannot be is refused", async () => {
    for (const pairs of [0, 0x8001, 65535]) {
      const g = await four({ config: { pairs } });
      expect(isGone(g)).toBe(true);
      expect(g.lines.join("")).toContain("virtio-net, irq 5: failed with error 22");
    }
  });

  test("ND9: a number of pairs that the device does not have is refused", async () => {
    const g = await four({ config: { pairs: 300 } });
    expect(isGone(g)).toBe(true);
  });

  test("NW7: without pairs nobody reads how many there are", async () => {
    const g = await boot({ config: { pairs: 0 }, mode: "net.pairs=4" });
    expect([isGone(g), g.device.queues[2] === null]).toEqual([false, false]);
  });
});
