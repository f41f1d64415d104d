// Work that the network leaves to its card, and the card to the network (NW, ND), with every
// combination of ring features.
import { describe, expect, test } from "vitest";
import { NetHdr } from "../../../abi/net.ts";
import { digests, noise } from "../../support/frames.ts";
import {
  ALL_FEATURES,
  type CardGuest,
  cardGuests,
  type NetGuestOptions,
  rxHeader,
} from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { readWork, tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const make = await cardGuests();
const [CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG] = [0, 1, 7, 11, 15].map(
  (bit) => 1n << BigInt(bit),
) as [bigint, bigint, bigint, bigint, bigint];
const OFFLOADS = CSUM | GUEST_CSUM | GUEST_TSO4 | HOST_TSO4 | MRG;
const long = tcpFrame({ payload: noise(50_000), isPartial: true });
const CHECKSUM = { start: 34, offset: 16 };
const NOTHING = { flags: 0, type: 0, hint: 0, size: 0, start: 0, offset: 0, buffers: 0 };

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions & { mode?: string } = {}) =>
    make({ withheld, ...options });
  const last = (g: CardGuest) => {
    const sent = g.device.sent.at(-1);
    if (sent === undefined) throw new Error("nothing was sent");
    return sent;
  };

  /** A header as the device writes it: of one buffer. */
  function received(g: CardGuest, header: Buffer, frame: Uint8Array): void {
    header.writeUInt16LE(1, NetHdr.num_buffers);
    g.device.merged(header, frame);
    g.device.signal();
    g.settle();
  }

  test("NW1: accepts no feature without the one that it needs", async () => {
    for (const [offered, accepted] of [
      [OFFLOADS, OFFLOADS],
      [OFFLOADS & ~CSUM, OFFLOADS & ~(CSUM | HOST_TSO4)],
      [OFFLOADS & ~GUEST_CSUM, OFFLOADS & ~(GUEST_CSUM | GUEST_TSO4)],
      [OFFLOADS & ~MRG, CSUM | GUEST_CSUM | HOST_TSO4],
      [0n, 0n],
    ] as const) {
      const g = await boot({ features: (ALL_FEATURES & ~OFFLOADS) | offered });
      expect(g.device.accepted & OFFLOADS).toBe(accepted);
      expect(g.call("sendsChecksums")).toBe((accepted & CSUM) === 0n ? 0 : 1);
      expect(g.call("segmentsBytesMax")).toBe((accepted & HOST_TSO4) === 0n ? 0 : 65535);
    }
  });

  test("NW10, NW11: sends a header of zeros where no work is asked for", async () => {
    const g = await boot();
    g.sendWork(tcpFrame());
    expect(readWork(last(g).header)).toEqual(NOTHING);
  });

  test("NW10, NW12: asks for a checksum, and changes nothing in the frame", async () => {
    const g = await boot();
    const frame = tcpFrame({ isPartial: true });
    g.sendWork(frame, CHECKSUM);
    expect(readWork(last(g).header)).toEqual({ ...NOTHING, flags: 1, ...CHECKSUM });
    expect(last(g).frame.equals(frame)).toBe(true);
  });

  test("NW11, NW13: asks for segments with a checksum, their size, and all headers", async () => {
    const g = await boot();
    expect(g.sendWork(long, { headerBytes: 54, segmentBytes: 1448 })).toBe(0);
    const work = { flags: 1, type: 1, hint: 54, size: 1448, ...CHECKSUM, buffers: 0 };
    expect(readWork(last(g).header)).toEqual(work);
    expect(digests([last(g).frame])).toEqual(digests([long]));
  });

  test("NW11: the longest frame, in parts that are the sender's own", async () => {
    const g = await boot({ queueSize: 64 });
    const longest = tcpFrame({ payload: noise(65_495), isPartial: true });
    for (const parts of [1, 2, 15]) {
      g.sendWork(longest, { headerBytes: 54, segmentBytes: 1448, parts });
      expect(digests([last(g).frame])).toEqual(digests([longest]));
      expect(last(g).writableBytes).toBe(0);
    }
    g.sendWork(tcpFrame(), { headerBytes: 54, parts: 3 });
    expect(readWork(last(g).header)).toEqual(NOTHING);
    expect(g.call("completionCount")).toBe(4);
  });

  test("NW36: of a lazy packet nobody hears before the next send", async () => {
    const g = await boot();
    const { counts } = g.machine.registers[0] as (typeof g.machine.registers)[number];
    const before = counts.interrupts;
    for (let i = 0; i < 5; i++) g.sendWork(long, { ...LAZY, parts: 4, isLazy: true });
    expect([counts.interrupts - before, g.call("completionCount")]).toEqual([0, 4]);
    g.sendWork(long, { ...LAZY, parts: 4 });
    expect([counts.interrupts - before, g.call("completionCount")]).toEqual([1, 6]);
    for (let i = 0; i < 300; i++) g.sendWork(tcpFrame(), { isLazy: true });
    expect(g.call("completionCount")).toBe(305);
  });

  test("NW24, NW25: says which checksums are good, and what a long frame was made of", async () => {
    const g = await boot();
    g.watch();
    const frame = tcpFrame({ isPartial: true });
    for (const [work, isGood] of [
      [{ flags: 0 }, false],
      [{ flags: 1 }, true],
      [{ flags: 2 }, true],
      [{ flags: 3 }, true],
      [{ flags: 0xf8 }, false],
      [{ flags: 0, size: 99, start: 0xffff }, false],
      [{ flags: 2, start: 0xffff, hint: 0xffff }, true],
    ] as const) {
      received(g, workHeader(work), frame);
      expect(g.seen()).toMatchObject({ isGood, segmentBytes: 0 });
      expect(g.seen().frame.equals(frame)).toBe(true);
    }
    received(g, workHeader({ type: 1, size: 1448 }), long);
    expect(g.seen()).toMatchObject({ count: 8, isGood: true, segmentBytes: 1448 });
    expect(digests([g.seen().frame])).toEqual(digests([long]));
  });

  test("NW24: without the feature no flag makes a checksum good", async () => {
    const g = await boot({ features: ALL_FEATURES & ~OFFLOADS });
    g.watch();
    received(g, workHeader({ flags: 2 }), tcpFrame());
    expect(g.seen()).toMatchObject({ count: 1, isGood: false });
  });

  test("ND4: offloads that were not negotiated", async () => {
    const g = await boot({ features: ALL_FEATURES & ~(GUEST_TSO4 | GUEST_CSUM) });
    g.watch();
    received(g, workHeader({ flags: 1 }), tcpFrame());
    received(g, workHeader({ flags: 1, type: 1, size: 1448 }), tcpFrame());
    received(g, workHeader({ flags: 0, type: 1, size: 1448 }), tcpFrame());
    expect([g.seen().count, g.counters().dropped]).toEqual([0, 3]);
    const some = await boot();
    some.watch();
    for (const type of [3, 4, 5, 0x80, 0x81, 0xff]) {
      received(some, workHeader({ type, size: 1448 }), tcpFrame());
    }
    received(some, workHeader({ flags: 0, type: 1, size: 1448 }), tcpFrame());
    expect([some.seen().count, some.counters().dropped]).toEqual([0, 7]);
  });

  test("ND5: a segment size of 0, and checksums outside of the frame", async () => {
    const g = await boot();
    g.watch();
    const frame = tcpFrame();
    const bad = [
      { type: 1, size: 0 },
      { start: 13 },
      { start: frame.length - 17 },
      { start: 0xffff, offset: 0xffff },
      { start: 14, offset: frame.length - 15 },
    ];
    for (const work of bad) received(g, workHeader(work), frame);
    expect([g.seen().count, g.counters().dropped]).toEqual([0, bad.length]);
    received(g, workHeader({ start: frame.length - 18 }), frame);
    expect(g.seen().count).toBe(1);
    expect(g.faults()).toBe(0);
  });

  test("ND1: a long frame that is one, and frames beyond the longest", async () => {
    const g = await boot({ mode: "net.rx_buffers=large", memoryBytes: 64 * 1024 * 1024 });
    g.watch();
    const work = workHeader({ type: 1, size: 1448 });
    g.device.raw(rxHeader(), long);
    work.writeUInt16LE(1, NetHdr.num_buffers);
    g.device.raw(work, long, 12 + 65_551);
    g.device.signal();
    g.settle();
    expect([g.seen().count, g.counters().dropped]).toEqual([0, 2]);
    g.device.raw(work, long, 12 + 65_550);
    g.device.signal();
    g.settle();
    expect(g.seen()).toMatchObject({ count: 1, segmentBytes: 1448 });
  });
});

const LAZY = { headerBytes: 54, segmentBytes: 1448 };
