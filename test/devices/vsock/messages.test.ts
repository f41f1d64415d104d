// Seqpacket connections of the device: messages to and from the guest, framed on the host's socket.
import { describe, expect, onTestFinished, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { compileGuest } from "../../support/guest.ts";
import { BothHalves } from "../../support/kernel-and-devices.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const [STREAM, SEQPACKET] = [1, 2];
const [EOM, EOR] = [1, 2];
const MSG_EOR = 0x80;
const TARGET = { host: "127.0.0.1", port: 9 };
const boot = (options: PuppetOptions) =>
  bootPublished({ seqpacket: [80], rxBuffers: 64, ...options });
const bytes = (text: string) => new TextEncoder().encode(text);
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => i * 31 + (i >> 8));

function framed(message: Uint8Array, endsRecord = false): Uint8Array {
  const frame = Buffer.alloc(4);
  frame.writeUInt32LE(message.length + (endsRecord ? 0x80000000 : 0));
  return Buffer.concat([frame, message]);
}

/** The bytes on a client's socket, message by message. */
function unframed(stream: Buffer): { message: Uint8Array; endsRecord: boolean }[] {
  const messages = [];
  for (let at = 0; at < stream.length; ) {
    const head = stream.readUInt32LE(at);
    const length = head & 0x7fffffff;
    expect(stream.length).toBeGreaterThanOrEqual(at + 4 + length);
    const message = new Uint8Array(stream.subarray(at + 4, at + 4 + length));
    messages.push({ message, endsRecord: head >= 0x80000000 });
    at += 4 + length;
  }
  return messages;
}

/** Messages that the guest has got, with the flags of their last packets. */
function taken(puppet: VsockPuppet) {
  const messages: { message: Uint8Array; flags: number }[] = [];
  let parts: Uint8Array[] = [];
  for (const packet of puppet.take()) {
    if (packet.op !== VsockOp.RW) continue;
    expect(packet.type).toBe(SEQPACKET);
    parts.push(packet.data);
    if ((packet.flags & EOM) === 0) continue;
    messages.push({ message: new Uint8Array(Buffer.concat(parts)), flags: packet.flags });
    parts = [];
  }
  expect(parts).toEqual([]);
  return messages;
}

function open(puppet: VsockPuppet, bufAlloc = 65536): { client: FakeSocket; hostPort: number } {
  const client = puppet.network.client();
  const [request] = puppet.take();
  expect(request).toMatchObject({ op: VsockOp.REQUEST, type: SEQPACKET });
  const { hostPort } = request!;
  puppet.send({ op: VsockOp.RESPONSE, hostPort, type: SEQPACKET, bufAlloc });
  return { client, hostPort };
}

describe.each(RING_KINDS)("to the guest ($name)", (rings) => {
  test.each([1, 2, 3, 5, 7, 100])("V18: finds messages in chunks of %i bytes", async (cut) => {
    const puppet = await boot({ rings });
    const { client } = open(puppet);
    const sent = ["one", "", "two more", "x", ""].map(bytes);
    const stream = Buffer.concat([
      ...sent.map((message, i) => framed(message, i === 2)),
      framed(pattern(9000), true),
    ]);
    const got = [];
    for (let at = 0; at < stream.length; at += cut) {
      client.say(stream.subarray(at, at + cut));
      if (at % 50 < cut) got.push(...puppet.take());
    }
    got.push(...puppet.take());
    const parts = got.filter((packet) => packet.op === VsockOp.RW);
    const ends = parts.filter((packet) => packet.flags !== 0);
    expect(ends.map((packet) => packet.flags)).toEqual([EOM, EOM | EOR, EOM, EOM | EOR]);
    const all = Buffer.concat(parts.map((packet) => packet.data));
    expect(all.equals(Buffer.concat([...sent, pattern(9000)]))).toBe(true);
  });

  test("holds early bytes until the guest has accepted, and checks them then", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    const [request] = puppet.take();
    client.say(framed(bytes("early")));
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request!.hostPort, type: SEQPACKET });
    expect(taken(puppet)).toEqual([{ message: bytes("early"), flags: EOM }]);
    const late = puppet.network.client();
    const [other] = puppet.take();
    late.say(framed(pattern(2000)));
    const small = { type: SEQPACKET, bufAlloc: 1999 };
    puppet.send({ op: VsockOp.RESPONSE, hostPort: other!.hostPort, ...small });
    expect(puppet.ops()).toEqual([VsockOp.RST]); // now it is known to be too long
  });

  test("V18: cuts messages at the guest's buffers and credit, with the marks on the last part", async () => {
    const puppet = await boot({ rings });
    const { client, hostPort } = open(puppet, 10_000);
    client.say(framed(pattern(9000)));
    client.say(framed(bytes("tail"), true));
    const first = puppet.take().filter((packet) => packet.op === VsockOp.RW);
    expect(first.map((packet) => [packet.len, packet.flags])).toEqual([
      [4052, 0],
      [4052, 0],
      [896, EOM],
      [4, EOM | EOR],
    ]);
    client.say(framed(pattern(3000)));
    const [second] = puppet.take();
    expect(second).toMatchObject({ len: 996, flags: 0 });
    puppet.send({
      op: VsockOp.CREDIT_UPDATE,
      type: SEQPACKET,
      hostPort,
      bufAlloc: 10_000,
      fwdCnt: 9004,
    });
    const rest = puppet.take().filter((packet) => packet.op === VsockOp.RW);
    expect(rest).toMatchObject([{ len: 2004, flags: EOM }]);
  });

  test("V37: resets both sides when a message is larger than the guest's buffer", async () => {
    const puppet = await boot({ rings });
    const { client } = open(puppet, 1000);
    client.say(framed(bytes("fine")));
    client.say(framed(pattern(1001)));
    const ops = puppet.ops();
    expect(ops.at(-1)).toBe(VsockOp.RST);
    expect(client.calls).toContain("reset");
  });

  test("resets the connection when a client ends in the middle of a message", async () => {
    for (const cut of [1, 4, 6]) {
      const puppet = await boot({ rings });
      const { client } = open(puppet);
      client.say(framed(bytes("whole")));
      client.say(framed(bytes("half")).subarray(0, cut));
      client.events.end();
      expect(puppet.ops().at(-1)).toBe(VsockOp.RST);
    }
    const puppet = await boot({ rings });
    const { client } = open(puppet);
    client.say(framed(bytes("whole")));
    client.events.end();
    expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.SHUTDOWN]);
  });

  test("never reads in place, since frames are not for the guest", async () => {
    const puppet = await bootPublished({
      rings,
      seqpacket: [80],
      receive: "in-place",
      rxBuffers: 64,
    });
    const { client } = open(puppet);
    for (let i = 0; i < 40; i++) {
      client.say(framed(pattern(4000)));
      expect(taken(puppet)).toEqual([{ message: pattern(4000), flags: EOM }]);
      if (i % 10 === 9) {
        puppet.send({
          op: VsockOp.CREDIT_UPDATE,
          type: SEQPACKET,
          fwdCnt: (i + 1) * 4000,
          hostPort: puppet.device.connections()[0]!.hostPort,
        });
      }
    }
    expect(client.landings).toBe(0);
  });
});

describe.each(RING_KINDS)("from the guest ($name)", (rings) => {
  test("V18: sends a message after its length, in whatever parts it came", async () => {
    const puppet = await boot({ rings });
    const { client, hostPort } = open(puppet);
    const rw = (data: Uint8Array, flags: number) =>
      puppet.send({ op: VsockOp.RW, type: SEQPACKET, hostPort, data, flags });
    rw(bytes("single"), EOM);
    rw(bytes("in "), 0);
    rw(bytes("three "), 0);
    expect(unframed(client.received)).toHaveLength(1); // its length is not known yet
    rw(bytes("parts"), EOM | EOR);
    rw(bytes("ended by nothing"), 0);
    rw(new Uint8Array(0), EOM);
    rw(new Uint8Array(0), EOM); // no message at all
    const text = unframed(client.received).map(({ message, endsRecord }) => [
      new TextDecoder().decode(message),
      endsRecord,
    ]);
    expect(text).toEqual([
      ["single", false],
      ["in three parts", true],
      ["ended by nothing", false],
    ]);
  });

  test("keeps the order of messages that a client does not take, within the credit", async () => {
    const puppet = await boot({ rings });
    const { client, hostPort } = open(puppet);
    client.taking = false;
    const sent: Uint8Array[] = [];
    for (let i = 0; i < 3000; i++) {
      const message = pattern(1 + (i % 60)).map((byte) => byte ^ i);
      sent.push(message);
      const half = message.length >> 1;
      const packet = { op: VsockOp.RW, type: SEQPACKET, hostPort };
      if (half > 0) puppet.send({ ...packet, data: message.subarray(0, half) });
      puppet.send({ ...packet, data: message.subarray(half), flags: EOM });
      if (i % 50 === 0) puppet.tx.used();
    }
    while (client.received.length === 0 || unframed(client.received).length < 3000) client.take();
    expect(unframed(client.received).map((one) => one.message)).toEqual(sent);
    expect(puppet.ops()).not.toContain(VsockOp.RST);
  });

  test("gathers tiny parts for a client that takes nothing in few buffers", async () => {
    const puppet = await boot({ rings });
    const { client, hostPort } = open(puppet);
    client.taking = false;
    const packet = { op: VsockOp.RW, type: SEQPACKET, hostPort };
    for (let i = 0; i < 4000; i++) {
      puppet.send({ ...packet, data: Uint8Array.of(i & 255) });
      puppet.send({ ...packet, flags: EOM });
      if (i % 50 === 0) puppet.tx.used();
    }
    client.take();
    const messages = unframed(client.received);
    expect(messages.map(({ message }) => message[0])).toEqual(messages.map((_, i) => i & 255));
    expect(messages).toHaveLength(4000);
    expect(client.sends.at(-1)?.length).toBeLessThan(20);
  });

  test("H3: stops one-byte messages for a client that takes nothing at the credit", async () => {
    const puppet = await boot({ rings, limits: { bufAlloc: 2000 } });
    const { client, hostPort } = open(puppet);
    client.taking = false;
    const packet = { op: VsockOp.RW, type: SEQPACKET, hostPort, data: bytes("x"), flags: EOM };
    for (let i = 0; i < 2000; i++) {
      puppet.send(packet);
      puppet.tx.used();
    }
    expect(client.calls).toEqual([]);
    puppet.send(packet);
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.device.stats.copiedFromGuest).toBeLessThanOrEqual(2000);
  });

  test("K14: resets the connection when a message fills the credit and does not end", async () => {
    const puppet = await bootPublished({ rings, seqpacket: [80], limits: { bufAlloc: 8192 } });
    const { hostPort } = open(puppet);
    const packet = { op: VsockOp.RW, type: SEQPACKET, hostPort, data: pattern(4096) };
    puppet.send(packet);
    expect(puppet.ops()).not.toContain(VsockOp.RST);
    puppet.send(packet);
    expect(puppet.ops()).toContain(VsockOp.RST);
  });
});

describe.each(RING_KINDS)("ports ($name)", (rings) => {
  test("V33: refuses a packet or request of the other type, in its own type", async () => {
    const puppet = new VsockPuppet({
      rings,
      seqpacket: [80, 5000],
      connect: new Map([
        [5000, TARGET],
        [5001, TARGET],
      ]),
    });
    await puppet.publish();
    puppet.boot();
    const { hostPort } = open(puppet);
    puppet.send({ op: VsockOp.RW, type: STREAM, hostPort, data: bytes("x"), flags: 0 });
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, type: STREAM, hostPort }]);
    const request = { op: VsockOp.REQUEST, guestPort: 900 };
    puppet.send({ ...request, hostPort: 5000, type: STREAM });
    puppet.send({ ...request, hostPort: 5001, type: SEQPACKET });
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.RST, type: STREAM, hostPort: 5000 },
      { op: VsockOp.RST, type: SEQPACKET, hostPort: 5001 },
    ]);
    puppet.send({ ...request, hostPort: 5000, type: SEQPACKET });
    puppet.network.connects.at(-1)?.socket.events.connected();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RESPONSE, type: SEQPACKET }]);
  });
});

describe("with the kernel's sockets", () => {
  test("echoes messages of all lengths unchanged, with marks and order", async () => {
    const image = await compileGuest("test/guest/sockets.ts");
    const halves = await BothHalves.boot(image, { vsock: { seqpacket: [80] } });
    onTestFinished(() => halves.dispose());
    await halves.publish(80);
    const listener = halves.call("SysSocket", 5);
    halves.call("SysSocketBind", listener, 80);
    halves.call("SysSocketListen", listener, 8);
    const client = halves.client();
    const accepted = halves.start("accept", listener);
    const socket = accepted() ?? 0;
    expect(socket).toBeGreaterThan(0);
    const buffer = halves.call("ToroGetMem", 300_000);
    const lengths = [1, 3, 44, 255, 257, 2047, 2049, 4096, 65_535, 65_537, 200_000, 262_144];
    for (const [i, length] of lengths.entries()) {
      const endsRecord = i % 3 === 0;
      client.write(Buffer.from(framed(pattern(length), endsRecord)));
      halves.settle();
      expect(halves.start("recv", socket, buffer, 300_000)()).toBe(length);
      expect(halves.call("SysSocketMessageFlags", socket)).toBe(endsRecord ? MSG_EOR : 0);
      const sent = halves.start("send", socket, buffer, length, endsRecord ? MSG_EOR : 0);
      halves.settle();
      expect(sent()).toBe(length);
    }
    const back = unframed(Buffer.concat(client.received));
    expect(back.map(({ message }) => message.length)).toEqual(lengths);
    expect(back.map(({ endsRecord }) => endsRecord)).toEqual(lengths.map((_, i) => i % 3 === 0));
    expect(
      back.every(({ message }) => Buffer.compare(message, pattern(message.length)) === 0),
    ).toBe(true);
    expect(halves.faults()).toBe(0);
  });

  test("connects the guest to a host port that carries messages, and to no other", async () => {
    const image = await compileGuest("test/guest/sockets.ts");
    const connect = new Map([5000, 5001].map((port) => [port, TARGET] as const));
    const halves = await BothHalves.boot(image, { vsock: { seqpacket: [5000], connect } });
    onTestFinished(() => halves.dispose());
    const [messages, stream] = [5, 1].map((type) => halves.call("SysSocket", type));
    const refused = [
      halves.start("connect", messages ?? 0, 2, 5001),
      halves.start("connect", stream ?? 0, 2, 5000),
    ];
    halves.settle();
    expect(refused.map((result) => result())).toEqual([-104, -104]);
    const results = [
      halves.start("connect", messages ?? 0, 2, 5000),
      halves.start("connect", stream ?? 0, 2, 5001),
    ];
    halves.settle();
    for (const { socket } of halves.network.connects) socket.events.connected();
    halves.settle();
    expect(results.map((result) => result())).toEqual([0, 0]);
  });
});
