// A web server is saved while clients are connected, and goes on elsewhere.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { THREADS, type TraceEvent } from "../../host/trace/event.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { fingerprint, Site } from "../support/snapshot-site.ts";
import { Client } from "../support/web-server-script.ts";

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  writeFileSync(`${directory}/index.html`, "<p>home</p>");
  writeFileSync(`${directory}/a.txt`, "a".repeat(5000));
  mkdirSync(`${directory}/sub`);
  writeFileSync(`${directory}/sub/b.txt`, "below");
});
afterAll(removeFolders);

const sockets = (site: Site) => site.count("socketCount");

/** A site with five clients, one of whom has sent half a request. */
async function busy() {
  const site = await Site.boot(directory);
  const clients = Array.from({ length: 5 }, () => site.connect());
  for (const client of clients) client.get("/a.txt");
  const half = clients[0]!;
  half.received = "";
  half.events.data(Buffer.from("GET /sub/b.txt HTT"));
  site.settle();
  return { site, clients, half };
}

test("SN1 a machine that is restored is saved as it was saved before", async () => {
  // The same generation: Math.random goes on from it.
  const entropy = (into: Uint8Array) => void into.fill(9);
  const site = await Site.boot(directory, { entropy });
  expect(site.get("/")).toContain("home");
  let snapshot = await site.machine.snapshot();
  const fingerprints: string[] = [];
  for (let i = 0; i < 3; i++) {
    const clone = await Site.restore(snapshot, directory, { entropy });
    snapshot = await clone.machine.snapshot();
    fingerprints.push(fingerprint(snapshot));
  }
  expect(new Set(fingerprints).size).toBe(1);
});

test("SN1 two snapshots of one halted machine are equal", async () => {
  const { site } = await busy();
  const one = await site.machine.snapshot();
  expect(fingerprint(await site.machine.snapshot())).toBe(fingerprint(one));
});

describe("a machine that is restored", () => {
  let snapshot: Snapshot;
  let original: Awaited<ReturnType<typeof busy>>;
  beforeAll(async () => {
    original = await busy();
    snapshot = await original.site.machine.snapshot();
  });

  test("SN2 SN4 answers its first request, and no fault is counted", async () => {
    const site = await Site.restore(snapshot, directory);
    expect(site.get("/a.txt")).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\na{5000}$/);
    expect(site.get("/sub/b.txt")).toContain("below");
    expect(site.get("/none")).toMatch(/^HTTP\/1\.1 404 /);
    expect(site.faults()).toBe(0);
    expect(site.machine.ended).toBe(false);
  });

  test("SN3 has lost all connections after its first turn, and keeps its listener", async () => {
    expect(sockets(original.site)).toBe(6);
    expect(snapshot.connections).toBe(5);
    const site = await Site.restore(snapshot, directory);
    expect(sockets(site)).toBe(1);
    expect(site.vsock.stats.connections).toBe(0);
  });

  test("SN3 loses them also when it was saved again before it heard of it", async () => {
    const second = await Site.restore(snapshot, directory);
    const clients = [second.connect(), second.connect()];
    for (const client of clients) client.get("/");
    expect(sockets(second)).toBe(3);
    const third = await Site.restore(await second.machine.snapshot(), directory);
    expect(sockets(third)).toBe(1);
    third.connect().get("/");
    const fourth = await Site.restore(await third.machine.snapshot(), directory);
    expect(sockets(fourth)).toBe(1);
    expect(fourth.get("/")).toContain("home");
  });

  test("SN4 serves hundreds of clients, and nothing of the old connections is left", async () => {
    const site = await Site.restore(snapshot, directory);
    site.get("/");
    const blocks = site.count("heapBlocks");
    for (let i = 0; i < 300; i++) expect(site.get("/")).toContain("home");
    expect(site.count("heapBlocks")).toBe(blocks);
    expect(site.vsock.holdings).toEqual({ txDescriptors: 0, rxBuffers: 0, windowBytes: 0 });
  });

  test("SN5 leaves the original as it is: a half request is completed there", async () => {
    const { site, clients, half } = original;
    await Site.restore(snapshot, directory);
    half.events.data(Buffer.from("P/1.1\r\nHost: x\r\n\r\n"));
    site.settle();
    expect(half.received).toContain("below");
    for (const client of clients) expect(client.left).toBe(false);
    expect(site.faults()).toBe(0);
  });

  test("SN6 is in the same state as another after the same story", async () => {
    const story = async () => {
      const entropy = (into: Uint8Array) => void into.fill(9);
      const site = await Site.restore(snapshot, directory, { entropy });
      for (const path of ["/", "/a.txt", "/none", "/sub/b.txt"]) {
        const client = site.connect();
        client.get(path);
        site.clock.advance(250);
        client.events.end();
        site.settle();
      }
      site.clock.advance(60_000);
      return site.hash();
    };
    expect(await story()).toBe(await story());
  });

  test("serves a client that came before it was there", async () => {
    const client = new Client();
    const early = (site: Site) => void site.connect(client);
    const site = await Site.restore(snapshot, directory, { early });
    client.get("/a.txt");
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(sockets(site)).toBe(2);
  });

  test("may have another address, which its guest learns", async () => {
    const site = await Site.restore(snapshot, directory, { vsock: { cid: 77 } });
    expect(site.get("/")).toContain("home");
    const idle = await site.machine.snapshot();
    const moved = await Site.restore(idle, directory, { vsock: { cid: 78 } });
    expect(moved.get("/")).toContain("home");
    expect([site.vsock.stats.rejected, moved.vsock.stats.rejected]).toEqual([0, 0]);
  });

  test("may be traced from then on", async () => {
    const traced = await Site.boot(directory, { trace: () => {} });
    traced.get("/");
    const events: TraceEvent[] = [];
    const trace = (event: TraceEvent) => void events.push(event);
    const site = await Site.restore(await traced.machine.snapshot(), directory, { trace });
    expect(site.get("/")).toContain("home");
    const runs = events.filter(({ pid, ph }) => pid === THREADS && ph === "X");
    expect(runs.some(({ name }) => name === "apps/web-server/connection/serveConnection")).toBe(
      true,
    );
    const names = events.map(({ name }) => name);
    expect(names).not.toContain("switches lost");
    expect(names).not.toContain("switches that cannot be");
  });
});
