// The kernel's sockets sending, receiving and selecting, against a device that the test plays.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VIRTIO_F_EVENT_IDX } from "../../../abi/virtio.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  bytes,
  DONTWAIT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  pattern,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
  type SocketGuest,
  socketGuests,
  text,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();

describe("receiving", () => {
  test("data that arrive before accept wait for it (Toro fault 4)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("early"));
    const socket = g.now("accept", listener);
    const at = g.allocate(16);
    expect(g.now("recv", socket, at, 16)).toBe(5);
    expect(text(g.bytes(at, 5))).toBe("early");
  });

  test("recv waits for data and gives what there is; small packets share a buffer", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    const call = g.start("recv", socket, at, 64);
    expect(call.result).toBeUndefined();
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("one"));
    expect(call.result).toBe(3);
    for (const word of ["two", "three", "four"]) {
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes(word));
    }
    expect(g.now("recv", socket, at, 5)).toBe(5);
    expect(text(g.bytes(at, 5))).toBe("twoth");
    expect(g.now("recv", socket, at, 64)).toBe(7);
    expect(text(g.bytes(at, 7))).toBe("reefour");
  });

  test("peek shows what recv will give, and never more (Toro fault 21)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("abcdef"));
    g.now("recv", socket, at, 4);
    g.bytes(at, 64).fill(0);
    expect(g.now("peek", socket, at, 64)).toBe(2);
    expect(text(g.bytes(at, 3))).toBe("ef\0");
    expect(g.now("recv", socket, at, 64)).toBe(2);
    expect(g.now("peek", socket, at, 64, DONTWAIT)).toBe(-Errno.EAGAIN);
  });

  test("the end of the stream comes after the data (Toro fault 12)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("last"));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 7, dstPort: 80 });
    expect(g.now("recv", socket, at, 64)).toBe(4);
    expect(g.now("recv", socket, at, 64)).toBe(0);
    expect(g.now("recv", socket, at, 64)).toBe(0);
  });

  test("a receive time-out is EAGAIN", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.call("SysSocketSetOption", socket, SO_RCVTIMEO, 20);
    const call = g.start("recv", socket, g.allocate(8), 8);
    g.advance(20);
    expect(call.result).toBe(-Errno.EAGAIN);
  });

  test("credit is given back when the application has read, not on arrival (Toro fault 9)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    const window = g.sent()[0]!.bufAlloc;
    expect(window).toBe(4096);
    const chunk = pattern(2048);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, chunk);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, chunk);
    expect(g.sent()).toEqual([]);
    const at = g.allocate(8192);
    expect(g.now("recv", socket, at, 8192)).toBe(4096);
    const [update] = g.sent();
    expect(update).toMatchObject({ op: VsockOp.CREDIT_UPDATE, fwdCnt: 4096, bufAlloc: 8192 });
  });

  test("a stream that fills its window gets a larger one, up to 256 KiB", async () => {
    const g = await boot({ memoryBytes: 64 * 1024 * 1024 });
    const socket = g.accept(g.listen(80), 80, 7);
    let window = g.sent()[0]!.bufAlloc;
    let total = 0;
    let told = 0;
    const at = g.allocate(1 << 20);
    for (let round = 0; round < 12; round++) {
      for (let left = window - (total - told); left > 0; ) {
        const chunk = pattern(Math.min(left, 3900));
        g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, chunk);
        total += chunk.length;
        left -= chunk.length;
      }
      while (g.now("recv", socket, at, 1 << 20, DONTWAIT) > 0);
      for (const update of g.sent()) {
        window = update.bufAlloc;
        told = update.fwdCnt;
      }
      expect(told).toBe(total);
    }
    expect(window).toBe(262144);
  });

  test("one byte a packet costs no more memory than its window allows", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const before = g.call("inUse");
    for (let i = 0; i < 4096; i++) {
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, Uint8Array.of(i & 255));
    }
    expect(g.call("inUse") - before).toBeLessThan(3 * 4096);
    const at = g.allocate(4096);
    expect(g.now("recv", socket, at, 4096)).toBe(4096);
    expect(g.bytes(at, 4096)).toEqual(Uint8Array.from({ length: 4096 }, (_, i) => i & 255));
  });
});

describe("sending", () => {
  test("send returns the bytes sent, in packets with header and credit (Toro fault 11)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    const at = g.allocate(16);
    g.bytes(at, 5).set(bytes("hello"));
    expect(g.now("send", socket, at, 5)).toBe(5);
    const [one] = g.sent();
    expect(one).toMatchObject({ op: VsockOp.RW, type: 1, srcCid: 3, dstCid: 2, bufAlloc: 4096 });
    expect(text(one!.payload)).toBe("hello");
  });

  test("a large buffer goes out in packets of 64 KiB and no wrapped length (Toro fault 24)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    const at = g.allocate(200_000);
    g.bytes(at, 200_000).set(pattern(200_000));
    expect(g.now("send", socket, at, 200_000)).toBe(200_000);
    const packets = g.sent(VsockOp.RW);
    expect(packets.map((one) => one.payload.length)).toEqual([65536, 65536, 65536, 3392]);
    expect(Buffer.concat(packets.map((one) => one.payload))).toEqual(Buffer.from(pattern(200_000)));
  });

  test("credit counts modulo 2^32 over more than 4 GiB", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 1 << 20);
    g.sent();
    const at = g.allocate(1 << 20);
    let fwdCnt = 0;
    for (let i = 0; i < 4100; i++) {
      expect(g.now("send", socket, at, 1 << 20)).toBe(1 << 20);
      fwdCnt = (fwdCnt + (1 << 20)) >>> 0;
      g.sent();
      g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 7, dstPort: 80, bufAlloc: 1 << 20, fwdCnt });
    }
    expect(fwdCnt).toBe((4100 * (1 << 20)) % 2 ** 32);
  });

  test("a non-blocking send takes what the credit allows, then says EAGAIN", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 100);
    const at = g.allocate(500);
    expect(g.now("send", socket, at, 500, DONTWAIT)).toBe(100);
    expect(g.now("send", socket, at, 500, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 30);
    const call = g.start("send", socket, at, 500);
    g.advance(30);
    expect(call.result).toBe(-Errno.EAGAIN);
  });

  const suppression = [
    ["an event index", 0n],
    ["a flag", 1n << BigInt(VIRTIO_F_EVENT_IDX)],
  ] as const;
  test.each(suppression)(
    "a full ring makes the sender wait, never panic (Toro fault 7), by %s",
    async (_, withheld) => {
      const g = await boot({ queueSize: 32, memoryBytes: 64 * 1024 * 1024, withheld });
      const socket = g.accept(g.listen(80), 80, 7, 1 << 20);
      g.sent();
      g.device.consuming = false;
      const at = g.allocate(300);
      const calls = Array.from({ length: 300 }, () => g.start("send", socket, at, 300));
      const done = calls.filter((call) => call.result === 300).length;
      expect(done).toBeLessThan(100);
      expect(done).toBeGreaterThanOrEqual(32);
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("interrupts for something else"));
      g.device.consuming = true;
      g.device.consume();
      g.device.signal();
      g.settle();
      expect(calls.every((call) => call.result === 300)).toBe(true);
      expect(g.sent(VsockOp.RW)).toHaveLength(300);
    },
  );

  test("memory of sent packets comes back when the device has consumed them", async () => {
    const g = await boot({ parameters: "vsock.send=one-copy" });
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(100_000);
    const before = g.call("inUse");
    g.device.consuming = false;
    const call = g.start("send", socket, at, 100_000);
    expect(g.call("inUse") - before).toBeGreaterThan(100_000);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    g.settle();
    expect(call.result).toBe(100_000);
    expect(g.call("inUse")).toBe(before);
  });
});

describe("select", () => {
  const entries = (g: SocketGuest, list: [number, number][]) => {
    const at = g.allocate(list.length * 8);
    list.forEach(([socket, events], i) => {
      g.machine.memory.view.setInt32(at + i * 8, socket, true);
      g.machine.memory.view.setUint32(at + i * 8 + 4, events, true);
    });
    return at;
  };
  const found = (g: SocketGuest, at: number, i: number) =>
    g.machine.memory.view.getUint16(at + i * 8 + 6, true);

  test("waits for several sockets at once and names those that are ready (Toro fault 22)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const a = g.accept(listener, 80, 7);
    const b = g.accept(listener, 80, 8);
    const at = entries(g, [
      [listener, POLLIN],
      [a, POLLIN],
      [b, POLLIN],
    ]);
    const call = g.start("select", at, 3, -1);
    expect(call.result).toBeUndefined();
    g.inject({ op: VsockOp.RW, srcPort: 8, dstPort: 80 }, bytes("x"));
    expect(call.result).toBe(1);
    expect([found(g, at, 0), found(g, at, 1), found(g, at, 2)]).toEqual([0, 0, POLLIN]);
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 80 });
    expect(g.now("select", at, 3, 0)).toBe(2);
    expect(found(g, at, 0)).toBe(POLLIN);
  });

  test("ends with 0 after its time-out, and at once when asked only to look", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = entries(g, [[socket, POLLIN]]);
    expect(g.now("select", at, 1, 0)).toBe(0);
    const call = g.start("select", at, 1, 25);
    g.advance(24);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(0);
  });

  test("reports credit, the end of the stream, resets and bad handles", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const a = g.accept(listener, 80, 7, 10);
    const b = g.accept(listener, 80, 8);
    const at = entries(g, [
      [a, POLLIN | POLLOUT],
      [b, POLLIN],
      [12345, POLLIN],
    ]);
    expect(g.now("select", at, 3, 0)).toBe(2);
    expect([found(g, at, 0), found(g, at, 1), found(g, at, 2)]).toEqual([POLLOUT, 0, POLLNVAL]);
    g.now("send", a, g.allocate(10), 10);
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 7, dstPort: 80, bufAlloc: 10 });
    g.inject({ op: VsockOp.RST, srcPort: 8, dstPort: 80 });
    g.now("select", at, 2, 0);
    expect(found(g, at, 0)).toBe(POLLIN);
    expect(found(g, at, 1)).toBe(POLLERR | POLLHUP);
  });

  test("a select on nothing is a sleep; more than 1024 entries are refused", async () => {
    const g = await boot();
    const call = g.start("select", 0, 0, 10);
    g.advance(10);
    expect(call.result).toBe(0);
    expect(g.now("select", 0, 1025, 0)).toBe(-Errno.EINVAL);
  });
});
