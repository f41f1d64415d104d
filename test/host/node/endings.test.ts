// Every way in which a socket of the host can end, in every state that it can be in, over real TCP
// and AF_UNIX: closed() comes exactly once, nothing follows it, and no descriptor stays.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import type { SocketAddress, SocketEvents, StreamSocket } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));
/** More than the kernel takes from a sender whose peer does not read. */
const FLOOD = Buffer.alloc(32 << 20);
const PATIENCE = { timeout: 120_000, interval: 1 };

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
/** Handles of sockets that the process has open. */
const openSockets = () =>
  process.getActiveResourcesInfo().filter((name) => /^(TCP|Pipe)(Socket|Connect)/.test(name))
    .length;

class Recorder implements SocketEvents {
  readonly log: string[] = [];
  connected(): void {
    this.log.push("connected");
  }
  data(): void {}
  end(): void {
    this.log.push("end");
  }
  sent(): void {
    this.log.push("sent");
  }
  failed(): void {
    this.log.push("failed");
  }
  closed(): void {
    this.log.push("closed");
  }
}

interface Subject {
  stream: StreamSocket;
  seen: Recorder;
  peer: net.Socket;
}

type Step = (subject: Subject) => unknown;

const seen =
  (event: string): Step =>
  ({ seen }) =>
    vi.waitUntil(() => seen.log.includes(event), PATIENCE);
const steps =
  (...all: Step[]): Step =>
  async (subject) => {
    for (const step of all) await step(subject);
  };
const flood: Step = ({ stream }) => void stream.send([FLOOD]);
const readInto: Step = ({ stream }) => {
  const buffer = new Uint8Array(4096);
  stream.readInto({ buffer: () => buffer, filled: () => {} });
};
const end: Step = ({ stream }) => stream.end();
const peerEnds: Step = ({ peer }) => void peer.end();
const peerSpeaks: Step = ({ peer }) => void peer.write(Buffer.alloc(300_000));
const readerOn: Step = ({ peer }) => void peer.resume();

/** Operations that a connected stream may be in the midst of. */
const STATES: Record<string, Step> = {
  idle: () => {},
  paused: ({ stream }) => stream.pause(),
  "paused, with bytes unread": steps(({ stream }) => stream.pause(), peerSpeaks, nextTurn),
  "reading in place": readInto,
  "reading in place, paused": steps(readInto, ({ stream }) => stream.pause()),
  "with a send in flight": flood,
  "with a send in flight, reading in place": steps(readInto, flood),
  "told to end": end,
  "told to end a turn ago": steps(end, nextTurn),
  "told to end two turns ago": steps(end, nextTurn, nextTurn),
  "ended after a send in flight": steps(flood, end),
  "told to end while the peer takes a send": steps(flood, end, readerOn, seen("sent")),
  "told to end, reading in place": steps(readInto, end),
  "its peer has ended": steps(peerEnds, seen("end")),
  "its peer has ended, a send is in flight": steps(peerEnds, seen("end"), flood),
  "its peer has ended, reading in place": steps(readInto, peerEnds, seen("end")),
  "its peer has just ended": peerEnds,
};

/** Events that may end it. */
const ENDINGS: Record<string, Step> = {
  close: ({ stream }) => stream.close(),
  reset: ({ stream }) => stream.reset(),
  "end and reset in one turn": steps(({ stream }) => {
    stream.end();
    stream.reset();
  }),
  "end, and reset in the next turn": steps(end, nextTurn, ({ stream }) => stream.reset()),
  "end and close": ({ stream }) => {
    stream.end();
    stream.close();
  },
  "close and reset": ({ stream }) => {
    stream.close();
    stream.reset();
  },
  "reset and close": ({ stream }) => {
    stream.reset();
    stream.close();
  },
  "close twice, and reset": steps(
    ({ stream }) => stream.close(),
    nextTurn,
    ({ stream }) => {
      stream.close();
      stream.reset();
    },
  ),
  "the peer breaks off, and it is reset": steps(
    ({ peer }) => void peer.destroy(),
    nextTurn,
    ({ stream }) => stream.reset(),
  ),
  "the peer breaks off, and it is closed": steps(
    ({ peer }) => void peer.destroy(),
    nextTurn,
    ({ stream }) => stream.close(),
  ),
  "reset and the peer breaks off": ({ stream, peer }) => {
    stream.reset();
    peer.destroy();
  },
};

const FAMILIES: Record<string, () => SocketAddress> = {
  TCP: () => ({ host: "127.0.0.1", port: 0 }),
  AF_UNIX: () => ({ path: join(folder, "socket") }),
};

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  describe.each(Object.keys(FAMILIES))("%s", (family) => {
    describe.each(["accepted", "connected"])("a stream that was %s", (side) => {
      test.each(Object.keys(STATES))("%s", async (state) => {
        const before = openSockets();
        for (const [name, ending] of Object.entries(ENDINGS)) {
          const sockets = new NodeSockets({ kind });
          const subject = await (side === "accepted" ? accepted : connected)(sockets, family);
          await STATES[state]!(subject);
          await ending(subject);
          await seen("closed")(subject);
          subject.peer.destroy();
          await nextTurn();
          const { log } = subject.seen;
          expect([name, log.filter((one) => one === "closed"), log.at(-1)]).toEqual([
            name,
            ["closed"],
            "closed",
          ]);
        }
        await vi.waitUntil(() => openSockets() === before, PATIENCE);
      });
    });

    test.each(["close", "reset"] as const)(
      "a stream that connects, and a %s at once",
      async (call) => {
        const before = openSockets();
        const server = net.createServer(() => {});
        const address = await bind(server, family);
        for (const target of [address, nowhere(family)]) {
          const seen = new Recorder();
          const stream = new NodeSockets({ kind }).connect(target, seen);
          stream[call]();
          await vi.waitUntil(() => seen.log.includes("closed"), PATIENCE);
          await nextTurn();
          expect(seen.log.filter((one) => one === "closed")).toEqual(["closed"]);
          expect(seen.log.at(-1)).toBe("closed");
        }
        await new Promise((resolve) => server.close(resolve));
        await vi.waitUntil(() => openSockets() === before, PATIENCE);
      },
    );
  });
});

function bind(server: net.Server, family: string): Promise<SocketAddress> {
  const address = FAMILIES[family]!();
  return new Promise((resolve) => {
    server.listen(address, () => {
      const bound = server.address() as net.AddressInfo;
      resolve("path" in address ? address : { host: "127.0.0.1", port: bound.port });
    });
  });
}

function nowhere(family: string): SocketAddress {
  return family === "TCP" ? { host: "127.0.0.1", port: 1 } : { path: join(folder, "nobody") };
}

async function accepted(sockets: NodeSockets, family: string): Promise<Subject> {
  const seen = new Recorder();
  let adopt!: (stream: StreamSocket) => void;
  const stream = new Promise<StreamSocket>((resolve) => {
    adopt = resolve;
  });
  const listener = await sockets.listen(FAMILIES[family]!(), 16, {
    accepted: (one) => {
      one.events = seen;
      adopt(one);
    },
    refused: () => {},
  });
  const peer = net.connect({ ...listener.address, allowHalfOpen: true });
  peer.on("error", () => {}).pause();
  const subject = { stream: await stream, seen, peer };
  listener.close();
  return subject;
}

async function connected(sockets: NodeSockets, family: string): Promise<Subject> {
  const recorder = new Recorder();
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const target = await bind(server, family);
  const came = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
  const stream = sockets.connect(target, recorder);
  const peer = await came;
  peer.on("error", () => {});
  server.close();
  const subject = { stream, seen: recorder, peer };
  await seen("connected")(subject);
  return subject;
}
