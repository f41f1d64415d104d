// WebServer on a clock that stands still, with scripted clients: what depends on the moment.
import { renameSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../host/clock.ts";
import { hostFiles } from "../host/devices/fs/host-files.ts";
import { FsDevice } from "../host/devices/fs.ts";
import { VsockDevice } from "../host/devices/vsock.ts";
import type { Files } from "../host/files.ts";
import { Machine } from "../host/machine.ts";
import type { Acceptor, SocketEvents, Sockets, StreamSocket } from "../host/sockets.ts";
import { compile } from "../tools/compile.mjs";
import { makeFolder, parseResponses, removeFolders } from "./appliance.ts";

const { wasm } = await compile("test/guest/web-server.ts", "release");
const image = new WebAssembly.Module(wasm);

const MIB = 1024 * 1024;

afterEach(removeFolders);

/** The far end of one connection; takes everything at once unless it is slow. */
class Client implements StreamSocket {
  events = {} as SocketEvents; // until the device adopts it
  received = "";
  left = false;
  /** Lets the server have its turn. */
  settle: () => void = () => {};
  readonly slow: boolean;

  constructor(slow = false) {
    this.slow = slow;
  }

  send(parts: readonly Uint8Array[]): boolean {
    for (const part of parts) this.received += Buffer.from(part).toString("latin1");
    return !this.slow;
  }

  get(path: string): void {
    this.events.data(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
    this.settle();
  }

  readInto(): boolean {
    return false;
  }
  end(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {
    this.left = true;
  }
  reset(): void {
    this.left = true;
  }
}

async function serve(site: string, files: Files = hostFiles(), memoryBytes = 64 * MIB) {
  const clock = new ManualClock();
  let acceptor: Acceptor | undefined;
  const sockets: Sockets = {
    listen: async (address, _backlog, one) => {
      acceptor = one;
      return { address, close() {} };
    },
    connect: () => {
      throw new Error("the guest connects to nothing");
    },
  };
  const vsock = new VsockDevice({ sockets, limits: { bufAlloc: 16384 } });
  const fs = new FsDevice({
    directory: site,
    tag: "site",
    readOnly: true,
    files,
    attrTimeoutMs: 0,
  });
  const machine = await Machine.create({ image, devices: [vsock, fs], clock, memoryBytes });
  await vsock.publish({ port: 80, guestPort: 80 });
  machine.boot();
  const connect = (client: Client): Client => {
    client.settle = () => {
      while (clock.settle() > 0);
    };
    acceptor?.accepted(client);
    client.settle();
    return client;
  };
  return { clock, connect, machine };
}

test("a client that takes a little now and then gets all of it, one that takes nothing is left", async () => {
  const site = makeFolder();
  writeFileSync(`${site}/page`, "p".repeat(200_000));
  const { clock, connect, machine } = await serve(site);
  const slow = connect(new Client(true));
  const dead = connect(new Client(true));
  slow.get("/page");
  dead.get("/page");
  // The send time-out is 60 s; one window after the other takes minutes.
  for (let i = 0; i < 20; i++) {
    clock.advance(40_000);
    slow.events.sent();
  }
  expect(parseResponses(slow.received)[0]!.body).toBe("p".repeat(200_000));
  expect(dead.left).toBe(true);
  machine.dispose();
});

test("a response for which memory is out is a 503, and the machine goes on", async () => {
  const site = makeFolder();
  writeFileSync(`${site}/large`, "l".repeat(MIB));
  const { connect, machine } = await serve(site, hostFiles(), 4 * MIB);
  const clients = Array.from({ length: 200 }, () => connect(new Client(true)));
  for (const client of clients) client.get("/large");
  const answers = new Set(clients.map(({ received }) => received.slice(0, 12)));
  expect(answers).toContain("HTTP/1.1 200");
  expect(answers).toContain("HTTP/1.1 503");
  for (const client of clients) client.events.closed();
  const later = connect(new Client());
  later.get("/missing");
  expect(later.received).toMatch(/^HTTP\/1.1 404/);
  machine.dispose();
});

/** Files where `name` gives way to `next` when it is looked up for the second time. */
function replacing(path: string): Files {
  const files = hostFiles();
  let looks = 0;
  const peek = files.peek.bind(files);
  files.peek = (directory, name) => {
    if (++looks === 2) renameSync(`${path}.next`, path);
    return peek(directory, name);
  };
  return files;
}

test.each([
  ["cached", 1000],
  ["streamed", 300_000],
])(
  "a %s file that is replaced between look-up and opening is sent whole, as what it is",
  async (_, size) => {
    const site = makeFolder();
    writeFileSync(`${site}/file`, "a".repeat(size));
    writeFileSync(`${site}/file.next`, "b".repeat(size + 1));
    const { connect, machine } = await serve(site, replacing(`${site}/file`));
    const client = connect(new Client());
    client.get("/file");
    const [response] = parseResponses(client.received);
    expect(response!.status).toBe(200);
    expect(response!.headers.get("etag")).toMatch(new RegExp(`-${(size + 1).toString(16)}"$`));
    expect(response!.body).toBe("b".repeat(size + 1));
    machine.dispose();
  },
);
