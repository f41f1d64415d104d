// SysSocketSend in its three modes, seen from the device: what the descriptors point at, what was
// copied, when a buffer is the sender's again.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import {
  DONTWAIT,
  ONE_COPY,
  pattern,
  SO_NONBLOCK,
  SO_SENDMODE,
  SO_SNDTIMEO,
  type SocketGuest,
  socketGuests,
  TWO_COPY,
  ZERO_COPY,
} from "../../support/socket-guest.ts";

// Lower than the default: what is lent need not be large to be tested.
const boot = await socketGuests(undefined, "vsock.tx_copybreak=8192");
const bootByDefault = await socketGuests();
const MODES = [
  { name: "two-copy", mode: TWO_COPY, userToPacket: 1, packetToRing: 1 },
  { name: "one-copy", mode: ONE_COPY, userToPacket: 1, packetToRing: 0 },
  { name: "zero-copy", mode: ZERO_COPY, userToPacket: 0, packetToRing: 0 },
];
const PACKET_MAX = 65536;

/** A buffer of the guest with bytes of which no stretch is like another. */
function filled(g: SocketGuest, length: number): number {
  const at = g.allocate(length);
  g.bytes(at, length).set(pattern(length));
  return at;
}

/** An IoVec for each buffer; the first may begin with some bytes of a larger one. */
function vector(g: SocketGuest, ...buffers: [base: number, length: number][]): number {
  const at = g.allocate(8 * buffers.length);
  g.poke(at, ...buffers.flat());
  return at;
}

/** The payload of all RW packets since the last call, in a row. */
function payload(g: SocketGuest): Uint8Array {
  return Buffer.concat(g.sent(VsockOp.RW).map((one) => one.payload));
}

describe.each(MODES)("$name", ({ name, mode, userToPacket, packetToRing }) => {
  const zero = mode === ZERO_COPY;

  test.each([8192, 65536, 200_000])(
    "%i bytes arrive, and each is copied as often as it says",
    async (length) => {
      const g = await boot();
      const socket = g.accept(g.listen(80), 80, 7);
      expect(g.call("SysSocketSetOption", socket, SO_SENDMODE, mode)).toBe(0);
      const at = filled(g, length);
      expect(g.now("send", socket, at, length)).toBe(length);
      expect(payload(g)).toEqual(Buffer.from(pattern(length)));
      for (const stats of [g.stats(socket), g.stats()]) {
        expect(stats).toMatchObject({
          sent: length,
          lent: zero ? length : 0,
          userToPacket: userToPacket * length,
          packetToRing: packetToRing * length,
        });
      }
    },
  );

  test("is a kernel parameter, and each socket's own choice", async () => {
    const g = await boot({ parameters: `vsock.send=${name}` });
    const listener = g.listen(80);
    const [first, second] = [g.accept(listener, 80, 7), g.accept(listener, 80, 8)];
    const other = zero ? TWO_COPY : ZERO_COPY;
    g.call("SysSocketSetOption", second, SO_SENDMODE, other);
    const at = filled(g, 8192);
    g.now("send", first, at, 8192);
    g.now("send", second, at, 8192);
    expect(g.stats(first).userToPacket).toBe(userToPacket * 8192);
    expect(g.stats(second).userToPacket).toBe(zero ? 8192 : 0);
  });

  test("a send of less than the threshold is copied, once or twice", async () => {
    const g = await bootByDefault({ parameters: `vsock.send=${name}` });
    const socket = g.accept(g.listen(80), 80, 7);
    g.now("send", socket, filled(g, 65535), 65535);
    expect(Buffer.compare(payload(g), pattern(65535))).toBe(0);
    const copied = { userToPacket: 65535, packetToRing: packetToRing * 65535, lent: 0 };
    expect(g.stats(socket)).toMatchObject(copied);
    g.now("send", socket, filled(g, 65536), 65536);
    expect(g.stats(socket).lent).toBe(mode === ZERO_COPY ? 65536 : 0);
  });

  test("a send larger than the credit is split at the credit, and is not copied for that", async () => {
    const g = await boot({ parameters: `vsock.send=${name}` });
    const socket = g.accept(g.listen(80), 80, 7, 10_000);
    const call = g.start("send", socket, filled(g, 25_000), 25_000);
    const seen = [payload(g)];
    for (const fwdCnt of [10_000, 20_000]) {
      expect(call.result).toBeUndefined();
      const credit = { srcPort: 7, dstPort: 80, bufAlloc: 10_000, fwdCnt };
      g.inject({ op: VsockOp.CREDIT_UPDATE, ...credit });
      seen.push(payload(g));
    }
    expect(call.result).toBe(25_000);
    expect(seen.map((one) => one.length)).toEqual([10_000, 10_000, 5_000]);
    expect(Buffer.concat(seen)).toEqual(Buffer.from(pattern(25_000)));
    expect(g.stats(socket).userToPacket).toBe(userToPacket * 25_000);
  });

  test("a gather send is one stream of bytes, and packets are cut across its buffers", async () => {
    const g = await boot({ parameters: `vsock.send=${name}` });
    const socket = g.accept(g.listen(80), 80, 7, 1 << 20);
    const at = filled(g, 150_000);
    const parts: [number, number][] = [
      [at, 10],
      [at + 10, 0],
      [at + 10, 99_990],
      [at + 100_000, 50_000],
    ];
    expect(g.now("sendVector", socket, vector(g, ...parts), 4)).toBe(150_000);
    expect(payload(g)).toEqual(Buffer.from(pattern(150_000)));
    expect(g.stats(socket).userToPacket).toBe(userToPacket * 150_000);
  });

  test("the buffer may change after the call: what travels does not", async () => {
    const g = await boot({ parameters: `vsock.send=${name}` });
    const socket = g.accept(g.listen(80), 80, 7);
    const at = filled(g, 9000);
    g.device.consuming = false;
    const call = g.start("send", socket, at, 9000);
    expect(call.result).toBe(zero ? undefined : 9000);
    if (!zero) g.bytes(at, 9000).fill(0);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    expect(call.result).toBe(9000);
    expect(payload(g)).toEqual(Buffer.from(pattern(9000)));
  });
});

describe("descriptors", () => {
  test("zero-copy: the header's own, then the sender's buffer where it is", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = filled(g, 70_000);
    g.now("send", socket, at, 70_000);
    const [first, second] = g.sent(VsockOp.RW);
    expect(first?.lengths).toEqual([VsockHdr.sizeof, PACKET_MAX]);
    expect(first?.at[1]).toBe(at);
    expect(second?.lengths).toEqual([VsockHdr.sizeof, 70_000 - PACKET_MAX]);
    expect(second?.at[1]).toBe(at + PACKET_MAX);
  });

  test("a gather of 16 buffers is one chain of 17; 17 are EINVAL", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = filled(g, 17 * 1024);
    const parts = Array.from({ length: 17 }, (_, i): [number, number] => [at + i * 1024, 1024]);
    const list = vector(g, ...parts);
    expect(g.now("sendVector", socket, list, 16)).toBe(16 * 1024);
    const [one, ...more] = g.sent(VsockOp.RW);
    expect(more).toEqual([]);
    expect(one?.at.slice(1)).toEqual(parts.slice(0, 16).map(([base]) => base));
    expect(one?.lengths).toEqual([VsockHdr.sizeof, ...Array(16).fill(1024)]);
    expect(g.now("sendVector", socket, list, 17)).toBe(-Errno.EINVAL);
    expect(g.sent()).toEqual([]);
  });

  test("without indirect tables a gather takes as many descriptors, in the ring itself", async () => {
    const g = await boot({ parameters: "vsock.indirect=off" });
    const socket = g.accept(g.listen(80), 80, 7);
    const at = filled(g, 16 * 1024);
    const parts = Array.from({ length: 16 }, (_, i): [number, number] => [at + i * 1024, 1024]);
    expect(g.now("sendVector", socket, vector(g, ...parts), 16)).toBe(16 * 1024);
    const sent = g.sent(VsockOp.RW);
    expect(Buffer.concat(sent.map((one) => one.payload))).toEqual(Buffer.from(pattern(16 * 1024)));
    expect(g.stats(socket).lent).toBe(16 * 1024);
  });

  test("a gather of 2 GiB is EINVAL, of nothing is 0", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const half: [number, number] = [65536, 0x4000_0000];
    g.sent();
    expect(g.now("sendVector", socket, vector(g, half, half), 2)).toBe(-Errno.EINVAL);
    expect(g.now("sendVector", socket, vector(g, [65536, 0], [65536, 0]), 2)).toBe(0);
    expect(g.now("sendVector", socket, 0, 0)).toBe(0);
    expect(g.sent()).toEqual([]);
  });

  test("one-copy: the descriptor points into the packet that was built", async () => {
    const g = await boot({ parameters: "vsock.send=one-copy" });
    const socket = g.accept(g.listen(80), 80, 7);
    const at = filled(g, 1000);
    g.now("send", socket, at, 1000);
    const [one] = g.sent(VsockOp.RW);
    expect(one?.lengths).toEqual([VsockHdr.sizeof + 1000]);
  });
});

describe("a buffer that is lent", () => {
  test("comes back when the device has used the last packet of the call", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.keeping = true;
    const call = g.start("send", socket, filled(g, 3 * PACKET_MAX), 3 * PACKET_MAX);
    for (const i of [2, 0]) {
      g.device.giveBack(i);
      expect(call.result).toBeUndefined();
    }
    g.device.giveBack();
    expect(call.result).toBe(3 * PACKET_MAX);
  });

  test("lets other threads run and other sockets send meanwhile", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const [first, second] = [g.accept(listener, 80, 7), g.accept(listener, 80, 8)];
    g.device.keeping = true;
    const at = filled(g, 8192);
    const slow = g.start("send", first, at, 8192);
    const quick = g.start("send", second, at, 8192);
    g.device.giveBack(g.device.kept.length - 1);
    expect([slow.result, quick.result]).toEqual([undefined, 8192]);
    g.device.giveBack();
    expect(slow.result).toBe(8192);
  });

  test("of a non-blocking send there is none: it copies and returns", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.keeping = true;
    expect(g.now("send", socket, filled(g, 9000), 9000, DONTWAIT)).toBe(9000);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("send", socket, filled(g, 9000), 9000)).toBe(9000);
    expect(g.stats(socket)).toMatchObject({ lent: 0, userToPacket: 18_000 });
  });

  test("and not taken for the time-out ends the connection: then it is free", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 100);
    g.device.keeping = true;
    const call = g.start("send", socket, filled(g, 9000), 9000);
    g.sent();
    g.advance(99);
    expect(g.sent(VsockOp.RST)).toEqual([]);
    g.advance(1);
    expect(g.sent(VsockOp.RST)).toHaveLength(1);
    expect(call.result).toBeUndefined(); // the device still has it
    g.device.giveBack();
    expect(call.result).toBe(9000);
    expect(g.now("send", socket, filled(g, 10), 10)).toBe(-Errno.ETIMEDOUT);
  });

  test("progress starts the time-out anew", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 100);
    g.device.keeping = true;
    const call = g.start("send", socket, filled(g, 2 * PACKET_MAX), 2 * PACKET_MAX);
    g.sent();
    g.advance(90);
    g.device.giveBack();
    g.advance(90);
    g.device.giveBack();
    expect(call.result).toBe(2 * PACKET_MAX);
    expect(g.sent(VsockOp.RST)).toEqual([]);
  });

  test.each([
    [
      "the peer's reset",
      (g: SocketGuest) => g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80 }),
    ],
    [
      "close by another thread",
      (g: SocketGuest, socket: number) => g.call("SysSocketClose", socket),
    ],
    ["a lost transport", (g: SocketGuest) => g.device.event(0)],
  ])("outlives %s: the call returns when the device gives it back", async (_what, end) => {
    const g = await boot();
    const listener = g.listen(80);
    g.call("SysSocketClose", g.accept(listener, 80, 6)); // tables grow once
    g.inject({ op: VsockOp.RST, srcPort: 6, dstPort: 80 });
    const before = g.call("inUse");
    const socket = g.accept(listener, 80, 7);
    const at = filled(g, 9000);
    g.device.keeping = true;
    const call = g.start("send", socket, at, 9000);
    end(g, socket);
    expect(call.result).toBeUndefined();
    g.device.keeping = false;
    g.device.giveBack();
    expect(call.result).toBe(9000);
    while (g.device.kept.length > 0) g.device.giveBack();
    g.call("SysSocketClose", socket);
    g.call("ToroFreeMem", at);
    g.advance(60_000);
    expect(g.call("inUse")).toBe(before);
  });

  test("is free when the device has failed and is reset", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.keeping = true;
    const call = g.start("send", socket, filled(g, 3 * PACKET_MAX), 3 * PACKET_MAX);
    const { used } = g.device.queue(1).rings;
    g.machine.memory.view.setUint16(used + 2, 0x8000, true); // more used than there are
    g.call("interrupt", 5);
    expect(call.result).toBe(3 * PACKET_MAX);
    expect(g.now("send", socket, filled(g, 10), 10)).toBeLessThan(0);
  });

  test("holds a killed thread until the device gives it back, however short the credit", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.call("SysSocketClose", g.accept(listener, 80, 6)); // tables grow once
    g.inject({ op: VsockOp.RST, srcPort: 6, dstPort: 80 });
    const before = g.call("inUse");
    const socket = g.accept(listener, 80, 7, 10_000);
    const at = filled(g, 25_000);
    g.device.keeping = true;
    const call = g.start("send", socket, at, 25_000); // 10,000 are with the device
    expect(g.call("SysKillThread", call.thread)).toBe(0);
    expect(g.call("unfinished")).toBe(1);
    g.device.keeping = false;
    g.device.giveBack();
    expect(g.call("unfinished")).toBe(0);
    expect(payload(g)).toHaveLength(10_000);
    while (g.device.kept.length > 0) g.device.giveBack();
    g.call("SysSocketClose", socket);
    g.call("ToroFreeMem", at);
    g.advance(60_000);
    expect(g.call("inUse")).toBe(before);
  });

  test("of a killed thread is taken back by a reset when the peer takes nothing", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.keeping = true;
    const call = g.start("send", socket, filled(g, 9000), 9000);
    g.sent();
    g.call("SysKillThread", call.thread);
    g.advance(7999);
    expect(g.sent(VsockOp.RST)).toEqual([]);
    g.advance(1);
    expect(g.sent(VsockOp.RST)).toHaveLength(1);
    g.device.giveBack();
    expect(g.call("unfinished")).toBe(0);
  });

  test("goes on as copies when a killed thread waits for a ring without room", async () => {
    const g = await boot({ queueSize: 32 });
    const socket = g.accept(g.listen(80), 80, 7, 1 << 26);
    g.device.consuming = false;
    const calls = Array.from({ length: 100 }, () => g.start("send", socket, filled(g, 9000), 9000));
    for (const call of calls) g.call("SysKillThread", call.thread);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    for (let i = 0; i < 10 && g.call("unfinished") > 0; i++) {
      g.device.consume();
      g.device.signal();
    }
    expect(g.call("unfinished")).toBe(0);
    expect(payload(g).length % 9000).toBe(0);
  });
});
