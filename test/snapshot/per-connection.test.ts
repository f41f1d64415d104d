// A machine for each connection, over real TCP: clients that come while all machines are taken wait
// in a bounded queue, and nothing that one leaves behind reaches another.
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../host/node/clock.ts";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { MachinePool, type PooledMachine } from "../../host/node/pool.ts";
import { NodeSockets } from "../../host/node/sockets/node-sockets.ts";
import type { Listener, TcpAddress } from "../../host/ports/sockets.ts";
import { PerConnection, type ServingOptions } from "../../host/snapshot/per-connection.ts";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { webServer } from "../support/snapshot-site.ts";

let directory: string;
let snapshot: Snapshot;
const make = (): ServingOptions => {
  const vsock = new VsockDevice({});
  return { vsock, devices: [vsock, new FsDevice({ directory, tag: "site", readOnly: true })] };
};

beforeAll(async () => {
  directory = makeFolder();
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/index.html`, "home");
  writeFileSync(`${directory}/large.bin`, "x".repeat(4 << 20));
  const machine = await Machine.create({ image: webServer, memoryBytes: 16 << 20, ...make() });
  machine.boot();
  expect((await machine.fetch("http://x/")).status).toBe(200);
  snapshot = await machine.snapshot();
  machine.dispose();
});
afterAll(removeFolders);

let close: () => void = () => {};
afterEach(() => close());

async function serve(size: number, waitingMax = 100) {
  const pool = new MachinePool<ServingOptions>(snapshot, { size, make, waitingMax });
  await pool.fill();
  const lines: string[] = [];
  const clients = new PerConnection(
    pool,
    (level, _, text) => lines.push(`${level}: ${text}`),
    systemClock,
  );
  const listener: Listener = await new NodeSockets().listen({ host: "127.0.0.1", port: 0 }, 128, {
    accepted: (socket) => clients.accepted(socket, 80),
    refused: (error) => lines.push(error.message),
  });
  close = () => {
    listener.close();
    pool.close();
  };
  const { port } = listener.address as TcpAddress;
  return { pool, clients, lines, port, listener };
}

/** A connection, and what comes on it until it ends. */
function client(port: number, request = "") {
  const socket = net.connect(port, "127.0.0.1", () => socket.write(request));
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => {});
  const ended = new Promise<string>((resolve) => socket.on("close", () => resolve(text)));
  return { socket, ended, text: () => text };
}
const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;

test("every connection gets a machine to itself, and the machine goes back when it has ended", async () => {
  const { pool, clients, port } = await serve(2);
  for (let i = 0; i < 50; i++) {
    expect(await client(port, GET("/")).ended).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*home$/);
  }
  await until(() => clients.clients === 0);
  expect([pool.idle, pool.taken]).toEqual([2, 0]);
});

test("clients wait while all machines are taken, one line says so, and all are served", async () => {
  const { pool, clients, lines, port } = await serve(2);
  const keeping = [client(port), client(port)];
  await until(() => pool.taken === 2 && pool.idle === 0);
  const waiting = Array.from({ length: 10 }, () => client(port, GET("/")));
  await until(() => pool.waiting === 10);
  expect(waiting.map((one) => one.text()).join("")).toBe("");
  expect(lines).toEqual(["warn: all 2 machines are taken: clients wait for one"]);
  for (const { socket } of keeping) socket.destroy();
  for (const { ended } of waiting) expect(await ended).toContain("200 OK");
  await until(() => clients.clients === 0);
  expect(lines.at(-1)).toBe("info: no client waits for a machine any more");
  expect([pool.idle, pool.taken, pool.waiting]).toEqual([2, 0, 0]);
});

test("a client that leaves while it waits takes no machine, and one too many is closed", async () => {
  const { pool, clients, lines, port } = await serve(1, 1);
  const keeping = client(port);
  await until(() => pool.taken === 1);
  const leaving = client(port, GET("/"));
  await until(() => pool.waiting === 1);
  expect(await client(port, GET("/")).ended).toBe("");
  expect(lines.at(-1)).toMatch(/turned away: pool: all 1 machines are taken, and 1 wait for one/);
  leaving.socket.resetAndDestroy();
  await leaving.ended;
  keeping.socket.destroy();
  await until(() => clients.clients === 0);
  expect(await client(port, GET("/")).ended).toContain("200 OK");
});

test("a client that breaks off in the middle of a long response costs the next one nothing", async () => {
  const { clients, port } = await serve(1);
  for (let i = 0; i < 10; i++) {
    const slow = client(port, GET("/large.bin"));
    await until(() => slow.text().length > 1000);
    slow.socket.destroy();
    expect(await client(port, GET("/")).ended).toContain("home");
  }
  await until(() => clients.clients === 0);
});

test("a machine that ends closes its client, and the next client gets another machine", async () => {
  const { pool, clients, port } = await serve(1);
  const taken: PooledMachine<ServingOptions>[] = [];
  const take = pool.take.bind(pool);
  pool.take = async () => {
    taken.push(await take());
    return taken.at(-1) as PooledMachine<ServingOptions>;
  };
  const first = client(port, "GET / HTTP/1.1\r\nHo");
  await until(() => taken.length === 1);
  taken[0]?.machine.dispose();
  expect(await first.ended).toBe("");
  await until(() => clients.clients === 0);
  expect(await client(port, GET("/")).ended).toContain("home");
});

test("draining waits for the connections that are left", async () => {
  const { clients, listener, port } = await serve(1);
  const keeping = client(port);
  await until(() => clients.clients === 1);
  listener.close();
  let drained = false;
  const done = clients.drain().then(() => {
    drained = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(drained).toBe(false);
  keeping.socket.destroy();
  await done;
});
