// virtio 5.10.6.3 and 5.10.6.4 as the guest keeps it: credit, payload and messages, by number.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import {
  bytes,
  DONTWAIT,
  type GuestOptions,
  packet,
  pattern,
  SO_RCVBUF,
  type SocketGuest,
  socketGuests,
  text,
} from "../../support/socket-guest.ts";

const make = await socketGuests();

const SO_RCVLOWAT = 18;
const [EOM, EOR, MSG_EOR] = [1, 2, 0x80];
const [TYPE_STREAM, TYPE_SEQPACKET] = [1, 2];
const STREAM = { srcPort: 7, dstPort: 80 };
const PEER = { ...STREAM, type: TYPE_SEQPACKET };

/** A part of a message from the host. */
function part(g: SocketGuest, payload: string, flags = 0): void {
  g.inject({ ...PEER, op: VsockOp.RW, flags }, bytes(payload));
}

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  /** A guest with a seqpacket connection. */
  async function messages({ bufAlloc = 262144 } = {}) {
    const g = await boot();
    const listener = g.call("SysSocket", 5);
    expect(g.call("SysSocketBind", listener, 80)).toBe(0);
    expect(g.call("SysSocketListen", listener, 8)).toBe(0);
    g.inject({ ...PEER, op: VsockOp.REQUEST, bufAlloc });
    const socket = g.now("accept", listener);
    g.sent();
    return { g, socket };
  }

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

  test("D8, K10: a window that shrinks below what is in flight is no credit, and no underflow", async () => {
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

  test("V7: every packet of a connection says the present window and what was consumed, RST too", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const at = g.allocate(4096);
    const ends: [(socket: number) => void, number][] = [
      [(socket) => g.now("send", socket, at, 1), VsockOp.RW],
      [(socket) => g.now("shutdown", socket, 1), VsockOp.SHUTDOWN],
      [() => g.inject({ ...STREAM, op: VsockOp.CREDIT_REQUEST }), VsockOp.CREDIT_UPDATE],
      [() => g.inject({ ...STREAM, op: 99 }), VsockOp.RST],
    ];
    for (const [act, op] of ends) {
      const socket = g.accept(listener, 80, 7);
      expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, bufAlloc: 4096, fwdCnt: 0 }]);
      g.inject({ ...STREAM, op: VsockOp.RW }, pattern(1500));
      expect(g.now("recv", socket, at, 1000)).toBe(1000);
      expect(g.sent()).toEqual([]);
      act(socket);
      expect(g.sent()).toMatchObject([{ op, bufAlloc: 4096, fwdCnt: 1000 }]);
      g.inject({ ...STREAM, op: VsockOp.RST });
      g.now("close", socket);
    }
  });

  test("V7: a peer's window and count are believed from every packet, whatever it is", async () => {
    const g = await boot();
    const at = g.allocate(100);
    for (const op of [
      VsockOp.RW,
      VsockOp.CREDIT_UPDATE,
      VsockOp.CREDIT_REQUEST,
      VsockOp.SHUTDOWN,
    ]) {
      const port = 80 + op;
      const socket = g.accept(g.listen(port), port, 7, 10);
      expect(g.now("send", socket, at, 100, DONTWAIT)).toBe(10);
      g.inject({ op, srcPort: 7, dstPort: port, bufAlloc: 30, fwdCnt: 5 });
      expect(g.now("send", socket, at, 100, DONTWAIT)).toBe(25);
    }
  });

  test("V12: a packet may be shorter than what the device says it used; only len bytes of it count", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    g.device.raw(packet({ ...STREAM, op: VsockOp.RW, len: 5 }, bytes("right, and not this")));
    g.device.signal();
    expect(g.now("recv", socket, at, 64)).toBe(5);
    expect(text(g.bytes(at, 5))).toBe("right");
    g.inject({ ...STREAM, op: VsockOp.RW }, bytes("next"));
    expect(g.now("recv", socket, at, 64)).toBe(4);
  });

  test("V17: CREDIT_REQUEST is answered in every state that has a credit, by what is true then", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const ask = () => g.inject({ ...STREAM, op: VsockOp.CREDIT_REQUEST });
    const at = g.allocate(4096);
    g.inject({ ...STREAM, op: VsockOp.RW }, pattern(1000));
    g.sent();
    ask();
    g.now("recv", socket, at, 600);
    ask();
    g.now("shutdown", socket, 1);
    ask();
    expect(g.sent(VsockOp.CREDIT_UPDATE).map((one) => one.fwdCnt)).toEqual([0, 600, 600]);
    g.now("close", socket); // what nobody will read is consumed
    ask();
    expect(g.sent(VsockOp.CREDIT_UPDATE).map((one) => one.fwdCnt)).toEqual([1000]);
  });

  test("V18: a message comes whole, and the last part of what is sent has the marks", async () => {
    const { g, socket } = await messages();
    const at = g.allocate(70_000);
    const call = g.start("recv", socket, at, 64);
    part(g, "in ");
    expect(call.result).toBeUndefined();
    part(g, "parts", EOM);
    expect(call.result).toBe(8);
    expect(text(g.bytes(at, 8))).toBe("in parts");
    part(g, "record", EOM | EOR);
    expect(g.now("recv", socket, at, 64)).toBe(6);
    expect(g.call("SysSocketMessageFlags", socket)).toBe(MSG_EOR);
    expect(g.now("send", socket, at, 70_000)).toBe(70_000);
    expect(g.now("send", socket, at, 5, MSG_EOR)).toBe(5);
    expect(g.sent(VsockOp.RW).map((one) => [one.payload.length, one.flags])).toEqual([
      [65536, 0],
      [70_000 - 65536, EOM],
      [5, EOM | EOR],
    ]);
  });

  test("V37: a message larger than the peer's buffer is EMSGSIZE, an empty one is nothing", async () => {
    const { g, socket } = await messages({ bufAlloc: 1000 });
    const at = g.allocate(2000);
    expect(g.now("send", socket, at, 1001)).toBe(-Errno.EMSGSIZE);
    expect(g.now("send", socket, at, 0)).toBe(0);
    expect(g.sent()).toEqual([]);
    expect(g.now("send", socket, at, 1000)).toBe(1000);
  });

  test("V33: a request of the other type is refused, in that type; a packet of it as well", async () => {
    const { g, socket } = await messages();
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 80, type: TYPE_STREAM });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, type: TYPE_STREAM, dstPort: 9 }]);
    g.inject({ ...PEER, op: VsockOp.RW, type: TYPE_STREAM }, bytes("stream"));
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, type: TYPE_STREAM, dstPort: 7 }]);
    g.listen(81);
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 81, type: TYPE_SEQPACKET });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, type: TYPE_SEQPACKET, dstPort: 9 }]);
    part(g, "still there", EOM);
    const at = g.allocate(64);
    expect(g.now("recv", socket, at, 64)).toBe(11);
    expect(text(g.bytes(at, 11))).toBe("still there");
  });

  test("V39: a reader below half of its window tells the peer at once, above it not yet", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(4096);
    g.sent();
    g.inject({ ...STREAM, op: VsockOp.RW }, pattern(4096));
    expect(g.now("recv", socket, at, 1)).toBe(1); // the peer knows of nothing that is free
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 1, bufAlloc: 8192 }]);
    expect(g.now("recv", socket, at, 1000)).toBe(1000); // of 4097 of 8192
    expect(g.sent()).toEqual([]);
  });

  test("V39: sends an update when a thread waits for more than the peer knows to be free", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.call("SysSocketSetOption", listener, SO_RCVBUF, 65536);
    const socket = g.accept(listener, 80, 7);
    g.sent();
    const arrive = (length: number) => {
      for (let left = length; left > 0; left -= 4000) {
        g.inject({ ...STREAM, op: VsockOp.RW }, pattern(Math.min(left, 4000)));
      }
    };
    const at = g.allocate(65536);
    arrive(30_000);
    expect(g.now("recv", socket, at, 30_000)).toBe(30_000);
    expect(g.sent()).toEqual([]); // more than half of the window is still known to be free
    g.call("SysSocketSetOption", socket, SO_RCVLOWAT, 60_000);
    const call = g.start("recv", socket, at, 65536);
    arrive(35_536);
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 30_000 }]);
    arrive(24_464);
    expect(call.result).toBe(60_000);
  });

  test("S5, V11: no chain is longer than its ring, each is wholly the device's to read or to write", async () => {
    const g = await boot({ queueSize: 8, parameters: "vsock.tx_copybreak=1" });
    const chains: [number, number][] = [];
    for (const [i, queue] of g.device.queues.entries()) {
      const pop = queue!.pop.bind(queue);
      queue!.pop = () => {
        const chain = pop();
        if (chain) chains.push([chain.count, i === 1 ? chain.writableBytes : chain.readableBytes]);
        return chain;
      };
    }
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(16 * 1024);
    g.bytes(at, 16 * 1024).set(pattern(16 * 1024));
    const vector = g.allocate(16 * 8);
    for (let i = 0; i < 16; i++) g.poke(vector + i * 8, at + i * 1024, 1024);
    g.inject({ ...STREAM, op: VsockOp.RW }, pattern(3000));
    g.sent();
    const call = g.start("sendVector", socket, vector, 16);
    for (let i = 0; i < 20 && call.result === undefined; i++) g.device.signal();
    expect(call.result).toBe(16 * 1024);
    const sent = g.sent(VsockOp.RW).map((one) => Buffer.from(one.payload));
    expect(Buffer.concat(sent)).toEqual(Buffer.from(pattern(16 * 1024)));
    expect(Math.max(...chains.map(([count]) => count))).toBeLessThanOrEqual(8);
    expect(chains.every(([, wrong]) => wrong === 0)).toBe(true);
  });
});
