// The vsock driver against a device that lies, and Toro's packet calls.
import { describe, expect, test } from "vitest";
import { Errno } from "../drivers/abi/errno.ts";
import { VsockHdr, VsockOp } from "../drivers/abi/vsock.ts";
import { bytes, packet, type SocketGuest, socketGuests, text } from "./socket-guest.ts";

const boot = await socketGuests();

describe("a hostile device", () => {
  test("S16, D4, D5, D6: a packet that lies about its length or address is dropped, and its buffer posted again", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    const header = { op: VsockOp.RW, srcPort: 7, dstPort: 80 };
    for (let i = 0; i < 500; i++) {
      g.device.raw(packet({ ...header, len: 100 }, bytes("short")));
      g.device.raw(packet(header, bytes("x")), VsockHdr.sizeof - 1);
      g.device.raw(packet({ ...header, dstCid: 4 }, bytes("x")));
      g.device.raw(packet({ ...header, srcCidHigh: 1 }, bytes("x")));
      g.device.signal();
    }
    expect(g.sent()).toEqual([]);
    g.inject(header, bytes("fine"));
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(4);
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

  test("V9, V30, D10: unknown types and operations get RST, but an RST never does", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.accept(listener, 80, 7);
    g.sent();
    g.inject({ op: VsockOp.REQUEST, type: 7, srcPort: 9, dstPort: 80 });
    g.inject({ op: VsockOp.RW, type: 2, srcPort: 7, dstPort: 80 }, bytes("x"));
    g.inject({ op: 99, srcPort: 7, dstPort: 80 });
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.RST, VsockOp.RST, VsockOp.RST]);
    for (let i = 0; i < 300; i++) g.inject({ op: VsockOp.RST, srcPort: 100 + i, dstPort: 80 });
    expect(g.sent()).toEqual([]);
  });

  test("D1, D2, D3: a used ring that lies fails the device; every connection is reset and calls end", async () => {
    const lies: ((g: SocketGuest) => void)[] = [
      (g) => lieAboutId(g, 0, 5000),
      (g) => {
        // A chain that came back already.
        const { view } = g.machine.memory;
        lieAboutId(g, 1, view.getUint32(g.device.queue(1).rings.used + 4, true));
      },
      (g) => {
        g.device.queue(0).pop()!.release(1_000_000);
      },
      (g) => {
        const { view } = g.machine.memory;
        const { used } = g.device.queue(0).rings;
        view.setUint16(used + 2, view.getUint16(used + 2, true) + 1000, true);
      },
    ];
    for (const lie of lies) {
      const g = await boot();
      const listener = g.listen(80);
      const socket = g.accept(listener, 80, 7);
      const at = g.allocate(8);
      const reader = g.start("recv", socket, at, 8);
      lie(g);
      g.machine.call("interrupt", 5);
      g.settle();
      expect(reader.result).toBe(-Errno.ECONNRESET);
      expect(g.now("send", socket, at, 8)).toBe(-Errno.ECONNRESET);
      expect(g.now("connect", g.call("SysSocket", 1), 2, 1)).toBe(-Errno.ENETDOWN);
      expect(g.now("close", socket)).toBe(0);
      expect(g.now("close", listener)).toBe(0);
      expect(g.call("liveSockets")).toBe(1);
    }
  });

  test("V19, V20, V21, V22: after TRANSPORT_RESET the CID is new, connections are gone, listeners stay (Toro fault 25)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    const reader = g.start("recv", socket, g.allocate(8), 8);
    g.sent();
    for (let i = 0; i < 20; i++) {
      g.device.config[0] = 40 + i;
      g.device.event(0);
    }
    expect(reader.result).toBe(-Errno.ECONNRESET);
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 80, dstCid: 59 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 59 }]);
  });

  test("D13: TRANSPORT_RESET ends an attempt to connect, and a close that is going on", async () => {
    const g = await boot();
    const closing = g.accept(g.listen(80), 80, 7);
    g.now("close", closing);
    const socket = g.call("SysSocket", 1);
    const attempt = g.start("connect", socket, 2, 5000);
    g.sent();
    g.device.config[0] = 50;
    g.device.event(0);
    expect(attempt.result).toBe(-Errno.ECONNRESET);
    expect(g.call("liveSockets")).toBe(2); // the listener and the socket that may try again
    const again = g.start("connect", socket, 2, 5000);
    const [request] = g.sent();
    expect(request).toMatchObject({ op: VsockOp.REQUEST, srcCid: 50 });
    const dstPort = request!.srcPort;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort, dstCid: 50 });
    expect(again.result).toBe(0);
  });

  test("D12: events that are unknown or too short are ignored", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.event(1);
    g.device.event(0, 2);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("alive"));
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(5);
  });

  test("S17, D17: interrupts for nothing do no harm", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    for (let i = 0; i < 100; i++) {
      g.machine.call("interrupt", 5);
      g.machine.call("interrupt", 31);
      g.machine.call("interrupt", 0xffffffff | 0);
    }
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("alive"));
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(5);
  });
});

/** Puts an element into a used ring that the device never meant. */
function lieAboutId(g: SocketGuest, queue: number, id: number): void {
  const { view } = g.machine.memory;
  const { rings, size } = g.device.queue(queue);
  const idx = view.getUint16(rings.used + 2, true);
  const slot = rings.used + 4 + (idx & (size - 1)) * 8;
  view.setUint32(slot, id, true);
  view.setUint32(slot + 4, 0, true);
  view.setUint16(rings.used + 2, idx + 1, true);
}

describe("packets", () => {
  test("SysNetworkSend takes a packet and the kernel frees it; SysNetworkRead gives one", async () => {
    const g = await boot();
    const before = g.call("inUse");
    const p = g.call("AllocatePacket", 100) >>> 0;
    const header = g.call("headerOf", p) >>> 0;
    const payload = bytes("raw");
    g.bytes(header, 44).set(packet({ op: VsockOp.RW, srcPort: 1, dstPort: 2 }, new Uint8Array(0)));
    g.bytes(g.call("payloadOf", p) >>> 0, 3).set(payload);
    g.machine.memory.view.setUint32(p + 16, 3, true);
    expect(g.call("SysNetworkSend", p)).toBe(0);
    expect(text(g.sent()[0]!.payload)).toBe("raw");
    expect(g.call("inUse")).toBe(before);
    expect(g.call("SysNetworkRead")).toBe(0);
    g.inject({ op: VsockOp.RW, srcPort: 1, dstPort: 2 }, bytes("back"));
    const read = g.call("SysNetworkRead") >>> 0;
    expect(read).toBeGreaterThan(0);
    expect(text(g.bytes(g.call("payloadOf", read) >>> 0, 4))).toBe("back");
    g.call("releasePacket", read);
  });
});
