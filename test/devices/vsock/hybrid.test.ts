// Firecracker's hybrid vsock: what clients of a path say first, what they hear, and where the
// guest's own connections lead.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const PATH = "/run/guest.sock";
const BOTH = 3;

async function boot(options: PuppetOptions = {}): Promise<VsockPuppet> {
  const puppet = new VsockPuppet(options);
  await puppet.device.publishPath(PATH);
  puppet.boot();
  return puppet;
}

describe.each(RING_KINDS)("clients of the path ($name)", (rings) => {
  test("V13: turns CONNECT into REQUEST, and RESPONSE into OK with the host port", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    expect(puppet.take()).toEqual([]);
    client.say("CONNECT 1024\n");
    const [request] = puppet.take() as [Packet];
    expect(request).toMatchObject({ op: VsockOp.REQUEST, guestPort: 1024 });
    expect(client.received.toString()).toBe("");
    const ports = { guestPort: 1024, hostPort: request.hostPort };
    puppet.send({ op: VsockOp.RESPONSE, ...ports });
    expect(client.received.toString()).toBe(`OK ${request.hostPort}\n`);
    client.say("ping");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, len: 4, fwdCnt: 0 }]);
    puppet.send({ op: VsockOp.RW, ...ports, data: Buffer.from("pong") });
    expect(client.received.toString()).toBe(`OK ${request.hostPort}\npong`);
  });

  test("V7: counts the answer neither in fwd_cnt nor in the statistics", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    client.taking = false;
    client.say("CONNECT 80\n");
    const [{ hostPort }] = puppet.take() as [Packet];
    puppet.send(
      { op: VsockOp.RESPONSE, hostPort },
      { op: VsockOp.RW, hostPort, data: Buffer.from("hello") },
    );
    expect(client.sends).toHaveLength(1);
    client.take();
    expect(client.received.toString()).toBe(`OK ${hostPort}\nhello`);
    puppet.send({ op: VsockOp.CREDIT_REQUEST, hostPort });
    expect(puppet.take()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 5 }]);
    expect(puppet.device.stats.bytesFromGuest).toBe(5);
  });

  test("V18: puts the answer before the first message on a port of messages", async () => {
    const puppet = await boot({ rings, seqpacket: [80] });
    const client = puppet.network.client();
    client.say("CONNECT 80\n\x02\0\0\0hi\x03\0");
    const [{ hostPort, type }] = puppet.take() as [Packet];
    expect(type).toBe(2);
    const data = Buffer.from("ho");
    puppet.send(
      { op: VsockOp.RESPONSE, hostPort, type },
      { op: VsockOp.RW, hostPort, type, data, flags: 1 },
    );
    expect(client.received.toString("latin1")).toBe(`OK ${hostPort}\n\x02\0\0\0ho`);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, len: 2, flags: 1 }]);
    client.say("\0\0you");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RW, len: 3, flags: 1 }]);
  });

  test.each([
    "connect 80\n",
    "Connect  80\r\n",
    " CONNECT 80 \n",
    "CONNECT 4294967294\n",
    "CONNECT 000000000080\n",
  ])("H1: accepts the command %j", async (line) => {
    const puppet = await boot({ rings });
    puppet.network.client().say(line);
    expect(puppet.ops()).toEqual([VsockOp.REQUEST]);
  });

  test("H1: accepts a command in pieces, and passes the bytes after it on", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    for (const piece of ["CON", "NECT", " 8", "0"]) client.say(piece);
    expect(puppet.take()).toEqual([]);
    client.say("\nGET /\n");
    expect(client.paused).toBe(true);
    const [{ hostPort }] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort });
    const [payload] = puppet.take() as [Packet];
    expect(Buffer.from(payload.data).toString()).toBe("GET /\n");
    expect(client.paused).toBe(false);
    expect(puppet.device.stats.bytesToGuest).toBe(6);
  });

  test.each([
    ["another word", "HELLO 80\n"],
    ["no port", "CONNECT\n"],
    ["a port that is none", "CONNECT eighty\n"],
    ["a port with a letter", "CONNECT 80x\n"],
    ["a negative port", "CONNECT -1\n"],
    ["a port out of range", "CONNECT 4294967295\n"],
    ["a space that is not ASCII", "CONNECT\xa080\n"],
    ["an empty line", "\n"],
    ["a line that is too long", `CONNECT ${" ".repeat(22)}80\n`],
    ["no end of the line", "C".repeat(32)],
  ])("H1: %s closes the connection", async (_, line) => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    client.say(Buffer.from(line, "latin1"));
    expect(client.calls).toEqual(["close"]);
    expect(puppet.take()).toEqual([]);
    client.events.closed();
    expect(puppet.device.stats).toMatchObject({ connections: 0, refused: 1 });
  });

  test.each([
    ["a sign", "CONNECT +80\n"],
    ["further words", "CONNECT 80 81 x\n"],
  ])("H1: %s: as Firecracker, it connects to port 80", async (_, line) => {
    const puppet = await boot({ rings });
    puppet.network.client().say(line);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.REQUEST, guestPort: 80 }]);
  });

  test("H1: accepts a line of 32 bytes including its newline", async () => {
    const puppet = await boot({ rings });
    puppet.network.client().say(`CONNECT ${" ".repeat(21)}80\n`);
    expect(puppet.ops()).toEqual([VsockOp.REQUEST]);
  });

  test("H7: closes a client that does not finish its line after two seconds", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    client.say("CONN");
    puppet.advance(1999);
    expect(client.calls).toEqual([]);
    puppet.advance(2);
    expect(client.calls).toEqual(["close"]);
    expect(puppet.timers).toBe(0);
  });

  test("H2: forgets a client that leaves without a command", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    client.fail();
    const ended = puppet.network.client();
    ended.events.end();
    expect(ended.calls).toEqual(["close"]);
    expect(puppet.timers).toBe(0);
    expect(puppet.device.stats).toMatchObject({ connections: 0, refused: 2 });
  });

  test("V14, H8: closes the connection without an answer when nobody listens on the port", async () => {
    const puppet = await boot({ rings });
    const client = puppet.network.client();
    client.say("CONNECT 81\n");
    const [{ hostPort }] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RST, hostPort, guestPort: 81 });
    expect(client.received).toHaveLength(0);
    expect(client.calls).toEqual(["reset"]);
  });

  test("K11: closes clients beyond 256 without a command at once", async () => {
    const puppet = await boot({ rings });
    const clients = Array.from({ length: 257 }, () => puppet.network.client());
    expect(clients.map((client) => client.calls.length)).toEqual([...Array(256).fill(0), 1]);
    (clients[0] as FakeSocket).say("CONNECT 80\n");
    expect(puppet.network.client().calls).toEqual([]);
  });

  test("closes clients without a command on drain and dispose", async () => {
    for (const end of ["drain", "dispose"] as const) {
      const puppet = await boot({ rings });
      const client = puppet.network.client();
      void puppet.device[end]();
      expect(client.calls).toEqual(["close"]);
      expect(puppet.network.closedListeners).toBe(1);
      expect(puppet.timers).toBe(0);
    }
  });

  test("refuses a second path", async () => {
    const puppet = await boot({ rings });
    await expect(puppet.device.publishPath("/run/other")).rejects.toThrow(PATH);
  });
});

describe.each(RING_KINDS)("connections of the guest ($name)", (rings) => {
  test("V13: connects a port that is not mapped to the path with the port appended", async () => {
    const mapped = { host: "127.0.0.1", port: 9 };
    const puppet = await boot({ rings, connect: new Map([[7, mapped]]) });
    puppet.send(
      { op: VsockOp.REQUEST, hostPort: 7, guestPort: 1000 },
      { op: VsockOp.REQUEST, hostPort: 52, guestPort: 1000 },
      { op: VsockOp.REQUEST, hostPort: 2 ** 30, guestPort: 1000 },
    );
    expect(puppet.network.connects.map(({ target }) => target)).toEqual([
      mapped,
      { path: `${PATH}_52` },
    ]);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.RST, hostPort: 2 ** 30 }]);
    const ports = { hostPort: 52, guestPort: 1000 };
    const socket = puppet.network.connects[1]?.socket as FakeSocket;
    socket.events.connected();
    socket.say("hi");
    expect(puppet.take()).toMatchObject([
      { op: VsockOp.RESPONSE, ...ports },
      { op: VsockOp.RW, ...ports, len: 2 },
    ]);
    puppet.send({ op: VsockOp.RW, ...ports, data: Buffer.from("yo") });
    expect(socket.received.toString()).toBe("yo");
    puppet.send({ op: VsockOp.RST, ...ports });
    socket.events.closed();
    puppet.send({ op: VsockOp.REQUEST, ...ports });
    expect(puppet.network.connects).toHaveLength(3);
  });
});

describe("over the real kernel", () => {
  const folder = mkdtempSync(join(tmpdir(), "torito-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A guest that echoes on every port but 81, and closes when its client does. */
  function bootEcho(sharedMemory: boolean): VsockPuppet {
    const puppet = new VsockPuppet({
      sockets: new NodeSockets(),
      rxBuffer: [44, 65536],
      rxBuffers: 16,
      sharedMemory,
    });
    puppet.boot();
    const consumed = new Map<number, number>();
    puppet.onTurn = () => {
      for (let packets = puppet.take(); packets.length > 0; packets = puppet.take()) {
        for (const { op, hostPort, guestPort, data } of packets) {
          const fwdCnt = (consumed.get(hostPort) ?? 0) + data.length;
          consumed.set(hostPort, fwdCnt);
          const answer = { hostPort, guestPort, fwdCnt, bufAlloc: 262144 };
          const accepts = guestPort === 81 ? VsockOp.RST : VsockOp.RESPONSE;
          if (op === VsockOp.REQUEST) puppet.send({ ...answer, op: accepts });
          if (op === VsockOp.RW) puppet.send({ ...answer, op, data });
          if (op === VsockOp.SHUTDOWN) puppet.send({ ...answer, op, flags: BOTH });
          puppet.tx.used();
        }
      }
    };
    return puppet;
  }

  test.each([false, true])(
    "megabytes come back byte for byte, mostly uncopied (shared memory: %s)",
    async (shared) => {
      const path = join(folder, `echo-${shared}`);
      const puppet = bootEcho(shared);
      await puppet.device.publishPath(path);
      const sent = Buffer.from(
        new Uint32Array(1 << 20).map((_, i) => Math.imul(i, 2654435761)).buffer,
      );
      const client = net.connect({ path, allowHalfOpen: true });
      const parts: Buffer[] = [];
      client.on("data", (part) => parts.push(part));
      const ended = new Promise((resolve) => client.on("end", resolve));
      client.write("CONNECT 80\n");
      client.end(sent);
      await ended;
      const received = Buffer.concat(parts);
      const hello = received.subarray(0, received.indexOf(10) + 1);
      expect(hello.toString()).toBe("OK 1073741824\n");
      expect(received.subarray(hello.length).equals(sent)).toBe(true);
      const { copiedToGuest, bytesToGuest, bytesInPlace } = puppet.device.stats;
      expect(bytesToGuest).toBe(sent.length);
      expect(bytesInPlace).toBeGreaterThan(sent.length / 2);
      expect(copiedToGuest).toBeLessThan(sent.length);
      await puppet.device.drain();
      puppet.device.dispose();
      expect(existsSync(path)).toBe(false);
    },
  );

  test("ends the stream without a byte when nobody listens on the port", async () => {
    const path = join(folder, "refused");
    const puppet = bootEcho(false);
    await puppet.device.publishPath(path);
    const client = net.connect({ path });
    const heard: string[] = [];
    client.on("data", (part) => heard.push(part.toString()));
    client.on("error", () => {});
    client.write("CONNECT 81\n");
    await new Promise((resolve) => client.on("close", resolve));
    expect(heard).toEqual([]);
    puppet.device.dispose();
  });

  test("connects the guest to a server at PATH_port, and answers RST if there is none", async () => {
    const path = join(folder, "out");
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.end("welcome");
    });
    await new Promise<void>((listening) => server.listen(`${path}_52`, listening));
    const puppet = new VsockPuppet({ sockets: new NodeSockets() });
    await puppet.device.publishPath(path);
    puppet.boot();
    const seen: Packet[] = [];
    puppet.onTurn = () => void seen.push(...puppet.take());
    puppet.send({ op: VsockOp.REQUEST, hostPort: 52, guestPort: 1000 });
    puppet.send({ op: VsockOp.REQUEST, hostPort: 53, guestPort: 1000 });
    const wanted = [VsockOp.SHUTDOWN, VsockOp.RST];
    await vi.waitUntil(() => wanted.every((op) => seen.some((packet) => packet.op === op)));
    const of = (port: number) => seen.filter(({ hostPort }) => hostPort === port);
    expect(of(53).map(({ op }) => op)).toEqual([VsockOp.RST]);
    expect(of(52).map(({ op }) => op)).toEqual([VsockOp.RESPONSE, VsockOp.RW, VsockOp.SHUTDOWN]);
    expect(Buffer.from(of(52)[1]?.data as Uint8Array).toString()).toBe("welcome");
    puppet.device.dispose();
    server.close();
  });
});
