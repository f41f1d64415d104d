// WebServer's cache against clients that ask for one file by ever other names, or for ever other
// files. Nothing is padded here: a page for each small file is what once filled the memory, and
// names of 2 KiB, which were charged, hid it.
import { linkSync, mkdirSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, type Options, serve } from "../../support/web-server-script.ts";

/** As many as it took to fill 64 MiB. */
const MANY = 15_586;

afterEach(removeFolders);

async function serveSite(options: Options = {}) {
  const site = makeFolder();
  writeFileSync(`${site}/other`, "o".repeat(1000));
  const server = await serve(site, { attrTimeoutMs: 1000, ...options });
  /** Asks for the paths on one connection, one after the other; the statuses of all answers. */
  const askAll = (paths: readonly string[], header = "") => {
    const client = server.connect(new Client());
    const statuses = new Set<number>();
    for (const path of paths) {
      client.received = "";
      client.events.data(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n${header}\r\n`));
      server.settle();
      for (const { status } of parseResponses(client.received)) statuses.add(status);
    }
    client.events.closed();
    server.settle();
    return [...statuses];
  };
  return { ...server, site, askAll };
}

/** The same file by another name each: slashes and dots that change nothing. */
function spellings(name: string): string[] {
  return Array.from({ length: MANY }, (_, i) => {
    const way = Array.from({ length: 14 }, (_, bit) => ((i >> bit) & 1 ? "./" : "/")).join("");
    return `/${way}${name}`;
  });
}

describe("thousands of spellings of one file take no more than one", () => {
  test.each([
    ["empty", 0, 0],
    ["of one byte", 1, 0],
    ["of a page", 4096, 0],
    ["in the window", 40_000, 65536 * 4],
    ["of 200 KiB", 200 * 1024, 0],
  ])("%s", async (_, bytes, windowBytes) => {
    const { askAll, count, site, machine } = await serveSite({ windowBytes });
    writeFileSync(`${site}/file`, "x".repeat(bytes));
    askAll(["/file", "/other"]);
    const before = count("heapInUse");
    // The names that the kernel knows are bounded by themselves: 1024 of them.
    expect(askAll(spellings("file"), bytes ? "Range: bytes=0-0\r\n" : "")).toEqual([
      bytes ? 206 : 200,
    ]);
    expect(count("heapInUse") - before).toBeLessThan(64 * 1024);
    expect(askAll(["/other"])).toEqual([200]);
    machine.dispose();
  });

  test("nor do names of it on the host, in every case, with types of their own", async () => {
    const { askAll, count, site, machine } = await serveSite();
    writeFileSync(`${site}/file`, "x");
    const names = ["a.html", "b.HTML", "c.HtMl", "d.css", "e.css", "f", "g.unknown", "h.nothing"];
    for (const name of names) linkSync(`${site}/file`, `${site}/${name}`);
    askAll(["/other"]);
    const before = count("heapInUse");
    for (let i = 0; i < 50; i++) expect(askAll(names.map((name) => `/${name}`))).toEqual([200]);
    expect(count("heapInUse") - before).toBeLessThan(8 * 1024);
    const client = (name: string) => {
      const one = machineClient();
      one.get(`/${name}`);
      return parseResponses(one.received)[0]?.headers.get("content-type");
    };
    const machineClient = () => connect(new Client());
    const { connect } = await serve(site);
    expect(client("c.HtMl")).toBe("text/html; charset=utf-8");
    expect(client("d.css")).toBe("text/css; charset=utf-8");
    expect(client("g.unknown")).toBe("application/octet-stream");
    machine.dispose();
  });
});

describe("thousands of files take no more than a quarter of the heap", () => {
  test.each([
    ["15,586 of 10 bytes", MANY, 10, 64],
    ["15,586 that are empty", MANY, 0, 64],
    ["4000 of 4097 bytes, at 16 MiB", 4000, 4097, 16],
    ["300 of 200,000 bytes, at 16 MiB", 300, 200_000, 16],
    ["3000 of all sizes, at 8 MiB", 3000, -1, 8],
  ])("%s", async (_, files, bytes, mib) => {
    const { askAll, count, site, machine, lines } = await serveSite({ memoryBytes: mib * MIB });
    const paths = Array.from({ length: files }, (_, i) => `/${i % 100}/${i}`);
    for (let i = 0; i < 100; i++) mkdirSync(`${site}/${i}`);
    for (const [i, path] of paths.entries()) {
      writeFileSync(`${site}${path}`, "x".repeat(bytes < 0 ? (i * 7919) % 30_000 : bytes));
    }
    askAll(["/other"]);
    const before = count("heapInUse");
    expect(askAll(paths)).toEqual([200]);
    // The kernel's names of files take a sixteenth.
    const most = (mib * MIB) / 4 + (mib * MIB) / 16 + 256 * 1024;
    expect(count("heapInUse") - before).toBeLessThan(most);
    // Blocks of all sizes are still to be had.
    writeFileSync(`${site}/large`, "l".repeat(250_000));
    writeFileSync(`${site}/huge`, "h".repeat(5_000_000));
    expect(askAll(["/other", "/large", "/huge"])).toEqual([200]);
    expect(lines()).toHaveLength(1); // that it listens
    machine.dispose();
  });
});

test("a file is read once for all its names, and anew when it has changed", async () => {
  let reads = 0;
  const { askAll, clock, site, machine } = await serveSite({
    onRequest: (name) => {
      if (name === "READ") reads++;
    },
  });
  writeFileSync(`${site}/file`, "x".repeat(5000));
  linkSync(`${site}/file`, `${site}/link`);
  clock.advance(1000);
  for (const path of ["/file", "//file", "/./file", "/link", "/link/../file"]) askAll([path]);
  expect(reads).toBe(1);
  writeFileSync(`${site}/file`, "y".repeat(5001));
  clock.advance(1001);
  expect(askAll(["/file", "/link"])).toEqual([200]);
  expect(reads).toBe(2);
  machine.dispose();
});

test("evicts cached files for a request when memory is short", async () => {
  const { askAll, connect, count, machine, site } = await serveSite({ memoryBytes: 4 * MIB });
  for (let i = 0; i < 40; i++) writeFileSync(`${site}/${i}`, "x".repeat(20_000));
  const client = connect(new Client());
  askAll(Array.from({ length: 40 }, (_, i) => `/${i}`));
  const cached = count("heapInUse");
  // Somebody else takes all blocks that would be large enough for a request.
  while (Number(machine.call("ToroGetMem", 16_000)) !== 0);
  client.get("/other");
  expect(parseResponses(client.received)[0]?.status).toBe(200);
  expect(cached).toBeGreaterThan(600_000);
  machine.dispose();
});
