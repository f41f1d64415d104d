// Clients that wait in the kernel when a listener is closed: they are accepted first.
import { once } from "node:events";
import net from "node:net";
import { describe, expect, test } from "vitest";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import type { StreamSocket, TcpAddress } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

const CLIENTS = 200;

async function listen(kind: SocketKind) {
  const accepted: StreamSocket[] = [];
  const listener = await new NodeSockets({ kind }).listen({ host: "127.0.0.1", port: 0 }, 1024, {
    accepted: (socket) => void accepted.push(socket),
    refused: () => {},
  });
  const { port } = listener.address as TcpAddress;
  return { accepted, listener, port };
}

/** Clients whose connections the kernel has made while this thread was busy. */
async function crowd(port: number): Promise<{ ends: string[]; gone: Promise<unknown> }> {
  const ends: string[] = [];
  const sockets = Array.from({ length: CLIENTS }, () => net.connect(port, "127.0.0.1"));
  for (const socket of sockets) {
    socket.on("error", (error: NodeJS.ErrnoException) => ends.push(error.code ?? "error"));
    socket.on("end", () => ends.push("end"));
    socket.resume();
  }
  return { ends, gone: Promise.all(sockets.map((socket) => once(socket, "close"))) };
}

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  test("a listener that finishes accepts everybody who has connected, and then nobody", async () => {
    const { accepted, listener, port } = await listen(kind);
    const { ends, gone } = await crowd(port);
    await listener.finish?.(60_000);
    expect(accepted).toHaveLength(CLIENTS);
    for (const socket of accepted) socket.close();
    await gone;
    expect(ends).toEqual(Array.from({ length: CLIENTS }, () => "end"));
    const late = net.connect(port, "127.0.0.1");
    const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
  });
});
