// The kernel's sockets while the device takes no packets, or memory is out: nothing is lost, nobody
// sleeps for ever, nothing grows.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import {
  bytes,
  DONTWAIT,
  type PendingCall,
  POLLOUT,
  packet,
  pattern,
  SO_NONBLOCK,
  SO_SNDTIMEO,
  type SocketGuest,
  socketGuests,
} from "../../support/socket-guest.ts";
import { flow, stall } from "../../support/socket-stall.ts";

const boot = await socketGuests();

const to = (g: SocketGuest, port: number) => g.sent().filter((one) => one.dstPort === port);

describe("a device that takes nothing", () => {
  test("a send that must not wait says EAGAIN, and one with a time-out keeps it", async () => {
    const g = await boot({ queueSize: 16 });
    const socket = g.accept(g.listen(80), 80, 7);
    stall(g);
    const at = g.allocate(8);
    expect(g.now("send", socket, at, 8, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", socket, SO_SNDTIMEO, 30);
    const call = g.start("send", socket, at, 8);
    g.advance(29);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(-Errno.EAGAIN);
    flow(g);
    expect(g.now("send", socket, at, 8)).toBe(8);
  });

  test("a connect that must not wait says EAGAIN; another one times out", async () => {
    const g = await boot({ queueSize: 16 });
    stall(g);
    const socket = g.call("SysSocket", 1);
    const call = g.start("connect", socket, 2, 5000);
    g.advance(2000);
    expect(call.result).toBe(-Errno.ETIMEDOUT);
    g.call("SysSocketSetOption", socket, SO_NONBLOCK, 1);
    expect(g.now("connect", socket, 2, 5000)).toBe(-Errno.EAGAIN);
  });

  test("received data are given out at once, and the credit for them follows", async () => {
    const g = await boot({ queueSize: 16 });
    const socket = g.accept(g.listen(80), 80, 7);
    stall(g);
    const at = g.allocate(4096);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, pattern(3000));
    expect(g.now("recv", socket, at, 4096)).toBe(3000);
    flow(g);
    expect(to(g, 7)).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 3000, bufAlloc: 8192 }]);
  });

  test("senders that wait for room find that their connection was reset, every one of them", async () => {
    const g = await boot({ queueSize: 16 });
    const socket = g.accept(g.listen(80), 80, 7);
    stall(g);
    const at = g.allocate(8);
    const calls = Array.from({ length: 200 }, () => g.start("send", socket, at, 8));
    // The reset comes first in the interrupt that finds room: none of the 200 sends any more.
    g.device.raw(packet({ op: VsockOp.RST, srcPort: 7, dstPort: 80 }, new Uint8Array(0)));
    g.device.signal();
    flow(g);
    expect(calls.map((call) => call.result)).toEqual(calls.map(() => -Errno.ECONNRESET));
  });

  test("killed senders leave the queue, and the others get their room", async () => {
    const g = await boot({ queueSize: 16 });
    const socket = g.accept(g.listen(80), 80, 7);
    stall(g);
    const at = g.allocate(8);
    const calls = Array.from({ length: 200 }, () => g.start("send", socket, at, 8));
    calls.forEach((call, i) => {
      if (i % 3 !== 0) g.call("SysKillThread", call.thread);
    });
    flow(g);
    expect(calls.map((call) => call.result)).toEqual(
      calls.map((_, i) => (i % 3 === 0 ? 8 : undefined)),
    );
    expect(g.call("unfinished")).toBe(0);
  });

  test("an RST that is owed outlives the application's close, and only that long", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    const ended = g.accept(listener, 80, 7);
    const connecting = g.call("SysSocket", 1);
    g.start("connect", connecting, 2, 5000);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("x"));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 3, srcPort: 7, dstPort: 80 });
    stall(g);
    const live = g.call("liveSockets");
    expect(g.now("recv", ended, g.allocate(4), 4)).toBe(1);
    expect(g.now("close", ended)).toBe(0);
    expect(g.now("close", connecting)).toBe(0);
    expect(g.call("liveSockets")).toBe(live);
    flow(g);
    const sent = g.sent();
    expect(sent.filter((one) => one.dstPort === 7)).toMatchObject([{ op: VsockOp.RST }]);
    expect(sent.filter((one) => one.dstPort === 5000)).toMatchObject([{ op: VsockOp.RST }]);
    expect(g.call("liveSockets")).toBe(live - 2);
  });

  test("V5: packets that cannot be answered stop at a bound, not at the end of memory", async () => {
    const g = await boot({ queueSize: 128 });
    g.listen(80, 4096);
    stall(g);
    const request = (srcPort: number) =>
      packet({ op: VsockOp.REQUEST, srcPort, dstPort: 80 }, new Uint8Array(0));
    let taken = 0;
    for (let i = 0; i < 5000; i++) {
      if (g.device.raw(request(1 + i))) taken++;
      g.device.signal();
      g.settle();
    }
    expect(taken).toBeLessThanOrEqual(256);
    flow(g);
    expect(g.sent(VsockOp.RESPONSE)).toHaveLength(taken);
    g.inject({ op: VsockOp.REQUEST, srcPort: 6000, dstPort: 80 });
    expect(g.sent(VsockOp.RESPONSE)).toHaveLength(1);
  });

  test("select says POLLOUT only when a send would not wait, and wakes then", async () => {
    const g = await boot({ queueSize: 16 });
    const socket = g.accept(g.listen(80), 80, 7);
    stall(g);
    const entry = g.allocate(8);
    g.machine.memory.view.setInt32(entry, socket, true);
    g.machine.memory.view.setUint32(entry + 4, POLLOUT, true);
    expect(g.now("select", entry, 1, 0)).toBe(0);
    const call = g.start("select", entry, 1, -1);
    const killed = g.start("select", entry, 1, -1);
    g.call("SysKillThread", killed.thread);
    flow(g);
    expect(call.result).toBe(1);
    expect(g.call("unfinished")).toBe(0);
  });

  test("two threads that connect one socket while there is no room: the second gets an error", async () => {
    const g = await boot({ queueSize: 16 });
    stall(g);
    const socket = g.call("SysSocket", 1);
    const first = g.start("connect", socket, 2, 5000);
    const second = g.start("connect", socket, 2, 6000);
    flow(g);
    expect(second.result).toBe(-Errno.EALREADY);
    const [request] = g.sent(VsockOp.REQUEST);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: request!.srcPort });
    expect(first.result).toBe(0);
  });

  test("a failed device gives back what its rings and queues held", async () => {
    const before = (await boot()).call("inUse");
    const g = await boot();
    const socket = g.accept(g.listen(80), 80, 7);
    const at = g.allocate(100_000);
    g.device.consuming = false;
    const senders: PendingCall[] = [];
    for (let i = 0; i < 20; i++) senders.push(g.start("send", socket, at, 100_000));
    g.call("ToroFreeMem", at);
    g.device.queue(0).pop()!.release(1_000_000);
    g.machine.call("interrupt", 5);
    g.settle();
    expect(senders.every((call) => call.result !== undefined)).toBe(true);
    // 128 receive buffers of a page, and all that was sent; the rings stay.
    expect(before - g.call("inUse")).toBeGreaterThan(128 * 4000);
  });
});

describe("no memory", () => {
  const SIZES = [1 << 20, 1 << 16, 1 << 12, 1 << 10, 256, 64, 16];

  /** Takes all memory but blocks of these sizes, which lie apart. */
  function exhaust(g: SocketGuest, sizes: number[]): number[] {
    const take = (size: number) => g.call("ToroGetMem", size) >>> 0;
    const spare: number[] = [];
    const walls: number[] = [];
    for (const size of sizes) {
      spare.push(take(size));
      walls.push(take(16));
    }
    for (const size of SIZES) for (let at = take(size); at !== 0; at = take(size)) walls.push(at);
    for (const at of spare) g.call("ToroFreeMem", at);
    return walls;
  }

  /** A server's and a client's life in calls that do not wait; none of them may panic. */
  function live(g: SocketGuest, listener: number, at: number): number {
    let steps = 0;
    const did = (result: number) => {
      if (result >= 0) steps++;
      return result;
    };
    const raw = (
      header: { op: number; srcPort: number; dstPort: number; flags?: number },
      n = 0,
    ) => {
      g.device.raw(packet(header, pattern(n)));
      g.device.signal();
      g.settle();
    };
    raw({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    raw({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, 3000);
    raw({ op: VsockOp.CREDIT_REQUEST, srcPort: 7, dstPort: 80 });
    const socket = did(g.call("SysSocketAccept", listener));
    did(g.call("SysSocketRecv", socket, at, 4096, DONTWAIT));
    did(g.call("SysSocketSend", socket, at, 300, DONTWAIT));
    did(g.call("SysSocketShutdown", socket, 1));
    raw({ op: VsockOp.SHUTDOWN, srcPort: 7, dstPort: 80, flags: 3 });
    did(g.call("SysSocketClose", socket));
    const client = did(g.call("SysSocket", 1));
    g.call("SysSocketSetOption", client, SO_NONBLOCK, 1);
    if (g.call("SysSocketConnect", client, 2, 5000) === -Errno.EINPROGRESS) steps++;
    const request = g.device.sent.find((one) => one.op === VsockOp.REQUEST);
    if (request) raw({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort: request.srcPort });
    did(g.call("SysSocketSend", client, at, 100, DONTWAIT));
    did(g.call("SysSocketClose", client));
    raw({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 81 });
    g.advance(9000);
    g.sent();
    return steps;
  }

  test("whichever allocation fails, the caller gets an error, nothing leaks and all goes on", async () => {
    const outcomes = new Set<number>();
    for (let n = 0; n < 72; n++) {
      const g = await boot({ memoryBytes: 2 * 1024 * 1024 });
      const listener = g.listen(80);
      g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
      const at = g.allocate(4096);
      const whole = live(g, listener, at); // tables grow once
      const before = g.call("inUse");
      const walls = exhaust(g, [
        ...Array<number>(n % 12).fill(64),
        ...Array<number>(Math.floor(n / 12)).fill(512),
      ]);
      g.device.consuming = false; // so that packets keep their memory
      outcomes.add(live(g, listener, at));
      flow(g);
      g.sent();
      for (const wall of walls) g.call("ToroFreeMem", wall);
      expect(live(g, listener, at)).toBe(whole);
      expect(g.call("liveSockets")).toBe(1);
      expect(g.call("inUse")).toBe(before);
    }
    expect(outcomes.size).toBeGreaterThan(3);
  });

  test("a driver that cannot be started gives everything back", async () => {
    const g = await boot({ memoryBytes: 2 * 1024 * 1024 });
    const before = g.call("inUse");
    expect(g.call("startDriver")).toBe(-Errno.EBUSY);
    const results: number[] = [];
    for (let n = 0; n < 14; n++) {
      const walls = exhaust(g, Array<number>(n).fill(10_000));
      results.push(g.call("startDriver"));
      for (const wall of walls) g.call("ToroFreeMem", wall);
      expect(g.call("inUse")).toBe(before);
    }
    const failed = results.indexOf(-Errno.EBUSY);
    expect(failed).toBeGreaterThan(2);
    expect(results.slice(0, failed)).toEqual(Array<number>(failed).fill(-Errno.ENOMEM));
    // Nothing was written where a null pointer points.
    expect(g.bytes(0, 4096).every((byte) => byte === 0)).toBe(true);
  });

  test("windows of streams grow only so far that new connections still get theirs", async () => {
    const g = await boot({ memoryBytes: 4 * 1024 * 1024 });
    const listener = g.listen(80, 100);
    const at = g.allocate(1 << 18);
    for (let srcPort = 1; srcPort <= 24; srcPort++) {
      const socket = g.accept(listener, 80, srcPort);
      let { bufAlloc: window } = g.sent()[0]!;
      let total = 0;
      let told = 0;
      for (let round = 0; round < 10; round++) {
        for (let left = window - (total - told); left > 0; ) {
          const chunk = pattern(Math.min(left, 3900));
          g.inject({ op: VsockOp.RW, srcPort, dstPort: 80 }, chunk);
          total += chunk.length;
          left -= chunk.length;
        }
        while (g.call("SysSocketRecv", socket, at, 1 << 18, DONTWAIT) > 0);
        for (const update of g.sent()) {
          window = update.bufAlloc;
          told = update.fwdCnt;
        }
      }
    }
    for (let srcPort = 100; srcPort < 150; srcPort++) {
      g.inject({ op: VsockOp.REQUEST, srcPort, dstPort: 80 });
      expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE }]);
    }
  });
});
