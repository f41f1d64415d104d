// MSG_ZEROCOPY: sends that return at once, and completions by range, as the Linux socket layer has
// them (networking/msg_zerocopy).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  DONTWAIT,
  MSG_ZEROCOPY,
  POLLERR,
  POLLHUP,
  pattern,
  SO_SNDTIMEO,
  SO_ZEROCOPY,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests(undefined, "vsock.tx_copybreak=8192");
const BYTES = 9000;
const COPIED = 1;

interface Stream {
  readonly g: SocketGuest;
  readonly socket: number;
  readonly buffer: number;
  send(length?: number): number;
  /** The next range [first, last, flags], or what the call returned instead of 1. */
  completion(): number[] | number;
}

/** A connection with SO_ZEROCOPY to a device that keeps what it is sent. */
async function stream(bufAlloc = 1 << 24): Promise<Stream> {
  const g = await boot();
  const socket = g.accept(g.listen(80), 80, 7, bufAlloc);
  expect(g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1)).toBe(0);
  const buffer = g.allocate(BYTES);
  const range = g.allocate(12);
  g.bytes(buffer, BYTES).set(pattern(BYTES));
  g.device.keeping = true;
  return {
    g,
    socket,
    buffer,
    send: (length = BYTES) => g.now("send", socket, buffer, length, MSG_ZEROCOPY),
    completion() {
      const result = g.now("completion", socket, range, DONTWAIT);
      return result === 1 ? [0, 4, 8].map((offset) => g.u32(range + offset)) : result;
    },
  };
}

describe("MSG_ZEROCOPY", () => {
  test("returns while the device has the buffer, and says when it is free", async () => {
    const { g, send, completion, socket, buffer } = await stream();
    expect(completion()).toBe(0); // no completion
    expect(send()).toBe(BYTES);
    expect(g.sent(VsockOp.RW)[0]?.at[1]).toBe(buffer);
    expect(completion()).toBe(-Errno.EAGAIN);
    g.device.giveBack();
    expect(completion()).toEqual([0, 0, 0]);
    expect(completion()).toBe(0);
    expect(g.stats(socket)).toMatchObject({ lent: BYTES, userToPacket: 0, packetToRing: 0 });
  });

  test("completions of neighbours are one range", async () => {
    const { g, send, completion } = await stream();
    for (let i = 0; i < 5; i++) send();
    for (let i = 0; i < 3; i++) g.device.giveBack();
    expect(completion()).toEqual([0, 2, 0]);
    g.device.giveBack();
    g.device.giveBack();
    expect(completion()).toEqual([3, 4, 0]);
  });

  test("completions out of order are ranges of their own until the gap closes", async () => {
    const { g, send, completion } = await stream();
    for (let i = 0; i < 5; i++) send();
    g.device.giveBack(4);
    g.device.giveBack(1);
    expect(completion()).toEqual([1, 1, 0]);
    g.device.giveBack(1); // number 2
    g.device.giveBack(1); // number 3 closes the gap to 4
    expect(completion()).toEqual([2, 4, 0]);
    g.device.giveBack();
    expect(completion()).toEqual([0, 0, 0]);
  });

  test("a short send is copied, and its completion says so, apart from those that were not", async () => {
    const { g, send, completion, buffer } = await stream();
    expect(send(100)).toBe(100);
    expect(g.sent(VsockOp.RW)[0]?.at[0]).not.toBe(buffer);
    expect(send()).toBe(BYTES);
    expect(completion()).toEqual([0, 0, COPIED]); // its buffer was free at once
    g.device.giveBack();
    g.device.giveBack();
    expect(completion()).toEqual([1, 1, 0]);
  });

  test("of 64 sends that nobody asked about the next is ENOBUFS, and goes after that", async () => {
    const { g, send, completion } = await stream();
    for (let i = 0; i < 64; i++) expect(send()).toBe(BYTES);
    expect(send()).toBe(-Errno.ENOBUFS);
    g.device.giveBack(1); // by twos, so that no ranges merge
    expect(send()).toBe(-Errno.ENOBUFS);
    expect(completion()).toEqual([1, 1, 0]);
    expect(send()).toBe(BYTES);
    while (g.device.kept.length > 0) g.device.giveBack();
    expect(completion()).toEqual([0, 0, 0]);
    expect(completion()).toEqual([2, 64, 0]);
  });

  test("ranges that merge make room without being read", async () => {
    const { g, send, completion } = await stream();
    for (let i = 0; i < 64; i++) send();
    g.device.giveBack();
    g.device.giveBack();
    expect(send()).toBe(BYTES);
    while (g.device.kept.length > 0) g.device.giveBack();
    expect(completion()).toEqual([0, 64, 0]);
  });

  test("POLLERR shows that there is a completion; a thread may wait for one", async () => {
    const { g, socket, send } = await stream();
    const entry = g.allocate(8);
    const range = g.allocate(12);
    g.poke(entry, socket, 0);
    send();
    expect(g.now("select", entry, 1, 0)).toBe(0);
    const waits = g.start("select", entry, 1, 1000);
    g.device.giveBack();
    expect(waits.result).toBe(1);
    expect(g.u32(entry + 4) >>> 16).toBe(POLLERR);
    g.now("completion", socket, range, 0);
    expect(g.now("select", entry, 1, 0)).toBe(0);
    send();
    const call = g.start("completion", socket, range, 0);
    expect(call.result).toBeUndefined();
    g.device.giveBack();
    expect(call.result).toBe(1);
    expect([g.u32(range), g.u32(range + 4)]).toEqual([1, 1]);
  });

  test("is ignored without SO_ZEROCOPY: the call waits for its buffer", async () => {
    const { g, socket, buffer, completion } = await stream();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 0);
    const call = g.start("send", socket, buffer, BYTES, MSG_ZEROCOPY);
    expect(call.result).toBeUndefined();
    g.device.giveBack();
    expect(call.result).toBe(BYTES);
    expect(completion()).toBe(0);
  });

  test("of a non-blocking call lends as well, what the credit allows", async () => {
    const { g, socket, buffer, completion } = await stream(5000);
    expect(g.now("send", socket, buffer, BYTES, MSG_ZEROCOPY | DONTWAIT)).toBe(5000);
    expect(g.stats(socket).lent).toBe(5000);
    expect(g.now("send", socket, buffer, BYTES, MSG_ZEROCOPY | DONTWAIT)).toBe(-Errno.EAGAIN);
    g.device.giveBack();
    expect(completion()).toEqual([0, 0, 0]); // the call that sent nothing has no number
    expect(completion()).toBe(0);
  });

  test("one call of several packets is complete with the last of them", async () => {
    const { g, socket, completion } = await stream();
    const large = g.allocate(200_000);
    expect(g.now("send", socket, large, 200_000, MSG_ZEROCOPY)).toBe(200_000);
    for (const i of [3, 1, 1]) {
      g.device.giveBack(i);
      expect(completion()).toBe(-Errno.EAGAIN);
    }
    g.device.giveBack();
    expect(completion()).toEqual([0, 0, 0]);
  });

  test("a reset connection still says which buffers are free", async () => {
    const { g, socket, send, completion } = await stream();
    send();
    g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80 });
    expect(send()).toBe(-Errno.ECONNRESET);
    expect(completion()).toBe(-Errno.EAGAIN);
    g.device.giveBack();
    const entry = g.allocate(8);
    g.poke(entry, socket, 0);
    g.now("select", entry, 1, 0);
    expect(g.u32(entry + 4) >>> 16).toBe(POLLERR | POLLHUP);
    expect(completion()).toEqual([0, 0, 0]);
  });

  test("waiting for a completion ends at the send time-out and at close", async () => {
    const { g, socket, send } = await stream();
    const range = g.allocate(12);
    send();
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 50);
    const early = g.start("completion", socket, range, 0);
    g.advance(50);
    expect(early.result).toBe(-Errno.EAGAIN);
    const late = g.start("completion", socket, range, 0);
    g.call("SysSocketClose", socket);
    expect(late.result).toBe(-Errno.EBADF);
    expect(g.now("completion", socket, range, 0)).toBe(-Errno.EBADF);
  });

  test("a socket that is closed with completions unread leaves nothing behind", async () => {
    const { g, socket, buffer, send } = await stream();
    const close = (one: number, srcPort: number) => {
      g.call("SysSocketClose", one);
      g.inject({ op: VsockOp.RST, srcPort, dstPort: 80 });
      while (g.device.kept.length > 0) g.device.giveBack();
    };
    send();
    send(100);
    send();
    g.device.giveBack();
    close(socket, 7);
    const before = g.call("inUse");
    const again = g.call("SysSocket", 1);
    const call = g.start("connect", again, 2, 99);
    const [request] = g.sent(VsockOp.REQUEST);
    const dstPort = request?.srcPort ?? 0;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 99, dstPort });
    expect(call.result).toBe(0);
    g.call("SysSocketSetOption", again, SO_ZEROCOPY, 1);
    for (const length of [BYTES, 100, BYTES]) {
      expect(g.now("send", again, buffer, length, MSG_ZEROCOPY)).toBe(length);
    }
    g.call("SysSocketClose", again);
    g.inject({ op: VsockOp.RST, srcPort: 99, dstPort });
    while (g.device.kept.length > 0) g.device.giveBack();
    expect(g.call("inUse")).toBe(before);
  });

  test("numbers go on over 2^32, and order with them", async () => {
    const { g, socket, send, completion } = await stream();
    g.call("presetCompletion", socket, 0xffff_ffff);
    for (let i = 0; i < 3; i++) send();
    g.device.giveBack(2);
    g.device.giveBack(0);
    g.device.giveBack(0);
    expect(completion()).toEqual([0xffff_ffff, 1, 0]);
  });
});
