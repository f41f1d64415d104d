// The kernel's seqpacket sockets: messages that arrive whole, against a device that the test plays.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  bytes,
  DONTWAIT,
  MSG_ZEROCOPY,
  POLLIN,
  pattern,
  SO_RCVBUF,
  SO_RCVLOAN,
  SO_SNDTIMEO,
  SO_ZEROCOPY,
  type SocketGuest,
  socketGuests,
  text,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();
const [STREAM, SEQPACKET] = [1, 5];
const [_TYPE_STREAM, TYPE_SEQPACKET] = [1, 2];
const [EOM, EOR] = [1, 2];
const [MSG_TRUNC, MSG_EOR] = [0x20, 0x80];
const PACKET_MAX = 65536;
const PEER = { srcPort: 7, dstPort: 80, type: TYPE_SEQPACKET };

interface Options {
  window?: number;
  bufAlloc?: number;
  loans?: boolean;
}

/** A guest with a seqpacket connection from host port 7 to port 80. */
async function open({ window = 262144, bufAlloc = 262144, loans = false }: Options = {}) {
  const g = await boot();
  const listener = g.call("SysSocket", SEQPACKET);
  g.call("SysSocketSetOption", listener, SO_RCVBUF, window);
  g.call("SysSocketSetOption", listener, SO_RCVLOAN, Number(loans));
  expect(g.call("SysSocketBind", listener, 80)).toBe(0);
  expect(g.call("SysSocketListen", listener, 8)).toBe(0);
  g.inject({ ...PEER, op: VsockOp.REQUEST, bufAlloc });
  const socket = g.now("accept", listener);
  const [response] = g.sent();
  expect(response).toMatchObject({ op: VsockOp.RESPONSE, type: TYPE_SEQPACKET, bufAlloc: window });
  return { g, socket };
}

function part(g: SocketGuest, payload: Uint8Array | string, flags = 0): void {
  const data = typeof payload === "string" ? bytes(payload) : payload;
  g.inject({ ...PEER, op: VsockOp.RW, flags }, data);
}

/** Everything that SysSocketRecv returns: its result, the bytes, and the message's flags. */
function receive(g: SocketGuest, socket: number, length = 65536, flags = DONTWAIT) {
  const at = g.allocate(length);
  const result = g.now("recv", socket, at, length, flags);
  const got = g.bytes(at, Math.min(Math.max(result, 0), length)).slice();
  g.call("ToroFreeMem", at);
  return { result, got, flags: g.call("SysSocketMessageFlags", socket) };
}

describe("receiving", () => {
  test("V18: a message comes whole, when its last part has come, one at a time", async () => {
    const { g, socket } = await open();
    const at = g.allocate(64);
    const call = g.start("recv", socket, at, 64);
    part(g, "in ");
    part(g, "three ");
    expect(call.result).toBeUndefined();
    expect(receive(g, socket).result).toBe(-Errno.EAGAIN);
    part(g, "parts", EOM);
    expect(call.result).toBe(14);
    expect(text(g.bytes(at, 14))).toBe("in three parts");
    part(g, "one", EOM);
    part(g, "two", EOM | EOR);
    expect(receive(g, socket)).toEqual({ result: 3, got: bytes("one"), flags: 0 });
    expect(receive(g, socket)).toEqual({ result: 3, got: bytes("two"), flags: MSG_EOR });
  });

  test.each([1, 100, 2048, 2049, 65536, 150_000, 262140])(
    "a message of %i bytes",
    async (length) => {
      const { g, socket } = await open();
      const message = pattern(length);
      for (let at = 0; at < length; at += 4000) {
        part(g, message.subarray(at, at + 4000), at + 4000 < length ? 0 : EOM);
      }
      part(g, "next", EOM);
      const { result, got } = receive(g, socket, 300_000);
      expect(result).toBe(length);
      expect(Buffer.compare(got, message)).toBe(0);
      expect(text(receive(g, socket).got)).toBe("next");
      expect(g.stats(socket)).toMatchObject({ received: length + 4 });
    },
  );

  test("the rest of a message that is too long for the buffer is lost, and its credit is not", async () => {
    const { g, socket } = await open();
    for (const word of ["first", "second", "third"]) part(g, word, EOM);
    expect(receive(g, socket, 3)).toEqual({ result: 3, got: bytes("fir"), flags: MSG_TRUNC });
    const whole = receive(g, socket, 2, DONTWAIT | MSG_TRUNC);
    expect(whole).toEqual({ result: 6, got: bytes("se"), flags: MSG_TRUNC });
    expect(text(receive(g, socket).got)).toBe("third");
    g.sent();
    g.now("send", socket, g.allocate(1), 1);
    expect(g.sent()[0]).toMatchObject({ fwdCnt: 16 });
  });

  test("peek shows the message that recv will give", async () => {
    const { g, socket } = await open();
    part(g, "a");
    part(g, "b", EOM);
    part(g, "c", EOM);
    const at = g.allocate(8);
    for (let i = 0; i < 2; i++) expect(g.now("peek", socket, at, 8)).toBe(2);
    expect(g.now("peek", socket, at, 1, MSG_TRUNC)).toBe(2);
    expect(text(receive(g, socket).got)).toBe("ab");
    expect(g.now("peek", socket, at, 8)).toBe(1);
  });

  test("V34: empty parts end a message that has begun, and are none by themselves", async () => {
    const { g, socket } = await open();
    for (let i = 0; i < 1000; i++) part(g, "", EOM);
    expect(receive(g, socket).result).toBe(-Errno.EAGAIN);
    part(g, "small");
    part(g, "", EOM | EOR);
    part(g, pattern(3000));
    part(g, "", 0);
    part(g, "", EOM);
    expect(receive(g, socket)).toEqual({ result: 5, got: bytes("small"), flags: MSG_EOR });
    expect(receive(g, socket)).toEqual({ result: 3000, got: pattern(3000), flags: 0 });
    expect(receive(g, socket).result).toBe(-Errno.EAGAIN);
  });

  test("a window full of messages of one byte takes a multiple of its bytes", async () => {
    const { g, socket } = await open({ window: 32768 });
    const before = g.call("inUse");
    for (let i = 0; i < 32768; i++) part(g, Uint8Array.of(i & 255), EOM);
    expect(g.call("inUse") - before).toBeLessThan(10 * 32768);
    for (let i = 0; i < 32768; i++) expect(receive(g, socket, 2).got[0]).toBe(i & 255);
    expect(g.sent(VsockOp.RST)).toEqual([]);
  });

  test("a message that cannot end, because it fills the window, ends the connection", async () => {
    const { g, socket } = await open({ window: 8192 });
    part(g, pattern(4096));
    part(g, pattern(4095));
    expect(g.sent()).toEqual([]);
    part(g, "!");
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, type: TYPE_SEQPACKET }]);
    expect(receive(g, socket).result).toBe(-Errno.EMSGSIZE);
  });

  test("poll shows POLLIN for a whole message only; half of one at the end is none", async () => {
    const { g, socket } = await open();
    const entry = g.allocate(8);
    const poll = () => {
      g.poke(entry, socket, POLLIN);
      return g.now("select", entry, 1, 0);
    };
    part(g, "whole", EOM);
    part(g, "half");
    expect(poll()).toBe(1);
    receive(g, socket);
    expect(poll()).toBe(0);
    g.inject({ ...PEER, op: VsockOp.SHUTDOWN, flags: 2 });
    expect(receive(g, socket).result).toBe(0);
  });
});

describe("loans", () => {
  test.each([false, true])(
    "are the parts of messages, with their marks; kept apart: %s",
    async (loans) => {
      const { g, socket } = await open({ loans });
      const sent = ["ab", "c", pattern(4096), "d", "e", "half"];
      const marks = [0, EOM, 0, EOM | EOR, EOM, 0];
      sent.forEach((one, i) => {
        part(g, one, marks[i]);
      });
      const list = g.allocate(16 * 8);
      expect(g.now("loan", socket, list, 8, DONTWAIT)).toBe(5);
      const got = Array.from({ length: 5 }, (_, i) => {
        const [token = 0, address = 0, length = 0, flags = 0] = [0, 4, 8, 12].map((offset) =>
          g.u32(list + i * 16 + offset),
        );
        return { token, flags, bytes: g.bytes(address, length).slice() };
      });
      expect(got.map((one) => one.flags >> 2)).toEqual(marks.slice(0, 5));
      const expected = sent.slice(0, 5).map((one) => (typeof one === "string" ? bytes(one) : one));
      expect(got.map((one) => one.bytes)).toEqual(expected);
      expect(got[2]!.flags & 1).toBe(0); // in place
      expect(g.now("loan", socket, list, 8, DONTWAIT)).toBe(-Errno.EAGAIN);
      g.poke(list, ...got.map((one) => one.token));
      expect(g.call("SysSocketRelease", socket, list, 5)).toBe(5);
      part(g, " and half", EOM);
      expect(text(receive(g, socket).got)).toBe("half and half");
      g.sent();
      g.now("send", socket, list, 1);
      expect(g.sent()[0]).toMatchObject({ fwdCnt: 2 + 1 + 4096 + 1 + 1 + 13 });
    },
  );
});

describe("sending", () => {
  test.each(["two-copy", "one-copy", "zero-copy"])(
    "V18: EOM stands in the last packet; %s",
    async (mode) => {
      const { g, socket } = await open();
      g.call(
        "SysSocketSetOption",
        socket,
        0x801,
        ["two-copy", "one-copy", "zero-copy"].indexOf(mode),
      );
      const length = 2 * PACKET_MAX + 100;
      const at = g.allocate(length);
      g.bytes(at, length).set(pattern(length));
      expect(g.now("send", socket, at, length)).toBe(length);
      expect(g.now("send", socket, at, 5, MSG_EOR)).toBe(5);
      const sent = g.sent(VsockOp.RW);
      expect(sent.map((one) => one.flags)).toEqual([0, 0, EOM, EOM | EOR]);
      expect(sent.map((one) => one.payload.length)).toEqual([PACKET_MAX, PACKET_MAX, 100, 5]);
      expect(new Set(sent.map((one) => one.type))).toEqual(new Set([TYPE_SEQPACKET]));
      expect(g.stats(socket).lent).toBe(mode === "zero-copy" ? length : 0);
    },
  );

  test("a message that must not wait goes whole or not at all", async () => {
    const { g, socket } = await open({ bufAlloc: 1000 });
    const at = g.allocate(1000);
    expect(g.now("send", socket, at, 600, DONTWAIT)).toBe(600);
    expect(g.now("send", socket, at, 401, DONTWAIT)).toBe(-Errno.EAGAIN);
    expect(g.now("send", socket, at, 400, DONTWAIT)).toBe(400);
    expect(g.sent(VsockOp.RW).map((one) => one.payload.length)).toEqual([600, 400]);
  });

  test("nor is one that must not wait torn by a ring without room for all of it", async () => {
    const { g, socket } = await open({ bufAlloc: 1 << 24 });
    g.call("SysSocketSetOption", socket, 0x801, 1); // one-copy
    const at = g.allocate(PACKET_MAX);
    g.device.consuming = false;
    while (g.now("send", socket, at, PACKET_MAX, DONTWAIT) > 0);
    expect(g.now("send", socket, at, 10, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.device.consume(2);
    g.device.signal();
    const call = g.start("send", socket, at, 3 * PACKET_MAX, DONTWAIT);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    g.settle();
    expect(call.result).toBe(3 * PACKET_MAX);
    expect(g.sent(VsockOp.RST)).toEqual([]);
  });

  test("messages of several threads are not mixed, however short the credit", async () => {
    const { g, socket } = await open({ bufAlloc: 1000 });
    const messages = [0xaa, 0xbb, 0xcc].map((byte) => {
      const at = g.allocate(900);
      g.bytes(at, 900).fill(byte);
      return at;
    });
    const calls = messages.map((at) => g.start("send", socket, at, 900));
    for (let fwdCnt = 500; fwdCnt <= 2500; fwdCnt += 500) {
      g.inject({ ...PEER, op: VsockOp.CREDIT_UPDATE, bufAlloc: 1000, fwdCnt });
    }
    expect(calls.map((call) => call.result)).toEqual([900, 900, 900]);
    const stream = g.sent(VsockOp.RW).map((one) => ({ byte: one.payload[0], ...one }));
    expect(stream.length).toBeGreaterThan(3); // some were cut at the credit
    const ends = stream.flatMap((one, i) => (one.flags === EOM ? [i] : []));
    expect(ends).toHaveLength(3);
    ends.forEach((end, i) => {
      const own = stream.slice(i === 0 ? 0 : (ends[i - 1] ?? 0) + 1, end + 1);
      expect(new Set(own.map((one) => one.byte)).size).toBe(1);
      expect(own.reduce((sum, one) => sum + one.payload.length, 0)).toBe(900);
    });
  });

  test("a message that is cut short by its time-out ends the connection", async () => {
    const { g, socket } = await open({ bufAlloc: 1000 });
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 100);
    const at = g.allocate(800);
    expect(g.now("send", socket, at, 800)).toBe(800);
    const torn = g.start("send", socket, at, 800);
    g.advance(100);
    expect(torn.result).toBe(-Errno.ECONNABORTED);
    expect(g.sent(VsockOp.RST)).toHaveLength(1);
    expect(g.now("send", socket, at, 1)).toBe(-Errno.ECONNABORTED);
  });

  test("a thread that is killed in its message leaves the socket to others", async () => {
    const { g, socket } = await open({ bufAlloc: 1000 });
    const at = g.allocate(900);
    g.now("send", socket, at, 900);
    const killed = g.start("send", socket, at, 900);
    const next = g.start("send", socket, at, 10);
    expect(g.call("SysKillThread", killed.thread)).toBe(0);
    expect(g.sent(VsockOp.RST)).toHaveLength(1); // its first part had been sent
    expect(next.result).toBe(-Errno.ECONNABORTED);
  });

  test("MSG_ZEROCOPY lends a message, and completes it", async () => {
    const { g, socket } = await open();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    const at = g.allocate(PACKET_MAX + 1);
    const range = g.allocate(12);
    g.device.keeping = true;
    expect(g.now("send", socket, at, PACKET_MAX + 1, MSG_ZEROCOPY)).toBe(PACKET_MAX + 1);
    expect(g.now("completion", socket, range, DONTWAIT)).toBe(-Errno.EAGAIN);
    while (g.device.kept.length > 0) g.device.giveBack();
    expect(g.now("completion", socket, range, DONTWAIT)).toBe(1);
    expect(g.sent(VsockOp.RW).map((one) => one.flags)).toEqual([0, EOM]);
  });
});

describe("connections", () => {
  test("the guest connects, and a port is of one type only", async () => {
    const { g } = await open();
    const socket = g.call("SysSocket", SEQPACKET);
    const call = g.start("connect", socket, 2, 5000);
    const [request] = g.sent(VsockOp.REQUEST);
    expect(request).toMatchObject({ type: TYPE_SEQPACKET, bufAlloc: 262144 });
    const back = { srcPort: 5000, dstPort: request!.srcPort, type: TYPE_SEQPACKET };
    g.inject({ ...back, op: VsockOp.RESPONSE });
    expect(call.result).toBe(0);
    const stream = g.call("SysSocket", STREAM);
    expect(g.call("SysSocketBind", stream, 80)).toBe(-Errno.EADDRINUSE);
  });
});
