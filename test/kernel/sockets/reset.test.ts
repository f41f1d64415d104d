// SysSocketReset, and how much room a stream waits for: what a server needs to give a client up,
// and to hold nothing while it waits for one.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { FIONSPACE, POLLERR, POLLHUP, POLLOUT, socketGuests } from "../../support/socket-guest.ts";

const boot = await socketGuests();
const PEER = { srcPort: 7, dstPort: 80 };
const SO_SNDLOWAT = 19;

async function open(bufAlloc: number, type = 1) {
  const g = await boot();
  const listener = g.call("SysSocket", type === 2 ? 5 : type);
  g.call("SysSocketBind", listener, 80);
  g.call("SysSocketListen", listener, 8);
  g.inject({ ...PEER, type, op: VsockOp.REQUEST, bufAlloc });
  const socket = g.now("accept", listener);
  g.sent();
  const entry = g.allocate(8);
  const select = (timeoutMs: number) => {
    g.poke(entry, socket, POLLOUT);
    return g.start("select", entry, 1, timeoutMs);
  };
  return { g, listener, socket, select, entry, buffer: g.allocate(200_000) };
}

describe("a connection that is reset by its own side", () => {
  test("tells the peer with one RST, and every call on it from then on why", async () => {
    const { g, socket, buffer } = await open(1000);
    expect(g.call("SysSocketReset", socket)).toBe(0);
    expect(g.sent().map(({ op }) => op)).toEqual([VsockOp.RST]);
    expect(g.now("recv", socket, buffer, 10)).toBe(-Errno.ECONNABORTED);
    expect(g.now("send", socket, buffer, 10)).toBe(-Errno.ECONNABORTED);
    expect(g.call("SysSocketReset", socket)).toBe(-Errno.ECONNABORTED);
    expect(g.call("SysSocketClose", socket)).toBe(0);
    expect(g.sent()).toEqual([]);
  });

  test("wakes who waits to read, for credit, in select, and for what it has lent", async () => {
    const reader = await open(1000);
    const read = reader.g.start("recv", reader.socket, reader.buffer, 10);
    reader.g.call("SysSocketReset", reader.socket);
    expect(read.result).toBe(-Errno.ECONNABORTED);

    const writer = await open(10);
    expect(writer.g.now("send", writer.socket, writer.buffer, 10)).toBe(10);
    const write = writer.g.start("send", writer.socket, writer.buffer, 10);
    const selected = writer.select(-1);
    writer.g.call("SysSocketReset", writer.socket);
    expect(write.result).toBe(-Errno.ECONNABORTED);
    expect(selected.result).toBe(1);
    expect(writer.g.machine.memory.view.getUint16(writer.entry + 6, true)).toBe(POLLERR | POLLHUP);

    const lender = await open(1 << 20);
    lender.g.device.consuming = false;
    const lent = lender.g.start("send", lender.socket, lender.buffer, 100_000);
    lender.g.call("SysSocketReset", lender.socket);
    expect(lent.result).toBeUndefined(); // the device has the buffer
    lender.g.device.consume();
    lender.g.device.signal();
    expect(lent.result).toBe(100_000);
  });

  test("is an error for what is no connection", async () => {
    const { g, listener } = await open(1000);
    expect(g.call("SysSocketReset", 12345)).toBe(-Errno.EBADF);
    expect(g.call("SysSocketReset", listener)).toBe(-Errno.ENOTCONN);
    expect(g.call("SysSocketReset", g.call("SysSocket", 1))).toBe(-Errno.ENOTCONN);
  });
});

describe("the room that select waits for (SO_SNDLOWAT)", () => {
  test("is at least as much as was asked for", async () => {
    const { g, socket, select, buffer } = await open(10_000);
    expect(g.call("SysSocketSetOption", socket, SO_SNDLOWAT, 4000)).toBe(0);
    expect(g.call("SysSocketGetOption", socket, SO_SNDLOWAT)).toBe(4000);
    expect(g.now("send", socket, buffer, 6000)).toBe(6000);
    expect(select(0).result).toBe(1);
    expect(g.now("send", socket, buffer, 1)).toBe(1);
    const waiting = select(-1);
    expect(g.sent(VsockOp.CREDIT_REQUEST)).toHaveLength(1);
    g.inject({ ...PEER, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10_000, fwdCnt: 0 });
    expect(waiting.result).toBeUndefined();
    g.inject({ ...PEER, op: VsockOp.CREDIT_UPDATE, bufAlloc: 10_000, fwdCnt: 1 });
    expect(waiting.result).toBe(1);
    expect(g.call("SysSocketGetOption", socket, FIONSPACE)).toBe(4000);
  });

  test("is no more than the peer can ever give, which may become less", async () => {
    const { g, socket, select, buffer } = await open(10_000);
    g.call("SysSocketSetOption", socket, SO_SNDLOWAT, 50_000);
    expect(select(0).result).toBe(1);
    expect(g.now("send", socket, buffer, 1)).toBe(1);
    const waiting = select(-1);
    g.inject({ ...PEER, op: VsockOp.CREDIT_UPDATE, bufAlloc: 3000, fwdCnt: 1 });
    expect(waiting.result).toBe(1);
  });

  test("is the next message's own, of a seqpacket socket", async () => {
    const { g, socket } = await open(10_000, 2);
    expect(g.call("SysSocketSetOption", socket, SO_SNDLOWAT, 4000)).toBe(-Errno.EINVAL);
  });
});
