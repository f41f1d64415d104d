// NodeSockets, the host's real network, over TCP on 127.0.0.1: who owns bytes, and in which order
// what happens is reported. The peer of each test is a plain socket of Node.
import net from "node:net";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import type {
  Acceptor,
  Listener,
  SocketEvents,
  StreamSocket,
  TcpAddress,
} from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

let sockets: NodeSockets;
const LOOPBACK = { host: "127.0.0.1", port: 0 };
/** More than the kernel takes from a sender whose peer does not read. */
const FLOOD_BYTES = 32 << 20;

const cleanUp: (() => void)[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const act of cleanUp.splice(0)) act();
});

function until(condition: () => boolean): Promise<boolean> {
  return vi.waitUntil(condition, { timeout: 120_000, interval: 1 });
}

/** Events of one stream, as they come. */
class Recorder implements SocketEvents {
  readonly log: string[] = [];
  received = Buffer.alloc(0);
  /** Is the stream inside of a call of ours? Events must not come then. */
  inside = false;

  connected(): void {
    this.#add("connected");
  }
  data(chunk: Uint8Array): void {
    this.received = Buffer.concat([this.received, chunk]);
    if (this.log.at(-1) !== "data") this.#add("data");
  }
  end(): void {
    this.#add("end");
  }
  sent(): void {
    this.#add("sent");
  }
  failed(error: NodeJS.ErrnoException): void {
    this.#add(`failed ${error.code}`);
  }
  closed(): void {
    this.#add("closed");
  }

  async until(event: string): Promise<void> {
    await until(() => this.log.includes(event));
  }

  during<T>(call: () => T): T {
    this.inside = true;
    const result = call();
    this.inside = false;
    return result;
  }

  #add(event: string): void {
    this.log.push(this.inside ? `${event}, from inside of a call` : event);
  }
}

async function listen(
  acceptor: Partial<Acceptor> = {},
): Promise<Listener & { address: TcpAddress }> {
  const nobody: Acceptor = { accepted: (stream) => stream.reset(), refused: () => {} };
  const listener = await sockets.listen(LOOPBACK, 16, { ...nobody, ...acceptor });
  cleanUp.push(() => listener.close());
  return { ...listener, address: listener.address as TcpAddress };
}

function dial(port: number): net.Socket {
  const peer = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  peer.on("error", () => {}); // tests that expect one listen for it themselves
  cleanUp.push(() => peer.destroy());
  return peer;
}

/** An accepted stream and its client, which reads nothing until it is told to. */
async function pair(): Promise<{ stream: StreamSocket; seen: Recorder; peer: net.Socket }> {
  const seen = new Recorder();
  let adopt!: (stream: StreamSocket) => void;
  const accepted = new Promise<StreamSocket>((resolve) => {
    adopt = resolve;
  });
  const listener = await listen({
    accepted: (stream) => {
      stream.events = seen;
      adopt(stream);
    },
  });
  const peer = dial(listener.address.port);
  const stream = await accepted;
  cleanUp.push(() => stream.close());
  return { stream, seen, peer };
}

function readAll(peer: net.Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    peer.on("data", (part) => parts.push(part));
    peer.on("end", () => resolve(Buffer.concat(parts)));
    peer.on("error", reject);
  });
}

/** Bytes in which a piece that is missing or twice shows. */
function pattern(bytes: number): Buffer {
  const words = new Uint32Array(bytes >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
  return Buffer.from(words.buffer);
}

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  beforeAll(() => {
    sockets = new NodeSockets({ kind });
  });

  describe("listen", () => {
    test("binds a free port for port 0 and reports it", async () => {
      const listener = await listen();
      expect(listener.address.host).toBe("127.0.0.1");
      expect(listener.address.port).toBeGreaterThan(0);
    });

    test("rejects a taken port with an error that names address and reason", async () => {
      const { address } = await listen();
      const again = sockets.listen(address, 16, { accepted: () => {}, refused: () => {} });
      const where = `127.0.0.1:${address.port}`;
      await expect(again).rejects.toThrow(`cannot listen on ${where}: the address is in use`);
    });

    test("rejects an address of another host with a clear error", async () => {
      const foreign = { host: "192.0.2.1", port: 0 };
      const attempt = sockets.listen(foreign, 16, { accepted: () => {}, refused: () => {} });
      await expect(attempt).rejects.toThrow("cannot listen on 192.0.2.1:0: no such address");
    });

    test("close frees the port, and existing connections go on", async () => {
      const streams: StreamSocket[] = [];
      const listener = await listen({ accepted: (stream) => void streams.push(stream) });
      const { port } = listener.address;
      const peer = dial(port);
      await until(() => streams.length === 1);
      listener.close();
      const seen = new Recorder();
      sockets.connect({ host: "127.0.0.1", port }, seen);
      await seen.until("closed");
      expect(seen.log).toEqual(["failed ECONNREFUSED", "closed"]);
      const [stream] = streams as [StreamSocket];
      stream.send([Buffer.from("still here")]);
      stream.end();
      expect((await readAll(peer)).toString()).toBe("still here");
      stream.close();
    });

    test("reports a client lost for want of descriptors as refused(), and accepts the next one", async () => {
      const create = vi.spyOn(net, "createServer");
      const heard: string[] = [];
      const listener = await listen({
        accepted: (stream) => {
          heard.push("accepted");
          stream.close();
        },
        refused: (error) => void heard.push(error.message),
      });
      const server = create.mock.results[0]?.value as net.Server;
      server.emit("error", new Error("accept EMFILE"));
      dial(listener.address.port);
      await until(() => heard.length === 2);
      expect(heard).toEqual(["accept EMFILE", "accepted"]);
    });
  });

  describe("connect", () => {
    test("reports connected(), and carries bytes both ways", async () => {
      const listener = await listen({
        accepted: (stream) => {
          stream.events = new Recorder();
          stream.send([Buffer.from("wel"), Buffer.from("come")]);
          stream.end();
          cleanUp.push(() => stream.close());
        },
      });
      const seen = new Recorder();
      const stream = sockets.connect(listener.address, seen);
      await seen.until("end");
      expect(seen.log).toEqual(["connected", "data", "end"]);
      expect(seen.received.toString()).toBe("welcome");
      stream.close();
      await seen.until("closed");
    });

    test("H6: reports a target that refuses as an event, not an exception", async () => {
      const listener = await listen();
      listener.close();
      const seen = new Recorder();
      seen.during(() => sockets.connect(listener.address, seen));
      await seen.until("closed");
      expect(seen.log).toEqual(["failed ECONNREFUSED", "closed"]);
    });

    test("reports closed() for an abandoned connect", async () => {
      const listener = await listen();
      for (const giveUp of ["close", "reset"] as const) {
        const seen = new Recorder();
        const stream = sockets.connect(listener.address, seen);
        seen.during(() => stream[giveUp]());
        await seen.until("closed");
        expect(seen.log).toEqual(["closed"]);
      }
    });
  });

  describe("send", () => {
    test("returns true once the kernel has the bytes, which may then change", async () => {
      const { stream, seen, peer } = await pair();
      const bytes = Buffer.from("as it was");
      expect(seen.during(() => stream.send([bytes]))).toBe(true);
      bytes.fill("x");
      stream.end();
      expect((await readAll(peer)).toString()).toBe("as it was");
      expect(seen.log).toEqual([]);
    });

    test("sends parts in order, as one stream", async () => {
      const { stream, peer } = await pair();
      expect(stream.send(["one ", "two ", "three"].map((text) => Buffer.from(text)))).toBe(true);
      expect(stream.send([Buffer.from(" four")])).toBe(true);
      stream.end();
      expect((await readAll(peer)).toString()).toBe("one two three four");
    });

    test("H3: returns false when the peer does not read, and reports sent() when the kernel has all", async () => {
      const { stream, seen, peer } = await pair();
      const first = pattern(FLOOD_BYTES);
      const half = FLOOD_BYTES >> 1;
      expect(seen.during(() => stream.send([first.subarray(0, half), first.subarray(half)]))).toBe(
        false,
      );
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen.log).toEqual([]);
      const reading = readAll(peer);
      await seen.until("sent");
      const expected = Buffer.concat([first, Buffer.from("tail")]);
      first.fill(0); // the caller's again
      expect(stream.send([Buffer.from("tail")])).toBe(true);
      stream.end();
      expect((await reading).equals(expected)).toBe(true);
      expect(seen.log).toEqual(["sent"]);
    });

    test("reports no sent() for sends that the kernel takes at once", async () => {
      const { stream, seen, peer } = await pair();
      peer.resume();
      for (let i = 0; i < 50; i++) {
        expect(stream.send([Buffer.from("a")])).toBe(true);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(seen.log).toEqual([]);
    });
  });

  describe("half-close", () => {
    test("H4: reports the peer's end of stream as end(), and goes on sending", async () => {
      const { stream, seen, peer } = await pair();
      peer.end("question");
      await seen.until("end");
      expect(seen.received.toString()).toBe("question");
      expect(stream.send([Buffer.from("answer")])).toBe(true);
      stream.end();
      expect((await readAll(peer)).toString()).toBe("answer");
      await seen.until("closed");
      expect(seen.log).toEqual(["data", "end", "closed"]);
    });

    test("H4: receives after its own end()", async () => {
      const { stream, seen, peer } = await pair();
      const reading = readAll(peer);
      seen.during(() => stream.end());
      expect(await reading).toHaveLength(0);
      peer.end("late");
      await seen.until("closed");
      expect(seen.received.toString()).toBe("late");
      expect(seen.log).toEqual(["data", "end", "closed"]);
    });

    test("end() right after a send in flight cuts nothing off", async () => {
      const { stream, peer } = await pair();
      const bytes = pattern(FLOOD_BYTES);
      expect(stream.send([bytes])).toBe(false);
      stream.end();
      expect((await readAll(peer)).equals(bytes)).toBe(true);
    });
  });

  describe("pause and resume", () => {
    test("delivers nothing while paused, slows the peer, and loses no byte", async () => {
      const { stream, seen, peer } = await pair();
      stream.pause();
      const bytes = pattern(FLOOD_BYTES);
      expect(peer.write(bytes)).toBe(false);
      peer.end();
      // Meanwhile another connection does a whole round trip.
      const other = await pair();
      other.peer.end("x");
      await other.seen.until("end");
      expect(seen.received).toHaveLength(0);
      expect(peer.writableLength).toBeGreaterThan(0);
      const parts: Uint8Array[] = [];
      seen.data = (chunk) => void parts.push(chunk.slice());
      seen.during(() => stream.resume());
      await seen.until("end");
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
    });

    test("pause() inside data() holds the next chunk back", async () => {
      const { stream, seen, peer } = await pair();
      let chunks = 0;
      seen.data = () => {
        chunks++;
        stream.pause();
      };
      peer.write(Buffer.alloc(1 << 20));
      await until(() => chunks === 1);
      const other = await pair();
      other.peer.end("x");
      await other.seen.until("end");
      expect(chunks).toBe(1);
      stream.resume();
      await until(() => chunks === 2);
    });
  });

  describe("the end", () => {
    test("close() delivers what the kernel has taken, and closed() is the last event", async () => {
      const { stream, seen, peer } = await pair();
      const bytes = pattern(32 * 1024);
      expect(stream.send([bytes])).toBe(true);
      seen.during(() => stream.close());
      expect((await readAll(peer)).equals(bytes)).toBe(true);
      await seen.until("closed");
      expect(seen.log).toEqual(["closed"]);
    });

    test("H5: reset() reaches the peer as ECONNRESET", async () => {
      const { stream, seen, peer } = await pair();
      await expect(
        Promise.all([readAll(peer), seen.during(() => stream.reset())]),
      ).rejects.toMatchObject({ code: "ECONNRESET" });
      await seen.until("closed");
      expect(seen.log).toEqual(["closed"]);
    });

    test("H5: reset() with a send in flight drops it without sent()", async () => {
      const { stream, seen, peer } = await pair();
      expect(stream.send([Buffer.alloc(FLOOD_BYTES)])).toBe(false);
      const reading = readAll(peer);
      seen.during(() => stream.reset());
      await expect(reading).rejects.toMatchObject({ code: "ECONNRESET" });
      await seen.until("closed");
      expect(seen.log).toEqual(["closed"]);
    });

    test("H5: reports a peer's reset as failed(), then closed()", async () => {
      const { seen, peer } = await pair();
      peer.resetAndDestroy();
      await seen.until("closed");
      expect(seen.log).toEqual(["failed ECONNRESET", "closed"]);
    });

    test("close() and reset() do nothing after closed()", async () => {
      const { stream, seen } = await pair();
      stream.close();
      await seen.until("closed");
      seen.during(() => stream.reset());
      seen.during(() => stream.close());
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen.log).toEqual(["closed"]);
    });
  });
});
