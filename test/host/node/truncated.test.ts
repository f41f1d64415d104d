// A client that breaks off must never look like one that has finished: libuv tells of an end where
// a reset has come after bytes, unless somebody asks the kernel.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import type { SocketAddress, StreamSocket } from "../../../host/ports/sockets.ts";
import { compileGuest } from "../../support/guest.ts";
import { BothHalves } from "../../support/kernel-and-devices.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = await compileGuest("test/guest/client.ts");
const machines: BothHalves[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

const PATIENCE = { timeout: 120_000, interval: 1 };
const TCP: SocketAddress = { host: "127.0.0.1", port: 0 };
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Hears what happens to an accepted stream; the client is connected. */
async function pair(address: SocketAddress, kind: SocketKind) {
  const log: string[] = [];
  let bytes = 0;
  let adopt!: (stream: StreamSocket) => void;
  const accepted = new Promise<StreamSocket>((resolve) => {
    adopt = resolve;
  });
  const listener = await new NodeSockets({ kind }).listen(address, 8, {
    accepted: (stream) => {
      stream.events = {
        connected() {},
        data: (chunk) => {
          bytes += chunk.length;
        },
        end: () => {
          log.push("end");
          stream.close();
        },
        sent() {},
        failed: (error: NodeJS.ErrnoException) => void log.push(`${error.code}`),
        closed: () => void log.push("closed"),
      };
      adopt(stream);
    },
    refused: () => {},
  });
  const client = net.connect({ ...listener.address, allowHalfOpen: true });
  client.on("error", () => {});
  const stream = await accepted;
  listener.close();
  const readInPlace = () => {
    const buffer = new Uint8Array(65536);
    const filled = (length: number) => {
      bytes += length;
    };
    expect(stream.readInto({ buffer: () => buffer, filled })).toBe(true);
  };
  return { stream, client, log, readInPlace, bytes: () => bytes };
}

const written = (client: net.Socket, bytes: number) =>
  new Promise((resolve) => client.write(Buffer.alloc(bytes), resolve));

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  describe.each(kind === "net" ? ["chunks"] : ["chunks", "in place"])(
    "a paused stream that is read in %s",
    (way) => {
      test.each([1, 4096, 65_536, 100_000, 163_840, 200_000])(
        "finds a reset after %i bytes, and no end",
        async (bytes) => {
          const { stream, client, log, readInPlace } = await pair(TCP, kind);
          if (way === "in place") readInPlace();
          stream.pause();
          await written(client, bytes);
          client.resetAndDestroy();
          await new Promise((resolve) => client.once("close", resolve));
          stream.resume();
          await vi.waitUntil(() => log.includes("closed"), PATIENCE);
          expect(log).toEqual(["ECONNRESET", "closed"]);
        },
      );

      test.each([1, 65_536, 200_000])(
        "finds an end after %i bytes of a client that ends",
        async (n) => {
          const { stream, client, log, readInPlace, bytes } = await pair(TCP, kind);
          if (way === "in place") readInPlace();
          stream.pause();
          await written(client, n);
          client.end();
          await nextTurn();
          stream.resume();
          await vi.waitUntil(() => log.includes("closed"), PATIENCE);
          expect([log, bytes()]).toEqual([["end", "closed"], n]);
          client.destroy();
        },
      );
    },
  );

  // Bytes and reset come between two looks of the event loop: nothing was paused.
  test("a reading stream finds a reset after the bytes that came with it", async () => {
    for (let i = 0; i < 20; i++) {
      const { client, log, stream } = await pair(TCP, kind);
      client.write(Buffer.alloc(1000 * (i + 1)));
      client.resetAndDestroy();
      await vi.waitUntil(() => log.includes("closed"), PATIENCE);
      expect(log).toEqual(["ECONNRESET", "closed"]);
      stream.close();
    }
  });

  test("does not take an AF_UNIX client that leaves without reading for finished", async () => {
    const { stream, client, log } = await pair({ path: join(folder, "socket") }, kind);
    stream.pause();
    client.pause();
    await written(client, 100_000);
    expect(stream.send([Buffer.alloc(1000)])).toBe(true);
    client.destroy();
    await new Promise((resolve) => client.once("close", resolve));
    stream.resume();
    await vi.waitUntil(() => log.includes("closed"), PATIENCE);
    expect(log).toEqual(process.platform === "linux" ? ["ECONNRESET", "closed"] : log);
  });

  test.each([10_000, 100_000, 300_000, 1_000_000])(
    "the guest reads an upload of %i bytes that broke off to ECONNRESET, not to its end",
    async (bytes) => {
      const halves = await BothHalves.boot(image, { real: true });
      machines.push(halves);
      const listener = halves.call("SysSocket", 1);
      halves.call("SysSocketBind", listener, 80);
      halves.call("SysSocketListen", listener, 8);
      const { port } = await halves.publish(80);
      const client = net.connect({ host: "127.0.0.1", port });
      client.on("error", () => {});
      const accepted = halves.start("accept", listener);
      await vi.waitUntil(() => accepted() !== undefined, PATIENCE);
      const socket = accepted() as number;
      client.write(Buffer.alloc(bytes));
      for (let i = 0; i < 20; i++) await nextTurn(); // it fills the guest's window, and waits
      client.resetAndDestroy();
      await new Promise((resolve) => client.once("close", resolve));
      const at = halves.call("ToroGetMem", 65536);
      let last = 1;
      while (last > 0) {
        const received = halves.start("recv", socket, at, 65536);
        await vi.waitUntil(() => received() !== undefined, PATIENCE);
        last = received() as number;
      }
      expect(last).toBe(-Errno.ECONNRESET);
      halves.start("close", socket);
    },
  );
});
