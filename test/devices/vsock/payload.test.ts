// The vsock device against a guest that the test plays: payload and credit, both ways.
import { describe, expect, test } from "vitest";
import { VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { bootPublished, encode, type Packet } from "../../support/vsock-puppet.ts";

describe.each(RING_KINDS)("payload from the guest ($name)", (rings) => {
  test("sends the packets of one turn at once, straight from guest memory", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const part = (text: string) => ({ op: VsockOp.RW, hostPort, data: Buffer.from(text) });
    puppet.send(part("one "), part("two "), part("three"));
    expect(client.sends).toHaveLength(1);
    expect(client.received.toString()).toBe("one two three");
    for (const view of client.sends[0] as Uint8Array[]) {
      expect(view.buffer).toBe(puppet.memory.wasm.buffer);
    }
    expect(puppet.device.stats.copiedFromGuest).toBe(0);
  });

  test("V24: returns chains with len 0 in the turn in which the kernel took their bytes", async () => {
    const puppet = await bootPublished({ rings });
    const { hostPort } = puppet.open();
    puppet.tx.used();
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("x") });
    expect(puppet.tx.used()).toMatchObject([{ len: 0 }]);
  });

  test("keeps a chain until the kernel has its bytes", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.tx.used();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("slow") });
    expect(puppet.tx.used()).toEqual([]);
    const turns = puppet.turns;
    client.take();
    expect(puppet.tx.used()).toMatchObject([{ len: 0 }]);
    expect(puppet.turns).toBeGreaterThan(turns);
    expect(client.received.toString()).toBe("slow");
  });

  test("H3: keeps chains uncopied during a send, and sends them next", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, "a"));
    puppet.tx.used();
    puppet.send(rw(hostPort, "b"));
    puppet.send(rw(hostPort, "c"));
    expect(puppet.tx.used()).toEqual([]);
    expect(puppet.device.holdings.txDescriptors).toBe(3);
    client.takeOne();
    expect(puppet.tx.used()).toHaveLength(1);
    expect(puppet.device.holdings.txDescriptors).toBe(2);
    expect(client.sends.map((send) => send.length)).toEqual([1, 2]);
    client.take();
    expect(client.received.toString()).toBe("abc");
    expect(puppet.tx.used()).toHaveLength(2);
    expect(puppet.device.stats.copiedFromGuest).toBe(0);
    expect(puppet.device.holdings.txDescriptors).toBe(0);
  });

  test("H3: copies payload after 16 waiting chains, returns those chains, and keeps the order", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, "first"));
    puppet.tx.used();
    for (let i = 0; i < 30; i++) puppet.send(rw(hostPort, ` ${i}`.padStart(400)));
    expect(puppet.tx.used()).toHaveLength(14);
    expect(puppet.device.stats.copied).toEqual([14 * 400, 0, 0, 0]);
    client.takeOne();
    expect(client.sends[1]?.length).toBeGreaterThan(16);
    client.take();
    const expected = Array.from({ length: 30 }, (_, i) => ` ${i}`.padStart(400));
    expect(client.received.toString()).toBe(`first${expected.join("")}`);
    expect(puppet.device.holdings.txDescriptors).toBe(0);
    expect(puppet.tx.queue.inFlight).toBe(0);
  });

  test("V39: copies nothing under short credit, and advances fwd_cnt as the kernel takes bytes", async () => {
    const puppet = await bootPublished({ rings, limits: { bufAlloc: 1000 } });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, Buffer.alloc(500, "a")));
    for (let round = 0; round < 20; round++) {
      puppet.send(rw(hostPort, Buffer.alloc(500, "b")));
      client.takeOne();
      expect(puppet.take().at(-1)?.fwdCnt).toBe((round + 1) * 500);
    }
    expect(puppet.device.stats.copiedFromGuest).toBe(0);
  });

  test("lets slow readers pin a share of the ring, and copies for them after that", async () => {
    const puppet = await bootPublished({ rings, ringSize: 32 });
    for (let i = 0; i < 24; i++) {
      const { client, hostPort } = puppet.open();
      client.taking = false;
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("x") });
      puppet.tx.used();
    }
    expect(puppet.tx.queue.inFlight).toBeLessThanOrEqual(9);
    expect(puppet.device.stats.copiedFromGuest).toBe(24 - puppet.tx.queue.inFlight);
  });

  test("lets slow readers of one turn pin no more than a share of the ring", async () => {
    const puppet = await bootPublished({ rings, ringSize: 32 });
    const slow = Array.from({ length: 30 }, () => puppet.open());
    for (const { client } of slow) client.taking = false;
    puppet.tx.used();
    puppet.send(...slow.map(({ hostPort }) => rw(hostPort, "x")));
    expect(puppet.tx.queue.inFlight).toBeLessThanOrEqual(16);
  });

  test("K2, S2: accepts a header in any number of pieces", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const bytes = encode({ op: VsockOp.RW, hostPort, data: Buffer.from("split") });
    const pieces = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
    const three = [bytes.subarray(0, 20), bytes.subarray(20, 46), bytes.subarray(46)];
    puppet.sendRaw(pieces, three);
    expect(client.received.toString()).toBe("splitsplit");
  });

  test("copies a payload in hundreds of pieces rather than send hundreds of views", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const bytes = encode({ op: VsockOp.RW, hostPort, data: Buffer.alloc(100, "z") });
    puppet.tx.add(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)));
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("last") });
    expect(client.received.toString()).toBe(`${"z".repeat(100)}last`);
    expect(client.sends[0]).toHaveLength(1);
  });

  test("V12: accepts a buffer that is larger than its packet", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const bytes = encode({ op: VsockOp.RW, hostPort, data: Buffer.from("yes, and more"), len: 3 });
    puppet.sendRaw([bytes]);
    expect(client.received.toString()).toBe("yes");
  });

  test("V39, V7: returns credit when the kernel has the bytes, not before", async () => {
    const puppet = await bootPublished({ rings, limits: { bufAlloc: 1000 } });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(600) });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.alloc(400) });
    expect(puppet.take()).toEqual([]);
    client.takeOne();
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.CREDIT_UPDATE, fwdCnt: 600, bufAlloc: 1000 },
    ]);
    client.takeOne();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 1000 }]);
  });

  test("V39: sends no CREDIT_UPDATE while the guest believes that half of its window is free", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send(rw(hostPort, Buffer.alloc(16384)), rw(hostPort, Buffer.alloc(16384)));
    expect(puppet.take()).toEqual([]);
    client.say("?");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, fwdCnt: 32768 }]);
  });

  test("V7, V39: sends no CREDIT_UPDATE when another packet carries the figures", async () => {
    const puppet = await bootPublished({ rings, limits: { bufAlloc: 1000 }, rxBuffers: 1 });
    const { client, hostPort } = puppet.open();
    client.say("fills the only buffer");
    puppet.send(rw(hostPort, Buffer.alloc(600)));
    client.say("x");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, fwdCnt: 0 }]);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, fwdCnt: 600 }]);
    expect(puppet.take()).toEqual([]);
  });

  test("V17: answers CREDIT_REQUEST with CREDIT_UPDATE", async () => {
    const puppet = await bootPublished({ rings });
    const { hostPort } = puppet.open();
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    expect(puppet.ops()).toEqual([VsockOp.CREDIT_UPDATE]);
  });
});

describe.each(RING_KINDS)("payload to the guest ($name)", (rings) => {
  test("V6: stops RW at the guest's credit, and asks for more with one CREDIT_REQUEST", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open({ bufAlloc: 6 });
    client.say("0123456789");
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.RW, len: 6 },
      { op: VsockOp.CREDIT_REQUEST },
    ]);
    expect(client.paused).toBe(true);
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 6, fwdCnt: 2 });
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.RW, len: 2 },
      { op: VsockOp.CREDIT_REQUEST },
    ]);
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 6, fwdCnt: 8 });
    expect(Buffer.from((puppet.take()[0] as Packet).data).toString()).toBe("89");
    expect(client.paused).toBe(false);
  });

  test("cuts a chunk to the buffers that the guest posts, in order", async () => {
    const puppet = await bootPublished({ rings, rxBuffer: [44, 100, 28] });
    const { client } = puppet.open();
    const chunk = Buffer.from(Array.from({ length: 300 }, (_, i) => i & 255));
    client.say(chunk);
    const packets = puppet.take();
    expect(packets.map((packet) => packet.len)).toEqual([128, 128, 44]);
    expect(Buffer.concat(packets.map((packet) => packet.data))).toEqual(chunk);
  });

  test("S2: fills an rx buffer in pieces of one byte", async () => {
    const puppet = await bootPublished({ rings, rxBuffer: Array(50).fill(1), rxBuffers: 3 });
    const { client } = puppet.open();
    client.say("sixsix");
    expect(Buffer.from((puppet.take()[0] as Packet).data).toString()).toBe("sixsix");
  });

  test("V24: reports header and payload in used.len", async () => {
    const puppet = await bootPublished({ rings });
    const { client } = puppet.open();
    client.say("12345");
    expect(puppet.rx.used()).toMatchObject([{ len: VsockHdr.sizeof + 5 }]);
  });

  test("serves connections with waiting bytes in turn", async () => {
    const puppet = await bootPublished({ rings, rxBuffer: [45], rxBuffers: 2 });
    const one = puppet.open();
    const two = puppet.open();
    one.client.say("aaaa");
    two.client.say("bbbb");
    const seen: string[] = [];
    for (let i = 0; i < 6; i++) {
      for (const packet of puppet.take()) seen.push(Buffer.from(packet.data).toString());
    }
    expect(seen.join("")).toBe("aaababbb");
  });

  test("K16: holds one chunk without rx buffers, pauses the socket, and goes on later", async () => {
    const puppet = await bootPublished({ rings, rxBuffers: 1 });
    const { client, hostPort } = puppet.open();
    client.say("first");
    client.say("second");
    expect(client.paused).toBe(true);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("tx goes on") }); // V5
    expect(client.received.toString()).toBe("tx goes on");
    expect(Buffer.from((puppet.take()[0] as Packet).data).toString()).toBe("first");
    expect(Buffer.from((puppet.take()[0] as Packet).data).toString()).toBe("second");
    expect(client.paused).toBe(false);
  });
});

function rw(hostPort: number, data: string | Uint8Array): Partial<Packet> {
  return { op: VsockOp.RW, hostPort, data: typeof data === "string" ? Buffer.from(data) : data };
}
