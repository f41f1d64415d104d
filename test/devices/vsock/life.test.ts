// The vsock device against a guest that the test plays: the life of a connection.
import { describe, expect, test } from "vitest";
import { VsockConfig, VsockOp } from "../../../abi/vsock.ts";
import { VsockDevice } from "../../../host/node/devices.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type FakeSocket,
  type Packet,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const RCV = 1;
const SEND = 2;
const BOTH = 3;
const TARGET = { host: "127.0.0.1", port: 9 };

describe("identity", () => {
  test("C8: is a vsock device with streams, messages and three queues", () => {
    const device = new VsockDevice();
    expect([device.id, device.features]).toEqual([19, 7n]);
    expect(device.queueSizesMax).toEqual([32768, 32768, 64]);
    expect(device.config).toHaveLength(VsockConfig.sizeof);
  });

  test("rejects a target in the range of the host's own ports", () => {
    expect(() => new VsockDevice({ connect: new Map([[2 ** 30, TARGET]]) })).toThrow("1073741824");
  });
});

describe.each(RING_KINDS)("connections that clients begin ($name)", (rings) => {
  test("V13, V23: sends REQUEST from a high host port for a client, and opens on RESPONSE", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    const [request] = puppet.take() as [Packet];
    expect(request).toMatchObject({ op: VsockOp.REQUEST, srcCid: 2, dstCid: 3, cidHigh: 0 });
    expect(request).toMatchObject({ guestPort: 80, type: 1, len: 0, bufAlloc: 65536 });
    expect(request.hostPort).toBeGreaterThanOrEqual(2 ** 30);
    expect(request.hostPort).toBeLessThan(2 ** 31);
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    client.say("hello");
    const [payload] = puppet.take() as [Packet];
    expect(payload).toMatchObject({ op: VsockOp.RW, len: 5 });
    expect(Buffer.from(payload.data).toString()).toBe("hello");
    expect(client.calls).toEqual([]);
  });

  test("V16: gives two clients different host ports", async () => {
    const puppet = await bootPublished({ rings });
    expect(puppet.open().hostPort).not.toBe(puppet.open().hostPort);
  });

  test("V13, V14, H8: resets the client and frees everything when the guest answers REQUEST with RST", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(puppet.device.stats).toMatchObject({ connections: 0, accepted: 1, refused: 1 });
    expect(puppet.take()).toEqual([]);
  });

  test("H7: sends RST after two seconds to a guest that never answers REQUEST", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    puppet.take();
    puppet.advance(1999);
    expect(client.calls).toEqual([]);
    puppet.advance(300);
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
  });

  test("holds one chunk of a client before RESPONSE, and pauses its socket", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    client.say("early");
    expect(client.paused).toBe(true);
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    expect(Buffer.from((puppet.take()[0] as Packet).data).toString()).toBe("early");
    expect(client.paused).toBe(false);
  });

  test("H2: sends RST for a client that leaves before RESPONSE", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    const [request] = puppet.take() as [Packet];
    client.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("announces a client that came early once the driver is ready", async () => {
    const puppet = new VsockPuppet({ rings });
    await puppet.publish();
    puppet.network.client();
    puppet.device.reset();
    puppet.boot();
    expect(puppet.ops()).toEqual([VsockOp.REQUEST]);
  });

  test("forgets a client that leaves before the driver is ready", async () => {
    const puppet = new VsockPuppet({ rings });
    await puppet.publish();
    puppet.network.client().fail();
    puppet.boot();
    expect(puppet.take()).toEqual([]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("K11: closes clients beyond the limit at once, and serves the others", async () => {
    const puppet = await bootPublished({ rings, limits: { connections: 1 } });
    const { client, hostPort } = puppet.open();
    expect(puppet.network.client().calls).toEqual(["close"]);
    expect(puppet.device.stats).toMatchObject({ connections: 1, accepted: 1, refused: 1 });
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("on") });
    expect(client.received.toString()).toBe("on");
  });
});

describe.each(RING_KINDS)("connections that the guest begins ($name)", (rings) => {
  const boot = (): VsockPuppet => {
    const puppet = new VsockPuppet({ rings, connect: new Map([[1234, TARGET]]) });
    puppet.boot();
    return puppet;
  };

  test("V13: connects to the mapped address on REQUEST, and answers RESPONSE", () => {
    const puppet = boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1234, guestPort: 77 });
    expect(puppet.network.connects[0]?.target).toEqual(TARGET);
    expect(puppet.take()).toEqual([]);
    const socket = puppet.network.connects[0]?.socket as FakeSocket;
    socket.events.connected();
    expect(puppet.take()[0]).toMatchObject({ op: VsockOp.RESPONSE, hostPort: 1234, guestPort: 77 });
    socket.say("hi");
    expect(puppet.ops()).toEqual([VsockOp.RW]);
    puppet.send({ op: VsockOp.RW, hostPort: 1234, guestPort: 77, data: Buffer.from("yo") });
    expect(socket.received.toString()).toBe("yo");
  });

  test("V13: refuses a port that is not mapped with RST", () => {
    const puppet = boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 5, guestPort: 77 });
    expect(puppet.take()[0]).toMatchObject({
      op: VsockOp.RST,
      hostPort: 5,
      guestPort: 77,
      type: 1,
    });
    expect(puppet.network.connects).toEqual([]);
  });

  test("H6: answers RST when the target refuses", () => {
    const puppet = boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1234, guestPort: 77 });
    puppet.network.connects[0]?.socket.fail();
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("H7: answers RST after two seconds when the target never answers", () => {
    const puppet = boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1234, guestPort: 77 });
    puppet.advance(2300);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.network.connects[0]?.socket.calls).toEqual(["reset"]);
  });

  test("V14: abandons the connect on the guest's RST", () => {
    const puppet = boot();
    puppet.send({ op: VsockOp.REQUEST, hostPort: 1234, guestPort: 77 });
    puppet.send({ op: VsockOp.RST, hostPort: 1234, guestPort: 77 });
    expect(puppet.network.connects[0]?.socket.calls).toEqual(["reset"]);
    puppet.network.connects[0]?.socket.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
    expect(puppet.take()).toEqual([]);
  });

  test("keeps two guest ports to one host port apart", () => {
    const puppet = boot();
    puppet.send(
      { op: VsockOp.REQUEST, hostPort: 1234, guestPort: 77 },
      { op: VsockOp.REQUEST, hostPort: 1234, guestPort: 78 },
    );
    for (const { socket } of puppet.network.connects) socket.events.connected();
    puppet.take();
    puppet.send({ op: VsockOp.RW, hostPort: 1234, guestPort: 78, data: Buffer.from("b") });
    expect(puppet.network.connects.map(({ socket }) => socket.received.toString())).toEqual([
      "",
      "b",
    ]);
  });
});

describe.each(RING_KINDS)("shutdown and close ($name)", (rings) => {
  test("H4: sends SHUTDOWN(SEND) after the client's last bytes", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open({ bufAlloc: 2 });
    client.say("abc");
    client.events.end();
    expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.CREDIT_REQUEST]);
    puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, fwdCnt: 2 });
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.RW, len: 1 },
      { op: VsockOp.SHUTDOWN, flags: SEND },
    ]);
    puppet.send(rw(hostPort, "the other way is open"));
    expect(client.received.toString()).toBe("the other way is open");
  });

  test("H4: ends the client's stream after queued bytes on the guest's SHUTDOWN(SEND)", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, "a"));
    puppet.send(rw(hostPort, "b"), { op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    expect(client.calls).toEqual([]);
    client.take();
    expect(client.received.toString()).toBe("ab");
    expect(client.calls).toEqual(["end"]);
    client.say("still heard");
    expect(puppet.ops()).toEqual([VsockOp.RW]);
  });

  test("V16: closes the socket and answers RST on SHUTDOWN(both) after a response", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.say("GET /");
    puppet.take();
    puppet.send(rw(hostPort, "200 OK"), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(client.received.toString()).toBe("200 OK");
    expect(client.calls).toEqual(["close"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("V15: accumulates SHUTDOWN flags", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: RCV });
    expect(puppet.take()).toEqual([]);
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(client.calls).toEqual(["close"]);
  });

  test("V15: drops waiting bytes after SHUTDOWN(RCV), and delivers the guest's answer", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open({ bufAlloc: 1 });
    client.say("xyz");
    expect(client.paused).toBe(true);
    puppet.take();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: RCV });
    expect(client.paused).toBe(false);
    puppet.send(rw(hostPort, "answer"));
    expect(client.received.toString()).toBe("answer");
    client.events.end();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: SEND }]);
  });

  test("V15: resets a client that goes on writing after SHUTDOWN(RCV), and sends RST to the guest", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: RCV });
    client.say("more");
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("delivers the tail to a slow reader before RST and close", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, "head "));
    puppet.send(rw(hostPort, "tail"), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    puppet.advance(5000);
    expect(client.calls).toEqual([]);
    expect(puppet.take()).toEqual([]);
    client.take();
    expect(client.received.toString()).toBe("head tail");
    expect(client.calls).toEqual(["close"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
  });

  test("does not cut off the tail when the guest loses patience", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send(rw(hostPort, "tail"), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    puppet.send({ op: VsockOp.RST, hostPort });
    expect(client.calls).toEqual([]);
    client.take();
    expect(client.calls).toEqual(["close"]);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
    expect(puppet.take()).toEqual([]);
  });

  test("gives up a tail that nobody reads after half a minute", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.tx.used();
    client.taking = false;
    puppet.send(rw(hostPort, "tail"), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    puppet.advance(31_000);
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.tx.used()).toHaveLength(2);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("drains a client with unread bytes before close, or the kernel would reset it", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open({ bufAlloc: 1 });
    client.say("a long upload");
    expect(client.paused).toBe(true);
    puppet.send(rw(hostPort, "413"), { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(client.calls).toEqual(["end"]);
    expect(client.paused).toBe(false);
    client.say("more upload");
    client.events.end();
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("stops draining a client's upload after two seconds", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.say(Buffer.alloc(65536));
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(client.calls).toEqual(["end"]);
    puppet.take();
    puppet.advance(2300);
    expect(client.calls).toEqual(["end", "close"]);
  });

  test("V16, K18: sends SHUTDOWN(both) once both ways have ended, and RST if the guest keeps silent", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    client.events.end();
    client.events.closed();
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.SHUTDOWN, flags: SEND },
      { op: VsockOp.SHUTDOWN, flags: BOTH },
    ]);
    puppet.advance(1900);
    expect(puppet.take()).toEqual([]);
    puppet.advance(400);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("V16: frees the ports without another RST when the guest answers SHUTDOWN(both)", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
    client.events.end();
    client.events.closed();
    puppet.take();
    puppet.send({ op: VsockOp.RST, hostPort });
    expect(puppet.take()).toEqual([]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("H5: sends RST and returns the chains when the client resets", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.tx.used();
    client.taking = false;
    puppet.send(rw(hostPort, "lost"));
    client.fail();
    expect(puppet.tx.used()).toHaveLength(1);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("V14: resets the client and drops bytes in flight on the guest's RST", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.tx.used();
    client.taking = false;
    puppet.send(rw(hostPort, "x"));
    puppet.send({ op: VsockOp.RST, hostPort });
    expect(client.calls).toEqual(["reset"]);
    expect(puppet.tx.used()).toHaveLength(2);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
    expect(puppet.take()).toEqual([]);
  });
});

function rw(hostPort: number, data: string | Uint8Array): Partial<Packet> {
  return { op: VsockOp.RW, hostPort, data: typeof data === "string" ? Buffer.from(data) : data };
}
