// The vsock driver against a device that lies (D1 to D17).
import { describe, expect, test } from "vitest";
import { Errno } from "../drivers/abi/errno.ts";
import { VsockHdr, VsockOp } from "../drivers/abi/vsock.ts";
import { RINGS } from "./rings.ts";
import {
  bytes,
  type GuestOptions,
  packet,
  type SocketGuest,
  socketGuests,
} from "./socket-guest.ts";

const make = await socketGuests();

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("D4, D5, D6, V23, V31: a packet that lies about its length or address is dropped, and its buffer posted again (S16)", async () => {
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

  test("D6: a packet from CID 0 and port 0 is nobody's, and no listener's (V31)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (const op of [VsockOp.REQUEST, VsockOp.RST, VsockOp.RW]) {
      g.device.raw(packet({ op, srcCid: 0, srcPort: 0, dstPort: 80 }, new Uint8Array(0)));
      g.device.signal();
    }
    g.settle();
    expect(g.sent()).toEqual([]);
    expect(g.accept(listener, 80, 7)).toBeGreaterThan(0);
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

  test("D12: events that are unknown or too short are ignored", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.device.event(1);
    g.device.event(0, 2);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("alive"));
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(5);
  });

  test("D17: interrupts for nothing do no harm (S17)", async () => {
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
  //MORE
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
