// The vsock device against clients and servers of the host that misbehave: none of them reaches
// further than its own connection, and what it held is given back.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { limitsFor } from "../../../host/devices/vsock/limits.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const LIMITS = limitsFor(0);

const SEND = 2;
const BOTH = 3;
const TARGET = { host: "127.0.0.1", port: 9 };
const rw = (hostPort: number, bytes: number): Partial<Packet> => ({
  op: VsockOp.RW,
  hostPort,
  data: Buffer.alloc(bytes, "r"),
});

/** Sends RW as long as the guest believes in credit; returns the bytes that the device took. */
function exhaust(puppet: VsockPuppet, hostPort: number, chunk: number): number {
  let sent = 0;
  let [bufAlloc, fwdCnt] = [LIMITS.bufAlloc, 0];
  puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
  for (;;) {
    for (const packet of puppet.take()) {
      expect(packet.op).toBe(VsockOp.CREDIT_UPDATE);
      ({ bufAlloc, fwdCnt } = packet);
    }
    const bytes = Math.min(chunk, bufAlloc - (sent - fwdCnt));
    if (bytes === 0) return sent;
    puppet.send(rw(hostPort, bytes));
    puppet.tx.used();
    sent += bytes;
  }
}

/** Everything that connections take is back: as many fit as at the start, as large. */
function expectNothingHeld(puppet: VsockPuppet): void {
  puppet.advance(60_000);
  for (let batch = puppet.take(); batch.length > 0; ) batch = puppet.take();
  puppet.tx.used();
  expect(puppet.device.stats.connections).toBe(0);
  expect(puppet.device.holdings.txDescriptors).toBe(0);
  expect(puppet.tx.queue.inFlight).toBe(0);
  expect(puppet.timers).toBe(0);
  expect([...puppet.rx.faults, ...puppet.tx.faults]).toEqual([]);
}

describe.each(RING_KINDS)("a peer that never reads ($name)", (rings) => {
  test.each([1, 100, 4096, 65536])(
    "H3: stops the guest by credit alone: a window is held, not a byte more (pieces of %i)",
    async (chunk) => {
      const puppet = await bootPublished({ rings, limits: { bufAlloc: 20_000 } });
      const { client, hostPort } = puppet.open();
      client.taking = false;
      expect(exhaust(puppet, hostPort, chunk)).toBe(20_000);
      expect(puppet.device.stats.bytesFromGuest).toBe(0);
      expect(puppet.device.stats.copiedFromGuest).toBeLessThanOrEqual(20_000);
      client.take();
      expect(client.received.equals(Buffer.alloc(20_000, "r"))).toBe(true);
      expect(puppet.take().at(-1)).toMatchObject({ op: VsockOp.CREDIT_UPDATE, fwdCnt: 20_000 });
      client.fail();
      expectNothingHeld(puppet);
    },
  );

  test("H3: hold no more than the budget, and the others are served", async () => {
    const limits = { connections: 40, bufAllocTotal: 1 << 20 };
    const puppet = await bootPublished({ rings, limits });
    const slow: FakeSocket[] = [];
    let held = 0;
    for (let i = 0; i < 39; i++) {
      const { client, hostPort } = puppet.open();
      client.taking = false;
      slow.push(client);
      held += exhaust(puppet, hostPort, 4096);
    }
    expect(held).toBeLessThanOrEqual(1 << 20);
    expect(held).toBeGreaterThanOrEqual(39 * 16 * 1024);
    const { client, hostPort } = puppet.open();
    for (let i = 0; i < 100; i++) {
      puppet.send(rw(hostPort, 1000));
      puppet.take();
    }
    expect(client.received).toHaveLength(100_000);
    for (const socket of [...slow, client]) socket.fail();
    expectNothingHeld(puppet);
  });

  test("H3, K18: is reset when the guest has closed and nothing moved for 30 s", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, 1000), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    puppet.advance(30_250);
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    client.events.closed();
    expectNothingHeld(puppet);
  });
});

describe.each(RING_KINDS)("clients that come all at once ($name)", (rings) => {
  function windowOf(puppet: VsockPuppet, hostPort: number): Packet {
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    return puppet.take()[0] as Packet;
  }

  /** A guest that accepts this many at a time, and refuses the others, as a listener does. */
  function answerAll(puppet: VsockPuppet, backlog: number): Packet[] {
    const accepted: Packet[] = [];
    for (let batch = puppet.take(); batch.length > 0; batch = puppet.take()) {
      for (const packet of batch) {
        if (packet.op !== VsockOp.REQUEST) continue;
        const fits = accepted.length < backlog;
        if (fits) accepted.push(packet);
        const op = fits ? VsockOp.RESPONSE : VsockOp.RST;
        puppet.send({ op, hostPort: packet.hostPort });
        puppet.tx.used();
      }
    }
    return accepted;
  }

  test.each([
    ["more than the guest's backlog", 50, 256],
    ["more than rx buffers", 50, 4],
  ])(
    "H8, K11: %s: each is served or closed, and all is given back",
    async (_, backlog, buffers) => {
      const limits = { connections: 64 };
      const puppet = await bootPublished({ rings, limits, rxBuffers: buffers });
      const first = puppet.open();
      const { bufAlloc } = windowOf(puppet, first.hostPort);
      first.client.fail();
      puppet.take();
      for (let round = 0; round < 3; round++) {
        const clients = Array.from({ length: 500 }, () => puppet.network.client());
        const accepted = answerAll(puppet, backlog);
        const how = (call: string) => clients.filter(({ calls }) => calls[0] === call);
        expect([accepted.length, how("reset").length, how("close").length]).toEqual([50, 14, 436]);
        const served = clients.filter(({ calls }) => calls.length === 0);
        for (const { hostPort } of accepted) {
          puppet.send(rw(hostPort, 10), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
          puppet.tx.used();
        }
        expect(served.map(({ received }) => received.length)).toEqual(Array(50).fill(10));
        for (const client of clients) client.events.closed();
        expectNothingHeld(puppet);
        expect(puppet.device.stats.refused).toBe((round + 1) * 450);
      }
      expect(windowOf(puppet, puppet.open().hostPort).bufAlloc).toBe(bufAlloc);
    },
  );

  test("H8: are reset if the listener closes before it has accepted them", async () => {
    const puppet = await bootPublished({ rings });
    const clients = Array.from({ length: 20 }, () => puppet.network.client());
    for (const { hostPort } of puppet.take()) puppet.send({ op: VsockOp.RST, hostPort });
    expect(clients.every(({ calls }) => calls[0] === "reset")).toBe(true);
    for (const client of clients) client.events.closed();
    expect(puppet.take()).toEqual([]);
    expectNothingHeld(puppet);
  });

  test("H7: are reset and reported if the guest never answers them", async () => {
    const puppet = await bootPublished({ rings });
    const clients = Array.from({ length: 20 }, () => puppet.network.client());
    expect(puppet.take()).toHaveLength(20);
    puppet.advance(2250);
    expect(clients.every(({ calls }) => calls[0] === "reset")).toBe(true);
    expect(puppet.ops()).toEqual(Array(20).fill(VsockOp.RST));
    for (const client of clients) client.events.closed();
    expectNothingHeld(puppet);
  });
});

describe.each(RING_KINDS)("both ends at once ($name)", (rings) => {
  const boot = async (options: PuppetOptions = {}) => {
    const puppet = await bootPublished({ rings, ...options });
    const opened = puppet.open();
    opened.client.say("bytes on their way");
    puppet.tx.used();
    return { puppet, ...opened };
  };

  test.each(["before", "after"])(
    "V16, H4: the client ends %s the guest closes, neither knowing of the other",
    async (order) => {
      const { puppet, client, hostPort } = await boot();
      const close = { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH };
      if (order === "before") client.events.end();
      puppet.send(close);
      if (order === "after") client.events.end();
      client.events.closed();
      const ops = puppet.ops();
      expect(ops[0]).toBe(VsockOp.RW);
      expect(ops.filter((op) => op === VsockOp.RST)).toHaveLength(1);
      expect(ops.at(-1)).toBe(VsockOp.RST);
      puppet.send({ op: VsockOp.RST, hostPort });
      expect(puppet.take()).toEqual([]);
      expectNothingHeld(puppet);
    },
  );

  test("V16: answers crossing SHUTDOWN(both) of both sides with one RST", async () => {
    const { puppet, client, hostPort } = await boot();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    client.events.end();
    client.events.closed();
    const told = puppet.take();
    expect(told.at(-1)).toMatchObject({ op: VsockOp.SHUTDOWN, flags: BOTH });
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    puppet.send({ op: VsockOp.RST, hostPort });
    expect(puppet.take()).toEqual([]);
    expectNothingHeld(puppet);
  });

  test.each([1, 32])(
    "V14, H5: resets of both sides that cross (%i rx buffers)",
    async (rxBuffers) => {
      for (const guestFirst of [true, false]) {
        const { puppet, client, hostPort } = await boot({ rxBuffers });
        client.taking = false;
        puppet.send(rw(hostPort, 100));
        if (guestFirst) puppet.send({ op: VsockOp.RST, hostPort });
        client.fail();
        if (!guestFirst) puppet.send({ op: VsockOp.RST, hostPort });
        const rests = puppet.ops().filter((op) => op !== VsockOp.RW);
        expect(rests).toEqual(guestFirst || rxBuffers === 1 ? [] : [VsockOp.RST]);
        expectNothingHeld(puppet);
      }
    },
  );

  test("H5, G32: returns the tail's chains when its reader vanishes while RST waits for a buffer", async () => {
    const { puppet, client, hostPort } = await boot({ rxBuffers: 1 });
    client.taking = false;
    puppet.send(rw(hostPort, 100), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    puppet.send(rw(hostPort, 100));
    client.fail();
    puppet.tx.used();
    expect(puppet.tx.queue.inFlight).toBe(0);
    expect(puppet.ops()).toEqual([VsockOp.RW]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expectNothingHeld(puppet);
  });

  test("H5: sends RST in place of RESPONSE when the target resets meanwhile", () => {
    const puppet = new VsockPuppet({ rings, rxBuffers: 0, connect: new Map([[7, TARGET]]) });
    puppet.boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 7 });
    const socket = puppet.network.connects[0]?.socket as FakeSocket;
    socket.events.connected();
    socket.fail();
    puppet.post(4);
    puppet.halt();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expectNothingHeld(puppet);
  });

  test("H2: leaves nothing of clients that leave in every order around RESPONSE", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 2 });
    for (let i = 0; i < 60; i++) {
      const client = puppet.network.client();
      if (i % 3 === 0) client.fail();
      if (i % 3 === 1) client.events.end();
      for (const { op, hostPort } of puppet.take()) {
        if (op === VsockOp.REQUEST) puppet.send({ op: VsockOp.RESPONSE, hostPort });
        if (op === VsockOp.SHUTDOWN) puppet.send({ op, hostPort, flags: BOTH });
      }
      puppet.tx.used();
      if (i % 3 === 1) client.events.closed();
      if (i % 3 === 2) client.fail();
    }
    expectNothingHeld(puppet);
  });
});
