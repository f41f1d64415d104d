// Clients that take little, and those that take nothing: what the device holds for them, and what
// the guest hears of them. The kernel says nothing for minutes, so their own kernels are asked.
import { describe, expect, test } from "vitest";
import { VSOCK_PROGRESS_BYTES, VsockOp } from "../../../abi/vsock.ts";
import { Budget } from "../../../host/devices/vsock/budget.ts";
import { Patience } from "../../../host/devices/vsock/connection/patience.ts";
import { limitsFor } from "../../../host/devices/vsock/limits.ts";
import type { StreamSocket } from "../../../host/ports/sockets.ts";
import { bootPublished, type VsockPuppet } from "../../support/vsock-puppet.ts";

const LIMITS = limitsFor(0);

const KIB = 1024;
const BOTH = 3;

describe("SR2: windows", () => {
  test("grow from 64 to 256 KiB while the client takes what it gets", async () => {
    const puppet = await bootPublished();
    const { hostPort } = puppet.open();
    const rw = { op: VsockOp.RW, hostPort, data: Buffer.alloc(33 * KIB) };
    puppet.send(rw);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, bufAlloc: 256 * KIB }]);
    for (let i = 0; i < 20; i++) puppet.send(rw);
    for (const { bufAlloc } of puppet.take()) expect(bufAlloc).toBe(256 * KIB);
  });

  test("do not grow for a client that is silent and never fills them", async () => {
    const puppet = await bootPublished();
    const { hostPort } = puppet.open();
    for (let i = 0; i < 31; i++) {
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(KIB) });
      expect(puppet.take()).toEqual([]);
    }
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    expect(puppet.take()).toMatchObject([{ bufAlloc: 64 * KIB }]);
  });

  // An answer of more than 64 KiB would stop half-way, for one more turn of the guest.
  test("grow at the first reply of a client that has taken everything, and of no other", async () => {
    const puppet = await bootPublished();
    const [eager, slow] = [puppet.open(), puppet.open()];
    slow.client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort: slow.hostPort, data: Buffer.alloc(KIB) });
    eager.client.say("GET /");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, bufAlloc: 256 * KIB }]);
    slow.client.say("GET /");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, bufAlloc: 64 * KIB }]);
  });

  test("shrink to 16 KiB after a second without progress, and grow again afterwards", async () => {
    const puppet = await bootPublished();
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(20 * KIB) });
    puppet.advance(999);
    expect(puppet.take()).toEqual([]);
    puppet.advance(1);
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.CREDIT_UPDATE, bufAlloc: 16 * KIB, fwdCnt: 0 },
    ]);
    client.take();
    const [update] = puppet.take();
    expect(update).toMatchObject({ bufAlloc: 64 * KIB, fwdCnt: 20 * KIB });
  });

  test("do not shrink for a client that takes each send in less than a second", async () => {
    const puppet = await bootPublished();
    const { client, hostPort } = puppet.open();
    client.taking = false;
    for (let i = 0; i < 10; i++) {
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(KIB) });
      puppet.advance(900);
      client.takeOne();
    }
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, bufAlloc: 64 * KIB }]);
  });

  // The guest has not heard of the smaller window yet: that is no breach.
  test("that shrank still take bytes up to the promised edge, and no more", async () => {
    const puppet = await bootPublished({ rxBuffers: 1 });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(20 * KIB) });
    puppet.advance(2000);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(44 * KIB) });
    expect(puppet.device.stats.rejected).toBe(0);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(1) });
    expect(puppet.device.stats.rejected).toBe(1);
  });

  test("of messages keep their size: a larger message could never be sent", async () => {
    const puppet = await bootPublished({ seqpacket: [80] });
    const { client, hostPort } = puppet.open({ type: 2 });
    client.taking = false;
    const rw = { op: VsockOp.RW, hostPort, type: 2, flags: 1, data: Buffer.alloc(20 * KIB) };
    puppet.send(rw, { op: VsockOp.CREDIT_REQUEST, hostPort, type: 2 });
    puppet.advance(3000);
    for (const { bufAlloc } of puppet.take()) expect(bufAlloc).toBe(256 * KIB);
  });

  test("that shrank free their share once their bytes are gone", async () => {
    const limits = { connections: 3, bufAllocTotal: 4096 * KIB };
    const puppet = await bootPublished({ limits });
    const { client, hostPort } = puppet.open();
    const windowOfNext = () => {
      const next = puppet.network.client();
      const { bufAlloc } = puppet.take().find(({ op }) => op === VsockOp.REQUEST)!;
      next.fail();
      return bufAlloc;
    };
    const before = windowOfNext();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(64 * KIB) });
    puppet.advance(2000);
    expect(windowOfNext()).toBe(before); // 64 KiB may have to be held
    client.takeOne();
    expect(windowOfNext()).toBe(before);
    client.fail();
    expect(puppet.device.holdings.windowBytes).toBe(0);
    expect(windowOfNext()).toBe(new Budget({ ...LIMITS, ...limits }).take());
  });
});

/** A network whose kernel takes nothing, and knows what clients acknowledge. */
function slowPuppet(known = true) {
  const state = { unacknowledged: 1_000_000 };
  return bootPublished().then((puppet) => {
    if (known) {
      Object.assign(puppet.network, {
        unacknowledged: (sockets: readonly StreamSocket[]) =>
          Promise.resolve(sockets.map(() => state.unacknowledged)),
      });
    }
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(10_000) });
    return { puppet, client, hostPort, state };
  });
}

/** Seconds, one by one: how often the guest heard something in them. */
async function seconds(puppet: VsockPuppet, count: number): Promise<number> {
  let heard = 0;
  for (let i = 0; i < count; i++) {
    puppet.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
    heard += puppet.take().length;
  }
  return heard;
}

describe("the guest", () => {
  test("gets credit for a part of a send as the kernel takes it, within a second", async () => {
    const { puppet, client, hostPort } = await slowPuppet(false);
    const unsent = (bytes: number) =>
      Object.defineProperty(client, "unsent", { value: bytes, configurable: true });
    unsent(10_000);
    await seconds(puppet, 2);
    for (const taken of [1, 2000, 9000]) {
      unsent(10_000 - taken);
      puppet.advance(1000);
      expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: taken }]);
    }
    client.take();
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    expect(puppet.take().at(-1)).toMatchObject({ fwdCnt: 10_000 });
    expect(client.received).toHaveLength(10_000);
    expect(puppet.tx.queue.inFlight).toBe(0);
  });

  test("hears each second from a client that takes 2 kB/s in steps of 64 KiB, as long as that lasts", async () => {
    const { puppet, state } = await slowPuppet();
    expect(await seconds(puppet, 32)).toBe(32); // the first step is as far away as the others
    for (let step = 0; step < 4; step++) {
      state.unacknowledged -= 64 * KIB;
      expect(await seconds(puppet, 32)).toBe(32);
    }
    expect(await seconds(puppet, 200)).toBeLessThan(130); // it has stopped reading
    expect(await seconds(puppet, 20)).toBe(0);
  });

  test("gets credit requests answered for 40 s for a client that takes nothing or a byte a second", async () => {
    const { puppet, state } = await slowPuppet();
    expect(await seconds(puppet, 60)).toBe(40);
    for (let i = 0; i < 100; i++) {
      state.unacknowledged--;
      expect(await seconds(puppet, 1)).toBe(0);
    }
  });

  test("waits a minute for a client whose acknowledgements are unknown", async () => {
    const { puppet, client, hostPort } = await slowPuppet(false);
    expect(await seconds(puppet, 100)).toBe(60);
    client.takeOne();
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(10_000) });
    puppet.take();
    expect(await seconds(puppet, 100)).toBe(60);
  });

  test("that has closed keeps a client that takes its tail slowly, but not one that takes nothing", async () => {
    const { puppet, client, hostPort, state } = await slowPuppet();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    for (let i = 0; i < 50; i++) {
      state.unacknowledged -= 2 * KIB;
      await seconds(puppet, 1);
    }
    expect(client.calls).toEqual([]);
    await seconds(puppet, 200);
    expect(client.calls).toEqual(["reset"]);
  });

  test("gets no packet for connections that are gone, and no timer is left", async () => {
    const { puppet, client } = await slowPuppet();
    client.fail();
    puppet.take();
    expect(await seconds(puppet, 3)).toBe(0);
    expect(puppet.timers).toBe(0);
  });
});

describe("patience", () => {
  const PAID = 128;

  test("is prepaid by at most the largest step of a window", () => {
    const patience = new Patience();
    patience.look(0, 10_000_000);
    patience.look(0, 0);
    let seconds = 1;
    while (patience.look(0, 0)) seconds++;
    expect(seconds).toBe(PAID);
  });

  test("counts bytes that the kernel took meanwhile as unacknowledged", () => {
    const patience = new Patience();
    while (patience.look(0, 50_000));
    expect(patience.look(30_000, 80_000)).toBe(false);
    expect(patience.look(0, 80_000)).toBe(false);
    expect(patience.look(0, 80_000 - VSOCK_PROGRESS_BYTES)).toBe(true);
    expect(patience.look(0, 80_000 - VSOCK_PROGRESS_BYTES)).toBe(false);
  });
});
