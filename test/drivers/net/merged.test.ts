// Frames in several receive buffers (MRG_RXBUF), with every combination of ring features.
import { describe, expect, test } from "vitest";
import { NetHdr } from "../../../abi/net.ts";
import { digests, noise } from "../../support/frames.ts";
import { cardGuests, type NetGuestOptions } from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const make = await cardGuests();
const long = tcpFrame({ payload: noise(60_000) });
const header = () => workHeader({ type: 1, size: 1448 });

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions = {}) => make({ withheld, ...options });

  /** A device with a full ring, and a look at whether it is as before when all is over. */
  async function begin() {
    const g = await boot();
    g.watch();
    const full = g.device.queue(0).available;
    const settle = () => {
      g.device.signal();
      g.settle();
    };
    const expectAlive = () => {
      const { count } = g.seen();
      g.device.merged(header(), long);
      settle();
      expect(g.seen().count).toBe(count + 1);
      expect(digests([g.seen().frame])).toEqual(digests([long]));
      expect(g.device.queue(0).available).toBe(full);
      expect(g.faults()).toBe(0);
    };
    return { g, settle, expectAlive };
  }

  test("NW18: posts buffers that hold a header at least", async () => {
    const { g } = await begin();
    for (let i = g.device.queue(0).available; i > 0; i--) {
      expect(g.device.buffer().writableBytes).toBeGreaterThanOrEqual(NetHdr.sizeof);
    }
  });

  test("NW35: puts frames of one to seventeen buffers together", async () => {
    const { g, settle, expectAlive } = await begin();
    for (let buffers = 1; buffers <= 17; buffers++) {
      const sizes = [4096 * (buffers - 1) + 60, 4096 * buffers - 12];
      for (const bytes of sizes.map((size) => Math.min(size, 65_549))) {
        const frame = tcpFrame({ payload: noise(bytes - 54, bytes) });
        expect(g.device.merged(header(), frame)).toBe(Math.ceil((bytes + 12) / 4096));
        settle();
        expect(digests([g.seen().frame])).toEqual(digests([frame]));
      }
    }
    expect(g.counters()).toMatchObject({ dropped: 0, joined: 32 });
    expectAlive();
  });

  test("NW35: puts many together in one turn, with small ones between them", async () => {
    const { g, settle, expectAlive } = await begin();
    for (let i = 0; i < 6; i++) {
      g.device.merged(header(), tcpFrame({ payload: noise(20_000 + i) }));
      g.device.merged(workHeader({ flags: 0 }), tcpFrame({ payload: noise(10 + i) }));
    }
    settle();
    expect([g.seen().count, g.seen().frame.length]).toEqual([12, 69]);
    expectAlive();
  });

  test("ND2: a number of buffers that cannot be, or that are not there", async () => {
    const { g, settle, expectAlive } = await begin();
    for (const count of [0, 18, 255, 0xffff]) {
      g.device.merged(header(), tcpFrame({ payload: noise(100) }), { count });
      settle();
    }
    expect([g.seen().count, g.counters().dropped]).toEqual([0, 4]);
    for (const count of [2, 16, 17]) {
      g.device.merged(header(), tcpFrame({ payload: noise(4096 - 12 - 54) }), { count });
      settle();
    }
    expect([g.seen().count, g.counters().dropped]).toEqual([0, 7]);
    expectAlive();
  });

  test("ND2: fewer buffers than the frame fills are a frame of several", async () => {
    const { g, settle, expectAlive } = await begin();
    g.device.merged(header(), long, { count: 1 });
    settle();
    expect(g.counters().dropped).toBe(14); // those that begin with no header
    expect(g.seen()).toMatchObject({ count: 1 });
    expectAlive();
  });

  test("ND3: a first or a middle buffer that is not full, and a last one that is empty", async () => {
    const { g, settle, expectAlive } = await begin();
    const changes: ((lengths: number[]) => number[])[] = [
      ([first = 0, ...rest]) => [first - 1, ...rest],
      ([first = 0, second = 0, ...rest]) => [first, second - 1, ...rest],
      ([first = 0, , ...rest]) => [first, 0, ...rest],
      (lengths) => [...lengths.slice(0, -1), 0],
      (lengths) => [11, ...lengths.slice(1)],
    ];
    for (const used of changes) {
      g.device.merged(header(), long, { used });
      settle();
    }
    expect(g.seen().count).toBe(0);
    expectAlive();
  });

  test("ND4, ND5: headers that break a rule give all buffers back", async () => {
    const { g, settle, expectAlive } = await begin();
    for (const work of [{ type: 1, size: 0 }, { type: 4, size: 9 }, { start: 0xffff }, {}]) {
      g.device.merged(workHeader(work), long);
      settle();
    }
    expect([g.seen().count, g.counters().dropped]).toEqual([0, 4]);
    expectAlive();
  });

  test("a frame that finds no memory is dropped and counted, and leaves its buffers", async () => {
    const { g, settle, expectAlive } = await begin();
    const blocks: number[] = [];
    for (let block = g.call("ToroGetMem", 40_000); block !== 0; ) {
      blocks.push(block);
      block = g.call("ToroGetMem", 40_000);
    }
    g.device.merged(header(), long);
    settle();
    expect(g.counters()).toEqual({ dropped: 1, starved: 1, joined: 0 });
    for (const block of blocks) g.call("ToroFreeMem", block);
    expectAlive();
  });

  test("ND10: a device that fails in the middle of a frame costs no buffer", async () => {
    const { g, settle } = await begin();
    expect(g.pooled().inFlight).toBeGreaterThan(10);
    g.device.merged(header(), long, {
      used: ([first = 0, second = 0]) => [first, second + 5000], // beyond the buffer
    });
    settle();
    expect([g.seen().count, g.pooled().inFlight]).toEqual([0, 0]);
  });
});
