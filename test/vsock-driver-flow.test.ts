// virtio 5.10.6.3 and 5.10.6.4 as the guest keeps it: credit, payload and messages, by number.
import { describe, expect, test } from "vitest";
import { Errno } from "../drivers/abi/errno.ts";
import { VsockOp } from "../drivers/abi/vsock.ts";
import { RINGS } from "./rings.ts";
import {
  bytes,
  DONTWAIT,
  type GuestOptions,
  packet,
  pattern,
  socketGuests,
} from "./socket-guest.ts";

const make = await socketGuests();

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("V4: while the tx ring is full, packets that need an answer wait, and none is lost", async () => {
    const g = await boot({ queueSize: 16 });
    g.listen(80, 100);
    g.device.consuming = false;
    for (let srcPort = 1; srcPort <= 90; srcPort++) {
      g.device.raw(packet({ op: VsockOp.REQUEST, srcPort, dstPort: 80 }, new Uint8Array(0)));
      g.device.signal();
    }
    g.device.consuming = true;
    for (let i = 0; i < 20; i++) {
      g.device.consume();
      g.device.signal();
      g.settle();
    }
    const responses = g.sent(VsockOp.RESPONSE).map((one) => one.dstPort);
    // Every request that found a buffer is answered; with no answer possible, no buffer comes back.
    expect(responses.length).toBeGreaterThanOrEqual(16);
    expect(responses).toEqual(responses.map((_, i) => i + 1));
  });

  test("V6: send waits for credit, asks for it once, and goes on with every update (Toro fault 6, 10)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 1000);
    g.sent();
    const at = g.allocate(2500);
    const call = g.start("send", socket, at, 2500);
    expect(g.sent().map((one) => [one.op, one.payload.length])).toEqual([
      [VsockOp.RW, 1000],
      [VsockOp.CREDIT_REQUEST, 0],
    ]);
    expect(call.result).toBeUndefined();
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 7, dstPort: 80, bufAlloc: 1000, fwdCnt: 1000 });
    // Credit stands in every packet, not only in updates.
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80, bufAlloc: 1000, fwdCnt: 2000 }, bytes("x"));
    expect(g.sent(VsockOp.RW).map((one) => one.payload.length)).toEqual([1000, 500]);
    expect(call.result).toBe(2500);
  });

  test("V17: CREDIT_REQUEST is answered by CREDIT_UPDATE (Toro fault 15)", async () => {
    const g = await boot();
    g.accept(g.listen(80), 80, 7);
    g.sent();
    g.inject({ op: VsockOp.CREDIT_REQUEST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, bufAlloc: 4096, fwdCnt: 0 }]);
  });

  test("V34: packets without payload change nothing", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const before = g.call("inUse");
    for (let i = 0; i < 1000; i++) g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 });
    expect(g.call("inUse")).toBe(before);
    expect(g.now("recv", socket, g.allocate(8), 8, DONTWAIT)).toBe(-Errno.EAGAIN);
  });

  test("V35: more than the credit resets the connection (Toro fault 8)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(3000));
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(1097));
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    const at = g.allocate(4096);
    expect(g.now("recv", socket, at, 4096)).toBe(3000);
    expect(g.now("recv", socket, at, 4096)).toBe(-Errno.EPROTO);
  });

  test("V36: a peer that offers 4 GiB does not make us hold more than an eighth of the heap", async () => {
    const g = await boot({ memoryBytes: 64 * 1024 * 1024, parameters: "vsock.send=one-copy" });
    const listener = g.listen(80);
    const [socket = 0, other = 0] = [7, 8].map((p) => g.accept(listener, 80, p, 0xffffffff));
    g.sent();
    const at = g.allocate(16 << 20);
    g.device.keeping = true;
    const sent = g.now("send", socket, at, 16 << 20, DONTWAIT);
    expect(sent).toBeGreaterThan(7 << 20);
    expect(sent).toBeLessThan((8 << 20) + 65536);
    expect(g.now("send", other, at, 65536, DONTWAIT)).toBe(-Errno.EAGAIN);
    // Memory that comes back is all that it takes: nobody asks for credit that is there.
    const waiting = g.start("send", other, at, 65536);
    expect(waiting.result).toBeUndefined();
    g.device.giveBack();
    g.device.giveBack();
    expect(waiting.result).toBe(65536);
    g.device.keeping = false;
    while (g.device.kept.length > 0) g.device.giveBack();
    expect(g.now("send", socket, at, 16 << 20)).toBe(16 << 20);
    expect(g.sent().filter((one) => one.op !== VsockOp.RW)).toEqual([]);
  });

  test("D8: a window that shrinks below what is in flight is no credit, and no underflow (K10)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 1000);
    const at = g.allocate(2000);
    g.now("send", socket, at, 800);
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 7, dstPort: 80, bufAlloc: 100, fwdCnt: 0 });
    expect(g.now("send", socket, at, 10, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 7, dstPort: 80, bufAlloc: 100, fwdCnt: 750 });
    expect(g.now("send", socket, at, 200, DONTWAIT)).toBe(50);
  });

  test("D9: a RESPONSE that claims bytes were consumed is a broken peer", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: g.sent()[0]!.srcPort, fwdCnt: 5 });
    expect(call.result).toBe(-Errno.EPROTO);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
  });

  test("D9: fwd_cnt beyond what was sent, or going back, resets the connection", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const at = g.allocate(8);
    const a = g.accept(listener, 80, 7);
    g.sent();
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 7, dstPort: 80, fwdCnt: 1 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    expect(g.now("recv", a, at, 8)).toBe(-Errno.EPROTO);
    const b = g.accept(listener, 80, 8);
    g.now("send", b, at, 8);
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 8, dstPort: 80, fwdCnt: 8 });
    g.sent();
    g.inject({ op: VsockOp.CREDIT_UPDATE, srcPort: 8, dstPort: 80, fwdCnt: 4 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
  });
  //MORE
});
