// NodeSockets on paths of AF_UNIX: files that are in the way, and streams without a reset.

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import type { Acceptor, Listener, SocketEvents } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

let sockets: NodeSockets;
const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));

const open: Listener[] = [];
afterEach(() => {
  for (const listener of open.splice(0)) listener.close();
});

async function listen(path: string, acceptor: Partial<Acceptor> = {}): Promise<Listener> {
  const nobody: Acceptor = { accepted: (stream) => stream.reset(), refused: () => {} };
  const listener = await sockets.listen({ path }, 16, { ...nobody, ...acceptor });
  open.push(listener);
  return listener;
}

/** Events of a connection of ours, up to closed(). */
function connect(path: string): Promise<string[]> {
  return new Promise((resolve) => {
    const log: string[] = [];
    const events: SocketEvents = {
      connected: () => void log.push("connected"),
      data: (chunk) => void log.push(Buffer.from(chunk).toString()),
      end: () => {
        log.push("end");
        stream.end();
      },
      sent: () => void log.push("sent"),
      failed: (error: NodeJS.ErrnoException) => void log.push(error.code ?? error.message),
      closed: () => {
        log.push("closed");
        resolve(log);
      },
    };
    const stream = sockets.connect({ path }, events);
  });
}

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  beforeAll(() => {
    sockets = new NodeSockets({ kind });
  });

  test("binds a path, serves it, and removes it when its listener closes", async () => {
    const path = join(folder, "fresh");
    const listener = await listen(path, {
      accepted: (stream) => {
        stream.send([Buffer.from("welcome")]);
        stream.close();
      },
    });
    expect(listener.address).toEqual({ path });
    expect(await connect(path)).toEqual(["connected", "welcome", "end", "closed"]);
    listener.close();
    expect(existsSync(path)).toBe(false);
  });

  test("H6: reports a path where nobody listens as an event", async () => {
    expect(await connect(join(folder, "nobody"))).toEqual(["ENOENT", "closed"]);
  });

  test("replaces the socket file of a dead process", async () => {
    const path = join(folder, "stale");
    const die = `() => process.kill(process.pid, "SIGKILL")`;
    const dies = `require("net").createServer().listen(${JSON.stringify(path)}, ${die})`;
    expect(spawnSync(process.execPath, ["-e", dies]).signal).toBe("SIGKILL");
    expect(existsSync(path)).toBe(true);
    expect(await connect(path)).toEqual(["ECONNREFUSED", "closed"]);
    const accepted = vi.fn((stream) => stream.close());
    await listen(path, { accepted });
    await connect(path);
    expect(accepted).toHaveBeenCalledTimes(1);
  });

  test("leaves a socket alone on which another process listens", async () => {
    const path = join(folder, "busy");
    const server = net.createServer((socket) => socket.on("error", () => {}).end("first"));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await expect(listen(path)).rejects.toThrow(`cannot listen on ${path}: the address is in use`);
    expect(await connect(path)).toContain("first");
    server.close();
  });

  test("never touches a file that is not a socket", async () => {
    const path = join(folder, "letter");
    writeFileSync(path, "dear reader");
    await expect(listen(path)).rejects.toThrow(
      `cannot listen on ${path}: a file is there that is not a socket`,
    );
    expect(readFileSync(path, "utf8")).toBe("dear reader");
  });

  test("rejects an impossible path with an error that names it", async () => {
    const nowhere = join(folder, "no-such-directory", "x");
    await expect(listen(nowhere)).rejects.toThrow(`cannot listen on ${nowhere}: `);
    const long = join(folder, "l".repeat(120));
    await expect(listen(long)).rejects.toThrow(`cannot listen on ${long}: longer than`);
    expect(existsSync(long.slice(0, 107))).toBe(false);
    expect(await connect(long)).toEqual([expect.stringContaining("longer than"), "closed"]);
  });

  test("reset() closes a stream, since AF_UNIX knows no reset", async () => {
    const path = join(folder, "reset");
    await listen(path);
    const log = await connect(path);
    expect(log[0]).toBe("connected");
    expect(log.at(-1)).toBe("closed");
  });
});
