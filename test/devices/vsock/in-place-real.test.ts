// Reading in place over the real kernel, with a guest that the test plays: whoever connected, to
// whatever, and however narrow the guest's window is, every byte arrives where it should.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import type { VsockOptions } from "../../../host/node/devices.ts";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import type { SocketAddress } from "../../../host/ports/sockets.ts";
import { VsockPuppet } from "../../support/vsock-puppet.ts";
import "../../support/socket-kinds.ts";

const WINDOW = 150_000;
const BOTH = 3;
const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));

const SENT = Buffer.from(new Uint32Array(1 << 20).map((_, i) => Math.imul(i, 2654435761)).buffer);

/** A guest that takes everything, and gives credit back once in this many packets, at halts. */
class Sink {
  readonly puppet: VsockPuppet;
  readonly parts: Uint8Array[] = [];
  bytes = 0;
  ended = false;
  #told = 0;

  constructor(options: VsockOptions, sharedMemory: boolean) {
    this.puppet = new VsockPuppet({
      sockets: new NodeSockets({ kind: "handles" }),
      rxBuffer: [44, 65536],
      rxBuffers: 16,
      sharedMemory,
      ...options,
    });
    this.puppet.boot();
    this.puppet.onTurn = () => this.#turn();
  }

  #turn(): void {
    const { puppet } = this;
    for (const { op, hostPort, guestPort, data } of puppet.take()) {
      const answer = { hostPort, guestPort, fwdCnt: this.bytes, bufAlloc: WINDOW };
      if (op === VsockOp.REQUEST) puppet.send({ ...answer, op: VsockOp.RESPONSE });
      if (op === VsockOp.RW) {
        this.parts.push(data);
        this.bytes += data.length;
      }
      if (this.bytes - this.#told > WINDOW / 3 || op === VsockOp.CREDIT_REQUEST) {
        this.#told = this.bytes;
        puppet.send({ ...answer, op: VsockOp.CREDIT_UPDATE, fwdCnt: this.bytes });
      }
      if (op === VsockOp.SHUTDOWN) {
        this.ended = true;
        puppet.send({ ...answer, op, flags: BOTH });
      }
      puppet.tx.used();
    }
  }
}

/** Lets a client or a server of the host send everything to the guest. */
async function pour(kind: string, sink: Sink, target: SocketAddress | null): Promise<void> {
  const { device } = sink.puppet;
  const path = join(folder, `${Math.random()}`);
  if (target === null) {
    if (kind.endsWith("path")) await device.publishPath(path);
    const to = kind.endsWith("path") ? { path } : await device.publish({ port: 0, guestPort: 80 });
    const client = net.connect({ ...to, allowHalfOpen: true });
    if (kind.endsWith("path")) client.write("CONNECT 80\n");
    client.end(SENT);
    client.resume();
  } else {
    sink.puppet.send({ op: VsockOp.REQUEST, hostPort: 7, bufAlloc: WINDOW });
  }
  await vi.waitUntil(() => sink.ended, { timeout: 120_000, interval: 1 });
  await device.drain();
}

test.each([
  ["a client of a port", "adaptive", false],
  ["a client of a port", "in-place", true],
  ["a client of a path", "adaptive", true],
  ["a client of a path", "in-place", false],
  ["a server at a port", "adaptive", true],
  ["a server at a port", "in-place", false],
  ["a server at a path", "adaptive", false],
  ["a server at a path", "in-place", true],
] as const)("%s sends 4 MiB, %s, to shared memory: %s", async (kind, receive, shared) => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => void socket.end(SENT));
  let target: SocketAddress | null = null;
  if (kind.startsWith("a server")) {
    const path = join(folder, `${Math.random()}`);
    const where = kind.endsWith("path") ? { path } : { host: "127.0.0.1", port: 0 };
    await new Promise<void>((listening) => server.listen(where, listening));
    const bound = server.address() as net.AddressInfo | string;
    target = typeof bound === "string" ? { path } : { host: "127.0.0.1", port: bound.port };
  }
  const connect = target === null ? new Map() : new Map([[7, target]]);
  const sink = new Sink({ receive, connect }, shared);
  const { device } = sink.puppet;
  await pour(kind, sink, target);
  expect(Buffer.concat(sink.parts).equals(SENT)).toBe(true);
  const { stats } = device;
  expect(stats).toMatchObject({ bytesToGuest: SENT.length, rejected: 0, connections: 0 });
  expect(stats.bytesInPlace).toBeGreaterThan(SENT.length / 2);
  expect(stats.copiedToGuest).toBeLessThan(SENT.length / 2);
  expect(device.holdings.rxBuffers).toBe(0);
  device.dispose();
  server.close();
});
