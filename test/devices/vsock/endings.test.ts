// Every way in which a guest and a client can end a connection, over real TCP and AF_UNIX: each
// connection is gone from the device, the drain ends, and the process has no socket left.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import type { TcpAddress } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";
import { type Packet, VsockPuppet } from "../../support/vsock-puppet.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));
const PATIENCE = { timeout: 120_000, interval: 1 };
const [RCV, SEND, BOTH] = [1, 2, 3];
let sockets: SocketKind;

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
const openSockets = () =>
  process.getActiveResourcesInfo().filter((name) => /^(TCP|Pipe)/.test(name)).length;

type Said = Partial<Packet>;
const shutdown = (flags: number): Said => ({ op: VsockOp.SHUTDOWN, flags });
const rst: Said = { op: VsockOp.RST };
const rw: Said = { op: VsockOp.RW, data: Buffer.alloc(50_000) };

/** Packets of the guest, one list for each of its turns. */
const GUESTS: Record<string, Said[][]> = {
  "is reset": [[rst]],
  "is shut down and reset": [[shutdown(BOTH), rst]],
  "is shut down, and reset in the next turn": [[shutdown(BOTH)], [rst]],
  "sends no more, and is reset": [[shutdown(SEND), rst]],
  "sends no more, and is reset in the next turn": [[shutdown(SEND)], [rst]],
  "sends no more, and is reset two turns later": [[shutdown(SEND)], [], [rst]],
  "receives no more, and is reset": [[shutdown(RCV)], [rst]],
  "sends, is shut down, and reset in the next turn": [[rw, shutdown(BOTH)], [rst]],
  "sends, ends, and is reset in the next turn": [[rw, shutdown(SEND)], [rst]],
  "sends, ends, and is shut down": [[rw, shutdown(SEND)], [shutdown(RCV)], [rst]],
  "breaks the protocol after its end": [[shutdown(SEND)], [rw]],
};

/** Earlier actions of the client. */
const CLIENTS: Record<string, (client: net.Socket) => void> = {
  waits: () => {},
  "has said something": (client) => void client.write("hello"),
  "has said much": (client) => void client.write(Buffer.alloc(500_000)),
  "has ended": (client) => void client.end("bye"),
  "has left": (client) => void client.destroy(),
};

async function open(kind: string, client: (socket: net.Socket) => void) {
  const puppet = new VsockPuppet({ sockets: new NodeSockets({ kind: sockets }) });
  let address: TcpAddress | { path: string };
  if (kind === "TCP") {
    address = await puppet.device.publish({ port: 0, guestPort: 80 });
  } else {
    address = { path: join(folder, "socket") };
    await puppet.device.publishPath(address.path);
  }
  puppet.boot();
  const socket = net.connect({ ...address, allowHalfOpen: true });
  socket.on("error", () => {}).resume();
  if (kind !== "TCP") socket.write("CONNECT 80\n");
  await new Promise((resolve) => socket.once("connect", resolve));
  await vi.waitUntil(() => puppet.device.stats.connections === 1, PATIENCE);
  const [request] = puppet.take() as [Packet];
  const { hostPort } = request;
  puppet.send({ op: VsockOp.RESPONSE, hostPort });
  client(socket);
  await nextTurn();
  await nextTurn();
  return { puppet, socket, hostPort };
}

describe.each(SOCKET_KINDS)("sockets on %s", (one) => {
  beforeAll(() => {
    sockets = one;
  });

  describe.each([
    ["TCP", "one turn of the host"],
    ["TCP", "turns of the host"],
    ["AF_UNIX", "one turn of the host"],
    ["AF_UNIX", "turns of the host"],
  ])("%s, the guest's turns in %s", (kind, turns) => {
    describe.each(Object.keys(CLIENTS))("a client that %s", (client) => {
      test.each(Object.keys(GUESTS))("is gone when the guest's socket %s", async (guest) => {
        const before = openSockets();
        const { puppet, socket, hostPort } = await open(kind, CLIENTS[client]!);
        for (const packets of GUESTS[guest]!) {
          puppet.send(...packets.map((one) => ({ hostPort, ...one })));
          if (turns !== "one turn of the host") await nextTurn();
        }
        const drained = puppet.device.drain();
        puppet.advance(2500); // for clients that end no sooner than they are closed
        await drained;
        expect(puppet.device.stats.connections).toBe(0);
        expect(puppet.device.connections()).toEqual([]);
        expect(puppet.tx.queue.inFlight).toBe(0);
        puppet.device.dispose();
        socket.destroy();
        await vi.waitUntil(() => openSockets() === before, PATIENCE);
      });
    });
  });

  // An application that shuts down and powers off: its user's process ends, too.
  describe.each(["TCP", "AF_UNIX"])("%s, at the end of the machine", (kind) => {
    test.each(Object.keys(GUESTS))("no socket is left when the guest's one %s", async (guest) => {
      const before = openSockets();
      for (const client of Object.values(CLIENTS)) {
        const { puppet, socket, hostPort } = await open(kind, client);
        for (const packets of GUESTS[guest]!) {
          puppet.send(...packets.map((one) => ({ hostPort, ...one })));
        }
        puppet.device.dispose();
        await puppet.device.drain();
        socket.destroy();
      }
      await vi.waitUntil(() => openSockets() === before, PATIENCE);
    });
  });
});
