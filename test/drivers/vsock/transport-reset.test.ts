// TRANSPORT_RESET (virtio 5.10.6.7) in every state of a socket, and the event queue.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import {
  bytes,
  DONTWAIT,
  GUEST_CID,
  type GuestOptions,
  POLLERR,
  POLLHUP,
  POLLIN,
  packet,
  pattern,
  SO_BINDTODEVICE,
  SO_NONBLOCK,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";
import { balanced, books, flow, stall } from "../../support/socket-stall.ts";

const make = await socketGuests();

/** The device moves to another CID, or keeps its own, and resets the transport. */
function move(g: SocketGuest, cid: number): void {
  g.device.config[0] = cid;
  g.device.event(0);
}

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

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

  test("V21, V8: forgets owed packets, ends Closing, and sends nothing with the old CID", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    const sockets = [7, 8, 9].map((srcPort) => g.accept(listener, 80, srcPort));
    stall(g);
    for (const socket of sockets) g.now("close", socket);
    g.device.config[0] = 4;
    g.device.event(0);
    // Left: two listeners, and the connection that filled the ring.
    expect(g.call("liveSockets")).toBe(3);
    flow(g);
    // V8: nothing goes out with the old CID but what the ring had.
    expect(g.sent()).toHaveLength(16);
  });

  test("V8: in one interrupt a new CID counts before what waited for room in the ring", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    stall(g);
    for (const srcPort of [7, 8]) {
      g.device.raw(packet({ op: VsockOp.REQUEST, srcPort, dstPort: 80 }, bytes("")));
    }
    g.device.config[0] = 4;
    // The device takes all of the ring, and says in the same breath that the transport was reset.
    g.device.consuming = true;
    g.device.consume();
    const old = g.sent();
    expect(old.every((one) => one.srcCid === GUEST_CID)).toBe(true);
    g.device.event(0);
    expect(g.sent().filter((one) => one.srcCid !== 4)).toEqual([]);
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 80, dstCid: 4 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 4 }]);
    expect(g.now("accept", listener)).toBeGreaterThan(0);
  });

  test("V19: as many events as there are buffers in one interrupt, and all buffers are there again", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (let round = 0; round < 5; round++) {
      const chains = [...g.device.queue(2)];
      expect(chains).toHaveLength(8);
      for (const [i, chain] of chains.entries()) {
        chain.copyTo(0, new Uint8Array([i % 3, 0, 0, 0]));
        chain.release(4);
      }
      g.device.signal();
    }
    g.device.event(0);
    expect(g.accept(listener, 80, 7)).toBeGreaterThan(0);
  });

  test("V20: a CID that changes twice before the driver reads it is the last one", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (const cid of [70, 71]) {
      g.device.config[0] = cid;
      g.device.queue(2).pop()!.release(4); // an id of 0
    }
    g.device.signal();
    for (const dstCid of [70, 71]) {
      g.inject({ op: VsockOp.REQUEST, srcPort: dstCid, dstPort: 80, dstCid });
    }
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 71, dstPort: 71 }]);
    expect(g.now("accept", listener)).toBeGreaterThan(0);
  });

  test("V21: everybody who waits learns of it, whatever for; what had arrived can still be read", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const idle = g.accept(listener, 80, 7);
    const full = g.accept(listener, 80, 8, 10);
    const read = g.accept(listener, 80, 9);
    const at = g.allocate(64);
    const entry = g.allocate(8);
    g.poke(entry, idle, POLLIN);
    g.inject({ op: VsockOp.RW, srcPort: 9, dstPort: 80 }, bytes("last words"));
    const calls = [
      g.start("recv", idle, at, 8),
      g.start("peek", idle, at, 8),
      g.start("loan", idle, at, 1),
    ];
    const cut = g.start("send", full, at, 64);
    const polled = g.start("select", entry, 1, -1);
    move(g, 50);
    for (const call of calls) expect(call.result).toBe(-Errno.ECONNRESET);
    expect(cut.result).toBe(10);
    expect(polled.result).toBe(1);
    expect(g.u32(entry + 4) >>> 16).toBe(POLLERR | POLLHUP);
    expect(g.now("send", full, at, 1)).toBe(-Errno.ECONNRESET);
    expect(g.now("shutdown", idle, 2)).toBe(-Errno.ECONNRESET);
    expect(g.now("recv", read, at, 64)).toBe(10);
    expect(g.now("recv", read, at, 64)).toBe(-Errno.ECONNRESET);
  });

  test("V22: keeps threads waiting in accept, and drops connections that waited for accept", async () => {
    const g = await boot();
    const listener = g.listen(80, 2);
    const other = g.listen(81);
    for (const srcPort of [1, 2]) g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
    const waiting = g.start("accept", other);
    g.sent();
    move(g, 50);
    g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
    expect(g.now("accept", listener)).toBe(-Errno.EAGAIN);
    expect(waiting.result).toBeUndefined();
    // The backlog of two is free again, from the same peer's ports as well.
    for (const srcPort of [1, 2]) {
      g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80, dstCid: 50 });
      expect(g.now("accept", listener)).toBeGreaterThan(0);
    }
    g.inject({ op: VsockOp.REQUEST, srcPort: 3, dstPort: 81, dstCid: 50 });
    expect(waiting.result).toBeGreaterThan(0);
    expect(g.sent().map((one) => [one.op, one.srcCid])).toEqual(
      [1, 2, 3].map(() => [VsockOp.RESPONSE, 50]),
    );
  });

  test("V22: a listener that is bound to the device stays as well", async () => {
    const g = await boot();
    const listener = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", listener, SO_BINDTODEVICE, 0);
    g.call("SysSocketBind", listener, 80);
    g.call("SysSocketListen", listener, 8);
    move(g, 60);
    g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80, dstCid: 60 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 60 }]);
  });

  test("D13: in any state of a connection, again and again, it leaves nothing behind", async () => {
    const g = await boot();
    const listener = g.listen(80, 4);
    const at = g.allocate(200_000);
    const list = g.allocate(64);
    let cid = GUEST_CID;
    const round = () => {
      const arrive = (srcPort: number, op: number, payload = bytes(""), flags = 0) =>
        g.inject({ op, srcPort, dstPort: 80, dstCid: cid, flags }, payload);
      const connected = (srcPort: number) => {
        arrive(srcPort, VsockOp.REQUEST);
        return g.now("accept", listener);
      };
      const [reading, lent, closing, half, silent] = [11, 12, 13, 14, 15].map(connected);
      arrive(1, VsockOp.REQUEST); // waits for accept
      arrive(11, VsockOp.RW, bytes("unread"));
      arrive(12, VsockOp.RW, pattern(3000));
      arrive(14, VsockOp.SHUTDOWN, bytes(""), 2);
      expect(g.now("loan", lent!, list, 4)).toBe(1);
      g.now("close", closing!);
      const attempt = g.call("SysSocket", 1);
      const connecting = g.start("connect", attempt, 2, 5000);
      g.device.keeping = true; // the device has the buffer that is lent while it resets
      const sending = g.start("send", silent!, at, 200_000);
      move(g, ++cid);
      expect(connecting.result).toBe(-Errno.ECONNRESET);
      g.device.keeping = false;
      while (g.device.kept.length > 0) g.device.giveBack();
      expect(sending.result).toBeGreaterThan(0);
      // The loan is good until it is released, and its token counts for nothing then.
      expect(g.bytes(g.u32(list + 4), 3000)).toEqual(pattern(3000));
      expect(g.call("SysSocketRelease", lent!, list, 1)).toBe(1);
      expect(g.call("SysSocketRelease", lent!, list, 1)).toBe(-Errno.EINVAL);
      for (const socket of [reading, lent, half, silent, attempt]) g.now("close", socket!);
      g.sent();
    };
    const { before, after } = balanced(g, round);
    expect(after).toEqual(before);
    expect(after).toMatchObject({ sockets: 1, loans: 0, threads: 0, timers: 0 });
  });

  test("D13: a loan outlives the reset and the close of its socket", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const list = g.allocate(64);
    const at = g.allocate(8);
    const { before, after } = balanced(g, () => {
      const socket = g.accept(listener, 80, 7);
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(4000));
      expect(g.now("loan", socket, list, 1)).toBe(1);
      move(g, GUEST_CID);
      expect(g.now("recv", socket, at, 8, DONTWAIT)).toBe(-Errno.ECONNRESET);
      expect(g.now("close", socket)).toBe(0);
      expect(books(g).loans).toBe(1);
      expect(g.bytes(g.u32(list + 4), 4000)).toEqual(pattern(4000));
      expect(g.call("SysSocketRelease", socket, list, 1)).toBe(1);
      g.sent();
    });
    expect(after).toEqual(before);
  });

  test("D13: a reset while connect waits for room lets it go on with the new CID", async () => {
    const g = await boot({ queueSize: 16 });
    stall(g);
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    move(g, 50);
    flow(g);
    const [request] = g.sent(VsockOp.REQUEST);
    expect(request).toMatchObject({ srcCid: 50 });
    const dstPort = request!.srcPort;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort, dstCid: 50 });
    expect(call.result).toBe(0);
  });

  test("D13: a non-blocking attempt, and a close that lingers, end with it", async () => {
    const g = await boot();
    const SO_LINGER = 13;
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EINPROGRESS);
    const lingering = g.accept(g.listen(80), 80, 7);
    g.call("SysSocketSetOption", lingering, SO_LINGER, 5000);
    const closing = g.start("close", lingering);
    expect(closing.result).toBeUndefined();
    move(g, 50);
    expect(closing.result).toBe(0);
    expect(g.now("send", socket, g.allocate(1), 1)).toBe(-Errno.ECONNRESET);
    expect(g.call("liveSockets")).toBe(2);
    expect(books(g).timers).toBe(0);
  });
});
