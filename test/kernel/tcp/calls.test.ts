// TCP of the guest by its calls: errors, ports, loopback, options, memory.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ipNumber } from "../../support/frames.ts";
import {
  AF_INET,
  pattern,
  SOCK_STREAM,
  type TcpGuest,
  tcpGuests,
  tooLong,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const PEER = ipNumber("10.0.0.2") | 0;
const create = (g: TcpGuest) => g.call("SysSocket", SOCK_STREAM, AF_INET);

/** A connect to `address`; its result so far. */
const connect = (g: TcpGuest, address: number, port = 7) => {
  const socket = create(g);
  return { socket, call: g.start("connect", socket, address, port) };
};

describe("TC60: errors", () => {
  test("nobody has the address: EHOSTUNREACH", async () => {
    const g = await make();
    const { call } = connect(g, ipNumber("10.0.0.77") | 0);
    for (let i = 0; i < 3; i++) g.advance(1000);
    expect(call.result()).toBe(-Errno.EHOSTUNREACH);
  });

  test("no gateway leads there: ENETUNREACH, at once", async () => {
    const g = await make();
    expect(connect(g, ipNumber("192.0.2.1") | 0).call.result()).toBe(-Errno.ENETUNREACH);
  });

  test("a broadcast: EACCES", async () => {
    const g = await make();
    expect(connect(g, ipNumber("10.0.0.255") | 0).call.result()).toBe(-Errno.EACCES);
  });

  test.each([
    [1, "host", Errno.EHOSTUNREACH],
    [0, "network", Errno.ENETUNREACH],
    [2, "protocol", Errno.ECONNREFUSED],
    [3, "port", Errno.ECONNREFUSED],
  ])("TC9: unreachable by ICMP, code %i (%s)", async (code, _, error) => {
    const g = await make();
    const { call } = connect(g, PEER);
    const syn = g.device.sent.at(-1)?.frame ?? Buffer.alloc(0);
    const message = tooLong(syn, 0);
    message[14 + 20 + 1] = code;
    const sum = (message.readUInt16BE(36) + (4 - code)) % 0xffff; // one word has become smaller
    message.writeUInt16BE(sum, 36);
    g.inject(message);
    expect(call.result()).toBe(-error);
  });

  test("TC9: an error about a connection that stands, or a number that is not in flight, is none", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.send(socket, 1, 10);
    const frame = g.device.sent.at(-1)?.frame ?? Buffer.alloc(0);
    const message = tooLong(frame, 0);
    message[35] = 3;
    message.writeUInt16BE((message.readUInt16BE(36) + 1) % 0xffff, 36);
    g.inject(message);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script("in A seq=1 ack=11");
    g.segments();
    g.inject(tooLong(frame, 600));
    g.send(socket, 11, 1460);
    expect(g.segments()[0]?.payload.length).toBe(1460);
  });

  test("a port that is taken: EADDRINUSE, which TIME-WAIT is not for a listener", async () => {
    const g = await make();
    g.listen();
    const other = create(g);
    expect(g.call("SysSocketBind", other, 80)).toBe(-Errno.EADDRINUSE);
    g.localPort = 81;
    const { listener, socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA
      in  FA seq=1 ack=2
      out A
    `);
    g.start("close", listener);
    expect(g.call("timeWaitCount")).toBe(1);
    g.listen();
  });

  test("a connection again while its addresses are in TIME-WAIT: EADDRINUSE", async () => {
    const g = await make();
    const run = () => {
      const socket = create(g);
      expect(g.call("SysSocketBind", socket, 50000)).toBe(0);
      return { socket, call: g.start("connect", socket, PEER, 7) };
    };
    [g.localPort, g.peerPort] = [50000, 7];
    const { socket } = run();
    g.script(`
      out S seq=0
      in  SA seq=0 ack=1 mss=1460
      out A seq=1 ack=1
    `);
    g.start("close", socket);
    g.script(`
      out FA seq=1
      in  FA seq=1 ack=2
      out A
    `);
    expect(run().call.result()).toBe(-Errno.EADDRINUSE);
  });

  test("no card: ENETDOWN; a family that is none: EAFNOSUPPORT; a type: EPROTONOSUPPORT", async () => {
    const g = await make();
    expect(g.call("SysSocket", SOCK_STREAM, 10)).toBe(-Errno.EAFNOSUPPORT);
    expect(g.call("SysSocket", 5, AF_INET)).toBe(-Errno.EPROTONOSUPPORT);
    expect(g.call("SysSocketBind", create(g), 65536)).toBe(-Errno.EINVAL);
    g.breakCard();
    expect(create(g)).toBe(-Errno.ENETDOWN);
  });

  test("the card goes: connections end with ENETDOWN, and nothing is left", async () => {
    const g = await make();
    const { listener, socket } = g.serve();
    g.send(socket, 1, 1000);
    g.breakCard();
    expect(g.recv(socket)).toBe(-Errno.ENETDOWN);
    g.start("close", socket);
    g.start("close", listener);
    expect([g.call("liveSockets"), g.call("sendQueuesBytes"), g.call("isTimerRunning")]).toEqual([
      0, 0, 0,
    ]);
  });
});

describe("TC61: ephemeral ports", () => {
  test("are from 49152 on, differ, and their order is not to be guessed", async () => {
    const g = await make();
    const ports = Array.from({ length: 40 }, () => {
      connect(g, PEER);
      return g.segments()[0]?.source ?? 0;
    });
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(49152);
    expect(new Set(ports).size).toBe(40);
    const first = (port: number) => {
      connect(g, PEER, port);
      return g.segments()[0]?.source ?? 0;
    };
    const distances = [8, 9, 10, 11].map((port) => Math.abs(first(port) - first(port + 100)));
    expect(distances.filter((one) => one > 100).length).toBeGreaterThan(1);
  });
});

describe("TC63: loopback", () => {
  test.each(["127.0.0.1", "10.0.0.1"])("a connection to %s needs no device", async (address) => {
    const g = await make();
    const listener = g.listen();
    const { socket, call } = connect(g, ipNumber(address) | 0, 80);
    g.advance(1);
    expect(call.result()).toBe(0);
    const other = g.accept(listener);
    const sending = g.send(socket, 1, 100_000);
    let read = Buffer.alloc(0);
    for (let i = 0; i < 2000 && read.length < 100_000; i++) {
      const part = g.recv(other);
      if (typeof part !== "number") read = Buffer.concat([read, part]);
      g.advance(1);
    }
    expect(read.equals(pattern(1, 100_000))).toBe(true);
    expect(sending.result()).toBe(100_000);
    g.start("close", socket);
    g.advance(1);
    expect(g.recv(other)).toEqual(Buffer.alloc(0));
    expect(g.device.sent.filter((one) => one.frame.readUInt16BE(12) === 0x0800)).toEqual([]);
  });
});

describe("idle", () => {
  test("100 connections that stand wake nobody", async () => {
    const g = await make();
    const listener = g.listen(128);
    for (let i = 0; i < 100; i++) {
      g.peerPort = 2000 + i;
      g.script(`
        in  S seq=0 mss=1460
        out SA seq=0 ack=1
        in  A seq=1 ack=1
      `);
      const socket = g.accept(listener);
      g.script(`
        in  AP seq=1 ack=1 bytes=10
        out A ack=11
      `);
      g.recv(socket);
    }
    g.advance(100);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("a connection takes less than 700 bytes", async () => {
    const g = await make();
    expect(g.call("socketBytes")).toBeLessThan(700);
  });
});

describe("the send queue", () => {
  const [SO_SNDBUF, SIOCOUTQ, FIONSPACE] = [7, 0x5411, 0x40046676];

  test("holds what SO_SNDBUF allows, and the sender waits for the rest", async () => {
    const g = await make();
    const { socket } = g.serve();
    expect(g.call("SysSocketSetOption", socket, SO_SNDBUF, 8192)).toBe(0);
    expect(g.send(socket, 1, 20_000, 0x40).result()).toBe(8192);
    expect(g.call("SysSocketGetOption", socket, SIOCOUTQ)).toBe(8192);
    expect(g.call("SysSocketGetOption", socket, FIONSPACE)).toBe(0);
    const waiting = g.send(socket, 8193, 1000);
    expect(waiting.result()).toBeUndefined();
    g.segments();
    g.script("in A seq=1 ack=4001");
    expect(waiting.result()).toBe(1000);
    expect(g.call("SysSocketGetOption", socket, SIOCOUTQ)).toBe(8192 + 1000 - 4000);
  });

  test("is within an eighth of the memory for all connections together", async () => {
    const g = await make();
    const listener = g.listen(64);
    const sockets = Array.from({ length: 40 }, (_, i) => {
      g.peerPort = 2000 + i;
      g.script(`
        in  S seq=0 mss=1460
        out SA seq=0 ack=1
        in  A seq=1 ack=1
      `);
      return g.accept(listener);
    });
    const at = g.bytes(1, 300_000);
    for (const socket of sockets) g.start("send", socket, at, 300_000, 0x40);
    expect(g.call("sendQueuesBytes")).toBeLessThan(2 * 1024 * 1024 + 262_144 + 40 * 4096);
    for (const socket of sockets) g.call("SysSocketReset", socket);
    expect(g.call("sendQueuesBytes")).toBe(0);
  });
});

describe("NP: a hostile peer", () => {
  test("NP1: every field of the header at its ends, nothing falls over and nothing leaks", async () => {
    const g = await make();
    const { listener, socket } = g.serve("mss=1460 scale=7 sack ts=5");
    for (let at = 0; at < 20; at++) {
      for (const octet of [0, 1, 0x7f, 0x80, 0xff]) {
        for (const flags of [0, 2, 16, 17, 18, 24, 0x3f]) {
          g.peer({
            flags,
            seq: g.irs + 1,
            ack: g.iss + 1,
            ts: [6, 5],
            payload: pattern(1, 3),
            wrong: { [at]: octet },
          });
        }
      }
      g.advance(1);
    }
    g.segments();
    g.start("close", socket);
    g.start("close", listener);
    for (let i = 0; i < 30; i++) g.advance(60_000);
    expect([g.call("liveSockets"), g.call("buffersInFlight", 0)]).toEqual([0, 0]);
  });

  test("NP2: a flood of SYNs leaves others served", async () => {
    const g = await make();
    const { socket } = g.serve();
    for (let i = 0; i < 2000; i++) g.peer({ source: 1025 + i, flags: 2, seq: i });
    g.segments();
    g.peerPort = 40000;
    g.script("in AP seq=1 ack=1 bytes=5");
    expect(g.recv(socket)).toEqual(pattern(1, 5));
    g.advance(8000);
    g.advance(8000);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("NP3: a window of one byte, and one that shrinks", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460", 1);
    g.send(socket, 1, 100);
    const total = () => g.segments().reduce((sum, one) => sum + one.payload.length, 0);
    expect(total()).toBeLessThanOrEqual(1);
    g.advance(1000);
    expect(total()).toBeLessThanOrEqual(2);
    const h = await make();
    const { socket: other } = h.serve("mss=1000", 8000);
    h.send(other, 1, 8000);
    h.segments();
    h.script("in A seq=1 ack=1001 win=500");
    h.advance(1000);
    for (const one of h.segments()) expect(one.payload.length).toBeLessThanOrEqual(1000);
    h.script("in A seq=1 ack=8001 win=8000");
    expect(h.call("SysSocketGetOption", other, 0x5411)).toBe(0);
  });

  test("NP4: an acknowledgement of data never sent gains nothing", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1000");
    g.send(socket, 1, 20_000);
    g.segments();
    const before = g.call("congestionWindow", socket);
    g.script("in A seq=1 ack=15000");
    expect(g.call("congestionWindow", socket)).toBe(before);
    expect(g.segments().filter((one) => one.payload.length > 0)).toEqual([]);
  });

  test("NP5: small pieces in reverse order are bounded in memory", async () => {
    const g = await make();
    const { socket } = g.serve();
    const before = g.call("inUse");
    for (let i = 6000; i > 0; i--)
      g.peer({
        flags: 16,
        seq: g.irs + 1 + 2 * i,
        ack: g.iss + 1,
        payload: pattern(1 + 2 * i, 1),
      });
    expect(g.call("inUse") - before).toBeLessThan(64 * 1024);
    g.script("in R seq=1");
    expect(g.recv(socket)).toBe(-Errno.ECONNRESET);
  });

  test("NP6: blocks of SACK that mean nothing are ignored", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1000 sack");
    g.send(socket, 1, 5000);
    g.segments();
    for (const blocks of ["9000-9999", "0-0", "4000-100", "1-5001"]) {
      g.script(`in A seq=1 ack=1 blocks=${blocks}`);
    }
    g.advance(3000);
    g.script("in A seq=1 ack=5001");
    expect(g.call("SysSocketGetOption", socket, 0x5411)).toBe(0);
  });

  test("NP7: an echo of a timestamp that was never sent measures nothing", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1000 ts=5");
    g.send(socket, 1, 10);
    g.segments();
    g.script("in A seq=1 ack=11 ts=6:1000000");
    g.send(socket, 11, 10);
    g.segments();
    g.advance(1000);
    expect(g.segments().length).toBeGreaterThan(0);
  });

  test("NP10: fragmentation needed with MTU 0 or 68, again and again", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460");
    g.send(socket, 1, 1460);
    const frame = g.device.sent.at(-1)?.frame ?? Buffer.alloc(0);
    g.segments();
    for (let i = 0; i < 50; i++) g.inject(tooLong(frame, i % 2 === 0 ? 0 : 68));
    const sent = g.segments();
    expect(sent.length).toBeLessThanOrEqual(3);
    for (const one of sent) expect(one.payload.length).toBeGreaterThanOrEqual(388);
  });

  test("NP11: connections that end by half, and peers that never read, cost what is theirs", async () => {
    const g = await make({ memoryBytes: 32 * 1024 * 1024 });
    const listener = g.listen(64);
    const before = g.call("inUse");
    for (let i = 0; i < 500; i++) {
      g.peerPort = 1025 + i;
      g.script(`
        in  S seq=0 mss=1460
        out SA seq=0 ack=1
        in  A seq=1 ack=1 win=0
        in  FA seq=1 ack=1 win=0
        out A
      `);
      const socket = g.accept(listener);
      g.send(socket, 1, 100);
      g.start("close", socket);
    }
    expect((g.call("inUse") - before) / 500).toBeLessThan(2000);
    for (let i = 0; i < 40; i++) g.advance(60_000);
    expect(g.call("liveSockets")).toBe(1);
  });
});
