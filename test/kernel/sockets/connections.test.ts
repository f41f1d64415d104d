// The kernel's sockets from listen and connect to the end, against a device that the test plays.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  bytes,
  DONTWAIT,
  POLLOUT,
  SO_NONBLOCK,
  SO_RCVTIMEO,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();

describe("listening and accepting", () => {
  test("connections are accepted oldest first (Toro fault 19)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (const srcPort of [11, 12, 13]) g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
    for (const srcPort of [11, 12, 13]) {
      const socket = g.now("accept", listener);
      g.sent();
      const at = g.allocate(1);
      g.now("send", socket, at, 1);
      expect(g.sent()[0]).toMatchObject({ dstPort: srcPort });
    }
  });

  test("accept waits for a connection, and several acceptors are served in their order", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const first = g.start("accept", listener);
    const second = g.start("accept", listener);
    expect(first.result).toBeUndefined();
    g.inject({ op: VsockOp.REQUEST, srcPort: 1, dstPort: 80 });
    expect(first.result).toBeGreaterThan(0);
    expect(second.result).toBeUndefined();
    g.inject({ op: VsockOp.REQUEST, srcPort: 2, dstPort: 80 });
    expect(second.result).toBeGreaterThan(0);
  });

  test("accept ends with EAGAIN after its time-out, or at once when non-blocking", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.call("SysSocketSetOption", listener, SO_RCVTIMEO, 50);
    const call = g.start("accept", listener);
    g.advance(49);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
    expect(g.now("accept", listener)).toBe(-Errno.EAGAIN);
  });

  test("connections without end are refused when the memory for windows is spent, and it goes on", async () => {
    const g = await boot({ memoryBytes: 4 * 1024 * 1024 });
    const listener = g.listen(80, 4096);
    let refused = 0;
    for (let srcPort = 1; srcPort <= 2000; srcPort++) {
      g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
      if (g.sent()[0]?.op === VsockOp.RST) refused++;
    }
    expect(refused).toBeGreaterThan(1000);
    expect(refused).toBeLessThan(1990);
    for (let srcPort = 1; srcPort <= 2000; srcPort++) {
      g.inject({ op: VsockOp.RST, srcPort, dstPort: 80 });
    }
    expect(g.accept(listener, 80, 5000)).toBeGreaterThan(0);
  });

  test("closing a listener resets what waits in its queue and wakes its acceptors with EBADF", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.inject({ op: VsockOp.REQUEST, srcPort: 1, dstPort: 80 });
    g.sent();
    expect(g.now("close", listener)).toBe(0);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstPort: 1 }]);
    const other = g.listen(80);
    const waiting = g.start("accept", other);
    g.now("close", other);
    expect(waiting.result).toBe(-Errno.EBADF);
    expect(g.call("liveSockets")).toBe(0);
  });

  test("a non-blocking socket listens, too (Toro fault 23)", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    g.call("SysSocketBind", socket, 80);
    expect(g.call("SysSocketListen", socket, 8)).toBe(0);
    expect(g.accept(socket, 80, 7)).toBeGreaterThan(0);
  });

  test("a port is taken once, and free again after close", async () => {
    const g = await boot();
    const first = g.listen(80);
    const second = g.call("SysSocket", 1);
    expect(g.call("SysSocketBind", second, 80)).toBe(-Errno.EADDRINUSE);
    g.now("close", first);
    expect(g.call("SysSocketBind", second, 80)).toBe(0);
  });

  test("a packet before any socket exists waits, and is handled then (Toro fault 5)", async () => {
    const g = await boot();
    g.inject({ op: VsockOp.REQUEST, srcPort: 1, dstPort: 80 });
    expect(g.sent()).toEqual([]);
    g.call("SysSocket", 1);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstPort: 1, srcPort: 80 }]);
  });

  test("a hostile destination port is only a port without a listener (Toro fault 17)", async () => {
    const g = await boot();
    g.listen(80);
    g.inject({ op: VsockOp.REQUEST, srcPort: 1, dstPort: 0xffffffff });
    g.inject({ op: VsockOp.RW, srcPort: 1, dstPort: 0x80000000 }, bytes("x"));
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.RST, VsockOp.RST]);
  });

  test("the same ports from another CID are another connection (Toro fault 16)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    g.sent();
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80, srcCid: 9 }, bytes("forged"));
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstCid: 9 }]);
    expect(g.now("recv", socket, g.allocate(8), 8, DONTWAIT)).toBe(-Errno.EAGAIN);
  });
});

describe("connecting", () => {
  test("connect sends REQUEST, and RESPONSE completes it", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    const [request] = g.sent();
    expect(request).toMatchObject({
      op: VsockOp.REQUEST,
      dstPort: 5000,
      dstCid: 2,
      bufAlloc: 4096,
    });
    expect(call.result).toBeUndefined();
    const dstPort = request!.srcPort;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort, bufAlloc: 100 });
    expect(call.result).toBe(0);
    const at = g.allocate(200);
    expect(g.now("send", socket, at, 200, DONTWAIT)).toBe(100);
    g.inject({ op: VsockOp.RW, srcPort: 5000, dstPort, bufAlloc: 100 }, bytes("hi"));
    expect(g.now("recv", socket, at, 200)).toBe(2);
  });

  test("a connect without an answer times out after 2 s and leaks nothing (Toro fault 18)", async () => {
    const g = await boot();
    g.now("close", g.call("SysSocket", 1)); // the table of handles grows once
    const before = g.call("inUse");
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    g.advance(1999);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(-Errno.ETIMEDOUT);
    const [, rst] = g.sent();
    expect(rst).toMatchObject({ op: VsockOp.RST });
    g.now("close", socket);
    expect(g.call("liveSockets")).toBe(0);
    expect(g.call("inUse")).toBe(before);
  });

  test("a non-blocking connect is in progress until select says it can be written to", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EALREADY);
    const entry = g.allocate(8);
    g.machine.memory.view.setInt32(entry, socket, true);
    g.machine.memory.view.setUint32(entry + 4, POLLOUT, true);
    const call = g.start("select", entry, 1, -1);
    expect(call.result).toBeUndefined();
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: g.sent()[0]!.srcPort });
    expect(call.result).toBe(1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EISCONN);
  });
});

describe("ending", () => {
  test("close wakes threads in calls on the socket with EBADF", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 10);
    const at = g.allocate(64);
    const calls = [g.start("recv", socket, at, 64), g.start("send", socket, at, 64)];
    g.now("close", socket);
    expect(calls[0]!.result).toBe(-Errno.EBADF);
    expect(calls[1]!.result).toBe(10);
    expect(g.now("recv", socket, at, 64)).toBe(-Errno.EBADF);
  });

  test("a killed thread leaves its wait, and the socket goes on", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    const call = g.start("recv", socket, at, 64);
    expect(g.call("SysKillThread", call.thread)).toBe(0);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("for another"));
    expect(call.result).toBeUndefined();
    expect(g.now("recv", socket, at, 64)).toBe(11);
  });

  test("ten thousand connections in a row leave no trace", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const at = g.allocate(64);
    const round = (srcPort: number) => {
      const socket = g.accept(listener, 80, srcPort);
      g.inject({ op: VsockOp.RW, srcPort, dstPort: 80 }, bytes("GET"));
      g.now("recv", socket, at, 64);
      g.now("send", socket, at, 64);
      g.now("close", socket);
      g.inject({ op: VsockOp.RST, srcPort, dstPort: 80, fwdCnt: 64 });
      g.sent();
    };
    for (let i = 0; i < 300; i++) round(1 + i); // every buffer of the ring has been used
    const before = g.call("inUse");
    for (let i = 0; i < 10_000; i++) round(301 + i);
    expect(g.call("inUse")).toBe(before);
    expect(g.call("liveSockets")).toBe(1);
  });
});
