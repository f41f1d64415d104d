// SysSocketSelect agrees with the calls that wait by themselves: once it returns, the call does not
// wait, and every event that ends a call's wait ends select's too.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  DONTWAIT,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  pattern,
  SO_NONBLOCK,
  SO_RCVBUF,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();
const SO_RCVLOWAT = 18;
const PEER = { srcPort: 7, dstPort: 80 };
const [RCV, SEND] = [1, 2];
const SEQPACKET = { socket: 5, type: 2 };

interface Options {
  window?: number;
  bufAlloc?: number;
  queueSize?: number;
  messages?: boolean;
}

async function open({ window = 8192, bufAlloc = 262144, queueSize, messages }: Options = {}) {
  const g = await boot(queueSize === undefined ? {} : { queueSize });
  const type = messages ? SEQPACKET.type : 1;
  const listener = g.call("SysSocket", messages ? SEQPACKET.socket : 1);
  g.call("SysSocketSetOption", listener, SO_RCVBUF, window);
  g.call("SysSocketBind", listener, 80);
  g.call("SysSocketListen", listener, 8);
  const peer = { ...PEER, type, bufAlloc };
  g.inject({ ...peer, op: VsockOp.REQUEST });
  const socket = g.now("accept", listener);
  g.sent();
  return { g, listener, socket, peer, ...selector(g, socket) };
}

function selector(g: SocketGuest, socket: number) {
  const entry = g.allocate(8);
  return {
    select: (events: number, timeoutMs = -1) => {
      g.poke(entry, socket, events);
      return g.start("select", entry, 1, timeoutMs);
    },
    found: () => g.machine.memory.view.getUint16(entry + 6, true),
  };
}

describe("room in the window", () => {
  /** 2100 bytes were read, of which the peer has not heard, and 6000 wait; 8192 fit. */
  async function starved() {
    const opened = await open();
    const { g, socket, peer } = opened;
    g.call("SysSocketSetOption", socket, SO_RCVLOWAT, 8000);
    const at = g.allocate(8192);
    g.inject({ ...peer, op: VsockOp.RW }, pattern(2100));
    expect(g.now("recv", socket, at, 2100, DONTWAIT)).toBe(2100);
    g.sent();
    g.inject({ ...peer, op: VsockOp.RW }, pattern(6000));
    return { ...opened, at };
  }
  const told = (g: SocketGuest) => g.sent(VsockOp.CREDIT_UPDATE).map((one) => one.fwdCnt);

  // A blocking receive did it, and select with SO_RCVLOWAT waited for bytes that could not come.
  test("V39: select for POLLIN tells the peer of it, once", async () => {
    const { g, peer, select, found } = await starved();
    const call = select(POLLIN);
    expect(told(g)).toEqual([2100]);
    g.inject({ ...peer, op: VsockOp.RW }, pattern(1999));
    expect([call.result, told(g)]).toEqual([undefined, []]);
    g.inject({ ...peer, op: VsockOp.RW }, pattern(1));
    expect([call.result, found()]).toEqual([1, POLLIN]);
  });

  test("V39: so does a look that may not wait, as a blocking one", async () => {
    for (const flags of [DONTWAIT, 0]) {
      const { g, socket, at } = await starved();
      g.start("peek", socket, at, 8192, flags);
      expect(told(g)).toEqual([2100]);
    }
  });

  test("V39: sends no credit update for a thread that does not ask for POLLIN", async () => {
    const { g, select } = await starved();
    select(0);
    expect(told(g)).toEqual([]);
  });

  test("V39: a message of which a part is there is waited for with all of the window", async () => {
    const { g, socket, peer, select } = await open({ messages: true });
    const at = g.allocate(8192);
    g.inject({ ...peer, op: VsockOp.RW, flags: 1 }, pattern(4000));
    expect(g.now("recv", socket, at, 8192, DONTWAIT)).toBe(4000);
    expect(told(g)).toEqual([]);
    const call = select(POLLIN);
    g.inject({ ...peer, op: VsockOp.RW }, pattern(4192)); // all that it believes in
    expect([call.result, told(g)]).toEqual([undefined, [4000]]);
    g.inject({ ...peer, op: VsockOp.RW, flags: 1 }, pattern(100));
    expect(call.result).toBe(1);
    expect(g.now("recv", socket, at, 8192, DONTWAIT)).toBe(4292);
  });
});

describe("the end", () => {
  test.each([
    ["the peer will receive no more", RCV, false],
    ["and will send no more", RCV | SEND, true],
  ])("of sending wakes select for POLLOUT, and send fails at once: %s", async (_, flags, both) => {
    const { g, socket, peer, select, found } = await open({ bufAlloc: 10 });
    const at = g.allocate(100);
    expect(g.now("send", socket, at, 10)).toBe(10);
    const blocked = g.start("send", socket, at, 1);
    const call = select(POLLOUT);
    expect([blocked.result, call.result]).toEqual([undefined, undefined]);
    if (both) g.inject({ ...peer, op: VsockOp.RW }, pattern(1)); // which keeps it connected
    g.inject({ ...peer, op: VsockOp.SHUTDOWN, flags });
    expect([blocked.result, call.result]).toEqual([-Errno.EPIPE, 1]);
    expect(found()).toBe(both ? POLLOUT | POLLHUP : POLLOUT);
    expect(g.now("send", socket, at, 1, DONTWAIT)).toBe(-Errno.EPIPE);
  });

  test("of our own sending does, too", async () => {
    const { g, socket, select, found } = await open({ bufAlloc: 10 });
    const at = g.allocate(100);
    expect(g.now("send", socket, at, 10)).toBe(10);
    const call = select(POLLOUT);
    g.now("shutdown", socket, 1);
    expect([call.result, found()]).toEqual([1, POLLOUT]);
    expect(g.now("send", socket, at, 1, DONTWAIT)).toBe(-Errno.EPIPE);
  });

  test("of the stream is POLLIN, and receive finds it at once", async () => {
    const { g, socket, peer, select, found } = await open();
    const call = select(POLLIN);
    g.inject({ ...peer, op: VsockOp.SHUTDOWN, flags: SEND });
    expect([call.result, found()]).toEqual([1, POLLIN]);
    expect(g.now("recv", socket, g.allocate(1), 1, DONTWAIT)).toBe(0);
  });

  test("by a reset is POLLERR and POLLHUP, whatever was asked for, after what can be read", async () => {
    const { g, socket, peer, select, found } = await open();
    g.inject({ ...peer, op: VsockOp.RW }, pattern(10));
    g.inject({ ...peer, op: VsockOp.RST });
    expect(select(POLLIN).result).toBe(1);
    expect(found()).toBe(POLLIN | POLLERR | POLLHUP);
    const at = g.allocate(10);
    expect(g.now("recv", socket, at, 10, DONTWAIT)).toBe(10);
    expect(g.now("recv", socket, at, 10, DONTWAIT)).toBe(-Errno.ECONNRESET);
    expect(g.now("send", socket, at, 10, DONTWAIT)).toBe(-Errno.ECONNRESET);
    expect(select(0).result).toBe(1);
  });
});

test.each([
  ["a reset", { op: VsockOp.RST }, -Errno.ECONNRESET],
  ["a peer that receives no more", { op: VsockOp.SHUTDOWN, flags: RCV }, -Errno.EPIPE],
])("a send that waits for the ring hears of %s at once, as select does", async (_, said, error) => {
  const { g, socket, peer, select } = await open({ queueSize: 16 });
  g.device.consuming = false;
  const at = g.allocate(16);
  while (g.now("send", socket, at, 1, DONTWAIT) === 1);
  const send = g.start("send", socket, at, 1);
  const call = select(POLLOUT);
  expect([send.result, call.result]).toEqual([undefined, undefined]);
  g.inject({ ...peer, ...said });
  expect([send.result, call.result]).toEqual([error, 1]);
});

describe("a connect that may not wait", () => {
  // It said -EAGAIN, and select for POLLOUT never woke: a blocking connect waits for the ring.
  test("and finds the ring full is waited for by select", async () => {
    const { g, socket: other } = await open({ queueSize: 16 });
    g.device.consuming = false;
    const at = g.allocate(16);
    while (g.now("send", other, at, 1, DONTWAIT) === 1);
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EAGAIN);
    const { select, found } = selector(g, socket);
    const call = select(POLLOUT);
    expect(call.result).toBeUndefined();
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    expect([call.result, found()]).toEqual([1, POLLOUT]);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
  });

  test("and is accepted without credit is waited for until there is some", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
    const srcPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
    const { select } = selector(g, socket);
    const call = select(POLLOUT);
    const peer = { srcPort: 5000, dstPort: srcPort };
    g.inject({ ...peer, op: VsockOp.RESPONSE, bufAlloc: 0 });
    expect(call.result).toBeUndefined();
    expect(g.sent(VsockOp.CREDIT_REQUEST)).toHaveLength(1);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 1 });
    expect(call.result).toBe(1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EISCONN);
  });
});

test("an accept that may not wait, and select, find the same connections", async () => {
  const { g, listener } = await open();
  const { select, found } = selector(g, listener);
  g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
  expect(g.now("accept", listener)).toBe(-Errno.EAGAIN);
  const call = select(POLLIN | POLLOUT);
  g.inject({ op: VsockOp.REQUEST, srcPort: 8, dstPort: 80 });
  expect([call.result, found()]).toEqual([1, POLLIN]);
  g.inject({ op: VsockOp.RST, srcPort: 8, dstPort: 80 });
  expect(select(POLLIN, 0).result).toBe(0);
  expect(g.now("accept", listener)).toBe(-Errno.EAGAIN);
});

test("waiting for one socket takes no more memory by select than by receive", async () => {
  const { g, socket, select, peer } = await open();
  const at = g.allocate(1);
  const inUse = () => g.call("inUse");
  const before = inUse();
  const receive = g.start("recv", socket, at, 1);
  const taken = inUse() - before;
  const call = select(POLLIN | POLLOUT, 0); // and none of them stays
  expect([call.result, inUse() - before]).toEqual([1, taken]);
  g.inject({ ...peer, op: VsockOp.RW }, pattern(1));
  expect([receive.result, inUse()]).toEqual([1, before]);
  const waits = select(POLLIN);
  expect([waits.result, inUse() - before]).toEqual([undefined, taken]);
});
