// The kernel's sockets when things end out of turn: attempts given up, half-closed connections,
// threads killed in calls, counters that wrap.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  bytes,
  DONTWAIT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  pattern,
  SO_CONNECT_TIMEOUT,
  SO_NONBLOCK,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();

describe("connecting", () => {
  test("a port that was bound during an attempt stays with its new owner when that fails", async () => {
    const g = await boot();
    const client = g.call("SysSocket", 1);
    g.call("SysSocketBind", client, 80);
    const call = g.start("connect", client, 2, 5000);
    g.listen(80);
    g.advance(2000);
    expect(call.result).toBe(-Errno.ETIMEDOUT);
    g.sent();
    g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE }]);
    g.start("connect", client, 2, 5000);
    expect(g.sent()[0]!.srcPort).not.toBe(80);
  });

  test("a non-blocking attempt without an answer ends after its time-out, and select sees it", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    g.call("SysSocketSetOption", socket, SO_CONNECT_TIMEOUT, 500);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
    const entry = g.allocate(8);
    g.machine.memory.view.setInt32(entry, socket, true);
    g.machine.memory.view.setUint32(entry + 4, POLLOUT, true);
    const call = g.start("select", entry, 1, -1);
    g.advance(499);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(1);
    expect(g.machine.memory.view.getUint16(entry + 6, true)).toBe(POLLERR | POLLHUP);
    expect(g.now("send", socket, entry, 1)).toBe(-Errno.ETIMEDOUT);
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.REQUEST, VsockOp.RST]);
  });

  test("an attempt whose thread was killed ends by itself, and the socket may try again", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    g.call("SysKillThread", call.thread);
    g.sent();
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EALREADY);
    g.advance(2000);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    const again = g.start("connect", socket, 2, 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: g.sent()[0]!.srcPort });
    expect(again.result).toBe(0);
    g.advance(10_000);
    expect(g.sent()).toEqual([]);
  });

  test("closing a socket that connects sends RST, and the caller gets EBADF", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    g.sent();
    g.now("close", socket);
    expect(call.result).toBe(-Errno.EBADF);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstPort: 5000 }]);
    expect(g.call("liveSockets")).toBe(0);
  });

  test("ephemeral ports go round, past those in use", async () => {
    const g = await boot();
    const open = g.call("SysSocket", 1);
    g.start("connect", open, 2, 5000);
    const { srcPort: taken } = g.sent()[0]!;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: taken });
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    for (let i = 0; i < 16383; i++) {
      const bound = g.call("SysSocket", 1);
      expect(g.call("SysSocketBind", bound, -1)).toBe(0);
      g.call("SysSocketClose", bound);
    }
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
    expect(g.sent()[0]!.srcPort).not.toBe(taken);
  });
});

describe("calls that make no sense are errors", () => {
  test("for handles that are none, lengths beyond 2 GiB, and states that do not fit", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (const op of ["accept", "connect", "recv", "peek", "send", "shutdown", "close"] as const) {
      expect(g.now(op, 12345, 0, 1)).toBe(-Errno.EBADF);
    }
    for (const name of ["SysSocketBind", "SysSocketListen", "SysSocketSetOption"]) {
      expect(g.call(name, 12345, 1, 1)).toBe(-Errno.EBADF);
    }
    expect(g.call("SysSocket", 2)).toBe(-Errno.EPROTONOSUPPORT);
    expect(g.call("SysSocketSetOption", listener, 999, 1)).toBe(-Errno.EINVAL);
    expect(g.call("SysSocketBind", listener, 81)).toBe(-Errno.EINVAL);
    expect(g.now("connect", listener, 2, 5000)).toBe(-Errno.EINVAL);
    expect(g.now("recv", listener, 0, 8)).toBe(-Errno.ENOTCONN);
    const socket = g.accept(listener, 80, 7);
    expect(g.now("accept", socket)).toBe(-Errno.EINVAL);
    expect(g.call("SysSocketListen", socket, 1)).toBe(-Errno.EINVAL);
    expect(g.now("recv", socket, 0, 0)).toBe(0);
    expect(g.now("send", socket, 0, 0)).toBe(0);
    expect(g.now("recv", socket, 0, 0x80000000 | 0)).toBe(-Errno.EINVAL);
    expect(g.now("send", socket, 0, 0xffffffff | 0)).toBe(-Errno.EINVAL);
    expect(g.now("shutdown", socket, 3)).toBe(-Errno.EINVAL);
    expect(g.call("AllocatePacket", 65537)).toBe(0);
    expect(g.call("AllocatePacket", -8)).toBe(0);
  });
});

describe("ending", () => {
  test("RST is the end of the stream only when both directions had ended", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const at = g.allocate(8);
    const end = (how: number, flags: number, srcPort: number) => {
      const socket = g.accept(listener, 80, srcPort);
      g.now("shutdown", socket, how);
      g.inject({ op: VsockOp.SHUTDOWN, flags, srcPort, dstPort: 80 });
      g.inject({ op: VsockOp.RST, srcPort, dstPort: 80 });
      return g.now("recv", socket, at, 8);
    };
    expect(end(1, 2, 1)).toBe(0); // we ended ours, the peer its own
    expect(end(1, 1, 2)).toBe(-Errno.ECONNRESET); // both ended ours: the peer's was cut off
    expect(end(2, 0, 3)).toBe(0);
  });

  test("closing a connection whose peer has ended it, with data unread, sends RST", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("x"));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 3, srcPort: 7, dstPort: 80 });
    g.sent();
    g.now("close", socket);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("threads killed in every call that waits leave nothing behind", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7, 10);
    const at = g.allocate(64);
    g.machine.memory.view.setInt32(at, socket, true);
    g.machine.memory.view.setUint32(at + 4, POLLIN, true);
    g.now("send", socket, at, 10);
    const connecting = g.call("SysSocket", 1);
    const kill = () => {
      const calls = [
        g.start("accept", listener),
        g.start("recv", socket, at, 8),
        g.start("peek", socket, at, 8),
        g.start("send", socket, at, 8),
        g.start("select", at, 1, 1000),
        g.start("connect", connecting, 2, 5000),
      ];
      for (const call of calls) expect(call.result).toBeUndefined();
      for (const call of calls) g.call("SysKillThread", call.thread);
      g.advance(5000);
    };
    kill();
    const before = g.call("inUse");
    for (let i = 0; i < 10; i++) kill();
    expect(g.call("unfinished")).toBe(0);
    expect(g.call("inUse")).toBe(before);
    expect(g.clock.timers).toBe(0);
  });
});

describe("counters", () => {
  test("both directions go on where 32 bits wrap", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 100_000);
    const from = 0xffffffff - 5000;
    g.call("preset", socket, from | 0);
    g.sent();
    const at = g.allocate(8192);
    let fwdCnt = from;
    for (let i = 0; i < 5; i++) {
      expect(g.now("send", socket, at, 3000, DONTWAIT)).toBe(3000);
      fwdCnt = (fwdCnt + 3000) >>> 0;
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80, fwdCnt }, pattern(3000));
      expect(g.now("recv", socket, at, 8192)).toBe(3000);
    }
    g.inject({ op: VsockOp.CREDIT_REQUEST, srcPort: 7, dstPort: 80, fwdCnt });
    expect(g.sent().at(-1)).toMatchObject({ fwdCnt: (from + 15_000) >>> 0 });
  });
});
