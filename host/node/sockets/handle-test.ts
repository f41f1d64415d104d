// Tries out what the streams on handles rely on, over a pair of sockets of this process: order, a
// buffer that changes, a write that waits, half-close, a reset. In some milliseconds, once for the
// process: names of functions prove little, and another release may mean something else by them.
import net from "node:net";
import { NOBODY, type StreamSocket } from "../../ports/sockets.ts";
import { addressOf, bind } from "./bind.ts";
import { Descriptors } from "./descriptors.ts";
import { acceptHandles, connectHandle } from "./handle-streams.ts";
import { missing } from "./undocumented.ts";

/** More than the kernel takes from a sender whose peer does not read. */
const LARGE_BYTES = 4 << 20;
const PATIENCE_MS = 2000;

const LOCAL = { host: "127.0.0.1", port: 0 };

let verdict: Promise<string> | null = null;
let known: string | null = null;

/** Why streams on handles cannot be used here, or "". Never rejects. */
export function handlesFault(): Promise<string> {
  verdict ??= examine().then((fault) => {
    known = fault;
    return fault;
  });
  return verdict;
}

/** The same, once it is known; else null. */
export function knownFault(): string | null {
  return known;
}

async function examine(): Promise<string> {
  const fault = missing();
  if (fault !== "") return fault;
  const server = await bind(
    LOCAL,
    8,
    () => net.createServer({ allowHalfOpen: true }),
    () => {},
  ).catch((error: Error) => error.message);
  if (typeof server === "string") return server;
  const { promise: late, cancel } = timer(PATIENCE_MS);
  try {
    return await Promise.race([tryOut(server), late]);
  } catch (error) {
    return (error as Error).message;
  } finally {
    cancel();
    server.close();
  }
}

function timer(ms: number): { promise: Promise<string>; cancel: () => void } {
  let timeout!: NodeJS.Timeout;
  const promise = new Promise<string>((resolve) => {
    timeout = setTimeout(resolve, ms, "a connection to this process took too long");
  });
  return { promise, cancel: () => clearTimeout(timeout) };
}

/**
 *   client: "hel" "lo"  ──▶ chunk              server: "o" "k" ──▶ chunk
 *   client: 4 MiB, end  ──▶ in place, 5 bytes and then more
 *                                              server: reset ──▶ ECONNRESET
 */
async function tryOut(server: net.Server): Promise<string> {
  const descriptors = new Descriptors(Number.POSITIVE_INFINITY);
  const { promise, resolve } = deferred();
  const areas = [new Uint8Array(5), new Uint8Array(65536)];
  let heard = "";
  let landed = 0;
  let reads = 0;
  let client: StreamSocket;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  acceptHandles(server, true, descriptors, {
    refused: (error) => resolve(error.message),
    accepted: (served) => {
      served.events = {
        ...NOBODY,
        data: (chunk) => {
          heard += text(chunk);
          served.readInto({
            buffer: () => areas[Math.min(reads, 1)] as Uint8Array,
            filled: (bytes) => {
              landed += bytes;
              reads++;
            },
          });
          served.send([new TextEncoder().encode("o"), new TextEncoder().encode("k")]);
        },
        end: () => served.reset(),
      };
    },
  });
  client = connectHandle(addressOf(server, LOCAL), descriptors, {
    connected: () => {
      const parts = ["hel", "lo"].map((part) => new TextEncoder().encode(part));
      if (!client.send(parts)) resolve("a small write had to wait");
    },
    data: (chunk) => {
      heard += text(chunk);
      if (client.send([new Uint8Array(LARGE_BYTES)])) resolve("a large write had not to wait");
    },
    sent: () => client.end(),
    end: () => resolve("a reset came as an end"),
    failed: (error: NodeJS.ErrnoException) => {
      heard += error.code;
    },
    closed: () => {
      const isRight = heard === "hellookECONNRESET" && landed === LARGE_BYTES && reads > 1;
      resolve(isRight ? "" : `heard ${heard}, and read ${landed} bytes in ${reads} reads`);
    },
  });
  return promise;
}

function deferred(): { promise: Promise<string>; resolve: (value: string) => void } {
  let resolve!: (value: string) => void;
  const promise = new Promise<string>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
