// Options that can be set on a socket and read back: low-water mark, linger, counts, addresses.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  DONTWAIT,
  POLLIN,
  POLLOUT,
  pattern,
  SO_BINDTODEVICE,
  SO_NONBLOCK,
  SO_RCVBUF,
  SO_RCVLOAN,
  SO_RCVTIMEO,
  SO_SENDMODE,
  SO_SNDBUF,
  SO_SNDTIMEO,
  SO_ZEROCOPY,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();
const [SO_TYPE, SO_ERROR, SO_CONNECT_TIMEOUT, SO_LINGER, SO_RCVLOWAT] = [3, 4, 6, 13, 18];
const [SO_ACCEPTCONN, SIOCOUTQ, SIOCINQ] = [30, 0x5411, 0x541b];
const ANY = 0xffffffff;
const PEER = { srcPort: 7, dstPort: 80 };

async function open(window = 65536) {
  const g = await boot();
  const listener = g.listen(80);
  g.call("SysSocketSetOption", listener, SO_RCVBUF, window);
  const socket = g.accept(listener, 80, 7);
  g.sent();
  return { g, listener, socket };
}

const set = (g: SocketGuest, socket: number, option: number, value: number) =>
  g.call("SysSocketSetOption", socket, option, value);
const get = (g: SocketGuest, socket: number, option: number) =>
  g.call("SysSocketGetOption", socket, option);
const arrive = (g: SocketGuest, length: number) =>
  g.inject({ ...PEER, op: VsockOp.RW }, pattern(length));

test("reads back the options that were set, and rejects nonsense", async () => {
  const { g, listener, socket } = await open();
  const values: [number, number][] = [
    [SO_RCVTIMEO, 1500],
    [SO_SNDTIMEO, 0],
    [SO_CONNECT_TIMEOUT, 250],
    [SO_LINGER, 3000],
    [SO_NONBLOCK, 1],
    [SO_ZEROCOPY, 1],
    [SO_RCVLOAN, 1],
    [SO_SENDMODE, 2],
    [SO_RCVBUF, 8192],
    [SO_SNDBUF, 4096],
    [SO_SNDBUF, 0],
    [SO_RCVLOWAT, 100],
  ];
  for (const [option, value] of values) {
    expect(set(g, socket, option, value)).toBe(0);
    expect(get(g, socket, option)).toBe(value);
  }
  set(g, socket, SO_RCVLOWAT, 0);
  expect(get(g, socket, SO_RCVLOWAT)).toBe(1);
  set(g, socket, SO_RCVTIMEO, ANY); // 49 days do not fit
  expect(get(g, socket, SO_RCVTIMEO)).toBe(0x7fffffff);
  expect([socket, listener].map((one) => get(g, one, SO_ACCEPTCONN))).toEqual([0, 1]);
  expect(get(g, socket, SO_TYPE)).toBe(1);
  expect(get(g, g.call("SysSocket", 5), SO_TYPE)).toBe(5);
  for (const option of [0, 999, -1, SO_BINDTODEVICE]) {
    expect(get(g, socket, option)).toBe(-Errno.EINVAL);
  }
  for (const option of [SO_TYPE, SO_ERROR, SIOCINQ]) {
    expect(set(g, socket, option, 1)).toBe(-Errno.EINVAL);
  }
  expect(get(g, 12345, SO_TYPE)).toBe(-Errno.EBADF);
  expect(get(g, socket, SO_ERROR)).toBe(0);
  g.inject({ ...PEER, op: VsockOp.RST });
  expect(get(g, socket, SO_ERROR)).toBe(Errno.ECONNRESET);
});

describe("SO_SNDBUF", () => {
  /** A socket with a send buffer of 8192 bytes, on a device that takes nothing. */
  async function stuffed(type = 1, peer = {}, parameters = "") {
    const g = await boot({ parameters });
    const listener = type === 1 ? g.listen(80) : listenForMessages(g);
    expect([4095, 2 ** 28 + 1].map((n) => set(g, listener, SO_SNDBUF, n))).toEqual([
      -Errno.EINVAL,
      -Errno.EINVAL,
    ]);
    set(g, listener, SO_SNDBUF, 8192);
    g.inject({ ...PEER, op: VsockOp.REQUEST, bufAlloc: 1 << 20, type, ...peer });
    const socket = g.now("accept", listener);
    g.sent();
    g.device.consuming = false;
    return { g, socket, buffer: g.allocate(100_000) };
  }

  function resume(g: SocketGuest): void {
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
  }

  function listenForMessages(g: SocketGuest): number {
    const listener = g.call("SysSocket", 5);
    g.call("SysSocketBind", listener, 80);
    g.call("SysSocketListen", listener, 8);
    return listener;
  }

  test.each(["one-copy", "two-copy"])(
    "V36: bounds what is with the device, whatever credit the peer gives: %s",
    async (mode) => {
      const { g, socket, buffer } = await stuffed(
        1,
        { bufAlloc: 0xffffffff },
        `vsock.send=${mode}`,
      );
      expect(g.now("send", socket, buffer, 100_000, DONTWAIT)).toBe(8192);
      expect(g.now("send", socket, buffer, 1, DONTWAIT)).toBe(-Errno.EAGAIN);
      const send = g.start("send", socket, buffer, 50_000);
      expect(send.result).toBeUndefined();
      resume(g);
      expect(send.result).toBe(50_000);
      const lengths = g.sent(VsockOp.RW).map((one) => one.payload.length);
      expect(Math.max(...lengths)).toBeLessThanOrEqual(8192);
      expect(lengths.reduce((sum, length) => sum + length)).toBe(58_192);
      expect(g.now("send", socket, buffer, 8192, DONTWAIT)).toBe(8192);
    },
  );

  test("is what select for POLLOUT waits for, and a time-out of send, too", async () => {
    const { g, socket, buffer } = await stuffed();
    set(g, socket, SO_SNDTIMEO, 100);
    expect(g.now("send", socket, buffer, 8192)).toBe(8192);
    const late = g.start("send", socket, buffer, 1);
    const entry = g.allocate(8);
    g.poke(entry, socket, POLLOUT);
    const select = g.start("select", entry, 1, -1);
    expect([late.result, select.result]).toEqual([undefined, undefined]);
    g.advance(100);
    expect(late.result).toBe(-Errno.EAGAIN);
    resume(g);
    expect(select.result).toBe(1);
  });

  test("lets a socket be closed and its port be used again while it is full", async () => {
    const { g, socket, buffer } = await stuffed();
    g.now("send", socket, buffer, 8192);
    g.now("close", socket);
    resume(g);
    g.inject({ ...PEER, op: VsockOp.RST });
    g.inject({ ...PEER, op: VsockOp.REQUEST });
    expect(g.sent().at(-1)?.op).toBe(VsockOp.RESPONSE);
  });

  test("V37: is the largest message", async () => {
    const { g, socket, buffer } = await stuffed(2);
    expect(g.now("send", socket, buffer, 8193)).toBe(-Errno.EMSGSIZE);
    expect(g.now("send", socket, buffer, 5000)).toBe(5000);
    expect(g.now("send", socket, buffer, 5000, DONTWAIT)).toBe(-Errno.EAGAIN);
    const send = g.start("send", socket, buffer, 5000);
    resume(g);
    expect(send.result).toBe(5000);
    const parts = g.sent(VsockOp.RW);
    expect(parts.filter((one) => one.flags === 1)).toHaveLength(2);
  });
});

describe("SO_RCVLOWAT", () => {
  test("makes a receive wait for this many bytes, or for as many as it asked for", async () => {
    const { g, socket } = await open();
    set(g, socket, SO_RCVLOWAT, 1000);
    const at = g.allocate(4096);
    const call = g.start("recv", socket, at, 4096);
    arrive(g, 999);
    expect(call.result).toBeUndefined();
    arrive(g, 1);
    expect(call.result).toBe(1000);
    arrive(g, 10);
    expect(g.now("recv", socket, at, 10)).toBe(10);
    const short = g.start("recv", socket, at, 4096);
    arrive(g, 500);
    g.inject({ ...PEER, op: VsockOp.SHUTDOWN, flags: 2 }); // no more can come
    expect(short.result).toBe(500);
    expect(g.now("recv", socket, at, 1)).toBe(0);
  });

  test("returns the bytes there are with MSG_DONTWAIT or at the time-out", async () => {
    const { g, socket } = await open();
    set(g, socket, SO_RCVLOWAT, 1000);
    const at = g.allocate(4096);
    expect(g.now("recv", socket, at, 4096, DONTWAIT)).toBe(-Errno.EAGAIN);
    arrive(g, 300);
    expect(g.now("recv", socket, at, 4096, DONTWAIT)).toBe(300);
    set(g, socket, SO_RCVTIMEO, 50);
    const call = g.start("recv", socket, at, 4096);
    arrive(g, 200);
    g.advance(49);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(200);
  });

  test("says when a poll shows POLLIN", async () => {
    const { g, socket } = await open();
    set(g, socket, SO_RCVLOWAT, 100);
    const entry = g.allocate(8);
    g.poke(entry, socket, POLLIN);
    const call = g.start("select", entry, 1, -1);
    arrive(g, 99);
    expect(call.result).toBeUndefined();
    arrive(g, 1);
    expect(call.result).toBe(1);
  });

  test("beyond the window is as much as the window can bring", async () => {
    const { g, socket } = await open(8192);
    set(g, socket, SO_RCVLOWAT, 1_000_000);
    const at = g.allocate(65536);
    const call = g.start("recv", socket, at, 65536);
    arrive(g, 4096);
    expect(call.result).toBeUndefined();
    arrive(g, 4096);
    expect(call.result).toBe(8192);
    // With bytes on loan even less.
    set(g, socket, SO_RCVLOWAT, 1);
    arrive(g, 4096);
    const list = g.allocate(16);
    expect(g.now("loan", socket, list, 1)).toBe(1);
    set(g, socket, SO_RCVLOWAT, 1_000_000);
    arrive(g, 4096);
    expect(g.now("recv", socket, at, 65536)).toBe(4096);
  });
});

describe("SO_LINGER", () => {
  test("close waits until the peer has answered, other threads go on meanwhile", async () => {
    const { g, socket } = await open();
    set(g, socket, SO_LINGER, 5000);
    g.now("send", socket, g.allocate(10), 10);
    const call = g.start("close", socket);
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.RW, VsockOp.SHUTDOWN]);
    g.advance(4999);
    expect(call.result).toBeUndefined();
    g.inject({ ...PEER, op: VsockOp.RST });
    expect(call.result).toBe(0);
    expect(get(g, socket, SO_TYPE)).toBe(-Errno.EBADF);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("after its time close returns, and the connection ends after it", async () => {
    const { g, socket } = await open();
    set(g, socket, SO_LINGER, 100);
    const call = g.start("close", socket);
    g.advance(100);
    expect(call.result).toBe(-Errno.EAGAIN);
    expect(get(g, socket, SO_TYPE)).toBe(-Errno.EBADF);
    g.advance(8000);
    expect(g.sent(VsockOp.RST)).toHaveLength(1);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("a second close meanwhile, and a non-blocking one, do not wait", async () => {
    const { g, listener, socket } = await open();
    set(g, socket, SO_LINGER, 100);
    const first = g.start("close", socket);
    set(g, socket, SO_NONBLOCK, 1);
    expect(g.now("close", socket)).toBe(0);
    expect(first.result).toBe(-Errno.EBADF);
    const other = g.accept(listener, 80, 8);
    set(g, other, SO_LINGER, 100);
    set(g, other, SO_NONBLOCK, 1);
    expect(g.now("close", other)).toBe(0);
  });
});

test("counts: bytes to be read, and bytes sent that the peer has not consumed", async () => {
  const { g, socket } = await open();
  const at = g.allocate(1000);
  const counts = () => [get(g, socket, SIOCINQ), get(g, socket, SIOCOUTQ)];
  for (const n of [100, 3000]) arrive(g, n);
  g.now("send", socket, at, 700);
  expect(counts()).toEqual([3100, 700]);
  g.now("recv", socket, at, 60);
  g.inject({ ...PEER, op: VsockOp.CREDIT_UPDATE, fwdCnt: 500 });
  expect(counts()).toEqual([3040, 200]);
  const list = g.allocate(16 * 4);
  const lent = g.now("loan", socket, list, 4);
  expect(counts()).toEqual([0, 200]); // what is lent has been read
  g.poke(list, ...Array.from({ length: lent }, (_, i) => g.u32(list + i * 16)));
  g.call("SysSocketRelease", socket, list, lent);
  expect(counts()).toEqual([0, 200]);
  arrive(g, 5);
  g.now("shutdown", socket, 0);
  expect(counts()).toEqual([0, 200]);
});

test("addresses: its own as far as it has one, the peer's once there is one", async () => {
  const { g, listener, socket } = await open();
  const at = g.allocate(8);
  const address = (call: string, one: number) => {
    const result = g.call(call, one, at);
    return result < 0 ? result : [g.u32(at), g.u32(at + 4)];
  };
  expect(address("SysSocketLocalAddress", listener)).toEqual([ANY, 80]);
  expect(address("SysSocketPeerAddress", listener)).toBe(-Errno.ENOTCONN);
  expect(address("SysSocketLocalAddress", socket)).toEqual([3, 80]);
  expect(address("SysSocketPeerAddress", socket)).toEqual([2, 7]);
  const fresh = g.call("SysSocket", 1);
  expect(address("SysSocketLocalAddress", fresh)).toEqual([ANY, ANY]);
  g.start("connect", fresh, 2, 5000);
  const { srcPort } = g.sent(VsockOp.REQUEST)[0]!;
  expect(address("SysSocketPeerAddress", fresh)).toBe(-Errno.ENOTCONN);
  g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: srcPort });
  expect(address("SysSocketLocalAddress", fresh)).toEqual([3, srcPort]);
  expect(address("SysSocketPeerAddress", fresh)).toEqual([2, 5000]);
  for (const call of ["SysSocketLocalAddress", "SysSocketPeerAddress"]) {
    expect(address(call, 12345)).toBe(-Errno.EBADF);
  }
});
