// Sockets over TCP: what test/kernel/sockets expects of vsock holds here as well.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ipNumber } from "../../support/frames.ts";
import {
  DONTWAIT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  SO_CONNECT_TIMEOUT,
  SO_NONBLOCK,
  SO_RCVTIMEO,
  SO_SNDBUF,
  SO_SNDTIMEO,
} from "../../support/socket-guest.ts";
import {
  AF_INET,
  pattern,
  SOCK_STREAM,
  type TcpGuest,
  tcpGuests,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const PEER = ipNumber("10.0.0.2") | 0;
const [SO_RCVLOWAT, SO_LINGER, SIOCINQ] = [18, 13, 0x541b];
const [RCV, SEND, BOTH] = [0, 1, 2];

async function serve(options = "mss=1000", win = 65535) {
  const g = await make();
  return { g, ...g.serve(options, win) };
}

/** A call of select for one socket, and the events that it has found. */
function selecting(g: TcpGuest, socket: number, events: number, timeoutMs = -1) {
  const entry = g.place(socket, events);
  const call = g.start("select", entry, 1, timeoutMs);
  return () => [call.result(), (g.words(entry + 4, 1)[0] as number) >>> 16];
}

describe("TC62: select", () => {
  test("waits for data, and finds them and the end of the stream", async () => {
    const { g, socket } = await serve();
    const waits = selecting(g, socket, POLLIN);
    expect(waits()[0]).toBeUndefined();
    g.script("in AP seq=1 ack=1 bytes=5");
    expect(waits()).toEqual([1, POLLIN]);
    g.recv(socket);
    const ends = selecting(g, socket, POLLIN);
    g.script("in FA seq=6 ack=1");
    expect(ends()).toEqual([1, POLLIN]);
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
  });

  test("waits for room, which an acknowledgement makes", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SNDBUF, 4096);
    expect(selecting(g, socket, POLLOUT)()).toEqual([1, POLLOUT]);
    expect(g.send(socket, 1, 5000, DONTWAIT).result()).toBe(4096);
    const waits = selecting(g, socket, POLLOUT);
    expect(waits()[0]).toBeUndefined();
    g.script("in A seq=1 ack=1001");
    expect(waits()).toEqual([1, POLLOUT]);
    expect(g.send(socket, 4097, 5000, DONTWAIT).result()).toBe(1000);
  });

  test("finds a reset, whatever it was asked for", async () => {
    const { g, socket } = await serve();
    const waits = selecting(g, socket, 0);
    g.script("in R seq=1");
    expect(waits()[0]).toBe(1);
    expect((waits()[1] as number) & (POLLERR | POLLHUP)).toBe(POLLERR | POLLHUP);
    expect(g.recv(socket)).toBe(-Errno.ECONNRESET);
  });

  test("finds a connection to accept, only after its handshake", async () => {
    const g = await make();
    const listener = g.listen();
    const waits = selecting(g, listener, POLLIN);
    g.script(`
      in  S  seq=0 mss=1000
      out SA seq=0 ack=1
    `);
    expect(waits()[0]).toBeUndefined();
    g.script("in A seq=1 ack=1");
    expect(waits()).toEqual([1, POLLIN]);
  });

  test("finds a connect that does not wait to be done, or refused", async () => {
    for (const [answer, events] of [
      ["in SA seq=0 ack=1 mss=1000", POLLOUT],
      ["in RA seq=0 ack=1", POLLOUT | POLLERR | POLLHUP],
    ] as const) {
      const g = await make();
      const socket = g.call("SysSocket", SOCK_STREAM, AF_INET);
      g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
      g.peerPort = 7;
      const connecting = g.start("connect", socket, PEER, 7);
      expect(connecting.result()).toBe(-Errno.EINPROGRESS);
      const [syn] = g.segments();
      g.localPort = syn?.source as number;
      g.iss = syn?.seq as number;
      const waits = selecting(g, socket, POLLOUT);
      expect(waits()[0]).toBeUndefined();
      g.script(answer);
      expect(waits()[0]).toBe(1);
      const found = (waits()[1] as number) & ~POLLIN;
      expect([found & ~events, found !== 0]).toEqual([0, true]);
      const again = g.start("connect", socket, PEER, 7).result();
      if (events === POLLOUT) expect(again).toBe(-Errno.EISCONN);
    }
  });

  test("ends at its time-out", async () => {
    const { g, socket } = await serve();
    const waits = selecting(g, socket, POLLIN, 500);
    g.advance(499);
    expect(waits()[0]).toBeUndefined();
    g.advance(1);
    expect(waits()[0]).toBe(0);
  });
});

describe("TC62: calls that wait", () => {
  test("to receive: until SO_RCVTIMEO, or for SO_RCVLOWAT bytes", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_RCVTIMEO, 300);
    const at = g.bytes(0, 100);
    const timed = g.start("recv", socket, at, 100, 0);
    g.advance(299);
    expect(timed.result()).toBeUndefined();
    g.advance(1);
    expect(timed.result()).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", socket, SO_RCVTIMEO, 0);
    g.call("SysSocketSetOption", socket, SO_RCVLOWAT, 20);
    const low = g.start("recv", socket, at, 100, 0);
    g.script("in A seq=1 ack=1 bytes=19");
    expect(low.result()).toBeUndefined();
    g.script("in A seq=20 ack=1 bytes=1");
    expect(low.result()).toBe(20);
  });

  test("to send: until SO_SNDTIMEO, with what was taken until then", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SNDBUF, 4096);
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 300);
    const sending = g.send(socket, 1, 10_000);
    g.advance(299);
    expect(sending.result()).toBeUndefined();
    g.advance(1);
    expect(sending.result()).toBe(4096);
    expect(g.send(socket, 4097, 10, DONTWAIT).result()).toBe(-Errno.EAGAIN);
  });

  test("to connect and to accept: until their time-outs", async () => {
    const g = await make();
    const listener = g.listen();
    g.call("SysSocketSetOption", listener, SO_RCVTIMEO, 100);
    const accepting = g.start("accept", listener);
    const socket = g.call("SysSocket", SOCK_STREAM, AF_INET);
    g.call("SysSocketSetOption", socket, SO_CONNECT_TIMEOUT, 200);
    const connecting = g.start("connect", socket, PEER, 7);
    g.advance(100);
    expect(accepting.result()).toBe(-Errno.EAGAIN);
    g.advance(100);
    expect(connecting.result()).toBe(-Errno.ETIMEDOUT);
  });

  test("do not, with SO_NONBLOCK", async () => {
    const { g, socket, listener } = await serve();
    for (const one of [socket, listener]) g.call("SysSocketSetOption", one, SO_NONBLOCK, 1);
    expect(g.recv(socket, 10, 0)).toBe(-Errno.EAGAIN);
    expect(g.start("accept", listener).result()).toBe(-Errno.EAGAIN);
    expect(g.send(socket, 1, 1_000_000).result()).toBe(262_144);
    expect(g.send(socket, 1, 1).result()).toBe(-Errno.EAGAIN);
  });

  test("end when another thread closes the socket", async () => {
    const { g, socket, listener } = await serve();
    const receiving = g.start("recv", socket, g.bytes(0, 10), 10, 0);
    const accepting = g.start("accept", listener);
    g.start("close", socket);
    g.start("close", listener);
    expect([receiving.result(), accepting.result()]).toEqual([-Errno.EBADF, -Errno.EBADF]);
  });

  test("end with the connection: shut down, it is a pipe; reset, it says so", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SNDBUF, 4096);
    const sending = g.send(socket, 1, 10_000);
    g.script("in R seq=1");
    expect(sending.result()).toBe(4096);
    expect(g.send(socket, 1, 1).result()).toBe(-Errno.ECONNRESET);
    const { g: h, socket: other } = await serve();
    expect(h.call("SysSocketShutdown", other, SEND)).toBe(0);
    expect(h.send(other, 1, 1).result()).toBe(-Errno.EPIPE);
  });

  test("leave nothing behind when their threads are killed", async () => {
    const { g, socket, listener } = await serve();
    g.call("SysSocketSetOption", socket, SO_SNDBUF, 4096);
    g.send(socket, 1, 4096);
    g.segments();
    const buffer = g.bytes(0, 100);
    const kill = () => {
      const other = g.call("SysSocket", SOCK_STREAM, AF_INET);
      const calls = [
        g.start("accept", listener),
        g.start("recv", socket, buffer, 100, 0),
        g.start("send", socket, buffer, 100, 0),
        g.start("connect", other, PEER, 7),
        g.start("select", g.place(socket, POLLOUT), 1, -1),
      ];
      for (const { thread } of calls) expect(g.call("SysKillThread", thread)).toBe(0);
      for (const call of calls) expect(call.result()).toBeUndefined();
      expect(g.call("SysSocketClose", other)).toBe(0);
      g.segments();
    };
    kill();
    const before = g.call("heapBlocks");
    for (let i = 0; i < 5; i++) kill();
    expect(g.call("heapBlocks") - before).toBe(5); // the entries of select
    g.script("in A seq=1 ack=4001 bytes=3");
    expect(g.recv(socket)).toEqual(pattern(1, 3));
  });
});

describe("TC62: the other calls", () => {
  test("peek leaves the data, which are counted until they are read", async () => {
    const { g, socket } = await serve();
    g.script("in A seq=1 ack=1 bytes=30");
    g.script("in A seq=31 ack=1 bytes=30");
    const at = g.bytes(0, 100);
    for (let i = 0; i < 2; i++) expect(g.start("peek", socket, at, 50, 0).result()).toBe(50);
    expect(Buffer.from(g.machine.memory.bytes(at, 50))).toEqual(pattern(1, 50));
    expect(g.call("SysSocketGetOption", socket, SIOCINQ)).toBe(60);
    expect(g.recv(socket)).toEqual(pattern(1, 60));
  });

  test("a vector is one stream of bytes; 17 entries are EINVAL", async () => {
    const { g, socket } = await serve();
    const list = Array.from({ length: 16 }, (_, i) => [g.bytes(1 + i * 100, 100), 100]).flat();
    expect(g.start("sendVector", socket, g.place(...list), 16, 0).result()).toBe(1600);
    g.script(`
      out A seq=1 bytes=1000
      in  A seq=1 ack=1001
      out AP seq=1001 bytes=600
    `);
    expect(g.start("sendVector", socket, g.place(...list), 17, 0).result()).toBe(-Errno.EINVAL);
    expect(g.start("sendVector", socket, g.place(...list), 0, 0).result()).toBe(0);
  });

  test("close with SO_LINGER waits for the acknowledgement of all, or for its time", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_LINGER, 5000);
    g.send(socket, 1, 100);
    const closing = g.start("close", socket);
    expect(closing.result()).toBeUndefined();
    g.script(`
      out AP seq=1 bytes=100
      out FA seq=101
      in  A seq=1 ack=101
    `);
    expect(closing.result()).toBeUndefined();
    g.script("in A seq=1 ack=102");
    expect(closing.result()).toBe(0);
    const { g: h, socket: other } = await serve();
    h.call("SysSocketSetOption", other, SO_LINGER, 500);
    h.send(other, 1, 100);
    const late = h.start("close", other);
    h.advance(499);
    expect(late.result()).toBeUndefined();
    h.advance(1);
    expect(late.result()).toBeDefined();
  });

  test("a reading side that is shut down takes what comes, and throws it away", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketShutdown", socket, RCV);
    for (let i = 0; i < 100; i++) g.script(`in A seq=${1 + i * 1000} ack=1 bytes=1000`);
    expect(g.segments().at(-1)?.ack).toBe((g.irs + 100_001) >>> 0);
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
    expect(g.call("SysSocketShutdown", socket, BOTH)).toBe(0);
  });
});
