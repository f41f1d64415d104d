// How much a socket could send without waiting: what select promises with POLLOUT, what FIONSPACE
// says, and what a send that may not wait then does must be one and the same.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VSOCK_PROGRESS_BYTES, VsockOp } from "../../../abi/vsock.ts";
import {
  DONTWAIT,
  FIONSPACE,
  POLLOUT,
  SO_NONBLOCK,
  SO_PROGRESS,
  SO_SNDBUF,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";

const boot = await socketGuests();
const PEER = { srcPort: 7, dstPort: 80 };
const SEQPACKET = 5;
const TYPE_SEQPACKET = 2;

async function open(bufAlloc: number, type = 1) {
  const g = await boot();
  const listener = g.call("SysSocket", type === 1 ? 1 : SEQPACKET);
  g.call("SysSocketBind", listener, 80);
  g.call("SysSocketListen", listener, 8);
  g.inject({ ...PEER, op: VsockOp.REQUEST, type, bufAlloc });
  const socket = g.now("accept", listener);
  g.sent();
  const entry = g.allocate(8);
  const select = (timeoutMs: number) => {
    g.poke(entry, socket, POLLOUT);
    return g.start("select", entry, 1, timeoutMs);
  };
  return { g, socket, select, buffer: g.allocate(100_000), peer: { ...PEER, type } };
}

const space = (g: SocketGuest, socket: number) => g.call("SysSocketGetOption", socket, FIONSPACE);
const asked = (g: SocketGuest) => g.sent(VsockOp.CREDIT_REQUEST).length;

describe("a stream", () => {
  test("has as much space as the peer gives credit, and takes exactly that without waiting", async () => {
    const { g, socket, buffer, peer } = await open(1000);
    expect(space(g, socket)).toBe(1000);
    expect(g.now("send", socket, buffer, 5000, DONTWAIT)).toBe(1000);
    expect(space(g, socket)).toBe(0);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 1000, fwdCnt: 1 });
    expect(space(g, socket)).toBe(1);
    expect(g.now("send", socket, buffer, 5000, DONTWAIT)).toBe(1);
  });

  test("has the space of its send buffer, if that is less, and none while the ring is full", async () => {
    const { g, socket, buffer } = await open(1 << 20);
    g.call("SysSocketSetOption", socket, SO_SNDBUF, 4096);
    expect(space(g, socket)).toBe(4096);
    g.device.consuming = false;
    expect(g.now("send", socket, buffer, 5000, DONTWAIT)).toBe(4096);
    expect(space(g, socket)).toBe(0);
    g.device.consume();
    g.device.signal();
    expect(space(g, socket)).toBe(4096);
  });

  test("that nothing can be sent on has no space", async () => {
    const { g, socket, peer } = await open(1000);
    g.inject({ ...peer, op: VsockOp.SHUTDOWN, flags: 1, bufAlloc: 1000 });
    expect(space(g, socket)).toBe(0);
    g.inject({ ...peer, op: VsockOp.RST });
    expect(space(g, socket)).toBe(0);
    expect(space(g, g.call("SysSocket", 1))).toBe(0);
    expect(space(g, 12345)).toBe(-Errno.EBADF);
  });

  test("select for POLLOUT asks for credit once, waits for the first byte of it, or its time-out", async () => {
    const { g, socket, select, buffer, peer } = await open(10);
    expect(g.now("send", socket, buffer, 10)).toBe(10);
    const late = select(25);
    expect(asked(g)).toBe(1);
    g.advance(25);
    expect(late.result).toBe(0);
    const call = select(-1);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10 });
    expect([call.result, asked(g)]).toEqual([undefined, 0]);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 1 });
    expect(call.result).toBe(1);
  });

  test("a send that may not wait asks for the credit that it lacks, once", async () => {
    const { g, socket, buffer, peer } = await open(10);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("send", socket, buffer, 10)).toBe(10);
    for (let i = 0; i < 3; i++) expect(g.now("send", socket, buffer, 1)).toBe(-Errno.EAGAIN);
    expect(asked(g)).toBe(1);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 10 });
    expect(g.now("send", socket, buffer, 10)).toBe(10);
    expect(g.now("send", socket, buffer, 1)).toBe(-Errno.EAGAIN);
    expect(asked(g)).toBe(1);
  });
});

describe("progress", () => {
  const progress = (g: SocketGuest, socket: number) =>
    g.call("SysSocketGetOption", socket, SO_PROGRESS);

  test("is what the peer has consumed, and what it tells of without giving credit", async () => {
    const { g, socket, buffer, peer } = await open(1000);
    const update = (fwdCnt: number, bufAlloc = 1000) =>
      g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc, fwdCnt });
    expect(g.now("send", socket, buffer, 1000)).toBe(1000);
    expect(progress(g, socket)).toBe(0);
    update(300);
    expect(progress(g, socket)).toBe(300);
    update(300);
    update(300);
    expect(progress(g, socket)).toBe(300 + 2 * VSOCK_PROGRESS_BYTES);
    update(300, 500); // news, though no credit
    g.inject({ ...peer, op: VsockOp.RW, bufAlloc: 500, fwdCnt: 300 }, Uint8Array.of(1));
    expect(progress(g, socket)).toBe(300 + 2 * VSOCK_PROGRESS_BYTES);
  });

  test("is not the answer to a question for credit", async () => {
    const { g, socket, buffer, peer } = await open(10);
    const update = () => g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10 });
    expect(g.now("send", socket, buffer, 20, DONTWAIT)).toBe(10);
    expect(g.now("send", socket, buffer, 20, DONTWAIT)).toBe(-Errno.EAGAIN);
    expect(asked(g)).toBe(1);
    update();
    expect(progress(g, socket)).toBe(0);
    update();
    expect(progress(g, socket)).toBe(VSOCK_PROGRESS_BYTES);
  });

  test("wraps within 31 bits, so that a number below 0 is an error only", async () => {
    const { g, socket, buffer, peer } = await open(0xffffffff);
    g.call("preset", socket, 0x7fffffff);
    expect(g.now("send", socket, buffer, 10)).toBe(10);
    expect(progress(g, socket)).toBe(0x7fffffff);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, fwdCnt: 0x80000004 });
    expect(progress(g, socket)).toBe(4);
    expect(progress(g, 12345)).toBe(-Errno.EBADF);
  });
});

describe("a seqpacket socket", () => {
  // Select promised room for one byte, and send wanted it for all: a loop of the two never ended.
  test("that found no room for a message is ready once there is room for it", async () => {
    const { g, socket, select, buffer, peer } = await open(50_000, TYPE_SEQPACKET);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("send", socket, buffer, 30_000)).toBe(30_000);
    expect(select(0).result).toBe(1); // for a message of some size
    expect(g.now("send", socket, buffer, 30_000)).toBe(-Errno.EAGAIN);
    expect(asked(g)).toBe(1);
    expect(select(0).result).toBe(0);
    const call = select(-1);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 50_000, fwdCnt: 9999 });
    expect([call.result, asked(g)]).toEqual([undefined, 0]);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 50_000, fwdCnt: 10_000 });
    expect(call.result).toBe(1);
    expect(g.now("send", socket, buffer, 30_000)).toBe(30_000);
  });

  test("that found no room for a message sends a smaller one, and waits for no more then", async () => {
    const { g, socket, select, buffer } = await open(50_000, TYPE_SEQPACKET);
    expect(g.now("send", socket, buffer, 60_000, DONTWAIT)).toBe(-Errno.EMSGSIZE);
    expect(g.now("send", socket, buffer, 20_000)).toBe(20_000);
    expect(g.now("send", socket, buffer, 40_000, DONTWAIT)).toBe(-Errno.EAGAIN);
    expect(g.now("send", socket, buffer, 20_000, DONTWAIT)).toBe(20_000);
    expect(select(0).result).toBe(1);
  });

  test("does not wait for room that there can never be: the peer's window has shrunk", async () => {
    const { g, socket, select, buffer, peer } = await open(50_000, TYPE_SEQPACKET);
    expect(g.now("send", socket, buffer, 30_000)).toBe(30_000);
    expect(g.now("send", socket, buffer, 30_000, DONTWAIT)).toBe(-Errno.EAGAIN);
    const call = select(-1);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 20_000, fwdCnt: 30_000 });
    expect(call.result).toBe(1);
    expect(g.now("send", socket, buffer, 30_000, DONTWAIT)).toBe(-Errno.EMSGSIZE);
  });

  test("is not ready while another thread is within a message", async () => {
    const { g, socket, select, buffer, peer } = await open(50_000, TYPE_SEQPACKET);
    expect(g.now("send", socket, buffer, 30_000)).toBe(30_000);
    const first = g.start("send", socket, buffer, 40_000); // has sent a part of it
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 50_000, fwdCnt: 10_000 });
    const call = select(-1);
    expect([first.result, call.result, space(g, socket)]).toEqual([undefined, undefined, 0]);
    g.inject({ ...peer, op: VsockOp.CREDIT_UPDATE, bufAlloc: 50_000, fwdCnt: 60_000 });
    expect([first.result, call.result]).toEqual([40_000, 1]);
  });
});
