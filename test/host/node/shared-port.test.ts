// Ports that threads share: duplicates of descriptors, and who closes a port.
import { once } from "node:events";
import { closeSync, fstatSync } from "node:fs";
import net from "node:net";
import { Worker } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import { duplicate, duplicatesFault } from "../../../host/node/sockets/duplicate.ts";
import { claimed, SharedPort } from "../../../host/node/sockets/shared-port.ts";
import { binding, type Handle } from "../../../host/node/sockets/undocumented.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };

test("this engine can duplicate descriptors", () => {
  expect(duplicatesFault()).toBe("");
});

describe("a duplicate", () => {
  test("is the same socket under another number, and outlives the first", async () => {
    const { TCP, tcpServer } = binding();
    const handle = new TCP(tcpServer);
    expect(handle.bind?.("127.0.0.1", 0)).toBe(0);
    const copies = await Promise.all([duplicate(handle), duplicate(handle), duplicate(handle)]);
    expect(new Set([handle, ...copies].map(({ fd }) => fd)).size).toBe(4);
    const inode = fstatSync(handle.fd).ino;
    const before = handle.fd;
    await new Promise<void>((closed) => handle.close(closed));
    expect(() => fstatSync(before)).toThrow("EBADF");
    for (const { fd } of copies) expect(fstatSync(fd).ino).toBe(inode);
    for (const copy of copies) copy.close(() => {});
  });

  test("of a handle that is closed is an error", async () => {
    const { TCP, tcpServer } = binding();
    const handle = new TCP(tcpServer);
    handle.bind?.("127.0.0.1", 0);
    await new Promise<void>((closed) => handle.close(closed));
    await expect(duplicate(handle)).rejects.toThrow("EBADF");
  });
});

/** Accepts one client after the other, and says its name. */
const THREAD = `
  const { parentPort, workerData } = require("node:worker_threads");
  const server = require("node:net").createServer((socket) => socket.end(workerData.name));
  server.listen({ fd: workerData.fd }, () => parentPort.postMessage(server.address().port));`;

async function threadOf(port: SharedPort, name: string) {
  const { fd } = await port.descriptor();
  const thread = new Worker(THREAD, { eval: true, workerData: { fd, name } });
  const [number] = (await once(thread, "message")) as [number];
  return { thread, number };
}

function nameFrom(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    socket.on("error", ({ message }) => resolve(message));
    socket.on("close", () => resolve(text));
  });
}

describe("a shared port", () => {
  test("a descriptor is closed for a thread that ends before it has claimed it", async () => {
    const port = await SharedPort.bind(LOCAL, 16);
    const { fd, claim, takeBack } = await port.descriptor();
    const thread = new Worker("for (;;);", { eval: true });
    await once(thread, "online");
    thread.postMessage({ fd, claim });
    await thread.terminate();
    takeBack();
    await vi.waitFor(() => expect(() => fstatSync(fd)).toThrow("EBADF"));
    expect(claimed(claim)).toBe(false);
    takeBack(); // does nothing: the number may be another file's by now
    port.close();
  });

  test("one that was claimed is left to its thread", async () => {
    const port = await SharedPort.bind(LOCAL, 16);
    const { fd, claim, takeBack } = await port.descriptor();
    expect(claimed(claim)).toBe(true);
    takeBack();
    await new Promise((closed) => setImmediate(closed));
    expect(fstatSync(fd).isSocket()).toBe(true);
    closeSync(fd);
    port.close();
  });

  test("keeps clients until a thread accepts them, and when one ends the others go on", async () => {
    const port = await SharedPort.bind(LOCAL, 16);
    const a = await threadOf(port, "a");
    await a.thread.terminate();
    const early = [nameFrom(a.number), nameFrom(a.number)];
    const b = await threadOf(port, "b");
    expect(b.number).toBe(a.number);
    expect(await Promise.all(early)).toEqual(["b", "b"]);
    const c = await threadOf(port, "c");
    const seen = new Set<string>();
    while (seen.size < 2) seen.add(await nameFrom(a.number));
    expect(seen).toEqual(new Set(["b", "c"]));
    port.close();
    await b.thread.terminate();
    expect(await nameFrom(a.number)).toBe("c");
    await c.thread.terminate();
    expect(await nameFrom(a.number)).toContain("ECONNREFUSED");
  });

  test("can be one that another has bound, of either family", async () => {
    for (const address of [{ host: "::1", port: 0 }, { path: "\0torito-shared-port-test" }]) {
      const server = net.createServer();
      server.listen(address);
      await once(server, "listening");
      const { _handle } = server as unknown as { _handle: Handle };
      const { fd } = await duplicate(_handle); // as if from another process
      const shared = await SharedPort.bind({ fd }, 16);
      const descriptor = await shared.descriptor();
      expect(fstatSync(descriptor.fd).ino).toBe(fstatSync(_handle.fd).ino);
      descriptor.takeBack();
      shared.close();
      server.close();
      await once(server, "close");
    }
  });

  test.each<[string, { host: string; port: number } | { fd: number }, string]>([
    ["nobody's address", { host: "192.0.2.1", port: 80 }, "no such address on this host"],
    ["no host", { host: "nowhere.invalid", port: 80 }, "unknown host name"],
    ["no descriptor", { fd: 4095 }, "descriptor 4095: open EBADF"],
  ])("is not %s", async (_, address, message) => {
    await expect(SharedPort.bind(address, 16)).rejects.toThrow(message);
  });

  test("is not one that is taken", async () => {
    const port = await SharedPort.bind(LOCAL, 16);
    const a = await threadOf(port, "a");
    const again = SharedPort.bind({ host: "127.0.0.1", port: a.number }, 16);
    await expect(again).rejects.toThrow(`127.0.0.1:${a.number}: the address is in use`);
    port.close();
    await a.thread.terminate();
  });
});
