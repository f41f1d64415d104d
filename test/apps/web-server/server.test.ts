// WebServer in this process, over real TCP and a real directory: what it holds, and gives back.
import { utimesSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { FsDevice, VsockDevice } from "../../../host/node/devices.ts";
import { Machine } from "../../../host/node/machine.ts";
import { makeFolder, parseResponses, removeFolders, until } from "../../support/appliance.ts";
import { compileOnce } from "../../support/compiled.ts";

const { wasm } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
const image = new WebAssembly.Module(wasm);
const machines: Machine[] = [];

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

interface Server {
  readonly machine: Machine;
  readonly vsock: VsockDevice;
  readonly port: number;
  readonly site: string;
}

async function serve(parameters = "", memoryBytes = 64 * 1024 * 1024): Promise<Server> {
  const site = makeFolder();
  writeFileSync(`${site}/index.html`, "<h1>hello</h1>");
  writeFileSync(`${site}/large.bin`, Buffer.alloc(8 * 1024 * 1024, 0x41));
  // The heads of young files are made anew each time.
  for (const name of ["index.html", "large.bin"]) utimesSync(`${site}/${name}`, 1e9, 1e9);
  const vsock = new VsockDevice({ cid: 3 });
  const fs = new FsDevice({
    directory: site,
    tag: "site",
    limits: { slowMs: Number.POSITIVE_INFINITY },
  });
  const machine = await Machine.create({ image, devices: [vsock, fs], parameters, memoryBytes });
  machines.push(machine);
  machine.boot();
  await vsock.probe(80);
  const { port } = await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
  return { machine, vsock, port, site };
}

const connect = (port: number) =>
  new Promise<net.Socket>((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });

function fetchOnce(port: number, path = "/"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  });
}

const count = (server: Server, name: string) => Number(server.machine.call(name));
/** Only the listener is left: its socket, and the threads that accept and look at the pace. */
const quiet = (server: Server) =>
  until(() => count(server, "socketCount") === 1 && count(server, "threadCount") === 2);

/**
 * Requests to the file system are kept for the next time, as many as there were at a time; a leak
 * would make the count larger in each round.
 */
async function stopsGrowing(round: () => Promise<number>): Promise<void> {
  let last = await round();
  await until(async () => {
    const now = await round();
    const isSteady = now <= last;
    last = now;
    return isSteady;
  });
}

describe("resources of a connection", () => {
  test("after 2000 requests on connections of their own, heap and tables are as after the first", async () => {
    const server = await serve();
    const round = async (requests: number) => {
      for (let i = 0; i < requests; i += 10) {
        await Promise.all(Array.from({ length: 10 }, () => fetchOnce(server.port)));
      }
      await quiet(server);
      return { bytes: count(server, "heapInUse"), blocks: count(server, "heapBlocks") };
    };
    const before = await round(10);
    const after = await round(2000);
    expect(after.blocks).toBe(before.blocks);
    // A block that is used again may be the rest that is too small to cut off larger: 16 bytes.
    expect(Math.abs(after.bytes - before.bytes)).toBeLessThan(16 * before.blocks);
    expect(server.vsock.stats.connections).toBe(0);
  });

  test("after clients that vanish in the middle of a large response", async () => {
    const server = await serve();
    const vanish = async () => {
      for (let i = 0; i < 50; i++) {
        const socket = await connect(server.port);
        socket.on("error", () => {});
        socket.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        await new Promise((resolve) => socket.once("data", resolve));
        socket.resetAndDestroy();
      }
      await quiet(server);
      return count(server, "heapBlocks");
    };
    await stopsGrowing(vanish);
    expect(server.vsock.stats.connections).toBe(0);
  });

  test("SR6: while 20 clients read nothing of 8 MiB each, each holds a piece, and what is on its way", async () => {
    const server = await serve();
    await fetchOnce(server.port);
    const stall = async () => {
      const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(server.port)));
      for (const socket of sockets) {
        socket.pause();
        socket.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
      }
      await until(() => count(server, "socketCount") === 21);
      let last = -1;
      await until(() => {
        const now = count(server, "heapInUse");
        const steady = now === last;
        last = now;
        return steady;
      });
      expect((await fetchOnce(server.port)).endsWith("<h1>hello</h1>")).toBe(true);
      // Whatever their kernels hold, which may be megabytes.
      expect(server.vsock.holdings.windowBytes).toBeLessThanOrEqual(20 * 256 * 1024);
      for (const socket of sockets) socket.destroy();
      await quiet(server);
      return last;
    };
    await stall(); // the file system keeps this many requests for the next time
    const before = count(server, "heapInUse");
    // A thread, a socket, a piece, and what the device may have.
    expect((await stall()) - before).toBeLessThan(20 * (16 + 64 + 64) * 1024);
    const blocks = async () => {
      await stall();
      return count(server, "heapBlocks");
    };
    await stopsGrowing(blocks);
  });
});

describe("many connections", () => {
  test("500 that say nothing and 500 that send a byte now and then do not stop a client", async () => {
    const server = await serve("head=60000 idle=60000");
    const silent = await Promise.all(Array.from({ length: 500 }, () => connect(server.port)));
    const dripping = await Promise.all(Array.from({ length: 500 }, () => connect(server.port)));
    await until(() => count(server, "socketCount") === 1001);
    const bytes = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (let i = 0; i < bytes.length; i++) {
      for (const socket of dripping) socket.write(bytes.charAt(i));
      expect((await fetchOnce(server.port)).endsWith("<h1>hello</h1>")).toBe(true);
    }
    for (const socket of [...silent, ...dripping]) socket.destroy();
    await quiet(server);
  });

  test("more clients than memory are refused one by one, and room comes back", async () => {
    const server = await serve("head=60000 idle=60000", 4 * 1024 * 1024);
    const sockets: net.Socket[] = [];
    let refused = 0;
    for (let i = 0; i < 600; i++) {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.on("close", () => refused++);
      socket.resume();
      sockets.push(socket);
    }
    await until(() => refused > 0 && count(server, "socketCount") > 1);
    for (const socket of sockets) socket.destroy();
    await quiet(server);
    expect((await fetchOnce(server.port)).endsWith("<h1>hello</h1>")).toBe(true);
  });
});

test("draining: a response that has begun is finished, idle connections end, new ones are refused", async () => {
  const server = await serve();
  const idle = await connect(server.port);
  idle.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise((resolve) => idle.once("data", resolve));
  const busy = await connect(server.port);
  const chunks: Buffer[] = [];
  busy.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
  await new Promise<void>((resolve) =>
    busy.once("data", (chunk) => {
      chunks.push(chunk);
      busy.pause();
      resolve();
    }),
  );
  const drained = server.vsock.drain();
  await new Promise((resolve) => idle.once("close", resolve));
  await expect(connect(server.port)).rejects.toThrow("ECONNREFUSED");
  busy.on("data", (chunk) => chunks.push(chunk));
  busy.resume();
  await new Promise((resolve) => busy.once("end", resolve));
  busy.end();
  const [response] = parseResponses(Buffer.concat(chunks).toString("latin1"));
  expect(response!.body.length).toBe(8 * 1024 * 1024);
  await drained;
});
