// WebServer with a window: files are mapped once and sent from there, whatever becomes of them.
import { writeFileSync } from "node:fs";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../../host/node/clock.ts";
import { FsDevice, type FsOptions, VsockDevice } from "../../../host/node/devices.ts";
import { Machine } from "../../../host/node/machine.ts";
import type { Clock } from "../../../host/ports/clock.ts";
import { makeFolder, removeFolders, until } from "../../support/appliance.ts";
import { compileOnce } from "../../support/compiled.ts";
import { frozenFiles } from "../../support/fs-frozen-files.ts";

const { wasm } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
const image = new WebAssembly.Module(wasm);
const machines: Machine[] = [];
const KIB = 1024;
const SLOT = 64 * KIB;

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

interface Options extends Partial<FsOptions> {
  clock?: Clock;
}

/** To the guest, files are older than a moment: their times differ. */
const later: Clock = { ...systemClock, realtime: () => systemClock.realtime() + 1_000_000_000n };

async function serve(windowBytes: number, { clock = later, ...options }: Options = {}) {
  const site = makeFolder();
  const requests: string[] = [];
  const vsock = new VsockDevice({ cid: 3 });
  const fs = new FsDevice({ directory: site, tag: "site", windowBytes, ...options });
  const machine = await Machine.create({
    image,
    devices: [vsock, fs],
    clock,
    trace: ({ name, args }) => {
      if (args?.nodeid !== undefined) requests.push(name);
    },
  });
  machines.push(machine);
  machine.boot();
  await vsock.probe(80);
  const { port } = await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
  const write = (name: string, letter: string, bytes: number) =>
    writeFileSync(`${site}/${name}`, letter.repeat(bytes));
  const times = (name: string) => requests.filter((one) => one === name).length;
  const threads = () => Number(machine.call("threadCount"));
  const blocks = () => Number(machine.call("heapBlocks"));
  return { port, write, times, threads, blocks };
}

/** Asks for a path on a connection of its own. */
function ask(port: number, path: string): net.Socket {
  const socket = net.connect(port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return socket;
}

function bodyOf(socket: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("end", () => {
      const text = Buffer.concat(chunks).toString("latin1");
      resolve(text.slice(text.indexOf("\r\n\r\n") + 4));
    });
  });
}

const fetchBody = (port: number, path: string) => bodyOf(ask(port, path));
/** A body that is one letter only, as that letter and its length. */
const summary = (body: string) =>
  body === (body[0] ?? "").repeat(body.length) ? `${body[0]} ${body.length}` : "mixed";

test("1000 requests for a file are one SETUPMAPPING and no READ, in any size that is mapped", async () => {
  const { port, write, times } = await serve(64 * SLOT);
  const sizes = [32 * KIB, SLOT, 133_000, 256 * KIB, 256 * KIB + 1, 1024 * KIB + 7];
  for (const bytes of sizes) write(`f${bytes}`, "a", bytes);
  for (const bytes of sizes) {
    expect(summary(await fetchBody(port, `/f${bytes}`))).toBe(`a ${bytes}`);
  }
  expect(times("SETUPMAPPING")).toBe(sizes.length);
  for (let i = 0; i < 1000; i += 10) {
    const got = await Promise.all(Array.from({ length: 10 }, () => fetchBody(port, "/f133000")));
    expect(got.every((body) => body.length === 133_000)).toBe(true);
  }
  expect(times("SETUPMAPPING")).toBe(sizes.length);
  expect(times("READ")).toBe(0);
});

test("small files are read into the heap, large ones are streamed, and without a window all are", async () => {
  const { port, write, times } = await serve(64 * SLOT);
  write("small", "s", 32 * KIB - 1);
  write("large", "l", 4096 * KIB + 1);
  expect(summary(await fetchBody(port, "/small"))).toBe(`s ${32 * KIB - 1}`);
  expect(summary(await fetchBody(port, "/large"))).toBe(`l ${4096 * KIB + 1}`);
  expect(times("SETUPMAPPING")).toBe(0);
  expect(times("READ")).toBeGreaterThan(0);
  const without = await serve(0);
  without.write("middle", "m", 133_000);
  without.write("more", "n", 1024 * KIB);
  for (let i = 0; i < 3; i++) {
    expect(summary(await fetchBody(without.port, "/middle"))).toBe("m 133000");
    expect(summary(await fetchBody(without.port, "/more"))).toBe(`n ${1024 * KIB}`);
  }
  expect(without.times("SETUPMAPPING")).toBe(0);
});

test("a change on the host shows when the attributes may be believed no more, and is mapped anew", async () => {
  const { port, write, times } = await serve(64 * SLOT, { attrTimeoutMs: 50 });
  write("file", "a", 133_000);
  expect(summary(await fetchBody(port, "/file"))).toBe("a 133000");
  write("file", "b", 140_000);
  let seen = "";
  await until(async () => {
    seen = summary(await fetchBody(port, "/file"));
    expect(["a 133000", "b 140000"]).toContain(seen);
    return seen === "b 140000";
  });
  expect(times("SETUPMAPPING")).toBe(2);
  expect(times("READ")).toBe(0);
  const eager = await serve(64 * SLOT, { attrTimeoutMs: 0 });
  for (const [letter, bytes] of [
    ["x", 70_000],
    ["y", 69_999],
    ["z", 200_000],
  ] as const) {
    eager.write("file", letter, bytes);
    expect(summary(await fetchBody(eager.port, "/file"))).toBe(`${letter} ${bytes}`);
  }
});

test.each([
  ["heap", 1000],
  ["window", 133_000],
])(
  "a file in the %s that has changed in the tick of its ctime is served anew, once",
  async (_, bytes) => {
    let ms = 0;
    const now = () => ms * 1e6;
    const clock = { ...systemClock, now, realtime: () => BigInt(now()) };
    const files = frozenFiles(0n); // whatever is written, they look the same
    const { port, write, times } = await serve(64 * SLOT, { attrTimeoutMs: 0, clock, files });
    const get = async () => (await fetchBody(port, "/file"))[0];
    const loads = () => times("READ") + times("SETUPMAPPING");
    write("file", "a", bytes);
    expect([await get(), loads()]).toEqual(["a", 1]);
    write("file", "b", bytes);
    ms = 99;
    expect([await get(), loads()]).toEqual(["a", 1]);
    ms = 100;
    expect([await get(), await get(), loads()]).toEqual(["b", "b", 2]);
    ms = 100_000;
    expect([await get(), loads()]).toEqual(["b", 2]);
  },
);

test("a site that is larger than the window is served from it all the same, the newest files", async () => {
  const { port, write, times, blocks } = await serve(4 * SLOT);
  const names = Array.from({ length: 12 }, (_, i) => String.fromCharCode(0x61 + i));
  for (const name of names) write(name, name, 100_000); // two slots each
  const round = async () => {
    for (const name of names) {
      expect(summary(await fetchBody(port, `/${name}`))).toBe(`${name} 100000`);
    }
  };
  await round();
  const after = blocks();
  await round();
  await round();
  expect(blocks()).toBe(after);
  expect(times("SETUPMAPPING")).toBe(3 * names.length);
  expect(times("REMOVEMAPPING")).toBeGreaterThan(0);
  expect(times("READ")).toBe(0);
  await fetchBody(port, "/l"); // is there
  expect(times("SETUPMAPPING")).toBe(3 * names.length);
});

test("a transfer in flight ends as it began: old bytes, though the file has changed", async () => {
  const { port, write, times, threads } = await serve(64 * SLOT, { attrTimeoutMs: 0 });
  const bytes = 4096 * KIB; // all of the window
  write("file", "a", bytes);
  const slow = ask(port, "/file");
  const old = bodyOf(slow);
  await new Promise((resolve) => slow.once("data", resolve));
  slow.pause();
  write("file", "b", bytes);
  write("other", "o", 256 * KIB);
  expect(summary(await fetchBody(port, "/file"))).toBe(`b ${bytes}`);
  expect(summary(await fetchBody(port, "/other"))).toBe(`o ${256 * KIB}`);
  await until(() => threads() === 3); // two of the server itself, and the one that still sends
  expect(times("SETUPMAPPING")).toBe(1);
  slow.resume();
  expect(summary(await old)).toBe(`a ${bytes}`);
  await until(() => threads() === 2);
  expect(summary(await fetchBody(port, "/file"))).toBe(`b ${bytes}`);
  expect(times("SETUPMAPPING")).toBe(2); // what the old bytes took is free
});

test("when transfers in flight hold all of the window, other files are read as ever", async () => {
  const { port, write, times, threads } = await serve(64 * SLOT, { attrTimeoutMs: 0 });
  const bytes = 4096 * KIB;
  write("large", "a", bytes);
  write("other", "o", 133_000);
  write("third", "t", 1024 * KIB);
  const slow = ask(port, "/large");
  const old = bodyOf(slow);
  await new Promise((resolve) => slow.once("data", resolve));
  slow.pause();
  expect(summary(await fetchBody(port, "/other"))).toBe("o 133000");
  expect(summary(await fetchBody(port, "/third"))).toBe(`t ${1024 * KIB}`);
  await until(() => threads() === 3);
  expect(times("SETUPMAPPING")).toBe(1);
  expect(times("READ")).toBeGreaterThan(0);
  slow.resume();
  expect(summary(await old)).toBe(`a ${bytes}`);
  write("third", "u", 1024 * KIB);
  expect(summary(await fetchBody(port, "/third"))).toBe(`u ${1024 * KIB}`);
  expect(times("SETUPMAPPING")).toBe(2);
});
