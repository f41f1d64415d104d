// Requirements of virtio 5.10 and 2.7 on the vsock device, statement by statement, where no
// other file has it: vsock-titles.test.ts sees to it that there is none without a test.
import { describe, expect, test } from "vitest";
import {
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
  VsockConfig,
  VsockOp,
} from "../../../abi/vsock.ts";
import { VsockDevice } from "../../../host/node/devices.ts";
import { RING_KINDS, type RingKind } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const [STREAM, SEQPACKET] = [1, 2];
const SEND = 2;
const BOTH = 3;
const TARGET = { host: "127.0.0.1", port: 9 };
const bits = (...features: number[]) =>
  features.reduce((all, bit) => all | (1n << BigInt(bit)), 0n);

/** Types of sockets that a guest with these features may use, as it finds out by REQUEST. */
function accepted(rings: RingKind, features: bigint): number[] {
  const connect = new Map([
    [1001, TARGET],
    [1002, TARGET],
  ]);
  const puppet = new VsockPuppet({ rings, features, connect, seqpacket: [1002] });
  puppet.boot();
  for (const type of [STREAM, SEQPACKET]) {
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1000 + type, guestPort: 5, type });
  }
  for (const { socket } of puppet.network.connects) socket.events.connected();
  const answers = puppet.take();
  expect(answers).toHaveLength(2);
  return answers.filter(({ op }) => op === VsockOp.RESPONSE).map(({ type }) => type);
}

/** Types of the REQUESTs that clients of a port for each type become. */
async function asked(rings: RingKind, features: bigint): Promise<number[]> {
  const puppet = new VsockPuppet({ rings, features, seqpacket: [81] });
  for (const guestPort of [80, 81]) await puppet.device.publish({ port: 0, guestPort });
  puppet.boot();
  const clients = [0, 1].map((which) => puppet.network.client(which));
  const requests = puppet.take();
  expect(clients.filter(({ calls }) => calls.includes("close"))).toHaveLength(2 - requests.length);
  return requests.map(({ type }) => type);
}

describe.each(RING_KINDS)("features ($name)", (rings) => {
  test("V1: offers both types, and NO_IMPLIED_STREAM", () => {
    const offered = bits(
      VIRTIO_VSOCK_F_STREAM,
      VIRTIO_VSOCK_F_SEQPACKET,
      VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
    );
    expect(new VsockDevice().features).toBe(offered);
    expect(accepted(rings, offered)).toEqual([STREAM, SEQPACKET]);
  });

  test("V2: carries streams both ways, and nothing else, without any feature", async () => {
    expect(accepted(rings, 0n)).toEqual([STREAM]);
    expect(await asked(rings, 0n)).toEqual([STREAM]);
  });

  test("V3: carries streams beside SEQPACKET only without NO_IMPLIED_STREAM", async () => {
    const implied = bits(VIRTIO_VSOCK_F_SEQPACKET);
    expect(accepted(rings, implied)).toEqual([STREAM, SEQPACKET]);
    expect(await asked(rings, implied)).toEqual([STREAM, SEQPACKET]);
    const alone = bits(VIRTIO_VSOCK_F_SEQPACKET, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
    expect(accepted(rings, alone)).toEqual([SEQPACKET]);
    expect(await asked(rings, alone)).toEqual([SEQPACKET]);
  });

  test("K14, V9: treats SEQPACKET that was not negotiated as an unknown type", async () => {
    const streams = bits(VIRTIO_VSOCK_F_STREAM, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
    expect(accepted(rings, streams)).toEqual([STREAM]);
    expect(await asked(rings, streams)).toEqual([STREAM]);
    expect(accepted(rings, bits(VIRTIO_VSOCK_F_NO_IMPLIED_STREAM))).toEqual([]);
  });
});

describe.each(RING_KINDS)("addresses ($name)", (rings) => {
  test("V10: addresses all packets to the CID that the guest reads, which is never a reserved one", async () => {
    for (const cid of [0, 1, 2, 0xffffffff, -1, 2.5]) {
      expect(() => new VsockDevice({ cid })).toThrow(`CID ${cid}`);
    }
    const puppet = await bootPublished({ rings, cid: 5 });
    expect(puppet.device.config).toEqual(Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0));
    expect(puppet.device.config).toHaveLength(VsockConfig.sizeof);
    puppet.network.client();
    expect(puppet.take()).toMatchObject([{ dstCid: 5, srcCid: 2, cidHigh: 0 }]);
  });

  test("V8, V31: accepts only packets from the guest's own CID, and only to the host", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const packet = { op: VsockOp.RW, hostPort, data: Buffer.from("x") };
    puppet.send({ ...packet, srcCid: 2 }, { ...packet, srcCid: 4 }, { ...packet, dstCid: 4 });
    expect([puppet.take(), client.received.length]).toEqual([[], 0]);
    expect(puppet.device.stats.rejected).toBe(3);
    puppet.send(packet);
    expect(client.received.toString()).toBe("x");
  });

  test("V13, V33: answers RST to a REQUEST without listener, beyond the limit, or while it drains", () => {
    const connect = new Map([[7, TARGET]]);
    const puppet = new VsockPuppet({ rings, connect, limits: { connections: 2 } });
    puppet.boot();
    const request = (hostPort: number, guestPort: number) =>
      puppet.send({ op: VsockOp.REQUEST, hostPort, guestPort });
    request(8, 1);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, hostPort: 8, guestPort: 1 }]);
    for (const port of [1, 2, 3]) request(7, port);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, guestPort: 3 }]);
    for (const { socket } of puppet.network.connects) socket.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST, VsockOp.RST]);
    void puppet.device.drain();
    request(7, 4);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, guestPort: 4 }]);
    expect(puppet.network.connects).toHaveLength(2);
  });

  test("V16, K19: does not reuse a host port while the guest may know it", async () => {
    const puppet = await bootPublished({ rings });
    const seen = new Set<number>();
    for (let i = 0; i < 50; i++) {
      const { hostPort } = puppet.open();
      expect(seen.has(hostPort)).toBe(false);
      seen.add(hostPort);
      if (i % 2 === 0) puppet.send({ op: VsockOp.RST, hostPort });
    }
  });
});

describe.each(RING_KINDS)("progress ($name)", (rings) => {
  test("V4: sends to a guest whose tx ring is full because of a slow reader", async () => {
    const puppet = await bootPublished({ rings, ringSize: 4, rxBuffers: 4 });
    const { client, hostPort } = puppet.open();
    puppet.tx.used();
    client.taking = false;
    const data = Buffer.from("x");
    puppet.send(...Array.from({ length: 4 }, () => ({ op: VsockOp.RW, hostPort, data })));
    for (let i = 0; i < 20; i++) {
      client.say(`${i}`);
      expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, fwdCnt: 0 }]);
    }
    client.take();
    expect(client.received.toString()).toBe("xxxx");
    expect(puppet.tx.used().length + puppet.tx.queue.inFlight).toBe(4);
  });

  test("V5: serves a guest without rx buffers, and keeps the packets that it owes", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 1 });
    const { client, hostPort } = puppet.open();
    client.say("fills the only buffer");
    for (let i = 0; i < 20; i++) {
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("x") });
      puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
      expect(puppet.tx.used().length).toBeGreaterThan(0);
    }
    expect(client.received.toString()).toBe("x".repeat(20));
    expect(puppet.ops()).toEqual([VsockOp.RW]);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 20 }]);
  });

  test("V7: every packet of a connection, RST included, carries buf_alloc and fwd_cnt", async () => {
    const limits = { bufAlloc: 1000 };
    const connect = new Map([[7, TARGET]]);
    const puppet = await bootPublished({ rings, limits, connect });
    const { client, hostPort } = puppet.open({ bufAlloc: 2 });
    const told: Packet[] = [];
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(600), bufAlloc: 2 });
    told.push(...puppet.take());
    client.say("abc");
    told.push(...puppet.take());
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 100 });
    client.events.end();
    told.push(...puppet.take());
    puppet.send({ op: 99, hostPort });
    told.push(...puppet.take());
    expect(told.map(({ op }) => op)).toEqual([
      VsockOp.CREDIT_UPDATE,
      VsockOp.RW,
      VsockOp.CREDIT_REQUEST,
      VsockOp.RW,
      VsockOp.SHUTDOWN,
      VsockOp.RST,
    ]);
    for (const packet of told) expect(packet).toMatchObject({ bufAlloc: 1000, fwdCnt: 600 });
    puppet.send({ op: VsockOp.REQUEST, hostPort: 7 });
    puppet.network.connects[0]?.socket.events.connected();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RESPONSE, bufAlloc: 1000, fwdCnt: 0 }]);
  });

  test("V36: holds no more than a chunk for a guest with a window of 4 GiB", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 2 });
    const { client } = puppet.open({ bufAlloc: 0xffffffff });
    client.say(Buffer.alloc(65536));
    expect(client.paused).toBe(true);
    let bytes = 0;
    for (let batch = puppet.take(); batch.length > 0; batch = puppet.take()) {
      bytes += batch.reduce((sum, { len }) => sum + len, 0);
    }
    expect([bytes, client.paused]).toEqual([65536, false]);
  });

  test("V38: has windows of 256 KiB, packets up to 64 KiB, and waits 2 s for RST, not 8 as Linux", async () => {
    const puppet = await bootPublished({ rings, rxBuffer: [44, 70_000] });
    const { client, hostPort } = puppet.open({ bufAlloc: 1 << 20 });
    client.say(Buffer.alloc(65536));
    client.say(Buffer.alloc(65536));
    expect(puppet.take()).toMatchObject([
      { len: 65536, bufAlloc: 262_144 },
      { len: 65536, bufAlloc: 262_144 },
    ]);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(65536) });
    expect(client.received).toHaveLength(65536);
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    client.events.end();
    client.events.closed();
    expect(puppet.take().at(-1)).toMatchObject({ op: VsockOp.SHUTDOWN, flags: BOTH });
    puppet.advance(1999);
    expect(puppet.take()).toEqual([]);
    puppet.advance(251); // deadlines are looked at four times a second
    expect(puppet.ops()).toEqual([VsockOp.RST]);
  });
});

describe.each(RING_KINDS)("notifications ($name)", (rings) => {
  const boot = async (options: PuppetOptions = {}) => {
    const puppet = await bootPublished({ rings, ...options });
    return { puppet, ...puppet.open() };
  };

  test("S10, S11, S12: interrupts only a driver that wants it, and in time once it does", async () => {
    const { puppet, client, hostPort } = await boot();
    puppet.tx.used();
    for (const ring of [puppet.rx, puppet.tx]) ring.wantsInterrupts = false;
    const before = [puppet.rx.interrupts, puppet.tx.interrupts];
    for (let i = 0; i < 10; i++) {
      client.say("x");
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("y") });
    }
    expect([puppet.rx.interrupts, puppet.tx.interrupts]).toEqual(before);
    expect([puppet.rx.used().length, puppet.tx.used().length]).toEqual([10, 10]);
    for (const ring of [puppet.rx, puppet.tx]) ring.wantsInterrupts = true;
    client.say("x");
    expect(puppet.rx.interrupts).toBe((before[0] as number) + 1);
    expect(puppet.rx.used()).toHaveLength(1);
  });

  test("S12: raises one interrupt for many buffers of one turn", async () => {
    const { puppet, hostPort } = await boot();
    puppet.tx.used();
    const before = puppet.tx.interrupts;
    puppet.send(...Array(20).fill({ op: VsockOp.RW, hostPort, data: Buffer.from("y") }));
    expect(puppet.tx.interrupts).toBe(before + 1);
    expect(puppet.tx.used()).toHaveLength(20);
  });

  test("S13: asks for a kick where it found the ring empty; by flags, always", async () => {
    const { puppet, client } = await boot({ rxBuffers: 4 });
    const before = puppet.rx.kicks;
    puppet.post(1);
    puppet.post(1);
    expect(puppet.rx.kicks - before).toBe(rings.eventIdx ? 0 : 2);
    for (let i = 0; i < 9; i++) if (!client.paused) client.say("z");
    expect(client.paused).toBe(true);
    puppet.post(1);
    expect(puppet.rx.kicks - before).toBe(rings.eventIdx ? 1 : 3);
    puppet.halt();
    expect(client.paused).toBe(false);
  });

  test("S17: ignores needless kicks of any queue", async () => {
    const { puppet, client } = await boot();
    puppet.tx.used();
    const before = { ...puppet.device.stats };
    for (let i = 0; i < 10; i++) {
      puppet.device.notify();
      puppet.halt();
    }
    expect(puppet.device.stats).toEqual(before);
    expect([puppet.rx.used(), puppet.tx.used()]).toEqual([[], []]);
    client.say("alive");
    expect(puppet.ops()).toEqual([VsockOp.RW]);
  });

  test("G29: loses nothing when indexes wrap", async () => {
    const { puppet, client, hostPort } = await boot({ rxBuffer: [64], rxBuffers: 40 });
    const data = Buffer.from("y");
    for (let count = 0; count < 66_000; count += 33) {
      for (let i = 0; i < 33; i++) client.say("x");
      if (puppet.take().length !== 33) throw new Error(`packets after ${count} are missing`);
      const packet = { op: VsockOp.RW, hostPort, data, fwdCnt: count + 33 };
      puppet.send(...Array(33).fill(packet));
      puppet.tx.used();
    }
    const both = { bytesToGuest: 66_000, bytesFromGuest: 66_000, rejected: 0 };
    expect(puppet.device.stats).toMatchObject(both);
  });
});

describe.each(RING_KINDS)("reset ($name)", (rings) => {
  /** A device that is reset in the middle of transfers; the memory holds one byte, everywhere. */
  async function resetWith(options: PuppetOptions, busy: (client: FakeSocket) => void) {
    const puppet = await bootPublished({ rings, rxBuffer: [44, 65536], rxBuffers: 16, ...options });
    const { client, hostPort } = puppet.open({ bufAlloc: 1 << 30 });
    client.taking = false;
    const data = Buffer.alloc(5000, "t");
    puppet.send({ op: VsockOp.RW, hostPort, data }, { op: VsockOp.RW, hostPort, data });
    busy(client);
    for (const ring of [puppet.rx, puppet.tx, puppet.events]) {
      ring.used();
      ring.detach();
    }
    puppet.memory.u8.fill(0xee);
    puppet.device.reset();
    return { puppet, client };
  }

  test.each(["data", "in-place", "adaptive"] as const)(
    "G30, C9: no late completion of a socket touches the guest's memory (%s)",
    async (receive) => {
      const { puppet, client } = await resetWith({ receive }, (socket) => {
        for (let i = 0; i < 40; i++) if (!socket.paused) socket.say(Buffer.alloc(60_000, "a"));
      });
      client.paused = false;
      client.say(Buffer.alloc(100_000, "late"));
      client.takeOne();
      client.events.end();
      client.events.closed();
      puppet.advance(60_000);
      puppet.device.halted();
      const untouched = Buffer.alloc(puppet.memory.byteLength, 0xee);
      expect(untouched.equals(puppet.memory.u8)).toBe(true);
      expect(puppet.device.stats.connections).toBe(0);
      expect(puppet.device.holdings.txDescriptors).toBe(0);
      expect(puppet.timers).toBe(0);
    },
  );
});
