// Few file descriptors: clients are turned away while files still have some, are counted and told
// of, and are welcome again once others have left.
import { closeSync, openSync } from "node:fs";
import net from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ManualClock } from "../../../host/manual-clock.ts";
import { VsockDevice } from "../../../host/node/devices.ts";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import type { StreamSocket, TcpAddress } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";
import { machine } from "../../support/wat-machine.ts";

const PATIENCE = { timeout: 120_000, interval: 1 };
const LOOPBACK = { host: "127.0.0.1", port: 0 };
const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const act of cleanUp.splice(0)) act();
});

/** The lowest number that is free now. */
function nextDescriptor(): number {
  const next = openSync("/dev/null", "r");
  closeSync(next);
  return next;
}

/** So many that there is room for `clients`, both ends of which are here, and for files. */
const roomFor = (clients: number) => Math.ceil(((nextDescriptor() + 2 * clients) * 4) / 3);

async function listen(descriptors: number, kind: SocketKind) {
  const seen = { accepted: [] as StreamSocket[], refused: [] as NodeJS.ErrnoException[] };
  const sockets = new NodeSockets({ kind, descriptors });
  const listener = await sockets.listen(LOOPBACK, 64, {
    accepted: (stream) => seen.accepted.push(stream),
    refused: (error) => seen.refused.push(error),
  });
  cleanUp.push(() => {
    for (const stream of seen.accepted) stream.reset();
    listener.close();
  });
  return { ...seen, port: (listener.address as TcpAddress).port };
}

async function dial(port: number): Promise<net.Socket> {
  const client = net.connect({ host: "127.0.0.1", port });
  cleanUp.push(() => client.destroy());
  client.on("error", () => {}).resume();
  await new Promise((resolve) => client.once("connect", resolve));
  return client;
}

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  describe("a limit of descriptors", () => {
    test("reports and closes clients beyond the limit, and keeps the others", async () => {
      const { accepted, refused, port } = await listen(roomFor(10), kind);
      const clients: net.Socket[] = [];
      for (let i = 0; i < 30; i++) {
        clients.push(await dial(port));
        await vi.waitUntil(() => accepted.length + refused.length === i + 1, PATIENCE);
      }
      expect(accepted.length).toBeGreaterThan(0);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused[0]).toMatchObject({ code: "EMFILE" });
      expect(refused[0]?.message).toMatch(/^\d+ of \d+ file descriptors are open/);
      await vi.waitUntil(
        () => clients.filter((one) => one.closed).length === refused.length,
        PATIENCE,
      );
      expect(clients.filter((one) => one.closed)).toHaveLength(refused.length);
    });

    test("accepts others once some have left", async () => {
      const { accepted, refused, port } = await listen(roomFor(5), kind);
      while (refused.length === 0) {
        const before = accepted.length + refused.length;
        await dial(port);
        await vi.waitUntil(() => accepted.length + refused.length > before, PATIENCE);
      }
      const served = accepted.length;
      for (const act of cleanUp.splice(1)) act(); // the clients, but not the listener
      for (const stream of accepted) stream.close();
      await vi.waitUntil(
        () =>
          process.getActiveResourcesInfo().filter((one) => one === "TCPSocketWrap").length === 0,
        PATIENCE,
      );
      await dial(port);
      await vi.waitUntil(() => accepted.length === served + 1, PATIENCE);
      expect(refused).toHaveLength(1);
    });

    test("counts open files, whose descriptors are in the same process", async () => {
      const limit = roomFor(20);
      const files: number[] = [];
      while (nextDescriptor() < limit) files.push(openSync("/dev/null", "r"));
      cleanUp.push(() => files.forEach(closeSync));
      const { accepted, refused, port } = await listen(limit, kind);
      await dial(port);
      await vi.waitUntil(() => refused.length === 1, PATIENCE);
      expect(accepted).toEqual([]);
    });
  });

  test("fails connections of the guest that would take the descriptors of files", async () => {
    const { port } = await listen(Number.POSITIVE_INFINITY, kind);
    const log: string[] = [];
    const closed = new Promise<void>((resolve) => {
      new NodeSockets({ kind, descriptors: 1 }).connect(
        { host: "127.0.0.1", port },
        {
          connected: () => void log.push("connected"),
          data() {},
          end() {},
          sent() {},
          failed: (error: NodeJS.ErrnoException) => void log.push(`${error.code}`),
          closed: resolve,
        },
      );
    });
    await closed;
    expect(log).toEqual(["EMFILE"]);
  });

  test("AL4 counts them by reason, and logs five lines a second", async () => {
    const clock = new ManualClock();
    const lines: string[] = [];
    const vsock = new VsockDevice({ sockets: new NodeSockets({ kind, descriptors: 1 }) });
    const { machine: m } = await machine(
      {},
      { devices: [vsock], clock, log: (_level, who, text) => void lines.push(`${who}: ${text}`) },
    );
    m.boot();
    const { port } = await vsock.publish({ ...LOOPBACK, guestPort: 80 });
    const burst = async () => {
      const before = vsock.stats.refused;
      for (let i = 0; i < 10; i++) await dial(port);
      await vi.waitUntil(() => vsock.stats.refused === before + 10, PATIENCE);
    };
    await burst();
    expect(vsock.stats.refusals).toEqual({ guest: 0, room: 0, descriptors: 10, handshake: 0 });
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatch(
      /^vsock: a client was turned away: \d+ of 1 file descriptors are open/,
    );
    clock.advance(1000);
    await burst();
    expect(lines).toHaveLength(10);
    expect(lines[5]).toContain("(5 lines dropped before)");
    m.dispose();
  });
});
