// Two thousand clients of a large file at once, in 64 MiB: what becomes of them, of others, and of
// the memory. The numbers are those of the rules for slow readers (SR).
import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const CLIENTS = 2000;
const FILE_BYTES = 5_000_000;

/** A client whose kernel takes some bytes of each send at a time. */
class Reader extends Client {
  #unsent = 0;

  constructor() {
    super(true);
  }

  override send(parts: readonly Uint8Array[]): boolean {
    this.#unsent = parts.reduce((sum, part) => sum + part.length, 0);
    if (this.received === "") super.send([parts[0]!.subarray(0, 12)]); // of 5 MB each
    return false;
  }

  take(bytes: number): void {
    if (this.#unsent === 0) return;
    this.#unsent = Math.max(0, this.#unsent - bytes);
    if (this.#unsent === 0) this.events.sent();
  }
}

async function crowd() {
  const site = makeFolder();
  writeFileSync(`${site}/large`, "l".repeat(FILE_BYTES));
  writeFileSync(`${site}/small`, "s".repeat(1000));
  const server = await serve(site);
  const serves = () => {
    const client = server.connect(new Client());
    client.get("/small");
    const [response] = parseResponses(client.received);
    client.events.closed();
    server.settle();
    return response?.body.length === 1000;
  };
  expect(serves()).toBe(true);
  const before = server.count("heapInUse");
  const readers = Array.from({ length: CLIENTS }, () => {
    const reader = server.connect(new Reader()) as Reader;
    reader.get("/large");
    return reader;
  });
  expect(readers.every(({ received }) => received === "HTTP/1.1 200")).toBe(true);
  /** Seconds in which each reader takes `bytes`, and a fresh client asks. */
  const pass = (seconds: number, bytes: number) => {
    for (let i = 0; i < seconds; i++) {
      server.clock.advance(1000);
      for (const reader of readers) if (!reader.left) reader.take(bytes);
      server.settle();
      expect(serves()).toBe(true);
    }
  };
  const left = () => readers.filter((reader) => reader.left).length;
  /** Tables of handles grow with their contents, and stay. */
  const isBack = () => server.count("heapInUse") - before < 256 * 1024;
  return { ...server, pass, left, isBack, readers };
}

test("SR4: of 2000 that take 2 kB a second none is cut, and all others are served", async () => {
  const { pass, left, isBack, readers, settle, machine } = await crowd();
  pass(45, 2000);
  expect(left()).toBe(0);
  for (const reader of readers) reader.events.closed();
  settle();
  expect(isBack()).toBe(true);
  machine.dispose();
});

test("SR4: 2000 that take a byte a second are cut, all others served, and their memory comes back", async () => {
  const { pass, left, isBack, count, machine } = await crowd();
  pass(120, 1);
  expect(left()).toBe(CLIENTS);
  expect(count("threadCount")).toBe(2);
  expect(isBack()).toBe(true);
  machine.dispose();
});

test("SR1: 500 of 2000 that take nothing are reset at once, and only theirs comes back", async () => {
  const { pass, count, readers, settle, machine } = await crowd();
  pass(3, 0);
  const before = count("heapInUse");
  for (const reader of readers.slice(0, 500)) reader.events.failed(new Error("reset"));
  settle();
  expect(before - count("heapInUse")).toBeGreaterThan(500 * 4096);
  expect(count("threadCount")).toBe(2 + CLIENTS - 500);
  pass(3, 0);
  expect(readers.slice(500).some((reader) => reader.left)).toBe(false);
  machine.dispose();
});
