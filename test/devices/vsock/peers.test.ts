// Guests that reach each other by CID, packet by packet: both are played by the test.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { VsockSwitch } from "../../../host/node/devices.ts";
import { type Packet, type PuppetOptions, VsockPuppet } from "../../support/vsock-puppet.ts";

class Pair {
  readonly clock = new ManualClock();
  readonly network = new VsockSwitch(this.clock);
  readonly a: VsockPuppet;
  readonly b: VsockPuppet;

  constructor(a: PuppetOptions = {}, b: PuppetOptions = {}) {
    this.a = new VsockPuppet({ cid: 3, switch: this.network, ...a });
    this.b = new VsockPuppet({ cid: 4, switch: this.network, ...b });
    this.a.boot();
    this.b.boot();
  }

  /** A packet of a, from its port 1000 to port 80 of b. */
  fromA(packet: Partial<Packet>): void {
    this.a.send({ srcCid: 3, dstCid: 4, guestPort: 1000, hostPort: 80, ...packet });
    this.settle();
  }

  fromB(packet: Partial<Packet>): void {
    this.b.send({ srcCid: 4, dstCid: 3, guestPort: 80, hostPort: 1000, ...packet });
    this.settle();
  }

  settle(): void {
    while (this.clock.settle() > 0);
  }

  open(fromA: Partial<Packet> = {}, fromB: Partial<Packet> = {}): void {
    this.fromA({ op: VsockOp.REQUEST, ...fromA });
    expect(this.b.ops()).toEqual([VsockOp.REQUEST]);
    this.fromB({ op: VsockOp.RESPONSE, ...fromB });
    expect(this.a.ops()).toEqual([VsockOp.RESPONSE]);
  }
}

const REQUEST = VsockOp.REQUEST;
const RST = VsockOp.RST;

describe("addresses", () => {
  test("V8, V23: delivers REQUEST and answers from the CID and port of their sender", () => {
    const pair = new Pair();
    pair.fromA({ op: REQUEST });
    expect(pair.a.take()).toEqual([]);
    const there = { srcCid: 3, dstCid: 4, cidHigh: 0, hostPort: 1000, guestPort: 80 };
    expect(pair.b.take()).toMatchObject([{ op: REQUEST, ...there }]);
    pair.fromB({ op: VsockOp.RESPONSE });
    const here = { srcCid: 4, dstCid: 3, cidHigh: 0, hostPort: 80, guestPort: 1000 };
    expect(pair.a.take()).toMatchObject([{ op: VsockOp.RESPONSE, ...here }]);
    pair.fromA({ op: VsockOp.RW, data: Buffer.from("ping") });
    const ping = { op: VsockOp.RW, data: Uint8Array.from(Buffer.from("ping")) };
    expect(pair.b.take()).toMatchObject([{ ...ping, ...there }]);
  });

  test("keeps the same ports of the host and of a guest apart", () => {
    const connect = new Map([[80, { host: "127.0.0.1", port: 9 }]]);
    const pair = new Pair({ connect });
    pair.open();
    pair.fromA({ op: REQUEST, dstCid: 2 });
    const { socket } = pair.a.network.connects[0] as (typeof pair.a.network.connects)[0];
    socket.events.connected();
    expect(pair.a.take()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 2, hostPort: 80 }]);
    pair.fromA({ op: VsockOp.RW, dstCid: 2, data: Buffer.from("to the host") });
    pair.fromA({ op: VsockOp.RW, data: Buffer.from("to the guest") });
    expect(socket.received.toString()).toBe("to the host");
    expect(Buffer.from(pair.b.take()[0]?.data ?? []).toString()).toBe("to the guest");
    pair.fromA({ op: RST });
    expect(pair.b.take()).toMatchObject([{ op: RST, srcCid: 3 }]);
    expect(pair.a.device.stats.connections).toBe(1);
  });

  test("K4, V8: ignores a guest that claims another's CID", () => {
    const pair = new Pair();
    pair.fromA({ op: REQUEST, srcCid: 5 });
    pair.fromA({ op: REQUEST, srcCid: 4, dstCid: 3 });
    pair.fromA({ op: REQUEST, cidHigh: 1 });
    expect([pair.a.ops(), pair.b.ops()]).toEqual([[], []]);
    expect(pair.a.device.stats.rejected).toBe(3);
  });

  test.each([
    ["nobody's", 9],
    ["reserved", 1],
    ["its own", 3],
  ])("V30: resets packets to a CID that is %s, but not resets", (_, dstCid) => {
    const pair = new Pair();
    for (const op of [REQUEST, VsockOp.RW, VsockOp.SHUTDOWN]) {
      pair.fromA({ op, dstCid });
      expect(pair.a.take()).toMatchObject([{ op: RST, srcCid: dstCid, hostPort: 80 }]);
    }
    pair.fromA({ op: RST, dstCid });
    expect(pair.a.take()).toEqual([]);
    expect(pair.b.take()).toEqual([]);
  });

  test("V30: forwards no packet without a connection to another guest", () => {
    const pair = new Pair();
    pair.fromA({ op: VsockOp.RW, data: Buffer.from("x") });
    pair.fromA({ op: VsockOp.RESPONSE });
    expect(pair.a.take()).toMatchObject([
      { op: RST, srcCid: 4 },
      { op: RST, srcCid: 4 },
    ]);
    expect(pair.b.take()).toEqual([]);
  });

  test("K6, K19: allows one connection for a tuple, whichever side begins it", () => {
    const pair = new Pair();
    pair.fromA({ op: REQUEST });
    pair.b.take();
    // B has not answered, and asks for the same: that breaks its side of the protocol.
    pair.fromB({ op: REQUEST });
    expect(pair.b.take()).toMatchObject([{ op: RST, srcCid: 3 }]);
    expect(pair.a.take()).toMatchObject([{ op: RST, srcCid: 4 }]);
    expect(pair.a.device.stats.connections + pair.b.device.stats.connections).toBe(0);
    // A gave its ports back, but B has not heard of it.
    pair.open();
    pair.a.send(
      { srcCid: 3, dstCid: 4, guestPort: 1000, hostPort: 80, op: RST },
      { srcCid: 3, dstCid: 4, guestPort: 1000, hostPort: 80, op: REQUEST },
    );
    expect(pair.a.take()).toMatchObject([{ op: RST, srcCid: 4 }]);
    pair.settle();
    expect(pair.b.ops()).toEqual([RST]);
    pair.open();
  });
});

describe("the life of a connection", () => {
  test("V13: resets one guest when the other refuses", () => {
    const pair = new Pair();
    pair.fromA({ op: REQUEST });
    pair.b.take();
    pair.fromB({ op: RST });
    expect(pair.a.take()).toMatchObject([{ op: RST, srcCid: 4, hostPort: 80, guestPort: 1000 }]);
    expect(pair.a.device.stats.connections + pair.b.device.stats.connections).toBe(0);
  });

  test("V14: drops lent bytes on a reset, and delivers none of them later", () => {
    const pair = new Pair({}, { rxBuffers: 1 });
    pair.open();
    pair.fromA({ op: VsockOp.RW, data: Buffer.alloc(40_000, "a") });
    const first = pair.b.take(false);
    expect(first.every((one) => one.data.every((byte) => byte === 97))).toBe(true);
    pair.a.send({ srcCid: 3, dstCid: 4, guestPort: 1000, hostPort: 80, op: RST });
    // The guest's buffers are its own again.
    pair.a.memory.bytes(0x610000, 0x100000).fill(98);
    pair.b.post(32);
    pair.b.halt();
    const late = pair.b.take();
    expect(late.every((one) => one.data.every((byte) => byte === 97))).toBe(true);
    pair.settle();
    expect(pair.b.take().map((one) => one.op)).toEqual([RST]);
  });

  test("V14, K5: resets a guest that breaks the protocol, and its peer", () => {
    const pair = new Pair();
    pair.open();
    pair.fromB({ op: 99 });
    expect([pair.a.ops(), pair.b.ops()]).toEqual([[RST], [RST]]);
  });

  test("V15, V16: delivers each SHUTDOWN after the data, and RST when both are done", () => {
    const pair = new Pair();
    pair.open();
    pair.fromA({ op: VsockOp.RW, data: Buffer.from("last") });
    pair.fromA({ op: VsockOp.SHUTDOWN, flags: 2 });
    expect(pair.b.take()).toMatchObject([{ op: VsockOp.RW }, { op: VsockOp.SHUTDOWN, flags: 2 }]);
    pair.fromB({ op: VsockOp.RW, data: Buffer.from("too") });
    pair.fromB({ op: VsockOp.SHUTDOWN, flags: 3 });
    expect(pair.b.take()).toMatchObject([{ op: RST }]);
    const told = pair.a.take();
    expect(told.map((one) => [one.op, one.flags])).toEqual([
      [VsockOp.RW, 0],
      [VsockOp.SHUTDOWN, 2],
      [VsockOp.SHUTDOWN, 3],
    ]);
    pair.fromA({ op: RST });
    expect(pair.a.device.stats.connections + pair.b.device.stats.connections).toBe(0);
  });

  test("V6: returns to the sender exactly the credit that the receiver gave", () => {
    const pair = new Pair({ limits: { bufAlloc: 8192 } });
    pair.open({}, { bufAlloc: 4096 });
    const arrived = () => Buffer.concat(pair.b.take().map((one) => one.data));
    const sent = Array.from({ length: 4 }, (_, i) => Buffer.alloc(4096, i));
    for (const data of sent.slice(0, 3)) pair.fromA({ op: VsockOp.RW, data });
    // One is with the receiver, one with its device, and one between the two: it was small.
    expect(arrived()).toEqual(sent[0]);
    expect(pair.a.take().at(-1)?.fwdCnt).toBe(3 * 4096);
    pair.fromA({ op: VsockOp.RW, data: sent[3] as Buffer });
    expect(arrived()).toHaveLength(0);
    for (let i = 1; i < 4; i++) {
      pair.fromB({ op: VsockOp.CREDIT_UPDATE, bufAlloc: 4096, fwdCnt: 4096 * i });
      expect(arrived()).toEqual(sent[i]);
    }
    expect([pair.a.device.stats.rejected, pair.b.device.stats.rejected]).toEqual([0, 0]);
    // K8: the third one fills the window again, for it waits.
    for (let i = 0; i < 3; i++) pair.fromA({ op: VsockOp.RW, data: Buffer.alloc(8192) });
    expect(pair.a.take().some((one) => one.op === RST)).toBe(false);
    pair.fromA({ op: VsockOp.RW, data: Buffer.alloc(1) });
    expect(pair.a.take().at(-1)?.op).toBe(RST);
  });
});

describe("messages", () => {
  const SEQPACKET = 2;
  const [EOM, EOR] = [1, 2];

  test("V18: keep their bounds and marks from one guest to the other", () => {
    const pair = new Pair();
    pair.open({ type: SEQPACKET }, { type: SEQPACKET });
    const rw = { op: VsockOp.RW, type: SEQPACKET };
    pair.fromA({ ...rw, data: Buffer.from("one "), flags: 0 });
    pair.fromA({ ...rw, data: Buffer.from("message"), flags: EOM });
    pair.fromA({ ...rw, data: Buffer.from("record"), flags: EOM | EOR });
    const got = pair.b
      .take()
      .map(({ data, flags, type }) => [String(Buffer.from(data)), flags, type]);
    expect(got).toEqual([
      ["one message", EOM, SEQPACKET],
      ["record", EOM | EOR, SEQPACKET],
    ]);
  });

  test("V9, V33: keeps packets of the other type for another socket", () => {
    const pair = new Pair();
    pair.open({ type: SEQPACKET }, { type: SEQPACKET });
    pair.fromA({ op: VsockOp.RW, data: Buffer.from("x") });
    expect(pair.a.take()).toMatchObject([{ op: RST, type: 1 }]);
    pair.fromA({ op: REQUEST, type: 3 });
    expect(pair.a.take()).toMatchObject([{ op: RST, type: 3 }]);
    expect(pair.b.take()).toEqual([]);
  });

  test.each([
    ["streams alone, or says nothing", 0n, SEQPACKET, 1],
    ["messages alone", 0b110n, 1, SEQPACKET],
  ])("V2, V3: are refused where the guest has %s", (_, features, refused, taken) => {
    const pair = new Pair({}, { features });
    pair.fromA({ op: REQUEST, type: refused });
    expect(pair.a.take()).toMatchObject([{ op: RST, type: refused }]);
    expect(pair.b.take()).toEqual([]);
    pair.open({ type: taken }, { type: taken });
  });
});
