// virtio 5.10.6.5 and 5.10.6.6 as the guest keeps it: connections from REQUEST to RST, by number.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import {
  bytes,
  DONTWAIT,
  type GuestOptions,
  pattern,
  SO_NONBLOCK,
  socketGuests,
  text,
} from "../../support/socket-guest.ts";
import { balanced, flow, hangUp, stall } from "../../support/socket-stall.ts";

const make = await socketGuests();

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("V13: a REQUEST to a listener is answered by RESPONSE, elsewhere by RST", async () => {
    const g = await boot();
    g.listen(80);
    g.inject({ op: VsockOp.REQUEST, srcPort: 1000, dstPort: 80 });
    g.inject({ op: VsockOp.REQUEST, srcPort: 1001, dstPort: 81 });
    const [yes, no] = g.sent();
    expect(yes).toMatchObject({ op: VsockOp.RESPONSE, srcPort: 80, dstPort: 1000, dstCid: 2 });
    expect(no).toMatchObject({ op: VsockOp.RST, srcPort: 81, dstPort: 1001 });
  });

  test("V14: RST wakes every sleeper with ECONNRESET, after what had arrived (Toro fault 14)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(64);
    const readers = [g.start("recv", socket, at, 8), g.start("peek", socket, at, 8)];
    g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80 });
    for (const reader of readers) expect(reader.result).toBe(-Errno.ECONNRESET);
    expect(g.now("recv", socket, at, 8)).toBe(-Errno.ECONNRESET);
    expect(g.now("send", socket, at, 8)).toBe(-Errno.ECONNRESET);

    const other = g.accept(g.listen(81), 81, 8);
    g.inject({ op: VsockOp.RW, srcPort: 8, dstPort: 81 }, bytes("data"));
    g.inject({ op: VsockOp.RST, srcPort: 8, dstPort: 81 });
    expect(g.now("recv", other, at, 8)).toBe(4);
    expect(g.now("recv", other, at, 8)).toBe(-Errno.ECONNRESET);
  });

  test("V15, V16: SHUTDOWN bits add up, and with both and nothing to read RST ends it", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("tail"));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 1, srcPort: 7, dstPort: 80 });
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toEqual([]);
    const at = g.allocate(16);
    expect(g.now("recv", socket, at, 16)).toBe(4);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    expect(g.now("recv", socket, at, 16)).toBe(0);
  });

  test("V15: half close each way: the other direction goes on, the one that ended is EPIPE (Toro fault 13)", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    const at = g.allocate(16);
    expect(g.now("shutdown", socket, 1)).toBe(0);
    expect(g.sent()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: 2 }]);
    expect(g.now("send", socket, at, 4)).toBe(-Errno.EPIPE);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("still"));
    expect(g.now("recv", socket, at, 16)).toBe(5);

    const other = g.accept(g.listen(81), 81, 8);
    g.sent();
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 8, dstPort: 81 });
    expect(g.now("recv", other, at, 16)).toBe(0);
    expect(g.now("send", other, at, 4)).toBe(4);
    g.inject({ op: VsockOp.SHUTDOWN, flags: 1, srcPort: 8, dstPort: 81 });
    expect(g.now("send", other, at, 4)).toBe(-Errno.EPIPE);
  });

  test("V16: close sends SHUTDOWN for both directions, and RST ends it", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const before = g.call("liveSockets");
    const socket = g.accept(listener, 80, 7);
    g.sent();
    expect(g.now("close", socket)).toBe(0);
    expect(g.sent()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: 3 }]);
    expect(g.now("close", socket)).toBe(-Errno.EBADF);
    expect(g.call("liveSockets")).toBe(before + 1);
    g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toEqual([]);
    expect(g.call("liveSockets")).toBe(before);
  });

  test("V16, K18: a peer that never answers SHUTDOWN is reset after 8 s (Toro fault 20)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    g.sent();
    g.now("close", socket);
    g.sent();
    // Until then the addresses must not serve another connection.
    g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    const again = g.accept(listener, 80, 8);
    g.now("close", again);
    g.sent();
    g.advance(7999);
    expect(g.call("liveSockets")).toBe(2);
    g.advance(1);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstPort: 8 }]);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("V16: consumes bytes that nobody will read, and sends RST to a peer that had ended", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(3000));
    g.now("shutdown", socket, 0);
    expect(g.sent()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: 1 }]);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(1000));
    g.inject({ op: VsockOp.CREDIT_REQUEST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 4000 }]);

    const other = g.accept(g.listen(81), 81, 8);
    g.sent();
    g.inject({ op: VsockOp.RW, srcPort: 8, dstPort: 81 }, pattern(10));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 3, srcPort: 8, dstPort: 81 });
    g.now("shutdown", other, 0);
    expect(g.sent().at(-1)).toMatchObject({ op: VsockOp.RST });
  });

  test("V16: both sides close at once", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    g.now("close", socket);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("late"));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 3, srcPort: 7, dstPort: 80 });
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.SHUTDOWN, VsockOp.RST]);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("V16: close and shutdown do not wait, and SHUTDOWN goes out after the data", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    const a = g.accept(listener, 80, 7);
    const b = g.accept(listener, 80, 8);
    g.now("send", b, g.allocate(4), 4);
    stall(g);
    expect(g.now("shutdown", b, 1)).toBe(0);
    expect(g.now("shutdown", b, 0)).toBe(0);
    expect(g.now("close", a)).toBe(0);
    flow(g);
    const sent = g.sent();
    expect(sent.filter((one) => one.dstPort === 7)).toMatchObject([
      { op: VsockOp.SHUTDOWN, flags: 3 },
    ]);
    expect(sent.filter((one) => one.dstPort === 8)).toMatchObject([
      { op: VsockOp.SHUTDOWN, flags: 3 },
    ]);
  });

  test("V32: INVALID is ignored while a RESPONSE is due", async () => {
    const g = await boot();
    const call = g.start("connect", g.call("SysSocket", 1), 2, 5000);
    const dstPort = g.sent()[0]!.srcPort;
    g.inject({ op: VsockOp.INVALID, srcPort: 5000, dstPort });
    expect(call.result).toBeUndefined();
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
    expect(call.result).toBe(0);
  });

  test("V32, D18: RST refuses with ECONNRESET, and the socket may try again", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    for (let attempt = 0; attempt < 3; attempt++) {
      const call = g.start("connect", socket, 2, 5000);
      const [request] = g.sent();
      g.inject({ op: VsockOp.RST, srcPort: 5000, dstPort: request!.srcPort });
      expect(call.result).toBe(-Errno.ECONNRESET);
    }
    const call = g.start("connect", socket, 2, 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: g.sent()[0]!.srcPort });
    expect(call.result).toBe(0);
  });

  test("V32, D7: anything but an answer to REQUEST ends the attempt with EPROTO; a late RESPONSE gets RST", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    const dstPort = g.sent()[0]!.srcPort;
    g.inject({ op: VsockOp.RW, srcPort: 5000, dstPort }, bytes("too early"));
    expect(call.result).toBe(-Errno.EPROTO);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
  });

  test("V33: a full backlog refuses with RST and gives everything back (H8, Toro fault 26)", async () => {
    const g = await boot();
    const listener = g.listen(80, 2);
    const before = g.call("inUse");
    for (const srcPort of [1, 2, 3]) g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
    expect(g.sent().map((one) => one.op)).toEqual([
      VsockOp.RESPONSE,
      VsockOp.RESPONSE,
      VsockOp.RST,
    ]);
    for (const srcPort of [1, 2]) g.inject({ op: VsockOp.RST, srcPort, dstPort: 80 });
    expect(g.call("liveSockets")).toBe(1);
    expect(g.call("inUse")).toBe(before);
    g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
    expect(g.now("accept", listener)).toBe(-Errno.EAGAIN);
  });

  test("V13, V33: a listener closes at once; all that waited for accept get RST in the end", async () => {
    const g = await boot({ queueSize: 64 });
    const listener = g.listen(80, 300);
    for (let srcPort = 1; srcPort <= 200; srcPort++) {
      g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
    }
    g.sent();
    g.device.consuming = false;
    expect(g.now("close", listener)).toBe(0);
    expect(g.call("liveSockets")).toBeGreaterThan(50);
    flow(g);
    const resets = g.sent(VsockOp.RST).map((one) => one.dstPort);
    expect(resets).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(g.call("liveSockets")).toBe(0);
  });

  test("D11: data after SHUTDOWN(SEND) are a broken peer", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    g.sent();
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 7, dstPort: 80 });
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("late"));
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(-Errno.EPROTO);
  });

  test("D18: a connection that is made anew does not begin with what the old one had left", async () => {
    const g = await boot();
    const socket = g.call("SysSocket", 1);
    const at = g.allocate(64);
    for (const word of ["old", "new"]) {
      const call = g.start("connect", socket, 2, 5000);
      const dstPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
      g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
      expect(call.result).toBe(0);
      g.inject({ op: VsockOp.RW, srcPort: 5000, dstPort }, bytes(word));
      if (word === "old") g.inject({ op: VsockOp.RST, srcPort: 5000, dstPort });
    }
    expect(g.now("recv", socket, at, 64)).toBe(3);
    expect(text(g.bytes(at, 3))).toBe("new");
  });

  test.each([
    ["RESPONSE", VsockOp.RESPONSE],
    ["SHUTDOWN", VsockOp.SHUTDOWN],
    ["RW", VsockOp.RW],
    ["CREDIT_UPDATE", VsockOp.CREDIT_UPDATE],
    ["CREDIT_REQUEST", VsockOp.CREDIT_REQUEST],
    ["INVALID", VsockOp.INVALID],
  ])("V30: %s for no connection is answered by RST, which says nothing else", async (_, op) => {
    const g = await boot();
    g.listen(80);
    for (const type of [1, 2]) {
      g.inject({ op, type, srcPort: 5, dstPort: 80, srcCid: 9 });
      expect(g.sent()).toMatchObject([
        { op: VsockOp.RST, type, srcPort: 80, dstPort: 5, dstCid: 9, flags: 0, bufAlloc: 0 },
      ]);
    }
    expect(g.call("liveSockets")).toBe(1);
  });

  test("V14: RST ends an attempt, a connection nobody has accepted, and a close; each leaves nothing", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const { before, after } = balanced(g, () => {
      g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
      g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("early"));
      hangUp(g, 7, 80);
      const closing = g.accept(listener, 80, 8);
      g.now("close", closing);
      hangUp(g, 8, 80);
      const socket = g.call("SysSocket", 1);
      const call = g.start("connect", socket, 2, 5000);
      hangUp(g, 5000, g.sent(VsockOp.REQUEST)[0]!.srcPort);
      expect(call.result).toBe(-Errno.ECONNRESET);
      g.now("close", socket);
    });
    expect(after).toEqual(before);
    expect(after.sockets).toBe(1);
  });

  test("V15: a bit that was set stays set, and bits without a meaning have none", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(8);
    g.inject({ op: VsockOp.SHUTDOWN, flags: 0xfffffffc, srcPort: 7, dstPort: 80 });
    expect(g.now("send", socket, at, 1)).toBe(1);
    expect(g.now("recv", socket, at, 1, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.inject({ op: VsockOp.SHUTDOWN, flags: 1, srcPort: 7, dstPort: 80 });
    g.inject({ op: VsockOp.SHUTDOWN, flags: 0, srcPort: 7, dstPort: 80 });
    expect(g.now("send", socket, at, 1)).toBe(-Errno.EPIPE);
    // Our own add up as well, and each packet has them all.
    g.sent();
    g.now("shutdown", socket, 0);
    g.now("shutdown", socket, 1);
    g.now("shutdown", socket, 1);
    expect(g.sent(VsockOp.SHUTDOWN).map((one) => one.flags)).toEqual([1, 3]);
  });

  test("V15: a sender that waits for credit learns that nobody will receive, a reader that nobody sends", async () => {
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7, 10);
    const at = g.allocate(64);
    const sender = g.start("send", socket, at, 64);
    const second = g.start("send", socket, at, 64);
    const reader = g.start("recv", socket, at, 64);
    const peer = { op: VsockOp.SHUTDOWN, srcPort: 7, dstPort: 80, bufAlloc: 10 };
    g.inject({ ...peer, flags: 1 });
    expect(sender.result).toBe(10);
    expect(second.result).toBe(-Errno.EPIPE);
    expect(reader.result).toBeUndefined();
    g.inject({ ...peer, flags: 2 });
    expect(reader.result).toBe(0);
  });

  test("V16: ports of a connection that closes serve no other one, in either direction", async () => {
    const g = await boot();
    const own = (port: number) => {
      const socket = g.call("SysSocket", 1);
      expect(g.call("SysSocketBind", socket, port)).toBe(0);
      return socket;
    };
    const first = own(1234);
    const call = g.start("connect", first, 2, 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: 1234 });
    expect(call.result).toBe(0);
    g.now("close", first);
    const second = own(1234);
    g.sent();
    expect(g.now("connect", second, 2, 5000)).toBe(-Errno.EADDRINUSE);
    expect(g.sent()).toEqual([]);
    // Another port of the peer makes other addresses.
    const other = g.start("connect", second, 2, 5001);
    g.inject({ op: VsockOp.RST, srcPort: 5001, dstPort: 1234 });
    expect(other.result).toBe(-Errno.ECONNRESET);
    g.sent();
    g.advance(7999);
    expect(g.now("connect", second, 2, 5000)).toBe(-Errno.EADDRINUSE);
    g.advance(1);
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, srcPort: 1234, dstPort: 5000 }]);
    const again = g.start("connect", second, 2, 5000);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: 1234 });
    expect(again.result).toBe(0);
  });

  test("V16: an RST of the peer frees the ports before the time is over", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (let i = 0; i < 3; i++) {
      const socket = g.accept(listener, 80, 7);
      g.now("close", socket);
      g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80 });
    }
    g.sent();
    g.advance(20_000);
    expect(g.sent()).toEqual([]);
  });

  test("V16: both ends close at once, in every order of the packets that cross", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const { before, after } = balanced(g, () => {
      const end = (op: number, flags = 0) => g.inject({ op, flags, srcPort: 7, dstPort: 80 });
      let socket = g.accept(listener, 80, 7);
      g.sent();
      end(VsockOp.SHUTDOWN, 3); // theirs first: RST says that all is over
      expect(g.sent()).toMatchObject([{ op: VsockOp.RST }]);
      end(VsockOp.RST); // their answer to the SHUTDOWN that we did not send
      expect(g.now("recv", socket, 0, 1)).toBe(0);
      g.now("close", socket);
      expect(g.sent()).toEqual([]);

      socket = g.accept(listener, 80, 7);
      g.sent();
      g.now("close", socket); // ours first, and theirs comes in two
      end(VsockOp.SHUTDOWN, 1);
      end(VsockOp.SHUTDOWN, 2);
      end(VsockOp.RST);
      expect(g.sent().map((one) => one.op)).toEqual([VsockOp.SHUTDOWN, VsockOp.RST]);

      socket = g.accept(listener, 80, 7);
      g.sent();
      g.now("shutdown", socket, 1); // both half, then both
      end(VsockOp.SHUTDOWN, 2);
      g.now("close", socket);
      end(VsockOp.SHUTDOWN, 3);
      expect(g.sent().map((one) => [one.op, one.flags])).toEqual([
        [VsockOp.SHUTDOWN, 2],
        [VsockOp.SHUTDOWN, 3],
        [VsockOp.RST, 0],
      ]);
    });
    expect(after).toEqual(before);
  });

  test("D7: a RESPONSE that nobody asked for resets what it meets, and frees a closing socket", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const response = (srcPort: number) => g.inject({ op: VsockOp.RESPONSE, srcPort, dstPort: 80 });
    const open = g.accept(listener, 80, 7);
    const closing = g.accept(listener, 80, 8);
    g.now("close", closing);
    g.sent();
    for (const srcPort of [7, 8, 9]) response(srcPort);
    expect(g.sent().map((one) => [one.op, one.dstPort])).toEqual([
      [VsockOp.RST, 7],
      [VsockOp.RST, 8],
      [VsockOp.RST, 9],
    ]);
    expect(g.now("recv", open, g.allocate(8), 8)).toBe(-Errno.EPROTO);
    expect(g.call("liveSockets")).toBe(2);
  });

  test("D7, K6: a second REQUEST on a live connection ends it", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    g.sent();
    g.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RST, dstPort: 7 }]);
    expect(g.now("recv", socket, g.allocate(8), 8)).toBe(-Errno.EPROTO);
    expect(g.accept(listener, 80, 7)).toBeGreaterThan(0);
  });

  test("D11: data after SHUTDOWN(SEND) reset a closing socket and one that nobody has accepted", async () => {
    const g = await boot();
    const listener = g.listen(80);
    g.now("close", g.accept(listener, 80, 7));
    g.inject({ op: VsockOp.REQUEST, srcPort: 8, dstPort: 80 });
    g.sent();
    for (const srcPort of [7, 8]) {
      g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort, dstPort: 80 });
      g.inject({ op: VsockOp.RW, srcPort, dstPort: 80 }, bytes("late"));
    }
    expect(g.sent().map((one) => [one.op, one.dstPort])).toEqual([
      [VsockOp.RST, 7],
      [VsockOp.RST, 8],
    ]);
    expect(g.call("liveSockets")).toBe(1);
  });
});
