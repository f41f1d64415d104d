// The vsock device reads in place: bytes of a client land in rx buffers that were chosen before
// they came. The guest and its clients are the test's.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  type VsockPuppet,
} from "../../support/vsock-puppet.ts";

const KIB = 1024;
const RCV = 1;
const BOTH = 3;
const HUGE = 1 << 30;
/** Header and payload apart, as the guest's driver posts them. */
const LARGE = { rxBuffer: [44, 64 * KIB], rxBuffers: 16 };

function pattern(bytes: number, from = 0): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => ((from + i) * 7 + (i >> 8)) & 255));
}

function join(packets: readonly Packet[]): Buffer {
  return Buffer.concat(packets.map((packet) => packet.data));
}

/** A connection that reads in place already. */
async function bootInPlace(options: PuppetOptions, bufAlloc = HUGE) {
  const puppet = await bootPublished({ receive: "in-place", ...LARGE, ...options });
  const { client, hostPort } = puppet.open({ bufAlloc });
  expect(client.reader).not.toBe(null);
  const credit = (fwdCnt: number, room = bufAlloc) =>
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: room, fwdCnt });
  return { puppet, client, hostPort, credit };
}

describe.each(RING_KINDS)("when a connection changes over ($name)", (rings) => {
  async function landings(chunks: readonly number[], options: PuppetOptions = LARGE) {
    const puppet = await bootPublished({ rings, ...options });
    const { client } = puppet.open({ bufAlloc: HUGE });
    for (const bytes of chunks) {
      client.say(pattern(bytes));
      puppet.take();
    }
    return client.landings;
  }

  test("changes over after one full chunk of 64 KiB", async () => {
    expect(await landings([64 * KIB])).toBe(1);
  });

  test("changes over after eight chunks of 8 KiB, not after seven", async () => {
    expect(await landings(Array(8).fill(8 * KIB))).toBe(1);
    expect(await landings(Array(7).fill(8 * KIB))).toBe(0);
  });

  test("never changes over for small requests, however many", async () => {
    const puppet = await bootPublished({ ...LARGE, rings });
    const clients = [1, 2].map(() => puppet.open({ bufAlloc: HUGE }).client);
    for (let i = 0; i < 100; i++) {
      for (const [k, client] of clients.entries()) client.say(pattern(KIB, i + k));
      const [one, two] = puppet.take() as [Packet, Packet];
      expect(join([one, two]).equals(Buffer.concat([pattern(KIB, i), pattern(KIB, i + 1)]))).toBe(
        true,
      );
    }
    expect(clients.map((client) => client.landings)).toEqual([0, 0]);
    expect(puppet.rx.queue.inFlight).toBe(0);
    expect(puppet.device.stats.copied).toEqual([0, 200 * KIB, 0, 0]);
    expect(puppet.device.connections()).toMatchObject([{ inPlace: false }, { inPlace: false }]);
  });

  test("changes over after many small requests, once it carries much", async () => {
    const puppet = await bootPublished({ ...LARGE, rings });
    const { client } = puppet.open({ bufAlloc: HUGE });
    for (const bytes of [...Array(20).fill(10), 64 * KIB]) {
      client.say(pattern(bytes));
      puppet.take();
    }
    expect(puppet.rx.queue.inFlight).toBe(1);
    client.say(pattern(50_000));
    expect(join(puppet.take()).equals(pattern(50_000))).toBe(true);
    expect(client.landings).toBe(1);
    expect(puppet.device.stats.bytesInPlace).toBe(50_000);
  });

  test("K16: bytes without room in the guest are copied out of the shared buffer", async () => {
    const puppet = await bootPublished({ ...LARGE, rings });
    const slow = puppet.open({ bufAlloc: 17_000 });
    const quick = puppet.open({ bufAlloc: HUGE });
    for (let i = 0; i < 16; i++) {
      slow.client.say(pattern(1000));
      quick.client.say(pattern(10));
      puppet.take();
    }
    slow.client.say(pattern(3000, 5));
    expect(slow.client.paused).toBe(true);
    quick.client.say(pattern(3000, 9));
    const seen = puppet.take();
    const of = (port: number) => join(seen.filter(({ hostPort }) => hostPort === port));
    expect(of(quick.hostPort).equals(pattern(3000, 9))).toBe(true);
    expect(of(slow.hostPort).equals(pattern(3000, 5).subarray(0, 1000))).toBe(true);
    const credit = { hostPort: slow.hostPort, bufAlloc: 17_000, fwdCnt: 17_000 };
    puppet.send({ op: VsockOp.CREDIT_UPDATE, ...credit });
    expect(join(puppet.take()).equals(pattern(3000, 5).subarray(1000))).toBe(true);
    expect(slow.client.paused).toBe(false);
  });

  test("does not change over when the ring's buffers are single pages", async () => {
    expect(await landings([64 * KIB, 64 * KIB], { rxBuffer: [44, 4096] })).toBe(0);
    expect(await landings([64 * KIB], { rxBuffer: [44, 16384] })).toBe(1);
  });

  test("does not read into a fragmented payload part", async () => {
    const pieces = { rxBuffer: [44, 32 * KIB, 32 * KIB], rxBuffers: 16 };
    expect(await landings([64 * KIB], pieces)).toBe(0);
    expect(await landings([64 * KIB], { rxBuffer: [64 * KIB], rxBuffers: 16 })).toBe(1);
  });

  test("never changes over in mode data, and begins in place in mode in-place", async () => {
    expect(await landings([64 * KIB, 64 * KIB], { ...LARGE, receive: "data" })).toBe(0);
    expect(await landings([], { ...LARGE, receive: "in-place" })).toBe(1);
    expect(await landings([], { rxBuffer: [44, 4096], receive: "in-place" })).toBe(1);
  });

  test("goes on by chunks on a host that cannot read in place, and asks again rarely", async () => {
    const puppet = await bootPublished({ ...LARGE, rings });
    const { client } = puppet.open({ bufAlloc: HUGE });
    client.canLand = false;
    const sent = pattern(40 * 8 * KIB);
    const got: Packet[] = [];
    for (let at = 0; at < sent.length; at += 8 * KIB) {
      client.say(sent.subarray(at, at + 8 * KIB));
      got.push(...puppet.take());
    }
    expect(join(got).equals(sent)).toBe(true);
    expect(client.landings).toBe(5);
    expect(puppet.device.stats).toMatchObject({ copiedToGuest: sent.length, bytesInPlace: 0 });
    expect(puppet.device.connections()).toMatchObject([{ inPlace: false }]);
  });

  test("reserves at most a quarter of the buffers; further connections stay with chunks", async () => {
    const puppet = await bootPublished({ rings, ...LARGE, receive: "in-place" });
    const clients = Array.from({ length: 6 }, () => puppet.open({ bufAlloc: HUGE }).client);
    expect(clients.filter((client) => client.reader !== null)).toHaveLength(4);
    for (const client of clients) client.say("as ever");
    expect(puppet.take().map((packet) => packet.len)).toEqual(Array(6).fill(7));
    (clients[0] as FakeSocket).events.end();
    expect(puppet.ops()).toEqual([VsockOp.SHUTDOWN]);
    expect(puppet.open({ bufAlloc: HUGE }).client.reader).not.toBe(null);
  });
});

describe.each([
  ["plain", "apart", { rxBuffer: [44, 64 * KIB] }],
  ["plain", "together", { rxBuffer: [44 + 64 * KIB] }],
  ["shared", "apart", { rxBuffer: [44, 64 * KIB], sharedMemory: true }],
])("in %s memory, header and payload %s", (_kind, _header, options) => {
  test("lands bytes in the guest's buffers, uncopied and in order", async () => {
    const { puppet, client, hostPort } = await bootInPlace({ ...options, rxBuffers: 16 });
    const sent = pattern(300_000);
    const got: Packet[] = [];
    for (let at = 0; at < sent.length; at += 30_000) {
      expect(client.reader?.armed.buffer).toBe(puppet.memory.wasm.buffer);
      client.say(sent.subarray(at, at + 30_000));
      got.push(...puppet.take());
    }
    expect(join(got).equals(sent)).toBe(true);
    expect(got.every((packet) => packet.op === VsockOp.RW && packet.len === 30_000)).toBe(true);
    expect(puppet.device.stats).toMatchObject({
      bytesToGuest: 300_000,
      bytesInPlace: 300_000,
      copiedToGuest: 0,
      rejected: 0,
    });
    expect(puppet.device.connections()).toMatchObject([
      { hostPort, guestPort: 80, inPlace: true, bytesToGuest: 300_000, copiedToGuest: 0 },
    ]);
  });
});

describe.each(RING_KINDS)("counters and headers ($name)", (rings) => {
  test("counts no copy after the change", async () => {
    const puppet = await bootPublished({ ...LARGE, rings });
    const { client } = puppet.open({ bufAlloc: HUGE });
    const sent = pattern(640 * KIB);
    const got: Packet[] = [];
    for (let at = 0; at < sent.length; at += 64 * KIB) {
      client.say(sent.subarray(at, at + 64 * KIB));
      got.push(...puppet.take());
    }
    expect(join(got).equals(sent)).toBe(true);
    expect(puppet.device.stats).toMatchObject({
      copied: [0, 64 * KIB, 0, 0],
      bytesInPlace: 576 * KIB,
    });
  });

  test("V7, V24: a packet that was read in place carries current credit and its length", async () => {
    const { puppet, client, hostPort } = await bootInPlace({ rings });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(1000), bufAlloc: HUGE });
    client.say("12345");
    expect(puppet.rx.used()).toMatchObject([{ len: 49 }]);
    client.say("6");
    expect(puppet.take()).toMatchObject([{ fwdCnt: 1000, len: 1, srcCid: 2, dstCid: 3, type: 1 }]);
  });
});

describe.each(RING_KINDS)("credit ($name)", (rings) => {
  test("V6: reads no more than the credit; without credit it pauses and sends one CREDIT_REQUEST", async () => {
    const { puppet, client, credit } = await bootInPlace({ rings }, 10_000);
    const sent = pattern(50_000);
    client.say(sent.subarray(0, 6000));
    expect(client.reader?.armed.length).toBe(4000);
    client.say(sent.subarray(6000));
    expect(client.paused).toBe(true);
    const got = puppet.take();
    expect(got.map(({ op, len }) => [op, len])).toEqual([
      [VsockOp.RW, 6000],
      [VsockOp.RW, 4000],
      [VsockOp.CREDIT_REQUEST, 0],
    ]);
    for (let fwdCnt = 10_000; fwdCnt < 50_000; ) {
      credit(fwdCnt);
      expect(client.paused).toBe(false);
      client.deliver();
      const packets = puppet.take().filter(({ op }) => op === VsockOp.RW);
      expect(packets.length).toBeGreaterThan(0);
      for (const { len } of packets) fwdCnt += len;
      got.push(...packets);
    }
    expect(join(got).equals(sent)).toBe(true);
    expect(puppet.device.stats).toMatchObject({ copiedToGuest: 0, rejected: 0 });
  });

  test("gives the guest its turn when credit gets short, before pausing", async () => {
    const { puppet, client, credit } = await bootInPlace({ rings }, 64 * KIB);
    const got: Packet[] = [];
    let consumed = 0;
    puppet.onTurn = (atOnce) => {
      if (!atOnce) return; // it will not come before this read is over
      for (const packet of puppet.take()) {
        got.push(packet);
        consumed += packet.len;
      }
      credit(consumed);
    };
    const sent = pattern(1 << 20);
    client.say(sent);
    expect(client.unread).toHaveLength(0);
    got.push(...puppet.take());
    expect(join(got).equals(sent)).toBe(true);
    expect(got.every((packet) => packet.op === VsockOp.RW)).toBe(true);
    expect(puppet.device.stats.copiedToGuest).toBe(0);
  });

  test("K10: copies, and loses nothing, when the window shrinks under an armed buffer", async () => {
    const { puppet, client, credit } = await bootInPlace({ rings }, 60_000);
    expect(client.reader?.armed.length).toBe(60_000);
    credit(0, 1000);
    const sent = pattern(60_000);
    client.say(sent);
    expect(client.paused).toBe(true);
    const got: Packet[] = [];
    for (let fwdCnt = 0; fwdCnt < sent.length; ) {
      const packets = puppet.take().filter(({ op }) => op === VsockOp.RW);
      expect(packets.map(({ len }) => len)).toEqual([1000]);
      fwdCnt += 1000;
      got.push(...packets);
      credit(fwdCnt, 1000);
    }
    expect(join(got).equals(sent)).toBe(true);
    // The spilled bytes were copied out of the chain, and into others.
    expect(puppet.device.stats.copied).toEqual([0, 0, 59_000, 59_000]);
  });

  test("K10: holds one chunk while the window is zero, and sends it when it opens", async () => {
    const { puppet, client, credit } = await bootInPlace({ rings }, 1000);
    credit(0, 0);
    client.say(pattern(1000));
    expect(client.paused).toBe(true);
    expect(puppet.ops()).toEqual([VsockOp.CREDIT_REQUEST]);
    expect(puppet.device.stats.bytesToGuest).toBe(0);
    credit(0, 1000);
    expect(join(puppet.take()).equals(pattern(1000))).toBe(true);
    credit(1000, 1000);
    expect(client.paused).toBe(false);
  });
});

describe.each(RING_KINDS)("buffers ($name)", (rings) => {
  test("K16: keeps one chunk in staging without rx buffers, and reads in place again later", async () => {
    const { puppet, client } = await bootInPlace({ rings });
    puppet.rx.used();
    const sent = pattern(40 * 1000);
    for (let i = 0; i < 40; i++) client.say(sent.subarray(i * 1000, i * 1000 + 1000));
    expect(client.paused).toBe(true);
    const got: Packet[] = [];
    for (let packets = puppet.take(); packets.length > 0; packets = puppet.take()) {
      got.push(...packets);
      client.deliver();
    }
    expect(join(got).equals(sent)).toBe(true);
    expect(client.paused).toBe(false);
    // One read had no buffer, and was copied out of the way of others.
    const stats = { copied: [0, 0, 24_000, 1000] };
    expect(puppet.device.stats).toMatchObject({ bytesInPlace: 16_000, ...stats });
    client.say("in place again");
    expect(puppet.device.stats).toMatchObject({ bytesInPlace: 16_014, ...stats });
  });

  test("delivers every byte through one tiny buffer at a time", async () => {
    const puppet = await bootPublished({
      rings,
      receive: "in-place",
      rxBuffer: [44, 10],
      rxBuffers: 8,
    });
    const { client } = puppet.open({ bufAlloc: HUGE });
    const sent = pattern(500);
    client.say(sent);
    const got: Packet[] = [];
    for (let packets = puppet.take(false); packets.length > 0; packets = puppet.take(false)) {
      got.push(...packets);
      puppet.post(1);
      puppet.halt();
      client.deliver();
    }
    expect(join(got).equals(sent)).toBe(true);
  });
});

describe.each(RING_KINDS)("the end ($name)", (rings) => {
  /** Buffers that the device holds and gives to nobody. */
  const held = (puppet: VsockPuppet) => puppet.rx.queue.inFlight;

  test("H4: frees the reserved buffer at the client's end of stream", async () => {
    const { puppet, client } = await bootInPlace({ rings });
    expect(held(puppet)).toBe(1);
    client.say("last words");
    client.events.end();
    expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.SHUTDOWN]);
    const other = puppet.open();
    other.client.say("x");
    puppet.take();
    expect(held(puppet)).toBeLessThanOrEqual(1);
  });

  test("H5: turns a client's reset in mid-read into RST, sent in the reserved buffer", async () => {
    const { puppet, client } = await bootInPlace({ rings, ...LARGE, rxBuffers: 8 });
    client.say("x");
    client.fail();
    expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.RST]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("V14: returns the buffer after the guest's RST only once the socket is closed", async () => {
    const { puppet, client, hostPort } = await bootInPlace({ rings, ...LARGE, rxBuffers: 4 });
    const armed = client.reader?.armed as Uint8Array;
    puppet.send({ op: VsockOp.RST, hostPort });
    expect(client.calls).toEqual(["reset"]);
    puppet.send(...Array(4).fill({ op: VsockOp.RW, hostPort: 9 }));
    expect(puppet.take(false)).toHaveLength(3);
    armed.fill(0xff); // the kernel may still do that
    client.events.closed();
    expect(puppet.take(false)).toMatchObject([{ op: VsockOp.RST, hostPort: 9 }]);
  });

  test("C9, M3: closes the socket first when the device is reset in mid-read, and touches no ring", async () => {
    const { puppet, client } = await bootInPlace({ rings });
    client.say("before");
    const old = puppet.rx;
    old.used();
    old.queue.detach();
    puppet.tx.queue.detach();
    puppet.device.reset();
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(old.used()).toEqual([]);
    puppet.boot();
    const again = puppet.open();
    again.client.say("hello");
    expect(join(puppet.take()).toString()).toBe("hello");
  });

  test("resets a client whose bytes land after SHUTDOWN(RCV), and frees the buffer", async () => {
    const { puppet, client, hostPort } = await bootInPlace({ rings });
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: RCV });
    client.say(pattern(200_000));
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(client.reader?.armed.buffer).not.toBe(puppet.memory.wasm.buffer);
    expect(puppet.device.holdings.rxBuffers).toBe(0);
    expect(puppet.device.stats.bytesToGuest).toBe(0);
  });

  test("drains an unwanted upload before it closes", async () => {
    const { puppet, client, hostPort } = await bootInPlace({ rings });
    client.say(pattern(64 * KIB));
    puppet.take();
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("413") });
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(client.calls).toEqual(["end"]);
    client.say(pattern(100_000));
    expect(client.unread).toHaveLength(0);
    client.events.end();
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("after drain bytes that still land do not reach the guest", async () => {
    const { puppet, client } = await bootInPlace({ rings });
    const drained = puppet.device.drain();
    expect(puppet.ops()).toEqual([VsockOp.SHUTDOWN]);
    client.reader?.read(pattern(100));
    expect(puppet.take()).toEqual([]);
    client.fail();
    puppet.take();
    await drained;
  });
});
