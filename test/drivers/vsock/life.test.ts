// Lives of sockets that must leave nothing behind (D18): attempts that fail, ports, storms, queues
// that starve.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import {
  bytes,
  DONTWAIT,
  type GuestOptions,
  POLLIN,
  POLLOUT,
  packet,
  pattern,
  SO_CONNECT_TIMEOUT,
  SO_NONBLOCK,
  socketGuests,
} from "../../support/socket-guest.ts";
import { balanced, hangUp } from "../../support/socket-stall.ts";

const make = await socketGuests();
const SO_LINGER = 13;
const ANY = -1;

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("D18: the same socket connects again, whatever ended an attempt", async () => {
    const g = await boot();
    const ends: [string, number, (dstPort: number) => void][] = [
      ["refused", Errno.ECONNRESET, (dstPort) => hangUp(g, 5000, dstPort)],
      ["no answer", Errno.ETIMEDOUT, () => g.advance(2000)],
      [
        "another packet",
        Errno.EPROTO,
        (dstPort) => g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 5000, dstPort }),
      ],
      ["TRANSPORT_RESET", Errno.ECONNRESET, () => g.device.event(0)],
    ];
    const { before, after } = balanced(g, () => {
      const socket = g.call("SysSocket", 1);
      for (const [, errno, end] of ends) {
        const call = g.start("connect", socket, 2, 5000);
        end(g.sent(VsockOp.REQUEST)[0]!.srcPort);
        expect(call.result).toBe(-errno);
      }
      const call = g.start("connect", socket, 2, 5000);
      const dstPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
      g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
      expect(call.result).toBe(0);
      g.now("close", socket);
      hangUp(g, 5000, dstPort);
    });
    expect(after).toEqual(before);
    expect(after).toMatchObject({ sockets: 0, threads: 0, timers: 0 });
  });

  test("D18: a socket that asked for credit asks again on its next connection", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_CONNECT_TIMEOUT, 100);
    const at = g.allocate(8);
    for (let i = 0; i < 2; i++) {
      const call = g.start("connect", socket, 2, 5000);
      const dstPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
      g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort, bufAlloc: 0 });
      expect(call.result).toBe(0);
      const sending = g.start("send", socket, at, 8);
      expect(g.sent().map((one) => one.op)).toEqual([VsockOp.CREDIT_REQUEST]);
      hangUp(g, 5000, dstPort);
      expect(sending.result).toBe(-Errno.ECONNRESET);
    }
  });

  test("D18: without a free port an attempt is EADDRNOTAVAIL, and the first that is free serves", async () => {
    const g = await boot();
    const bound: number[] = [];
    for (let i = 0; i < 16384; i++) {
      bound.push(g.call("SysSocket", 1));
      expect(g.call("SysSocketBind", bound[i]!, ANY)).toBe(0);
    }
    const socket = g.call("SysSocket", 1);
    expect(g.call("SysSocketBind", socket, ANY)).toBe(-Errno.EADDRNOTAVAIL);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EADDRNOTAVAIL);
    expect(g.sent()).toEqual([]);
    g.now("close", bound[5000]!);
    const call = g.start("connect", socket, 2, 5000);
    const dstPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
    expect(dstPort).toBe(0xc000 + 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
    expect(call.result).toBe(0);
  });

  test("D18: an ephemeral port of a connection that closes is passed over until it is closed", async () => {
    const g = await boot();
    const client = () => {
      const socket = g.call("SysSocket", 1);
      g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
      expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
      return { socket, port: g.sent(VsockOp.REQUEST)[0]!.srcPort };
    };
    const round = () => {
      for (let i = 0; i < 16382; i++) {
        const socket = g.call("SysSocket", 1);
        g.call("SysSocketBind", socket, ANY);
        g.call("SysSocketClose", socket);
      }
    };
    const first = client();
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: first.port });
    g.now("close", first.socket);
    round();
    expect(client().port).toBe(first.port === 0xc000 ? 0xffff : first.port - 1);
    expect(client().port).not.toBe(first.port);
  });

  test("D18, V33: storms of requests at a short backlog end in RST, and nothing stays of them", async () => {
    const g = await boot();
    const listener = g.listen(80, 16);
    const { before, after } = balanced(g, () => {
      for (let n = 0; n < 400; n++) {
        g.device.raw(packet({ op: VsockOp.REQUEST, srcPort: 1 + n, dstPort: 80 }, bytes("")));
        if (n % 50 === 49) g.device.signal();
      }
      const answers = g.sent();
      expect(answers.filter((one) => one.op === VsockOp.RESPONSE)).toHaveLength(16);
      expect(answers.filter((one) => one.op === VsockOp.RST)).toHaveLength(384);
      // Half are accepted, half give up, in an order of their own.
      const served = Array.from({ length: 8 }, () => g.now("accept", listener));
      for (let n = 16; n > 0; n--) hangUp(g, n, 80);
      for (const socket of served) g.now("close", socket);
    });
    expect(after).toEqual(before);
    expect(after.sockets).toBe(1);
  });

  test("D18: a close that lingers ends with the peer's RST, its time, or its thread; nothing stays", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const { before, after } = balanced(g, () => {
      const closing = (srcPort: number) => {
        const socket = g.accept(listener, 80, srcPort);
        g.call("SysSocketSetOption", socket, SO_LINGER, 100);
        return { socket, call: g.start("close", socket) };
      };
      const answered = closing(1);
      hangUp(g, 1, 80);
      expect(answered.call.result).toBe(0);
      const silent = closing(2);
      const killed = closing(3);
      g.call("SysKillThread", killed.call.thread);
      g.advance(100);
      expect(silent.call.result).toBe(-Errno.EAGAIN);
      g.call("SysSocketSetOption", killed.socket, SO_NONBLOCK, 1);
      expect(g.now("close", killed.socket)).toBe(0);
      g.advance(8000);
      g.sent();
    });
    expect(after).toEqual(before);
  });

  test("D18: closing sockets by the hundred end by themselves, and other ports go on meanwhile", async () => {
    const g = await boot({ memoryBytes: 32 << 20 });
    const listener = g.listen(80, 256);
    const at = g.allocate(1);
    const { before, after } = balanced(g, () => {
      for (let srcPort = 1; srcPort <= 256; srcPort++) {
        g.now("close", g.accept(listener, 80, srcPort));
      }
      const other = g.accept(listener, 80, 1000);
      g.sent();
      g.advance(8000);
      expect(g.sent(VsockOp.RST)).toHaveLength(256);
      expect(g.now("send", other, at, 1)).toBe(1);
      g.now("close", other);
      g.advance(8000);
      g.sent();
    });
    expect(after).toEqual(before);
  });

  test("D18: select over 200 sockets finds those that are ready, and leaves nothing", async () => {
    const g = await boot({ memoryBytes: 32 << 20 });
    const listener = g.listen(80, 256);
    const sockets = Array.from({ length: 200 }, (_, i) => g.accept(listener, 80, 1000 + i));
    const at = g.allocate(200 * 8);
    const byte = g.allocate(1);
    const wait = () => {
      sockets.forEach((socket, i) => {
        g.poke(at + i * 8, socket, POLLIN);
      });
      return g.start("select", at, 200, 5000);
    };
    const found = () => sockets.flatMap((_, i) => (g.u32(at + i * 8 + 4) >>> 16 ? [i] : []));
    const { before, after } = balanced(g, (round) => {
      const call = wait();
      expect(call.result).toBeUndefined();
      const ready = [round, 100 + round, 199];
      for (const i of ready) {
        g.device.raw(packet({ op: VsockOp.RW, srcPort: 1000 + i, dstPort: 80 }, bytes("x")));
      }
      g.device.signal();
      expect(call.result).toBe(3);
      expect(found()).toEqual(ready);
      for (const i of ready) expect(g.now("recv", sockets[i]!, byte, 1)).toBe(1);
      const nothing = wait();
      g.advance(5000);
      expect(nothing.result).toBe(0);
      const killed = wait();
      g.call("SysKillThread", killed.thread);
      sockets.forEach((socket, i) => {
        g.poke(at + i * 8, socket, POLLOUT);
      });
      expect(g.now("select", at, 200, 0)).toBe(200);
    });
    expect(after).toEqual(before);
  });

  test("V4: a receive queue that starves for want of memory fills again as the application reads", async () => {
    const g = await boot({ memoryBytes: 4 << 20, queueSize: 16 });
    const listener = g.listen(80, 64);
    const sockets = Array.from({ length: 40 }, (_, i) => g.accept(listener, 80, 1 + i));
    const at = g.allocate(4096);
    const full = g.device.queue(0).available;
    const walls: number[] = [];
    for (const size of [1 << 16, 1 << 12, 1 << 10, 256, 64]) {
      for (;;) {
        const wall = g.call("ToroGetMem", size) >>> 0;
        if (wall === 0) break;
        walls.push(wall);
      }
    }
    for (let round = 0; round < 5; round++) {
      let given = 0;
      for (const [i] of sockets.entries()) {
        const data = packet({ op: VsockOp.RW, srcPort: 1 + i, dstPort: 80 }, pattern(3000));
        if (!g.device.raw(data)) break;
        given++;
        g.device.signal();
      }
      expect(given).toBeGreaterThanOrEqual(full);
      expect(given).toBeLessThan(sockets.length);
      expect(g.device.queue(0).available).toBe(0);
      for (let i = 0; i < given; i++) {
        expect(g.call("SysSocketRecv", sockets[i]!, at, 4096, DONTWAIT)).toBe(3000);
        expect(g.bytes(at, 3000)).toEqual(pattern(3000));
      }
      expect(g.device.queue(0).available).toBe(full);
    }
    for (const wall of walls) g.call("ToroFreeMem", wall);
  });
});
