// The vsock driver against a device that lies (D1 to D17).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { Mmio } from "../../../abi/virtio.ts";
import { VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import {
  bytes,
  type GuestOptions,
  packet,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";

const make = await socketGuests();

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("D4, D5, D6, V23, V31, S16: a packet that lies about its length or address is dropped, and its buffer posted again", async () => {
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

  test("D6, V31: a packet from CID 0 and port 0 is nobody's, and no listener's", async () => {
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
      (g) => lieAboutId(g, 2, 8),
      (g) => {
        g.device.queue(2).pop()!.release(5); // an event has four bytes
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

  test("D17, S17: spurious interrupts do no harm", async () => {
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

  test("D1, D2, D3: a lie that a send finds, and no interrupt, fails the device as well", async () => {
    const lies: ((g: SocketGuest) => void)[] = [
      (g) => lieAboutId(g, 1, 5000),
      (g) => lieAboutId(g, 1, 0),
      (g) => {
        const { view } = g.machine.memory;
        const { used } = g.device.queue(1).rings;
        view.setUint16(used + 2, view.getUint16(used + 2, true) + 1000, true);
      },
    ];
    for (const lie of lies) {
      const g = await boot();
      const listener = g.listen(80);
      const [socket, other] = [7, 8].map((srcPort) => g.accept(listener, 80, srcPort));
      const at = g.allocate(8);
      const reader = g.start("recv", other!, at, 8);
      g.settle();
      lie(g);
      lie(g);
      const sent = g.start("send", socket!, at, 8);
      g.settle();
      g.advance(0);
      expect(sent.result).not.toBeUndefined();
      expect(reader.result).toBe(-Errno.ECONNRESET);
      expect(g.now("send", socket!, at, 8)).toBe(-Errno.ECONNRESET);
      expect(g.now("connect", g.call("SysSocket", 1), 2, 1)).toBe(-Errno.ENETDOWN);
      for (const one of [socket, other, listener]) expect(g.now("close", one!)).toBe(0);
      expect(g.call("liveSockets")).toBe(1);
    }
  });

  test("D3: nor does a send go round for ever when the ring is full of what the device lies about", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    const [socket, other] = [7, 8].map((srcPort) => g.accept(listener, 80, srcPort));
    const at = g.allocate(8);
    const reader = g.start("recv", other!, at, 8);
    g.device.consuming = false;
    for (let i = 0; i < 16; i++) expect(g.now("send", socket!, at, 1)).toBe(1);
    lieAboutId(g, 1, 5000);
    g.now("send", socket!, at, 1);
    expect(reader.result).toBe(-Errno.ECONNRESET);
  });

  test("D12: an event of no bytes, and one of an unknown number, give their buffers back", async () => {
    const g = await boot();
    for (let i = 0; i < 100; i++) {
      g.device.event(0, 0);
      g.device.event(0xffffffff);
    }
    expect([...g.device.queue(2)]).toHaveLength(8);
  });

  test("D17: bits of InterruptStatus that mean nothing are neither obeyed nor acknowledged", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const registers = g.machine.registers[0]!;
    const read = registers.read.bind(registers);
    const write = registers.write.bind(registers);
    const acknowledged: number[] = [];
    registers.read = (offset, width) =>
      offset === Mmio.InterruptStatus ? read(offset, width) | 0xfffffffc : read(offset, width);
    registers.write = (offset, width, value) => {
      if (offset === Mmio.InterruptACK) acknowledged.push(value);
      write(offset, width, value);
    };
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("alive"));
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(5);
    expect(acknowledged.length).toBeGreaterThan(0);
    expect(acknowledged.every((value) => value >= 0 && value <= 3)).toBe(true);
  });

  test("D16: rings too small for a packet are refused, or packets go through them", async () => {
    for (const queueSize of [1, 2, 4]) {
      const g = await boot({ queueSize });
      const listener = g.call("SysSocket", 1);
      if (listener < 0) {
        expect(listener).toBe(-Errno.ENETDOWN);
        continue;
      }
      expect(g.call("SysSocketBind", listener, 80)).toBe(0);
      expect(g.call("SysSocketListen", listener, 8)).toBe(0);
      const socket = g.accept(listener, 80, 7);
      const at = g.allocate(100_000);
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("small"));
      expect(g.now("recv", socket, at, 8)).toBe(5);
      const call = g.start("send", socket, at, 100_000);
      for (let i = 0; i < 20 && call.result === undefined; i++) g.device.signal();
      expect(call.result).toBe(100_000);
    }
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
