// WebServer's cache against clients that ask for one file by ever other names.
import { writeFileSync } from "node:fs";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { FsDevice } from "../host/devices/fs.ts";
import { VsockDevice } from "../host/devices/vsock.ts";
import { Machine } from "../host/machine.ts";
import { compile } from "../tools/compile.mjs";
import { makeFolder, parseResponses, removeFolders } from "./appliance.ts";

const { wasm } = await compile("test/guest/web-server.ts", "release");
const image = new WebAssembly.Module(wasm);
const machines: Machine[] = [];
/** More names than the memory of the machine has room for, whatever is kept of each. */
const NAMES = 8000;
/** Slashes in front of the shortest name that is asked for. */
const SLASHES = 2000;

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

async function serve(windowBytes: number) {
  const site = makeFolder();
  const vsock = new VsockDevice({ cid: 3 });
  const fs = new FsDevice({ directory: site, tag: "site", windowBytes });
  const memoryBytes = 16 * 1024 * 1024;
  const machine = await Machine.create({ image, devices: [vsock, fs], memoryBytes });
  machines.push(machine);
  machine.boot();
  await vsock.probe(80);
  const { port } = await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
  return { machine, port, site };
}

/** Asks for the paths on one connection, one after the other; the statuses of all answers. */
function askAll(port: number, paths: readonly string[], range: string): Promise<Set<number>> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const statuses = new Set<number>();
    let next = 0;
    let rest = "";
    const ask = () => {
      const path = paths[next++];
      if (path === undefined) return socket.end();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${range}\r\n`);
    };
    socket.on("connect", ask);
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1");
      const [answer] = parseResponses(rest);
      if (answer === undefined) return;
      statuses.add(answer.status);
      rest = "";
      ask();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(statuses));
  });
}

/** The same file by another name each: slashes and dots that lead nowhere. */
function namesOf(name: string): string[] {
  return Array.from({ length: NAMES }, (_, i) => {
    const way = Array.from({ length: 13 }, (_, bit) => ((i >> bit) & 1 ? "./" : "//")).join("");
    return `${"/".repeat(SLASHES)}${way}${name}`;
  });
}

test.each([
  ["an empty file", 0, 0],
  ["a file of one byte", 1, 0],
  ["a file in the window", 40_000, 65536 * 4],
])(
  "%s that is asked for by thousands of names leaves memory for others",
  async (_, bytes, window) => {
    const { machine, port, site } = await serve(window);
    writeFileSync(`${site}/file`, "x".repeat(bytes));
    writeFileSync(`${site}/other`, "o".repeat(1000));
    const heap = () => Number(machine.call("heapInUse"));
    const before = heap();
    const range = bytes === 0 ? "" : "Range: bytes=0-0\r\n";
    const expected = bytes === 0 ? 200 : 206;
    expect(await askAll(port, namesOf("file"), range)).toEqual(new Set([expected]));
    expect(heap() - before).toBeLessThan(8 * 1024 * 1024);
    expect(await askAll(port, ["/other"], "")).toEqual(new Set([200]));
  },
);
