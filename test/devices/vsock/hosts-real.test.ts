// The vsock device between a guest that the test plays and real sockets of programs that misbehave:
// they read nothing, come all at once, leave at the wrong moment.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";
import { type Packet, type PuppetOptions, VsockPuppet } from "../../support/vsock-puppet.ts";

let kind: SocketKind;
const [SEND, BOTH] = [2, 3];
const PATIENCE = { timeout: 120_000, interval: 1 };
const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));

const turn = () => new Promise((resolve) => setImmediate(resolve));
/** So many turns of the event loop: who can go on by then has. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 200; i++) await turn();
}

function boot(options: PuppetOptions): VsockPuppet {
  const puppet = new VsockPuppet({
    sockets: new NodeSockets({ kind }),
    rxBuffer: [44, 16384],
    rxBuffers: 16,
    ...options,
  });
  puppet.boot();
  onTestFinished(() => puppet.device.dispose());
  return puppet;
}

const WAYS = ["port", "path"] as const;
let paths = 0;

/** A client of a published port, or of the path, where it has said what it wants. */
async function published(puppet: VsockPuppet, way: (typeof WAYS)[number]) {
  const path = join(folder, `${paths++}`);
  if (way === "path") await puppet.device.publishPath(path);
  const target =
    way === "path" ? { path } : await puppet.device.publish({ port: 0, guestPort: 80 });
  return (): net.Socket => {
    const client = net.connect({ ...target, allowHalfOpen: true });
    client.on("error", () => {});
    if (way === "path") client.write("CONNECT 80\n");
    return client;
  };
}

/** Answers each packet in the guest's turn. */
function guest(puppet: VsockPuppet, answer: (packet: Packet) => Partial<Packet>[]): void {
  puppet.onTurn = () => {
    for (let packets = puppet.take(); packets.length > 0; packets = puppet.take()) {
      for (const packet of packets) {
        const { hostPort, guestPort } = packet;
        const answers = answer(packet).map((one) => ({ hostPort, guestPort, ...one }));
        if (answers.length > 0) puppet.send(...answers);
        puppet.tx.used();
      }
    }
  };
}

describe.each(SOCKET_KINDS)("sockets on %s", (one) => {
  beforeAll(() => {
    kind = one;
  });

  describe.each(RING_KINDS)("a client that never reads ($name)", (rings) => {
    test.each(WAYS)(
      "H3: of the %s stops the guest by credit, a window is held, and all arrives later",
      async (way) => {
        const puppet = boot({ rings });
        const connect = await published(puppet, way);
        const chunk = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i % 251));
        let [sent, window] = [0, 0];
        guest(puppet, ({ op, bufAlloc, fwdCnt }) => {
          const answers: Partial<Packet>[] = [];
          if (op === VsockOp.REQUEST) answers.push({ op: VsockOp.RESPONSE });
          window = bufAlloc;
          for (;;) {
            const room = Math.min(chunk.length, bufAlloc - (sent - fwdCnt));
            if (room === 0 || puppet.tx.free <= answers.length) return answers;
            answers.push({ op: VsockOp.RW, data: chunk.subarray(0, room) });
            sent += room;
          }
        });
        const client = connect();
        client.pause();
        for (let before = -1; before !== sent || sent === 0; ) {
          before = sent;
          await quiet();
        }
        const { stats } = puppet.device;
        expect(sent).toBeGreaterThanOrEqual(window);
        expect(sent - stats.bytesFromGuest).toBe(window);
        puppet.onTurn = () => puppet.take();
        let arrived = 0;
        client.on("data", (part: Buffer) => {
          arrived += part.length - (arrived === 0 && way === "path" ? part.indexOf(10) + 1 : 0);
        });
        client.resume();
        await vi.waitUntil(() => arrived === sent, PATIENCE);
        expect(stats.bytesFromGuest).toBe(sent);
        expect(puppet.device.holdings.txDescriptors).toBe(0);
        client.destroy();
      },
    );
  });

  describe.each(RING_KINDS)("a storm of clients ($name)", (rings) => {
    test.each(WAYS)(
      "H8, K11: of the %s, more than the backlog and the limit: served or closed, all is given back",
      async (way) => {
        const puppet = boot({ rings, limits: { connections: 100 } });
        const connect = await published(puppet, way);
        let accepted = 0;
        guest(puppet, ({ op, len, data, fwdCnt }) => {
          if (op === VsockOp.REQUEST) {
            // A listener with its backlog: every third one is too many.
            return [{ op: accepted++ % 3 === 2 ? VsockOp.RST : VsockOp.RESPONSE }];
          }
          if (op === VsockOp.RW) return [{ op, data, fwdCnt: len - fwdCnt }];
          return op === VsockOp.SHUTDOWN ? [{ op, flags: BOTH }] : [];
        });
        let connected = 0; // others met the full backlog of the path, and never got through
        const clients = Array.from({ length: 1200 }, () => {
          const client = connect().on("connect", () => connected++);
          let text = "";
          client.on("data", (part) => {
            text += part;
          });
          client.end("hello");
          return new Promise<string>((resolve) => client.on("close", () => resolve(text)));
        });
        const heard = (await Promise.all(clients)).map((text) => text.replace(/^OK \d+\n/, ""));
        expect(new Set(heard)).toEqual(new Set(["hello", ""]));
        const { stats } = puppet.device;
        await vi.waitUntil(() => stats.connections === 0, PATIENCE);
        expect(heard.filter((text) => text === "hello")).toHaveLength(
          accepted - refusals(accepted),
        );
        expect(stats.accepted).toBe(accepted);
        expect(stats.refused).toBe(connected - accepted + refusals(accepted));
        expect(puppet.tx.queue.inFlight).toBe(0);
      },
    );

    const refusals = (accepted: number) => Math.floor(accepted / 3);
  });

  describe.each(RING_KINDS)("the wrong moment ($name)", (rings) => {
    test.each(WAYS)(
      "H5: leaves nothing of clients of the %s that reset in mid-stream",
      async (way) => {
        const puppet = boot({ rings });
        const connect = await published(puppet, way);
        const data = Buffer.alloc(50_000, "d");
        const resets: number[] = [];
        guest(puppet, ({ op, hostPort }) => {
          if (op === VsockOp.RST) resets.push(hostPort);
          if (op !== VsockOp.REQUEST) return [];
          const credit = { bufAlloc: 1 << 20 };
          const rw = { op: VsockOp.RW, data, ...credit };
          return [{ op: VsockOp.RESPONSE, ...credit }, rw, rw];
        });
        for (let i = 0; i < 20; i++) {
          const client = connect();
          client.write(Buffer.alloc(100_000));
          client.once("data", () => (way === "port" ? client.resetAndDestroy() : client.destroy()));
          await vi.waitUntil(() => resets.length === i + 1, PATIENCE);
        }
        await vi.waitUntil(() => puppet.device.stats.connections === 0, PATIENCE);
        expect(puppet.device.holdings.txDescriptors).toBe(0);
        expect(puppet.tx.queue.inFlight).toBe(0);
      },
    );

    test("H5: notices a reset once the guest has room for the bytes before it, or sends", async () => {
      for (const way of ["credit", "payload"]) {
        const puppet = boot({ rings });
        const connect = await published(puppet, "port");
        const seen: Packet[] = [];
        guest(puppet, (packet) => {
          seen.push(packet);
          return packet.op === VsockOp.REQUEST ? [{ op: VsockOp.RESPONSE, bufAlloc: 10 }] : [];
        });
        const client = connect();
        client.write(Buffer.alloc(100_000), () => client.resetAndDestroy());
        await vi.waitUntil(() => client.closed && seen.length >= 3, PATIENCE);
        await quiet();
        const ops = [VsockOp.REQUEST, VsockOp.RW, VsockOp.CREDIT_REQUEST];
        expect(seen.slice(0, 3).map(({ op }) => op)).toEqual(ops);
        // From Node 26 on, net.Socket reports a reset while it is paused.
        expect(seen.length).toBeLessThanOrEqual(kind === "net" ? 4 : 3);
        const { hostPort } = seen[0] as Packet;
        const data = Buffer.from("anybody there?");
        if (way === "payload") puppet.send({ op: VsockOp.RW, hostPort, data, bufAlloc: 10 });
        else puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 1 << 20 });
        await vi.waitUntil(() => seen.at(-1)?.op === VsockOp.RST, PATIENCE);
        await vi.waitUntil(() => puppet.device.stats.connections === 0, PATIENCE);
      }
    });

    test.each(WAYS)(
      "H4: sends everything to a client of the %s that has ended its stream",
      async (way) => {
        const puppet = boot({ rings });
        const connect = await published(puppet, way);
        const data = Buffer.alloc(50_000, "a");
        guest(puppet, ({ op }) => {
          if (op === VsockOp.REQUEST) return [{ op: VsockOp.RESPONSE }];
          if (op !== VsockOp.SHUTDOWN) return [];
          return [
            { op: VsockOp.RW, data },
            { op, flags: SEND },
          ];
        });
        const client = connect();
        client.end("question");
        let bytes = 0;
        client.on("data", (part: Buffer) => {
          bytes += part.length;
        });
        await new Promise((resolve) => client.on("close", resolve));
        expect(bytes % 10_000).toBe(way === "path" ? "OK 1073741824\n".length : 0);
        expect(bytes).toBeGreaterThanOrEqual(50_000);
      },
    );

    test.each(WAYS)(
      "V16, H4: client of the %s and guest close at once, again and again",
      async (way) => {
        const puppet = boot({ rings });
        const connect = await published(puppet, way);
        const close = (hostPort: number) => ({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
        let open: number | undefined;
        guest(puppet, ({ op, hostPort }) => {
          if (op === VsockOp.REQUEST) open = hostPort;
          return op === VsockOp.REQUEST ? [{ op: VsockOp.RESPONSE }] : [];
        });
        for (let i = 0; i < 30; i++) {
          const client = connect();
          client.on("data", () => {});
          const gone = new Promise((resolve) => client.on("close", resolve));
          await vi.waitUntil(() => open !== undefined, PATIENCE);
          if (i % 3 !== 0) client.end("last words");
          for (let k = 0; k < i % 5; k++) await turn();
          puppet.send(close(open as number));
          puppet.tx.used();
          if (i % 3 === 0) client.end("last words");
          open = undefined;
          await gone;
        }
        await vi.waitUntil(() => puppet.device.stats.connections === 0, PATIENCE);
        expect(puppet.tx.queue.inFlight).toBe(0);
      },
    );

    test("H6: answers RST when there is no listener of either kind", async () => {
      const closed = net.createServer();
      await new Promise<void>((listening) => closed.listen(0, "127.0.0.1", listening));
      const { port } = closed.address() as net.AddressInfo;
      await new Promise((done) => closed.close(done));
      const connect = new Map([
        [1, { host: "127.0.0.1", port }],
        [2, { path: join(folder, "nobody") }],
      ]);
      const puppet = boot({ rings, connect });
      const seen: Packet[] = [];
      guest(puppet, (packet) => {
        seen.push(packet);
        return [];
      });
      for (const hostPort of [1, 2]) puppet.send({ op: VsockOp.REQUEST, hostPort });
      await vi.waitUntil(() => seen.length === 2, PATIENCE);
      expect(seen.map(({ op }) => op)).toEqual([VsockOp.RST, VsockOp.RST]);
      expect(puppet.device.stats.connections).toBe(0);
    });
  });

  describe.each(RING_KINDS)("reset with transfers in flight ($name)", (rings) => {
    test.each(["data", "in-place", "adaptive"] as const)(
      "G30: neither writes of the kernel nor reads touch the guest's memory after it (%s)",
      async (receive) => {
        const puppet = boot({ rings, receive, rxBuffer: [44, 65536] });
        const connect = await published(puppet, "port");
        const data = Buffer.alloc(50_000, "d");
        let received = 0;
        guest(puppet, ({ op, len }) => {
          received += len;
          const credit = { op: VsockOp.CREDIT_UPDATE, bufAlloc: 1 << 20, fwdCnt: received };
          return [op === VsockOp.REQUEST ? { ...credit, op: VsockOp.RESPONSE } : credit];
        });
        const client = connect();
        const gone = new Promise((resolve) => client.on("close", resolve));
        const upload = (): void => {
          while (!client.destroyed && client.write(Buffer.alloc(65536, "u")));
        };
        client.on("drain", upload);
        client.pause();
        upload();
        await vi.waitUntil(() => received > 1_000_000, PATIENCE);
        const hostPort = puppet.device.connections()[0]?.hostPort as number;
        puppet.onTurn = () => {};
        // A client that does not read: the kernel has a part of it when the reset comes.
        while (puppet.device.holdings.txDescriptors === 0) {
          puppet.send({ op: VsockOp.RW, hostPort, data });
          puppet.tx.used();
        }
        for (const ring of [puppet.rx, puppet.tx, puppet.events]) ring.detach();
        puppet.memory.u8.fill(0xee);
        puppet.device.reset();
        client.resume();
        await gone;
        await quiet();
        const untouched = Buffer.alloc(puppet.memory.byteLength, 0xee);
        expect(untouched.equals(puppet.memory.u8)).toBe(true);
        expect(puppet.device.stats.connections).toBe(0);
        expect(puppet.device.holdings.txDescriptors).toBe(0);
      },
    );
  });
});
