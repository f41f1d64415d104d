// Memory that slow readers can make the vsock device hold: a window for each connection, a budget
// for all, and no connection that nobody will ever finish.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { Budget } from "../../../host/devices/vsock/budget.ts";
import { limitsFor } from "../../../host/devices/vsock/limits.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type Packet,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const LIMITS = limitsFor(0);

const KIB = 1024;
const SEND = 2;
const BOTH = 3;

describe("budget", () => {
  test("K11: fits as many connections as the limit, with 64 KiB at first and never below 16 KiB", () => {
    const budget = new Budget(LIMITS);
    const windows = Array.from({ length: LIMITS.connections }, () => budget.take());
    expect(windows.slice(0, 100)).toEqual(Array(100).fill(64 * KIB));
    expect(windows.every((window, i) => i === 0 || window <= (windows[i - 1] as number))).toBe(
      true,
    );
    expect(windows.at(-1)).toBeGreaterThanOrEqual(16 * KIB);
    const total = windows.reduce((sum, window) => sum + window, 0);
    expect(total).toBeLessThanOrEqual(LIMITS.bufAllocTotal);
    expect(budget.take()).toBe(0);
  });

  test.each([64, 192, 1024])("K11: %i MiB of RAM have room for a connection per 16 KiB", (mib) => {
    const limits = limitsFor(mib * 1024 * KIB);
    expect(limits.connections).toBe(mib * 64);
    const budget = new Budget(limits);
    for (let i = 0; i < limits.connections; i++)
      expect(budget.take()).toBeGreaterThanOrEqual(16 * KIB);
    expect(budget.take()).toBe(0);
    expect(budget.granted).toBeLessThanOrEqual(limits.bufAllocTotal);
  });

  test("admits as many connections as a small budget has windows for", () => {
    const budget = new Budget({ ...LIMITS, bufAllocTotal: 50 * KIB });
    expect([budget.take(), budget.take(), budget.take()]).toEqual([16 * KIB, 16 * KIB, 16 * KIB]);
    expect(budget.take()).toBe(0);
    budget.give(16 * KIB);
    expect(budget.take()).toBe(16 * KIB);
  });

  test("hands returned windows out at their first size", () => {
    const budget = new Budget(LIMITS);
    const take = () => Array.from({ length: 1000 }, () => budget.take());
    const first = take();
    for (const window of first) budget.give(window);
    expect(take()).toEqual(first);
  });
});

describe.each(RING_KINDS)("windows of connections ($name)", (rings) => {
  const limits = { connections: 8, bufAllocTotal: 40 * KIB };

  test("V7: advertises the connection's window in every packet", async () => {
    const puppet = await bootPublished({
      rings,
      limits: { connections: 4, bufAllocTotal: 2000 * KIB },
    });
    const windows: number[] = [];
    for (let i = 0; i < 2; i++) {
      puppet.network.client();
      const [{ hostPort, bufAlloc }] = puppet.take() as [Packet];
      puppet.send({ op: VsockOp.RESPONSE, hostPort }, { op: VsockOp.CREDIT_REQUEST, hostPort });
      expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, bufAlloc }]);
      windows.push(bufAlloc);
    }
    expect(windows).toEqual([47360, 46876]);
  });

  test("K8, V35: enforces a small window like a large one", async () => {
    const puppet = await bootPublished({ rings, limits });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(16 * KIB) });
    expect(puppet.take()).toEqual([]);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(1) });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
  });

  test("closes a client at once when the budget is spent, and admits it once there is room", async () => {
    const puppet = await bootPublished({ rings, limits });
    const first = puppet.open();
    puppet.open();
    expect(puppet.network.client().calls).toEqual(["close"]);
    expect(puppet.device.stats).toMatchObject({ accepted: 2, refused: 1, connections: 2 });
    first.client.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.network.client().calls).toEqual([]);
  });

  test("K11: answers the guest's REQUEST with RST when the budget is spent", () => {
    const connect = new Map([[7, { host: "127.0.0.1", port: 7 }]]);
    const puppet = new VsockPuppet({ rings, connect, limits });
    puppet.boot();
    const request = (guestPort: number) => ({ op: VsockOp.REQUEST, hostPort: 7, guestPort });
    puppet.send(request(1), request(2), request(3));
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, guestPort: 3 }]);
    expect(puppet.network.connects).toHaveLength(2);
  });

  test("keeps a window taken while a slow reader still has bytes to come after the guest left", async () => {
    const puppet = await bootPublished({ rings, limits });
    const { client, hostPort } = puppet.open();
    puppet.open();
    client.taking = false;
    puppet.send(
      { op: VsockOp.RW, hostPort, data: Buffer.alloc(16 * KIB) },
      { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH },
      { op: VsockOp.RST, hostPort },
    );
    expect(puppet.network.client().calls).toEqual(["close"]);
    client.take();
    client.events.closed();
    expect(puppet.network.client().calls).toEqual([]);
  });

  test("makes a probe wait for room", async () => {
    const puppet = await bootPublished({ rings, limits: { ...limits, connections: 1 } });
    const { client } = puppet.open();
    let probed = false;
    void puppet.device.probe(80).then(() => {
      probed = true;
    });
    puppet.advance(50);
    expect(puppet.take()).toEqual([]);
    client.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    puppet.advance(5);
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    await new Promise((resolve) => setImmediate(resolve));
    expect(probed).toBe(true);
  });
});

describe.each(RING_KINDS)(
  "a client that left, its last chunk waiting for credit ($name)",
  (rings) => {
    /** The client said ten bytes and left; the guest has room for four of them. */
    async function left(): Promise<{ puppet: VsockPuppet; client: FakeSocket; hostPort: number }> {
      const puppet = await bootPublished({ rings });
      const { client, hostPort } = puppet.open({ bufAlloc: 4 });
      puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND, bufAlloc: 4 });
      client.say("0123456789");
      client.events.end();
      client.events.closed();
      expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.CREDIT_REQUEST]);
      return { puppet, client, hostPort };
    }

    test("H2, K18: is reset when the guest takes nothing for half a minute", async () => {
      const { puppet } = await left();
      puppet.advance(29_900);
      expect(puppet.take()).toEqual([]);
      expect(puppet.device.stats.connections).toBe(1);
      puppet.advance(400);
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      expect(puppet.device.stats.connections).toBe(0);
      puppet.advance(1000);
      expect(puppet.timers).toBe(0);
    });

    test("K18: gets more time with every byte that the guest takes, and ends cleanly", async () => {
      const { puppet, hostPort } = await left();
      const credit = (fwdCnt: number) => ({
        op: VsockOp.CREDIT_UPDATE,
        hostPort,
        bufAlloc: 4,
        fwdCnt,
      });
      puppet.advance(20_000);
      puppet.send(credit(4));
      expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.CREDIT_REQUEST]);
      puppet.advance(20_000);
      puppet.send(credit(8));
      expect(puppet.take()).toMatchObject([
        { op: VsockOp.RW, data: Uint8Array.from(Buffer.from("89")) },
        { op: VsockOp.SHUTDOWN, flags: BOTH },
      ]);
      puppet.send({ op: VsockOp.RST, hostPort });
      expect(puppet.device.stats.connections).toBe(0);
    });

    test("K18: does not count a request for credit as progress", async () => {
      const { puppet, hostPort } = await left();
      for (let i = 0; i < 2; i++) {
        puppet.advance(14_000);
        puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort, bufAlloc: 4 });
        puppet.take();
      }
      puppet.advance(2400);
      expect(puppet.ops()).toEqual([VsockOp.RST]);
    });
  },
);
