// The vsock device as its owner sees it: probe, drain, reset, dispose, and real TCP.
import net from "node:net";
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { GuestMemory } from "../../../host/memory.ts";
import { VsockDevice } from "../../../host/node/devices.ts";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  FakeNetwork,
  type Packet,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const BOTH = 3;
const SEND = 2;

/** The state of a promise after its reactions ran. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  const pending = new Promise((resolve) => setImmediate(resolve, "pending"));
  return Promise.race([promise.then(() => "resolved"), pending]).then(String, String);
}

describe.each(RING_KINDS)("probe ($name)", (rings) => {
  test("resolves when the guest accepts, and closes without a byte", async () => {
    const puppet = new VsockPuppet({ rings });
    const probed = puppet.device.probe(80);
    puppet.boot();
    const [request] = puppet.take() as [Packet];
    expect(await outcome(probed)).toBe("pending");
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    expect(await outcome(probed)).toBe("resolved");
    expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: BOTH }]);
    puppet.send(
      { op: VsockOp.RW, hostPort: request.hostPort, data: Buffer.from("banner") },
      { op: VsockOp.RST, hostPort: request.hostPort },
    );
    expect(puppet.take()).toEqual([]);
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("asks again while the guest refuses", async () => {
    const puppet = new VsockPuppet({ rings });
    puppet.boot();
    const probed = puppet.device.probe(80);
    for (let i = 0; i < 3; i++) {
      const [request] = puppet.take() as [Packet];
      puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
      expect(puppet.take()).toEqual([]);
      puppet.advance(5);
    }
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    expect(await outcome(probed)).toBe("resolved");
  });

  test("asks again when the guest does not answer", () => {
    const puppet = new VsockPuppet({ rings });
    puppet.boot();
    void puppet.device.probe(80);
    puppet.advance(2300);
    expect(puppet.ops()).toEqual([VsockOp.REQUEST, VsockOp.RST, VsockOp.REQUEST]);
  });

  test("rejects when the machine goes away", async () => {
    const puppet = new VsockPuppet({ rings });
    const probed = puppet.device.probe(80);
    puppet.device.dispose();
    await expect(probed).rejects.toThrow("machine is gone");
    expect(puppet.timers).toBe(0);
  });
});

describe("a device without a machine", () => {
  async function withClient() {
    const network = new FakeNetwork();
    const device = new VsockDevice({ sockets: network });
    await device.publish({ port: 4000, guestPort: 80 });
    return { device, client: network.client() };
  }

  test("drains its clients, which no guest will ever answer", async () => {
    const { device, client } = await withClient();
    const drained = device.drain();
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(await outcome(drained)).toBe("resolved");
    expect(device.stats.connections).toBe(0);
  });

  test("gives early clients the usual time once it is in a machine", async () => {
    const { device, client } = await withClient();
    const clock = new ManualClock();
    device.attach({
      memory: new GuestMemory(1),
      turn: () => {},
      now: () => clock.now(),
      after: (ms, callback) => clock.after(ms, callback),
      defer: (callback) => clock.defer(callback),
      log: () => {},
    });
    clock.advance(1000);
    expect(client.calls).toEqual([]);
    clock.advance(1500);
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(device.stats.connections).toBe(0);
    device.dispose();
  });
});

describe.each(RING_KINDS)("a client that is turned away is reported ($name)", (rings) => {
  test("AL4 when the guest refuses it, five times a second", async () => {
    const puppet = await bootPublished({ rings });
    for (let i = 0; i < 20; i++) {
      puppet.network.client();
      const [request] = puppet.take() as [Packet];
      puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
    }
    const line = "a client was turned away: the guest refused it";
    expect(puppet.logs).toEqual(Array.from({ length: 5 }, () => line));
    puppet.device.dispose();
  });

  test("when there is no room for it, but not when the device drains", async () => {
    const limits = { connections: 1, bufAlloc: 65536, bufAllocTotal: 65536 };
    const puppet = await bootPublished({ rings, limits });
    puppet.network.client();
    expect(puppet.network.client().calls).toEqual(["close"]);
    const told = ["a client was turned away: no room for another connection"];
    expect(puppet.logs).toEqual(told);
    puppet.advance(1500);
    void puppet.device.drain();
    expect(puppet.network.client().calls).toEqual(["close"]);
    expect(puppet.logs).toEqual(told);
    expect(puppet.device.stats.refusals.room).toBe(2);
    puppet.device.dispose();
  });

  test("does not report a refused probe", () => {
    const puppet = new VsockPuppet({ rings });
    puppet.boot();
    puppet.device.probe(80).catch(() => {});
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
    expect(puppet.logs).toEqual([]);
    puppet.device.dispose();
  });
});

describe.each(RING_KINDS)("drain ($name)", (rings) => {
  test("resolves at once without connections, and accepts no more clients", async () => {
    const puppet = await bootPublished({ rings });
    expect(await outcome(puppet.device.drain())).toBe("resolved");
    expect(puppet.network.closedListeners).toBe(1);
    expect(puppet.network.client().calls).toEqual(["close"]);
  });

  test("rejects waiting and new probes", async () => {
    const puppet = new VsockPuppet({ rings });
    puppet.boot();
    const waiting = puppet.device.probe(80);
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RST, hostPort: request.hostPort });
    void puppet.device.drain();
    await expect(waiting).rejects.toThrow("vsock: the device drains");
    await expect(puppet.device.probe(80)).rejects.toThrow("vsock: the device drains");
    puppet.advance(3000);
    expect(puppet.timers).toBe(0);
    puppet.device.dispose();
    await expect(puppet.device.probe(80)).rejects.toThrow("vsock: the machine is gone");
  });

  test("sends SHUTDOWN for its clients, and waits for responses to leave", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    const drained = puppet.device.drain();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: SEND }]);
    client.taking = false;
    puppet.send(
      { op: VsockOp.RW, hostPort, data: Buffer.from("bye") },
      { op: VsockOp.SHUTDOWN, hostPort, flags: BOTH },
    );
    client.take();
    expect(client.received.toString()).toBe("bye");
    expect(await outcome(drained)).toBe("pending");
    client.events.end();
    client.events.closed();
    expect(await outcome(drained)).toBe("resolved");
  });

  test("reads on for a second after the end, for a request that crosses it, and counts it", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    void puppet.device.drain();
    puppet.take();
    client.say("GET");
    client.say(" /");
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(client.calls).toEqual(["end"]);
    client.say("again");
    expect(client.calls).toEqual(["end"]);
    expect(puppet.device.stats.late).toBe(1);
    puppet.advance(1500);
    expect(client.calls).toEqual(["end", "close"]);
  });

  test("ends a client once it has been silent for the time that is asked for", async () => {
    const puppet = await bootPublished({ rings });
    const { client: busy } = puppet.open();
    puppet.open();
    void puppet.device.drain({ quietMs: 1000 });
    puppet.advance(900);
    busy.say("x");
    expect(puppet.ops()).toEqual([VsockOp.RW]);
    puppet.advance(200);
    expect(puppet.ops()).toEqual([VsockOp.SHUTDOWN]);
    puppet.advance(700);
    expect(puppet.ops()).toEqual([]);
    puppet.advance(300);
    expect(puppet.ops()).toEqual([VsockOp.SHUTDOWN]);
    puppet.device.dispose();
  });

  test("counts the silence from when the device was told to watch for it", async () => {
    const puppet = await bootPublished({ rings });
    puppet.open();
    puppet.device.watchQuiet();
    puppet.advance(2000);
    expect(puppet.ops()).toEqual([]);
    void puppet.device.drain({ quietMs: 1000 });
    expect(puppet.ops()).toEqual([VsockOp.SHUTDOWN]);
    puppet.device.dispose();
    expect(puppet.timers).toBe(0);
  });

  test("resets the clients that are left when told so, and says how many", async () => {
    const puppet = await bootPublished({ rings });
    const first = puppet.open().client;
    const second = puppet.open().client;
    const drained = puppet.device.drain({ quietMs: 60_000 });
    expect(puppet.device.resetClients()).toBe(2);
    expect(puppet.ops()).toEqual([VsockOp.RST, VsockOp.RST]);
    expect([first.calls, second.calls]).toEqual([["reset"], ["reset"]]);
    for (const { events } of [first, second]) events.closed();
    expect(await outcome(drained)).toBe("resolved");
    puppet.advance(500);
    expect(puppet.timers).toBe(0);
  });

  test("delivers bytes that were read before first", async () => {
    const puppet = await bootPublished({ rings });
    const client = puppet.network.client();
    client.say("late");
    void puppet.device.drain();
    const [request] = puppet.take() as [Packet];
    puppet.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    expect(puppet.ops()).toEqual([VsockOp.RW, VsockOp.SHUTDOWN]);
  });
});

describe.each(RING_KINDS)("reset and dispose ($name)", (rings) => {
  test("C9, G30: resets clients, ignores late completions, and serves its ports again after a reset", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    client.taking = false;
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("x") });
    const oldTx = puppet.tx;
    oldTx.used();
    puppet.rx.queue.detach();
    puppet.tx.queue.detach();
    puppet.device.reset();
    expect(client.calls).toEqual(["reset"]);
    client.events.failed(new Error("ECONNRESET"));
    client.events.closed();
    expect(oldTx.used()).toEqual([]);
    expect(puppet.device.stats.connections).toBe(0);
    puppet.boot();
    const again = puppet.open();
    puppet.send({ op: VsockOp.RW, hostPort: again.hostPort, data: Buffer.from("y") });
    expect(again.client.received.toString()).toBe("y");
  });

  test("closes listeners and sockets and stops the timer on dispose", async () => {
    const puppet = await bootPublished({ rings });
    const { client } = puppet.open();
    puppet.network.client();
    const turns = puppet.turns;
    puppet.device.dispose();
    expect(client.calls).toEqual(["reset"]);
    expect([puppet.network.closedListeners, puppet.timers]).toEqual([1, 0]);
    client.events.closed();
    expect(puppet.turns).toBe(turns);
  });

  test("G31: leaves no timer after a client's connection has closed", async () => {
    const puppet = await bootPublished({ rings });
    const { client, hostPort } = puppet.open();
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    client.events.closed();
    puppet.advance(1000);
    expect(puppet.timers).toBe(0);
  });
});

describe.each(RING_KINDS)("real TCP ($name)", (rings) => {
  /** A guest that echoes, and closes when its client does. */
  async function bootEcho(): Promise<{ puppet: VsockPuppet; port: number }> {
    const puppet = new VsockPuppet({
      rings,
      sockets: new NodeSockets(),
      rxBuffer: [44, 16384],
      rxBuffers: 16,
      connect: new Map([[7, { host: "127.0.0.1", port: 0 }]]),
    });
    puppet.boot();
    const consumed = new Map<number, number>();
    const held: Partial<Packet>[] = [];
    puppet.onTurn = () => {
      for (let packets = puppet.take(); packets.length > 0; packets = puppet.take()) {
        for (const { op, hostPort, data } of packets) {
          const fwdCnt = (consumed.get(hostPort) ?? 0) + data.length;
          consumed.set(hostPort, fwdCnt);
          const answer = { hostPort, fwdCnt, bufAlloc: 65536 };
          if (op === VsockOp.REQUEST) held.push({ ...answer, op: VsockOp.RESPONSE });
          if (op === VsockOp.RW) held.push({ ...answer, op, data });
          if (op === VsockOp.SHUTDOWN) held.push({ ...answer, op, flags: BOTH });
        }
        puppet.tx.used();
        puppet.send(...held.splice(0));
      }
    };
    const { port } = await puppet.device.publish({ port: 0, guestPort: 80 });
    return { puppet, port };
  }

  test("echoes a megabyte unchanged, and ends the connection cleanly", async () => {
    const { puppet, port } = await bootEcho();
    const sent = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8)) & 255));
    const received = await new Promise<Buffer>((resolve, reject) => {
      const parts: Buffer[] = [];
      const client = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      client.on("data", (part) => parts.push(part));
      client.on("end", () => resolve(Buffer.concat(parts)));
      client.on("error", reject);
      client.end(sent);
    });
    expect(received.equals(sent)).toBe(true);
    await puppet.device.drain();
    expect(puppet.device.stats).toMatchObject({ accepted: 1, rejected: 0, bytesToGuest: 1 << 20 });
    puppet.device.dispose();
  });

  test("delivers an answer to a client that still uploads: unread bytes are drained, not reset", async () => {
    const { puppet, port } = await bootEcho();
    puppet.onTurn = () => {
      const answers: Partial<Packet>[] = [];
      for (const { op, hostPort } of puppet.take()) {
        const open = { hostPort, bufAlloc: 1000 };
        if (op === VsockOp.REQUEST) answers.push({ ...open, op: VsockOp.RESPONSE });
        if (op !== VsockOp.RW) continue;
        answers.push({ ...open, op, data: Buffer.from("413 too large") });
        answers.push({ ...open, op: VsockOp.SHUTDOWN, flags: BOTH });
      }
      puppet.tx.used();
      if (answers.length > 0) puppet.send(...answers);
    };
    const received = await new Promise<string>((resolve, reject) => {
      let text = "";
      const client = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      client.on("data", (part) => {
        text += part;
      });
      client.on("error", reject);
      client.on("close", () => resolve(text));
      client.end(Buffer.alloc(4 << 20));
    });
    expect(received).toBe("413 too large");
    await puppet.device.drain();
    puppet.device.dispose();
  });

  test("H3: delivers every byte to a client that reads long after the guest closed", async () => {
    const { puppet, port } = await bootEcho();
    const chunk = Buffer.alloc(16_000, "0123456789");
    puppet.onTurn = () => {
      for (const { op, hostPort } of puppet.take()) {
        if (op !== VsockOp.REQUEST) continue;
        const rw = { op: VsockOp.RW, hostPort, data: chunk };
        puppet.send({ op: VsockOp.RESPONSE, hostPort }, rw, rw, rw, rw, {
          op: VsockOp.SHUTDOWN,
          hostPort,
          flags: BOTH,
        });
        puppet.tx.used();
      }
    };
    const received = await new Promise<Buffer>((resolve, reject) => {
      const parts: Buffer[] = [];
      const client = net.connect({ host: "127.0.0.1", port }, () => {
        client.pause();
        setImmediate(() => client.resume());
      });
      client.on("data", (part) => parts.push(part));
      client.on("end", () => resolve(Buffer.concat(parts)));
      client.on("error", reject);
    });
    expect(received.equals(Buffer.concat([chunk, chunk, chunk, chunk]))).toBe(true);
    await puppet.device.drain();
    expect(puppet.tx.queue.inFlight).toBe(0);
    puppet.device.dispose();
  });

  test("rejects a taken port with an error that names the address", async () => {
    const { puppet, port } = await bootEcho();
    await expect(puppet.device.publish({ port, guestPort: 81 })).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: the address is in use`,
    );
    puppet.device.dispose();
  });

  test("connects a guest to a server of the host", async () => {
    const server = net.createServer((socket) => {
      socket.on("error", () => {}); // dispose() resets it
      socket.end("welcome");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as net.AddressInfo;
    const puppet = new VsockPuppet({
      rings,
      sockets: new NodeSockets(),
      connect: new Map([[7, { host: "127.0.0.1", port }]]),
    });
    puppet.boot();
    const seen: Packet[] = [];
    const ended = new Promise<void>((resolve) => {
      puppet.onTurn = () => {
        seen.push(...puppet.take());
        if (seen.some((packet) => packet.op === VsockOp.SHUTDOWN)) resolve();
      };
    });
    puppet.send({ op: VsockOp.REQUEST, hostPort: 7, guestPort: 1000 });
    await ended;
    expect(seen.map((packet) => packet.op)).toEqual([
      VsockOp.RESPONSE,
      VsockOp.RW,
      VsockOp.SHUTDOWN,
    ]);
    expect(Buffer.from((seen[1] as Packet).data).toString()).toBe("welcome");
    puppet.device.dispose();
    server.close();
  });
});
