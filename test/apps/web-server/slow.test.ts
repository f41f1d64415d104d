// Clients that take nothing, or next to nothing: what they may hold, and what becomes of others.
// The numbers are those of the rules for slow readers (SR).
import { writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, type Options, serve } from "../../support/web-server-script.ts";

const KIB = 1024;
/** The most that a waiting response may hold: thread, socket, window and place in the file. */
const WAITING_BYTES_MAX = 16 * KIB;
/** Pieces that the device may have at a time, for clients that take nothing. */
const PINNED_MAX = 64 * 64 * KIB;

afterEach(removeFolders);

async function serveFiles(files: Record<string, number>, options: Options = {}) {
  const site = makeFolder();
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(`${site}/${name}`, name[0]!.repeat(bytes));
  }
  return { ...(await serve(site, options)), site };
}

type Server = Awaited<ReturnType<typeof serveFiles>>;

const statusOf = (client: Client) => Number(client.received.slice(9, 12));

function fetchSmall({ connect }: Server, path = "/small"): string {
  const client = connect(new Client());
  client.get(path);
  const [response] = parseResponses(client.received);
  client.events.closed();
  return `${response?.status} ${response?.body.length}`;
}

function stall({ connect }: Server, clients: number, path: string): Client[] {
  return Array.from({ length: clients }, () => {
    const client = connect(new Client(true));
    client.get(path);
    return client;
  });
}

function say({ connect, settle }: Server, clients: number, words: string): Client[] {
  return Array.from({ length: clients }, () => {
    const client = connect(new Client());
    client.events.data(Buffer.from(words, "latin1"));
    settle();
    return client;
  });
}

describe("SR1: a response that waits for credit holds nothing", () => {
  test.each([
    ["2000 clients of 5 MB at 64 MiB", 2000, 64],
    ["400 clients of 5 MB at 16 MiB", 400, 16],
  ])("%s leave memory for others, and give back all of it", async (_, clients, mib) => {
    const server = await serveFiles({ large: 5_000_000, small: 1000 }, { memoryBytes: mib * MIB });
    expect(fetchSmall(server)).toBe("200 1000");
    for (const one of stall(server, 1, "/large")) one.events.closed();
    server.settle();
    const before = server.count("heapInUse");
    const stalled = stall(server, clients, "/large");
    expect(stalled.every((client) => statusOf(client) === 200 && !client.left)).toBe(true);
    const held = server.count("heapInUse") - before;
    expect(held).toBeLessThan(clients * WAITING_BYTES_MAX + (PINNED_MAX * mib) / 64);
    for (let i = 0; i < 20; i++) expect(fetchSmall(server)).toBe("200 1000");
    for (const client of stalled) client.events.closed();
    server.settle();
    expect(server.count("threadCount")).toBe(2);
    // Tables of handles grow with their contents, and stay.
    expect(server.count("heapInUse") - before).toBeLessThan(256 * KIB);
    expect(server.lines().length).toBe(1); // that it listens
    server.machine.dispose();
  });

  test("nor do those of a file in memory, or of many of them, some of which change meanwhile", async () => {
    const names = Array.from({ length: 300 }, (_, i) => `file${i}`);
    const sizes = Object.fromEntries(names.map((name) => [name, 200 * KIB]));
    const options = { memoryBytes: 16 * MIB };
    const server = await serveFiles({ ...sizes, small: 1000 }, options);
    const before = server.count("heapInUse");
    for (const [i, name] of names.entries()) {
      stall(server, 1, `/${name}`);
      if (i % 3 === 0) writeFileSync(`${server.site}/${name}`, "changed");
      stall(server, 1, `/${name}`);
    }
    // A quarter of the heap is for the cache, in use or not.
    const held = server.count("heapInUse") - before;
    expect(held).toBeLessThan(4 * MIB + 600 * WAITING_BYTES_MAX + PINNED_MAX / 4);
    expect(fetchSmall(server)).toBe("200 1000");
    server.machine.dispose();
  });

  test("nor do clients that ask on and on and read none of the answers", async () => {
    const server = await serveFiles({ small: 4000 }, { memoryBytes: 16 * MIB });
    const before = server.count("heapInUse");
    const clients = Array.from({ length: 400 }, () => server.connect(new Client(true)));
    for (const client of clients) {
      for (let i = 0; i < 40; i++) client.get("/small");
    }
    expect(server.count("heapInUse") - before).toBeLessThan(400 * (WAITING_BYTES_MAX + 4 * KIB));
    expect(fetchSmall(server)).toBe("200 4000");
    server.machine.dispose();
  });

  test("nor do heads that do not end, short ones or long", async () => {
    const server = await serveFiles({ small: 1000 }, { memoryBytes: 16 * MIB });
    const before = server.count("heapInUse");
    const clients = Array.from({ length: 500 }, (_, i) => {
      const client = server.connect(new Client());
      const head = `GET /small HTTP/1.1\r\nHost: x\r\nCookie: ${"c".repeat(i % 2 ? 10 : 2000)}`;
      client.events.data(Buffer.from(head));
      server.settle();
      return client;
    });
    expect(server.count("heapInUse") - before).toBeLessThan(500 * WAITING_BYTES_MAX);
    expect(fetchSmall(server)).toBe("200 1000");
    for (const client of clients) client.events.data(Buffer.from("\r\n\r\n"));
    server.settle();
    expect(clients.map(statusOf)).toEqual(clients.map(() => 200));
    server.machine.dispose();
  });
});

test("requests after a response that waits are answered, or never taken for others", async () => {
  const server = await serveFiles({ large: 300_000, small: 1000 }, { memoryBytes: 8 * MIB });
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  // More than there is room for: 12 KiB each.
  const clients = Array.from({ length: 200 }, () => {
    const client = server.connect(new Client(true));
    client.events.data(Buffer.from(get("/large") + get("/small").repeat(300)));
    server.settle();
    return client;
  });
  for (let i = 0; i < 100; i++) {
    for (const client of clients) if (!client.left) client.events.sent();
    server.settle();
  }
  const numbers = clients.map(({ received }) => {
    const responses = parseResponses(received);
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
    expect(responses[0]?.body.length).toBe(300_000);
    return responses.length;
  });
  expect(Math.max(...numbers)).toBe(301);
  expect(Math.min(...numbers)).toBeLessThan(301);
  server.machine.dispose();
});

describe("SR3: pieces come from a bounded pool, and heads of new requests go first", () => {
  test("while more responses wait for pieces than there are, a small file is served at once", async () => {
    const server = await serveFiles({ large: 5_000_000, small: 1000 }, { bufAlloc: 262_144 });
    stall(server, 300, "/large");
    expect(fetchSmall(server)).toBe("200 1000");
    const taking = server.connect(new Client());
    taking.get("/large");
    expect(parseResponses(taking.received)[0]?.body.length).toBe(5_000_000);
    server.machine.dispose();
  });

  test("where memory is small, pieces are small, and all of a file arrives in them", async () => {
    const server = await serveFiles({ large: 5_000_000 }, { memoryBytes: 4 * MIB });
    const clients = Array.from({ length: 20 }, () => server.connect(new Client()));
    for (const client of clients) client.get("/large");
    for (const client of clients) {
      expect(parseResponses(client.received)[0]?.body).toBe("l".repeat(5_000_000));
    }
    server.machine.dispose();
  });
});

/** Takes `bytes` of what is offered each second, as a client's kernel does. */
class Dripping extends Client {
  unsent = 0;

  constructor() {
    super(true);
  }

  override send(parts: readonly Uint8Array[]): boolean {
    this.unsent = parts.reduce((sum, part) => sum + part.length, 0);
    return super.send(parts);
  }

  take(bytes: number): void {
    if (this.unsent === 0) return;
    this.unsent = Math.max(0, this.unsent - bytes);
    if (this.unsent === 0) this.events.sent();
  }
}

describe("SR4: a response must move 240 bytes a second over ten, after ten of grace", () => {
  test.each([
    ["2 kB a second", 2000, 600],
    ["250 bytes a second", 250, 600],
  ])("%s is never cut", async (_, rate, seconds) => {
    const server = await serveFiles({ large: 5_000_000 });
    const client = server.connect(new Dripping());
    client.get("/large");
    for (let i = 0; i < seconds && !client.left; i++) {
      server.clock.advance(1000);
      (client as Dripping).take(rate);
      server.settle();
    }
    expect(client.left).toBe(false);
    expect(server.lines().some((line) => line.includes("240 bytes/s"))).toBe(false);
    server.machine.dispose();
  });

  test.each([
    ["nothing at all", 0],
    ["a byte a second", 1],
    ["100 bytes a second", 100],
  ])("%s is cut, of a file in memory or not, and said", async (_, rate) => {
    const server = await serveFiles({ large: 5_000_000, page: 200_000, small: 1000 });
    const clients = ["/large", "/page"].map((path) => {
      const client = server.connect(new Dripping());
      client.get(path);
      return client as Dripping;
    });
    for (let i = 0; i < 120; i++) {
      server.clock.advance(1000);
      for (const client of clients) client.take(rate);
      server.settle();
    }
    expect(clients.map(({ left }) => left)).toEqual([true, true]);
    expect(server.count("threadCount")).toBe(2);
    expect(server.lines()).toContain("WebServer: cut a client that took less than 240 bytes/s");
    expect(fetchSmall(server)).toBe("200 1000");
    server.machine.dispose();
  });

  test("a client that reads, rests for nine seconds and reads on is served", async () => {
    const server = await serveFiles({ large: 1_000_000 });
    const client = server.connect(new Dripping()) as Dripping;
    client.get("/large");
    for (let i = 0; i < 600 && client.received.length < 1_000_000; i++) {
      server.clock.advance(1000);
      if (i % 10 === 9) client.take(30_000);
      server.settle();
    }
    expect(parseResponses(client.received)[0]?.body.length).toBe(1_000_000);
    server.machine.dispose();
  });
});

test("a request for which there is no room is a 503, said once a second, until there is", async () => {
  const server = await serveFiles({ small: 1000 }, { memoryBytes: 4 * MIB });
  const begin = `GET /small HTTP/1.1\r\nHost: x\r\nCookie: ${"c".repeat(12_000)}`;
  const clients = Array.from({ length: 60 }, () => {
    const client = server.connect(new Client());
    client.events.data(Buffer.from(begin));
    server.settle();
    return client;
  });
  const refused = clients.filter(({ received }) => received !== "");
  expect(refused.length).toBeGreaterThan(10);
  expect(refused.length).toBeLessThan(60);
  for (const { received } of refused) {
    const [response] = parseResponses(received);
    expect(response).toMatchObject({ status: 503, reason: "Service Unavailable", body: "" });
    expect(response?.headers.get("retry-after")).toBe("1");
    expect(response?.headers.get("connection")).toBe("close");
  }
  const said = () => server.lines().filter((line) => line.includes("503"));
  expect(said()).toEqual(["WebServer: no memory for a request: 503"]);
  server.clock.advance(1000);
  const late = server.connect(new Client());
  late.events.data(Buffer.from(begin));
  server.settle();
  expect(said()[1]).toBe(
    `WebServer: no memory for a request: 503 (and ${refused.length - 1} before)`,
  );
  expect(fetchSmall(server)).toBe("200 1000"); // what needs no room is answered all the time
  for (const client of clients) client.events.closed();
  server.settle();
  const again = server.connect(new Client());
  again.events.data(Buffer.from(begin));
  server.settle();
  again.events.data(Buffer.from("\r\n\r\n"));
  server.settle();
  expect(statusOf(again)).toBe(200);
  server.machine.dispose();
});

describe("SR5: short of memory, those that are stalled go before a new client is refused", () => {
  test("the oldest stalled response first; what is not stalled stays", async () => {
    const server = await serveFiles({ large: 5_000_000, small: 1000 }, { memoryBytes: 2 * MIB });
    const old = stall(server, 20, "/large");
    server.clock.advance(3000);
    const taken: Client[] = [];
    while (!old.some(({ left }) => left) && taken.length < 2000) {
      taken.push(server.connect(new Client()));
    }
    expect(old.some(({ left }) => left)).toBe(true);
    expect(old.findIndex(({ left }) => left)).toBe(0);
    expect(taken.every(({ left }) => !left)).toBe(true);
    expect(server.lines()).toContain("WebServer: memory is short: cut a client that takes nothing");
    expect(fetchSmall(server)).toBe("200 1000");
    server.machine.dispose();
  });

  test("of connections, too: above nine tenths stalled ones make place, idle ones have theirs", async () => {
    const server = await serveFiles({ large: 5_000_000, small: 1000 }, { memoryBytes: 8 * MIB });
    const old = stall(server, 10, "/large");
    server.clock.advance(3000);
    const idle: Client[] = [];
    while (!old.every(({ left }) => left) && idle.length < 1000) {
      idle.push(server.connect(new Client()));
    }
    expect(old.every(({ left }) => left)).toBe(true);
    expect(idle.every(({ left }) => !left)).toBe(true);
    server.machine.dispose();
  });

  test("then the connection that has been idle for the longest time", async () => {
    const server = await serveFiles({ small: 1000 }, { memoryBytes: 2 * MIB });
    const idle: Client[] = [];
    while (!idle.some(({ left }) => left) && idle.length < 2000) {
      idle.push(server.connect(new Client()));
      if (idle.length % 20 === 0) server.clock.advance(500);
    }
    expect(idle.findIndex(({ left }) => left)).toBe(0);
    expect(server.lines()).toContain("WebServer: memory is short: cut an idle connection");
    expect(fetchSmall(server)).toBe("200 1000");
    server.machine.dispose();
  });

  test("first of all those that had their last answer, and still send", async () => {
    const server = await serveFiles({ small: 1000 }, { memoryBytes: 2 * MIB });
    const upload = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n`;
    const uploads = say(server, 200, upload + "b".repeat(20_000));
    expect(statusOf(uploads[0]!)).toBe(405);
    for (let i = 0; i < 5; i++) {
      server.clock.advance(300);
      expect(fetchSmall(server)).toBe("200 1000");
    }
    expect(uploads[0]!.left).toBe(true);
    expect(server.lines()).toContain(
      "WebServer: memory is short: cut a client after its last answer",
    );
    server.machine.dispose();
  });

  test.each([
    ["heads of 15 kB that do not end", `GET /small HTTP/1.1\r\nX: ${"h".repeat(15_000)}`],
    [
      "uploads that nobody wants",
      `POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n${"b".repeat(9000)}`,
    ],
    ["garbage", "\xff".repeat(15_000)],
  ])("clients take no more than their share, whatever they send: %s", async (_, words) => {
    const server = await serveFiles({ small: 1000 }, { memoryBytes: 4 * MIB });
    const clients = say(server, 200, words);
    for (let i = 0; i < 20; i++) expect(fetchSmall(server)).toBe("200 1000");
    for (const client of clients) if (!client.left) client.events.closed();
    server.settle();
    expect(fetchSmall(server)).toBe("200 1000");
    server.machine.dispose();
  });
});
