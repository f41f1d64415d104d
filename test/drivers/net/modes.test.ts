// The receive buffers and rings of the virtio-net driver, in every mode that kernel parameters
// choose, with every combination of ring features.
import { describe, expect, test } from "vitest";
import { digests, noise } from "../../support/frames.ts";
import {
  ALL_FEATURES,
  type CardGuest,
  cardGuests,
  type NetGuestOptions,
} from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const make = await cardGuests();
const [GUEST_TSO4, MRG] = [1n << 7n, 1n << 15n];
const MiB = 1024 * 1024;

/** Kernel parameters; segments of a buffer, bytes it holds, and whether it takes long frames. */
const MODES = [
  ["net.rx_buffers=small", [12, 1514], false],
  ["net.rx_buffers=small net.rx_header=inline", [1526], false],
  ["net.rx_buffers=page", [12, 4096], false],
  ["net.rx_buffers=page net.rx_header=inline", [4108], false],
  ["net.rx_buffers=page net.rx_header=78", [78, 4096], false],
  ["net.rx_buffers=large", [12, 65_600], true],
  ["net.rx_buffers=large net.rx_header=inline", [65_612], true],
  ["net.rx_buffers=large net.rx_header=78", [78, 65_536], true],
  ["net.rx_buffers=paged", [12, ...Array<number>(19).fill(4096)], true],
  ["net.rx_buffers=mergeable", [4096], true],
  ["net.rx_buffers=mergeable net.rx_header=split", [12, 4096], true],
  ["net.rx_buffers=mergeable net.rx_header=78", [78, 4096], true],
] as const;

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions & { mode?: string } = {}) =>
    make({ withheld, memoryBytes: 64 * MiB, ...options });

  function receive(g: CardGuest, frame: Uint8Array): void {
    const isLong = frame.length > 1514;
    g.device.merged(workHeader(isLong ? { type: 1, size: 1448 } : { flags: 0 }), frame);
    g.device.signal();
    g.settle();
  }

  describe.each(MODES)("%s", (mode, lengths, isLong) => {
    const sizes = isLong ? [14, 66, 1514, 4096, 4097, 8192, 30_000, 65_549] : [14, 66, 1514];
    const frames = sizes.map((bytes) =>
      bytes < 100 ? noise(bytes) : tcpFrame({ payload: noise(bytes - 54, bytes) }),
    );

    test("NW17: posts buffers of that shape, as many as the ring and the heap allow", async () => {
      const g = await boot({ mode });
      expect((g.device.accepted & GUEST_TSO4) !== 0n).toBe(isLong);
      const chain = g.device.buffer();
      expect(chain.lengths.slice(0, chain.count)).toEqual(lengths);
      chain.release(0);
      g.device.signal();
      g.settle();
      expect(g.device.queue(0).available).toBeGreaterThan(1);
      expect(g.faults()).toBe(0);
    });

    test("hands frames of every size up in one piece, and keeps the ring full", async () => {
      const g = await boot({ mode });
      g.watch();
      const full = g.device.queue(0).available;
      for (let round = 0; round < 3; round++) {
        for (const frame of frames) {
          receive(g, frame);
          expect(digests([g.seen().frame])).toEqual(digests([frame]));
          expect(g.device.queue(0).available).toBe(full);
        }
      }
      expect([g.counters().dropped, g.seen().count]).toEqual([0, 3 * frames.length]);
    });

    test("takes frames that are kept out of the ring, and has all memory back later", async () => {
      const g = await boot({ mode, memoryBytes: 32 * MiB });
      g.watch();
      for (const frame of frames) receive(g, frame); // so that the pool has what it will have
      const full = g.device.queue(0).available;
      const before = g.call("inUse");
      g.watch(1000);
      for (let i = 0; i < 20; i++) for (const frame of frames) receive(g, frame);
      g.call("releaseHeld", 1000);
      expect(g.device.queue(0).available).toBe(full);
      expect(g.call("inUse") - before).toBeLessThan(3 * MiB); // of the pool
      expect(g.faults()).toBe(0);
    });
  });

  test("NW17: a mixed ring has pages, and large buffers for long frames", async () => {
    const g = await boot({ mode: "net.rx_buffers=mixed" });
    g.watch();
    expect((g.device.accepted & GUEST_TSO4) !== 0n).toBe(true);
    const shapes = () => {
      const chains = [];
      for (let i = g.device.queue(0).available; i > 0; i--) chains.push(g.device.buffer());
      const rooms = chains.map((chain) => chain.writableBytes);
      const large = chains.filter((chain) => chain.writableBytes > 65_000);
      const small = chains.filter((chain) => chain.writableBytes < 5000);
      return { rooms, large, small };
    };
    const { rooms, large, small } = shapes();
    expect(large.length).toBeGreaterThan(8);
    expect(small.length).toBeGreaterThan(large.length);
    expect(rooms).toHaveLength(large.length + small.length);
    const frame = tcpFrame({ payload: noise(60_000) });
    for (const chain of large) {
      chain.copyTo(0, workHeader({ type: 1, size: 1448 }));
      chain.copyTo(10, Buffer.from([1, 0]));
      chain.copyTo(12, frame);
      chain.release(12 + frame.length);
    }
    for (const chain of small) chain.release(0);
    g.device.signal();
    g.settle();
    expect([g.seen().count, g.counters().dropped]).toEqual([large.length, small.length]);
    const again = shapes();
    expect([again.large.length, again.small.length]).toEqual([large.length, small.length]);
  });

  test.each(["small", "page", "mergeable"])(
    "NW6, NW17: net.rx_buffers=%s and a large MTU, without merged buffers: large ones",
    async (mode) => {
      const config = { mtu: 9000 };
      const features = ALL_FEATURES & ~MRG;
      const g = await boot({ mode: `net.rx_buffers=${mode}`, features, config });
      const chain = g.device.buffer();
      expect(chain.writableBytes).toBe(12 + 65_536);
      expect(g.device.accepted & GUEST_TSO4).toBe(0n);
    },
  );

  test("NW17: buffers that nobody chose hold the card's frames in one piece, if memory allows", async () => {
    const noSegments = ALL_FEATURES & ~GUEST_TSO4;
    for (const [options, lengths] of [
      [{}, [12, 65_600]],
      [{ features: ALL_FEATURES & ~MRG }, [12, 4096]],
      [{ features: noSegments, config: { mtu: 1500 } }, [4096]],
      [{ features: noSegments, config: { mtu: 9000 } }, [12, 65_536]],
      [{ memoryBytes: 8 * MiB }, [4096]],
      [{ mode: "net.rx_header=78" }, [78, 65_536]],
      [{ mode: "net.rx_header=inline" }, [65_612]],
    ] as const) {
      const g = await boot(options);
      const chain = g.device.buffer();
      expect(chain.lengths.slice(0, chain.count)).toEqual(lengths);
      chain.release(0);
      g.device.signal();
      g.settle();
      g.watch();
      receive(g, tcpFrame({ payload: noise(1400) }));
      expect(g.seen().count).toBe(1);
    }
  });

  test("a buffer for 66 bytes of headers has the payload of TCP on a page", async () => {
    for (const mode of ["page", "large", "mergeable"]) {
      const g = await boot({ mode: `net.rx_buffers=${mode} net.rx_header=78` });
      g.watch();
      receive(g, tcpFrame({ payload: noise(1000), options: noise(12) }));
      expect((g.seen().payload + 66) % 4096).toBe(0);
    }
  });

  test("a ring that is too short for separate pages has large buffers", async () => {
    const g = await boot({ mode: "net.rx_buffers=paged", queueSize: 16 });
    g.watch();
    expect(g.device.buffer().writableBytes).toBe(12 + 65_600);
    const frame = tcpFrame({ payload: noise(60_000) });
    receive(g, frame);
    expect(digests([g.seen().frame])).toEqual(digests([frame]));
  });

  test("rings have the sizes that were asked for, and invalid words change nothing", async () => {
    const g = await boot({ queueSize: 512, mode: "net.rx_ring=64 net.tx_ring=512" });
    expect([g.device.queue(0).size, g.device.queue(1).size]).toEqual([64, 512]);
    const words = "net.rx_buffers=huge net.rx_ring=31 net.rx_header=79 net.tx_complete=never";
    const odd = await boot({ mode: words });
    expect(odd.device.queue(0).size).toBe(128);
    const ignored = ["rx_buffers", "rx_header", "tx_complete", "rx_ring"];
    const lines = ignored.map((name) => `kernel: the value of net.${name} is ignored\n`);
    expect(odd.lines.filter((line) => line.includes("ignored"))).toEqual(lines);
  });

  test("net.indirect=off makes chains of the ring's own descriptors", async () => {
    const g = await boot({ mode: "net.rx_buffers=paged net.indirect=off" });
    expect(g.device.queue(0).available).toBe(6); // as in 2008: 128 / 20
  });

  test("net.page_pool=off keeps no buffer", async () => {
    const mode = "net.rx_buffers=mergeable";
    const g = await boot({ mode: `${mode} net.page_pool=off` });
    g.watch();
    for (let i = 0; i < 5; i++) receive(g, tcpFrame({ payload: noise(30_000) }));
    expect(g.pooled().kept).toBe(0);
    const keeping = await boot({ mode });
    keeping.watch();
    receive(keeping, tcpFrame({ payload: noise(64_000) }));
    expect(keeping.pooled().kept).toBe(1);
  });

  test("net.tx_complete=sync has one frame in the ring, and sends the next when it was used", async () => {
    const g = await boot({ mode: "net.tx_complete=sync" });
    g.device.consuming = false;
    for (let i = 0; i < 4; i++) g.sendWork(tcpFrame({ payload: noise(i) }));
    for (let i = 1; i <= 4; i++) {
      expect(g.device.queue(1).available).toBe(1);
      g.device.consume();
      g.device.signal();
      g.settle();
      expect(g.call("completionCount")).toBe(i);
    }
  });

  test("net.tx_complete=interrupt frees each frame when it was used", async () => {
    const { counts } = await sendLazily("net.tx_complete=interrupt");
    expect(counts).toEqual([10, 10]);
    const lazy = await sendLazily("net.tx_complete=lazy");
    expect(lazy.counts).toEqual([0, 9]);
  });

  /** Interrupts and completions of ten frames whose completions nobody waits for. */
  async function sendLazily(mode: string) {
    const g = await boot({ mode });
    const { counts } = g.machine.registers[0] as (typeof g.machine.registers)[number];
    const before = counts.interrupts;
    for (let i = 0; i < 10; i++) g.sendWork(tcpFrame(), { isLazy: true });
    return { counts: [counts.interrupts - before, g.call("completionCount")] };
  }
});
