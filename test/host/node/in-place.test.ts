// NodeSockets reading in place, on this Node and over the real kernel: which bytes land where, who
// owns a buffer when, and that sockets and servers end as ever. It rests on what Node does not
// document, so every line of Node that is supported has to pass this.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import type {
  Listener,
  ReadSource,
  SocketAddress,
  SocketEvents,
  StreamSocket,
} from "../../../host/ports/sockets.ts";
import "../../support/socket-kinds.ts";

const KIB = 1024;
const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const act of cleanUp.splice(0)) act();
});

function until(condition: () => boolean): Promise<boolean> {
  return vi.waitUntil(condition, { timeout: 120_000, interval: 1 });
}

/** Bytes in which a piece that is missing or twice shows. */
function pattern(bytes: number): Buffer {
  const words = new Uint32Array(bytes >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
  return Buffer.from(words.buffer);
}

/** A device with a few slots of guest memory, which takes its bytes out of them. */
class Slots implements SocketEvents, ReadSource {
  readonly log: string[] = [];
  readonly parts: Buffer[] = [];
  received = 0;
  chunks = 0;
  reads = 0;
  /** Pause after this number of reads. */
  pauseEvery = Number.POSITIVE_INFINITY;
  /** Of "data": after how many bytes by chunk the socket reads in place. */
  chunkBytesMax = Number.POSITIVE_INFINITY;
  stream!: StreamSocket;
  readonly #memory: Uint8Array;
  readonly #slotBytes: number;
  #armed: Uint8Array | null = null;
  #paused = false;

  constructor(slotBytes: number, shared = false) {
    this.#slotBytes = slotBytes;
    this.#memory = new Uint8Array(
      new WebAssembly.Memory({ initial: 64, maximum: 64, shared }).buffer,
    );
  }

  buffer(): Uint8Array {
    if (this.#armed !== null) throw new Error("a second buffer was asked for");
    const start = (this.reads % 4) * this.#slotBytes;
    this.#armed = this.#memory.subarray(start, start + this.#slotBytes);
    return this.#armed;
  }

  filled(length: number): void {
    if (this.#paused) this.log.push("a read while paused");
    const armed = this.#armed as Uint8Array;
    this.#armed = null;
    this.#take(Buffer.from(armed.subarray(0, length)));
    if (++this.reads % this.pauseEvery !== 0) return;
    this.#paused = true;
    this.stream.pause();
    setImmediate(() => {
      this.#paused = false;
      this.stream.resume();
    });
  }

  data(chunk: Uint8Array): void {
    this.chunks++;
    this.#take(Buffer.from(chunk));
    if (this.received >= this.chunkBytesMax && !this.stream.readInto(this)) this.log.push("no");
  }

  #take(part: Buffer): void {
    this.parts.push(part);
    this.received += part.length;
  }

  connected(): void {
    this.log.push("connected");
  }
  end(): void {
    this.log.push("end");
  }
  sent(): void {
    this.log.push("sent");
  }
  failed(error: NodeJS.ErrnoException): void {
    this.log.push(`failed ${error.code}`);
  }
  closed(): void {
    this.log.push("closed");
  }
}

interface Pair {
  readonly stream: StreamSocket;
  readonly peer: net.Socket;
  readonly server: net.Server;
}

/** An accepted stream, or one of ours to a server of the test's. */
async function pair(
  kind: string,
  slots: Slots,
  sockets = new NodeSockets({ kind: "handles" }),
): Promise<Pair> {
  const address: SocketAddress = kind.endsWith("unix")
    ? { path: join(folder, `${cleanUp.length}-${Math.random()}`) }
    : { host: "127.0.0.1", port: 0 };
  if (kind.startsWith("connected")) {
    const server = net.createServer({ allowHalfOpen: true });
    await new Promise<void>((listening) => server.listen(address, listening));
    const accepted = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
    const bound = server.address() as net.AddressInfo | string;
    const target =
      typeof bound === "string" ? { path: bound } : { host: bound.address, port: bound.port };
    slots.stream = sockets.connect(target, slots);
    const peer = await accepted;
    await until(() => slots.log.includes("connected"));
    slots.log.length = 0;
    cleanUp.push(() => server.close());
    return finish({ stream: slots.stream, peer, server });
  }
  const create = vi.spyOn(net, "createServer");
  let listener!: Listener;
  const accepted = new Promise<void>((resolve) => {
    void sockets
      .listen(address, 16, {
        accepted: (stream) => {
          stream.events = slots;
          slots.stream = stream;
          resolve();
        },
        refused: () => {},
      })
      .then((one) => {
        listener = one;
      });
  });
  await until(() => listener !== undefined);
  const server = create.mock.results[0]?.value as net.Server;
  create.mockRestore();
  cleanUp.push(() => listener.close());
  const peer = net.connect({ ...listener.address, allowHalfOpen: true });
  await accepted;
  return finish({ stream: slots.stream, peer, server });
}

function finish(made: Pair): Pair {
  made.peer.on("error", () => {});
  cleanUp.push(
    () => made.peer.destroy(),
    () => made.stream.close(),
  );
  return made;
}

const KINDS = ["accepted TCP", "accepted unix", "connected TCP", "connected unix"];

describe.each(KINDS)("%s", (kind) => {
  test.each([
    ["from the first byte", 0],
    ["after a chunk", 1],
  ])("lands every byte, %s, through pauses, and the server ends", async (_, chunkBytesMax) => {
    for (const shared of [false, true]) {
      const slots = new Slots(64 * KIB, shared);
      slots.pauseEvery = 5;
      slots.chunkBytesMax = chunkBytesMax || slots.chunkBytesMax;
      const { stream, peer, server } = await pair(kind, slots);
      if (chunkBytesMax === 0) expect(stream.readInto(slots)).toBe(true);
      const sent = pattern(8 << 20);
      peer.end(sent);
      await until(() => slots.log.includes("end"));
      expect(Buffer.concat(slots.parts).equals(sent)).toBe(true);
      expect(slots.chunks).toBe(chunkBytesMax);
      expect(slots.reads).toBeGreaterThan(100);
      expect(stream.send([Buffer.from("thanks")])).toBe(true);
      stream.end();
      const answer: Buffer[] = [];
      peer.on("data", (part) => answer.push(part));
      await until(() => slots.log.includes("closed"));
      await until(() => peer.readableEnded);
      expect(Buffer.concat(answer).toString()).toBe("thanks");
      expect(slots.log).toEqual(["end", "closed"]);
      await new Promise((resolve) => server.close(resolve));
    }
  });

  test("reports a peer's reset as failed() and closed()", async () => {
    const slots = new Slots(64 * KIB);
    const { stream, peer, server } = await pair(kind, slots);
    expect(stream.readInto(slots)).toBe(true);
    // All is read before: a reset after unread bytes may arrive as end() from Node.
    peer.write(pattern(1 << 20));
    await until(() => slots.received === 1 << 20);
    if (kind.endsWith("TCP")) {
      peer.resetAndDestroy();
      await until(() => slots.log.includes("closed"));
      expect(slots.log).toEqual(["failed ECONNRESET", "closed"]);
    } else {
      peer.destroy();
      await until(() => slots.log.includes("end"));
      stream.close();
      await until(() => slots.log.includes("closed"));
    }
    await new Promise((resolve) => server.close(resolve));
  });

  test.each(["close", "reset"] as const)("lands nothing after %s()", async (leave) => {
    const slots = new Slots(64 * KIB);
    const { stream, peer, server } = await pair(kind, slots);
    expect(stream.readInto(slots)).toBe(true);
    const filled = slots.filled.bind(slots);
    let after = 0;
    slots.filled = (length) => {
      filled(length);
      if (slots.log.includes("left")) after++;
      else if (slots.reads === 3) {
        slots.log.push("left");
        stream[leave]();
      }
    };
    peer.write(pattern(4 << 20));
    await until(() => slots.log.includes("closed"));
    expect(slots.log).toEqual(["left", "closed"]);
    expect(after).toBe(0);
    await new Promise((resolve) => server.close(resolve));
  });

  test("begins while a send is in flight, which goes on", async () => {
    const slots = new Slots(64 * KIB);
    const { stream, peer } = await pair(kind, slots);
    const flood = pattern(32 << 20);
    expect(stream.send([flood])).toBe(false);
    expect(stream.readInto(slots)).toBe(true);
    peer.write(flood);
    const drained: Buffer[] = [];
    peer.on("data", (part) => drained.push(part));
    await until(() => slots.log.includes("sent") && slots.received === flood.length);
    expect(Buffer.concat(slots.parts).equals(flood)).toBe(true);
    stream.end();
    await until(() => peer.readableEnded);
    expect(Buffer.concat(drained).equals(flood)).toBe(true);
    expect(slots.log).toEqual(["sent"]);
  });

  test("is refused after the peer's end, and after close()", async () => {
    const slots = new Slots(64 * KIB);
    const { stream, peer } = await pair(kind, slots);
    peer.end();
    await until(() => slots.log.includes("end"));
    expect(stream.readInto(slots)).toBe(false);
    stream.close();
    expect(stream.readInto(slots)).toBe(false);
  });

  test("returns false on sockets of Node, and goes on with chunks", async () => {
    const slots = new Slots(64 * KIB);
    const { stream, peer } = await pair(kind, slots, new NodeSockets({ kind: "net" }));
    expect(stream.readInto(slots)).toBe(false);
    const sent = pattern(1 << 20);
    peer.end(sent);
    await until(() => slots.log.includes("end"));
    expect(Buffer.concat(slots.parts).equals(sent)).toBe(true);
    expect(slots.reads).toBe(0);
  });
});
