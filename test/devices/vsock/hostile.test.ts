// The vsock device against a guest that breaks the rules: it is answered, and everything else goes
// on.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  encode,
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const BOTH = 3;
const TARGET = { host: "127.0.0.1", port: 9 };

/** A connection under attack, and a bystander that must not feel it. */
async function attack(options: PuppetOptions): Promise<{
  puppet: VsockPuppet;
  client: FakeSocket;
  hostPort: number;
  bystanderLives: () => void;
}> {
  const puppet = await bootPublished(options);
  const bystander = puppet.open();
  const { client, hostPort } = puppet.open();
  puppet.tx.used();
  const bystanderLives = (): void => {
    puppet.send({ op: VsockOp.RW, hostPort: bystander.hostPort, data: Buffer.from("fine") });
    expect(bystander.client.received.toString()).toBe("fine");
    bystander.client.say("too");
    const packets = puppet.take().filter((packet) => packet.hostPort === bystander.hostPort);
    expect(packets).toMatchObject([{ op: VsockOp.RW, len: 3 }]);
    expect(puppet.tx.queue.inFlight).toBe(0);
  };
  return { puppet, client, hostPort, bystanderLives };
}

describe.each(RING_KINDS)("packets ($name)", (rings) => {
  test.each([1, 65537, 0xffffffff])(
    "K1: hdr.len %i beyond the payload resets the connection",
    async (len) => {
      const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
      puppet.send({ op: VsockOp.RW, hostPort, len });
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      expect(client.calls).toEqual(["reset"]);
      expect(client.received).toHaveLength(0);
      expect(puppet.tx.used()).toMatchObject([{ len: 0 }]);
      bystanderLives();
    },
  );

  test("K1: refuses a payload of more than 64 KiB even if it is present", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(65537) });
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    bystanderLives();
  });

  test("K1: answers RST to hdr.len beyond the payload on unknown ports", async () => {
    const { puppet, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.RW, hostPort: 9, len: 4 });
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, hostPort: 9 }]);
    bystanderLives();
  });

  test("K2: returns and counts a header that is too short", async () => {
    const { puppet, hostPort, bystanderLives } = await attack({ rings });
    const bytes = encode({ op: VsockOp.RW, hostPort });
    puppet.sendRaw([bytes.subarray(0, 43)], [new Uint8Array(0)], [bytes.subarray(0, 20)]);
    expect(puppet.tx.used().map((chain) => chain.len)).toEqual([0, 0, 0]);
    expect(puppet.take()).toEqual([]);
    expect(puppet.device.stats.rejected).toBe(3);
    bystanderLives();
  });

  test("V11: refuses a tx buffer that the device may write", async () => {
    const { puppet, hostPort, bystanderLives } = await attack({ rings });
    puppet.sendRaw([encode({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH }), 64], [64]);
    expect(puppet.tx.used().map((chain) => chain.len)).toEqual([0, 0]);
    expect(puppet.device.stats.rejected).toBe(2);
    bystanderLives();
  });

  test("K3: resets the connection on an invalid operation", async () => {
    for (const op of [8, 255, 65535]) {
      const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
      puppet.send({ op, hostPort });
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      expect(client.calls).toEqual(["reset"]);
      bystanderLives();
    }
  });

  test("V32: ignores INVALID", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.INVALID, hostPort });
    expect(puppet.take()).toEqual([]);
    expect(client.calls).toEqual([]);
    bystanderLives();
  });

  test.each([0, 2, 3, 65535])(
    "V9, K3, K14: type %i is answered by RST of that type, and touches no stream",
    async (type) => {
      const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
      puppet.send({ op: VsockOp.RW, hostPort, type, data: Buffer.from("x") });
      expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, hostPort, type }]);
      expect(client.calls).toEqual([]);
      puppet.send({ op: VsockOp.RST, hostPort, type });
      expect(puppet.take()).toEqual([]);
      client.say("alive");
      expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, type: 1 }]);
      bystanderLives();
    },
  );

  test("K3: ignores unknown SHUTDOWN flags", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: 0xfffffffc });
    expect(puppet.take()).toEqual([]);
    expect(client.calls).toEqual([]);
    bystanderLives();
  });

  test.each([
    ["a forged source", { srcCid: 4 }],
    ["another destination", { dstCid: 3 }],
    ["upper bits of the source", { cidHigh: 1 }],
    ["upper bits of the destination", { dstCidHigh: 1 }],
  ])("K4, V8, V23, V31: drops a packet whose CID has %s", async (_, cid) => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.RST, hostPort, ...cid }, { op: VsockOp.RW, hostPort: 9, ...cid });
    expect(puppet.take()).toEqual([]);
    expect(client.calls).toEqual([]);
    expect(puppet.tx.used()).toHaveLength(2);
    expect(puppet.device.stats.rejected).toBe(2);
    bystanderLives();
  });
});

describe.each(RING_KINDS)("life cycle ($name)", (rings) => {
  test.each([VsockOp.RW, VsockOp.SHUTDOWN, VsockOp.CREDIT_UPDATE, VsockOp.REQUEST])(
    "K5, V32: operation %i before RESPONSE is answered by RST",
    async (op) => {
      const puppet = await bootPublished({ rings });
      const client = puppet.network.client();
      const [request] = puppet.take() as [Packet];
      puppet.send({ op, hostPort: request.hostPort, data: Buffer.from("x"), flags: BOTH });
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      expect(client.calls).toEqual(["reset"]);
      expect(client.received).toHaveLength(0);
    },
  );

  test.each([VsockOp.RW, VsockOp.SHUTDOWN, VsockOp.CREDIT_REQUEST, VsockOp.RESPONSE])(
    "K5: operation %i of the guest after its own REQUEST, before RESPONSE, is answered by RST",
    (op) => {
      const puppet = new VsockPuppet({ rings, connect: new Map([[7, TARGET]]) });
      puppet.boot();
      puppet.send(
        { op: VsockOp.REQUEST, hostPort: 7 },
        { op, hostPort: 7, data: Buffer.from("x") },
      );
      const socket = puppet.network.connects[0]?.socket as FakeSocket;
      expect([socket.calls, socket.received.length]).toEqual([["reset"], 0]);
      socket.events.closed();
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      expect(puppet.device.stats.connections).toBe(0);
    },
  );

  test("K5: answers RST to RW after RST", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send(
      { op: VsockOp.RST, hostPort },
      { op: VsockOp.RW, hostPort, data: Buffer.from("x") },
    );
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    bystanderLives();
  });

  test("K5: resets the connection on RW after the guest's own SHUTDOWN(SEND)", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: 2 });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("x") });
    expect(client.calls).toEqual(["end", "reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    bystanderLives();
  });

  test.each([VsockOp.REQUEST, VsockOp.RESPONSE])(
    "K6: operation %i on a live connection resets it",
    async (op) => {
      const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
      puppet.send({ op, hostPort });
      expect(client.calls).toEqual(["reset"]);
      expect(puppet.ops()).toEqual([VsockOp.RST]);
      bystanderLives();
    },
  );

  test("K7, V30: answers RST to any packet without a connection but RST", async () => {
    const { puppet, bystanderLives } = await attack({ rings });
    const ops = [
      VsockOp.RESPONSE,
      VsockOp.RW,
      VsockOp.SHUTDOWN,
      VsockOp.CREDIT_UPDATE,
      VsockOp.CREDIT_REQUEST,
      VsockOp.RST,
      99,
    ];
    puppet.send(...ops.map((op, i) => ({ op, hostPort: 100 + i })));
    const answers = puppet.take();
    expect(answers.map((packet) => packet.hostPort)).toEqual([100, 101, 102, 103, 104, 106]);
    expect(new Set(answers.map((packet) => packet.op))).toEqual(new Set([VsockOp.RST]));
    bystanderLives();
  });

  test("K7: finds no connection for the right host port with another guest port", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    puppet.send({ op: VsockOp.RST, hostPort, guestPort: 81 });
    puppet.send({ op: VsockOp.RW, hostPort, guestPort: 81, data: Buffer.from("x") });
    expect(client.calls).toEqual([]);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, guestPort: 81 }]);
    bystanderLives();
  });

  test("K11: answers RST to a flood of REQUESTs beyond the limit", () => {
    const connect = new Map([[1234, TARGET]]);
    const puppet = new VsockPuppet({ rings, connect, limits: { connections: 4 } });
    puppet.boot();
    for (let i = 0; i < 20; i++) {
      puppet.send({ op: VsockOp.REQUEST, hostPort: 1234, guestPort: 1000 + i });
    }
    expect(puppet.network.connects).toHaveLength(4);
    expect(puppet.ops()).toEqual(Array(16).fill(VsockOp.RST));
  });

  test("K5: answers RST to RW after a close at once, and gives the tail its usual time", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    client.taking = false;
    const data = Buffer.from("x");
    puppet.send(
      { op: VsockOp.RW, hostPort, data },
      { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH },
    );
    puppet.send({ op: VsockOp.RW, hostPort, data });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    puppet.advance(29_000);
    expect(client.calls).toEqual([]);
    puppet.advance(2000);
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(1);
    bystanderLives();
  });

  test("K19: answers RST to REQUEST on ports whose tail still leaves, and delivers the tail", () => {
    const puppet = new VsockPuppet({ rings, connect: new Map([[1234, TARGET]]) });
    puppet.boot();
    const ports = { hostPort: 1234, guestPort: 77 };
    puppet.send({ op: VsockOp.REQUEST, ...ports });
    const socket = puppet.network.connects[0]?.socket as FakeSocket;
    socket.events.connected();
    puppet.take();
    socket.taking = false;
    puppet.send(
      { op: VsockOp.RW, ...ports, data: Buffer.from("tail") },
      { op: VsockOp.SHUTDOWN, ...ports, flags: BOTH },
    );
    puppet.send({ op: VsockOp.REQUEST, ...ports });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.network.connects).toHaveLength(1);
    socket.take();
    expect([socket.received.toString(), ...socket.calls]).toEqual(["tail", "close"]);
    puppet.send({ op: VsockOp.REQUEST, ...ports });
    expect(puppet.network.connects).toHaveLength(2);
  });
});

describe.each(RING_KINDS)("credit ($name)", (rings) => {
  test("K8, V35: resets the connection when the guest sends beyond its credit", async () => {
    const puppet = await bootPublished({ rings, limits: { bufAlloc: 100 } });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(60) });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(41) });
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.tx.queue.inFlight).toBe(0);
  });

  test.each([
    ["more than was sent", 1000],
    ["less than before", 1],
  ])("K9: ignores fwd_cnt of %s", async (_, fwdCnt) => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    client.say("abcd");
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, fwdCnt: 4, bufAlloc: 4 });
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, fwdCnt, bufAlloc: 4 });
    client.say("efghi");
    const lengths = puppet.take().map((packet) => packet.len);
    expect(lengths).toEqual([4, 4, 0]);
    expect(puppet.device.stats.rejected).toBe(1);
    bystanderLives();
  });

  test.each([0, 0xffffffff])(
    "K10, V36: holds one chunk at most with buf_alloc %i",
    async (bufAlloc) => {
      const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
      puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc });
      client.say(Buffer.alloc(65536));
      expect(client.paused).toBe(bufAlloc === 0);
      for (let packets = 1; packets > 0; ) packets = puppet.take().length;
      bystanderLives();
    },
  );

  test("K10: stops RW when the window shrinks below the bytes in flight, and resumes", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    client.say("12345678");
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 4 });
    client.say("9");
    expect(puppet.take()).toMatchObject([{ len: 8 }, { op: VsockOp.CREDIT_REQUEST }]);
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 4, fwdCnt: 8 });
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, len: 1 }]);
    bystanderLives();
  });

  test("K17: answers a flood of CREDIT_REQUESTs once", async () => {
    const { puppet, hostPort, bystanderLives } = await attack({ rings });
    puppet.send(...Array(100).fill({ op: VsockOp.CREDIT_REQUEST, hostPort }));
    expect(puppet.ops()).toEqual([VsockOp.CREDIT_UPDATE]);
    bystanderLives();
  });
});

describe.each(RING_KINDS)("queues ($name)", (rings) => {
  test("K12, V5: takes no packets while resets wait for rx buffers, and loses none", async () => {
    const puppet = await bootPublished({ rings, ringSize: 512, rxBuffers: 0 });
    const flood = Array.from({ length: 400 }, (_, i) => ({ op: VsockOp.RW, hostPort: i }));
    puppet.send(...flood);
    expect(puppet.tx.used()).toHaveLength(256);
    puppet.post(100);
    puppet.halt();
    expect(puppet.tx.used()).toHaveLength(100);
    const ports: number[] = [];
    for (let batch = puppet.take(); batch.length > 0; batch = puppet.take()) {
      for (const packet of batch) ports.push(packet.hostPort);
    }
    expect(ports).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(puppet.tx.used()).toHaveLength(44);
  });

  test("K12: bounds the resets that connections owe by their number, and then takes no packets", async () => {
    const connect = new Map([[7, TARGET]]);
    const limits = { connections: 10 };
    const options = { rings, connect, limits, ringSize: 1024, rxBuffers: 0 };
    const puppet = new VsockPuppet(options);
    puppet.boot();
    const each = (guestPort: number) => [
      { op: VsockOp.REQUEST, hostPort: 7, guestPort },
      { op: 99, hostPort: 7, guestPort },
    ];
    puppet.send(...Array.from({ length: 400 }, (_, i) => each(i)).flat());
    // Ten that were connections, and 256 of the list; REQUEST and what follows it are one each.
    expect(puppet.network.connects).toHaveLength(10);
    expect(puppet.tx.used()).toHaveLength(10 * 2 + 256);
    for (const { socket } of puppet.network.connects) {
      expect(socket.calls).toEqual(["reset"]);
      socket.events.closed();
    }
    puppet.post(1000);
    puppet.halt();
    for (let answers = puppet.ops(); answers.length > 0; answers = puppet.ops()) {
      expect(new Set(answers)).toEqual(new Set([VsockOp.RST]));
    }
    expect(puppet.tx.queue.available + puppet.tx.queue.inFlight).toBe(0);
    for (const { socket } of puppet.network.connects.splice(10)) socket.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("K12, V30: answers nothing to a flood of RST", async () => {
    const { puppet, bystanderLives } = await attack({ rings });
    for (let i = 0; i < 20; i++) {
      puppet.send(...Array.from({ length: 200 }, (_, k) => ({ op: VsockOp.RST, hostPort: k })));
      expect(puppet.tx.used()).toHaveLength(200);
    }
    expect(puppet.take()).toEqual([]);
    bystanderLives();
  });

  test("K16: holds one chunk per client for a guest that posts no rx buffers", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 20 });
    const open = Array.from({ length: 10 }, () => puppet.open());
    puppet.take(false);
    for (const { client } of open) {
      for (let i = 0; i < 5; i++) if (!client.paused) client.say(Buffer.alloc(65536, i));
    }
    expect(open.every(({ client }) => client.paused)).toBe(true);
    const late = Array.from({ length: 5 }, () => puppet.network.client());
    puppet.advance(2250); // the guest has not heard of them
    expect(late.every(({ calls }) => calls[0] === "reset")).toBe(true);
    for (const client of [...late, ...open.map((one) => one.client)]) client.fail();
    expect(puppet.device.stats.connections).toBe(10); // it has heard of those
    puppet.rx.used();
    puppet.post(20);
    puppet.halt();
    expect(puppet.ops()).toEqual(Array(10).fill(VsockOp.RST));
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("K13, V34: ignores a flood of empty messages", async () => {
    const puppet = await bootPublished({ rings, seqpacket: [80] });
    const client = puppet.network.client();
    const [{ hostPort }] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort, type: 2 });
    client.taking = false;
    const packet = { op: VsockOp.RW, hostPort, type: 2 };
    puppet.send({ ...packet, data: Buffer.from("first"), flags: 1 });
    puppet.tx.used();
    for (let i = 0; i < 10; i++) {
      puppet.send(...Array.from({ length: 100 }, (_, k) => ({ ...packet, flags: k & 3 })));
      expect(puppet.tx.used()).toHaveLength(100);
    }
    client.take();
    expect(client.received.toString("latin1")).toBe("\x05\0\0\0first");
    expect(puppet.take()).toEqual([]);
  });

  test("K13, V34: ignores a flood of empty RW", async () => {
    const { puppet, client, hostPort, bystanderLives } = await attack({ rings });
    for (let i = 0; i < 10; i++) {
      puppet.send(...Array(100).fill({ op: VsockOp.RW, hostPort }));
      expect(puppet.tx.used()).toHaveLength(100);
    }
    expect(client.sends).toEqual([]);
    expect(puppet.take()).toEqual([]);
    bystanderLives();
  });

  test("K15: returns short or readable rx buffers empty, and uses the next one", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 0 });
    puppet.post(1, [43]);
    puppet.post(1, [new Uint8Array(64), 64]);
    puppet.post(1, [44]);
    puppet.network.client();
    expect(puppet.rx.used().map((chain) => chain.len)).toEqual([0, 0, 44]);
    expect(puppet.device.stats.rejected).toBe(2);
  });

  test("K15: puts no payload into a buffer with room for a header only", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 1 });
    const { client } = puppet.open();
    client.say("x");
    puppet.take(false);
    puppet.post(1, [44]);
    client.say("y");
    puppet.post(1, [45]);
    puppet.halt();
    expect(puppet.rx.used().map((chain) => chain.len)).toEqual([0, 45]);
  });

  test("K20: leaves the event queue alone", async () => {
    const puppet = await bootPublished({ rings });
    const queues = [puppet.rx.queue, puppet.tx.queue, puppet.tx.queue];
    puppet.device.activate(queues, puppet.device.features);
    puppet.open();
    expect(puppet.tx.queue.inFlight).toBe(0);
  });

  test("works when a queue is unused", () => {
    const puppet = new VsockPuppet({ rings, connect: new Map([[1234, TARGET]]) });
    puppet.boot();
    puppet.device.activate([null, puppet.tx.queue, null], 0n);
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1234 });
    puppet.device.activate([puppet.rx.queue, null, null], 0n);
    puppet.halt();
    puppet.network.connects[0]?.socket.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
  });
});
