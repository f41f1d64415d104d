// Acknowledged bytes of real sockets: Linux reports them, and torito reads that.
import net from "node:net";
import { describe, expect, test } from "vitest";
import { keyOf, unacknowledged } from "../../../host/node/sockets/acknowledged.ts";
import { NodeSockets, type SocketKind } from "../../../host/node/sockets/node-sockets.ts";
import { NOBODY, type StreamSocket, type TcpAddress } from "../../../host/ports/sockets.ts";
import { SOCKET_KINDS } from "../../support/socket-kinds.ts";

const isLinux = process.platform === "linux";

/** A client that reads nothing, and the socket that it was accepted on. */
async function unread(host: string, kind: SocketKind) {
  const sockets = new NodeSockets({ kind });
  let accepted: (socket: StreamSocket) => void = () => {};
  const acceptor = { accepted: (one: StreamSocket) => accepted(one), refused: () => {} };
  const listener = await sockets.listen({ host, port: 0 }, 8, acceptor);
  const { port } = listener.address as TcpAddress;
  const client = net.connect({ host, port }).pause();
  const socket = await new Promise<StreamSocket>((resolve) => {
    accepted = resolve;
  });
  socket.events = NOBODY;
  const end = () => {
    client.destroy();
    socket.close();
    listener.close();
  };
  return { sockets, socket, client, end };
}

describe.each(SOCKET_KINDS)("sockets on %s", (kind) => {
  test.each(["127.0.0.1", "::1"])(
    "a client at %s that reads nothing acknowledges less than was sent, and all once it reads",
    async (host) => {
      const { sockets, socket, client, end } = await unread(host, kind);
      const chunk = Buffer.alloc(1 << 20);
      let sent = 0;
      while (socket.send([chunk])) sent += chunk.length;
      const unsent = socket.unsent ?? 0;
      expect(unsent).toBeGreaterThan(0);
      expect(unsent).toBeLessThanOrEqual(chunk.length);
      const [before = 0] = await sockets.unacknowledged([socket]);
      if (isLinux) expect(before).toBeGreaterThan(0);
      else expect(before).toBe(-1);
      expect(before).toBeLessThanOrEqual(sent + chunk.length - unsent);
      const all = sent + chunk.length;
      await new Promise<void>((resolve) => {
        let got = 0;
        client.on("data", (part) => {
          got += part.length;
          if (got === all) resolve();
        });
        client.resume();
      });
      const [after] = await sockets.unacknowledged([socket]);
      expect(after).toBe(isLinux ? 0 : -1);
      expect(socket.unsent).toBe(0);
      end();
    },
  );

  test("tells unknown sockets from those that have acknowledged all", async () => {
    const { sockets, socket, end } = await unread("127.0.0.1", kind);
    const stranger = { events: NOBODY } as StreamSocket;
    expect(await sockets.unacknowledged([stranger, socket])).toEqual([-1, isLinux ? 0 : -1]);
    expect(await unacknowledged(["0100007F:0001 0100007F:0002", null])).toEqual([-1, -1]);
    end();
  });

  test("writes addresses as the kernel does", () => {
    const key = (address: string) =>
      keyOf({ localAddress: address, localPort: 80, remoteAddress: address, remotePort: 0xc350 });
    const both = (words: string) => `${words}:0050 ${words}:C350`;
    expect(key("127.0.0.1")).toBe(both("0100007F"));
    expect(key("::1")).toBe(both("00000000000000000000000001000000"));
    expect(key("::ffff:192.0.2.1")).toBe(both("0000000000000000FFFF0000010200C0"));
    expect(key("fe80::1234:5%eth0")).toBe(both("000080FE000000000000000005003412"));
    expect(key("2001:db8:1:2:3:4:5:6")).toBe(both("B80D0120020001000400030006000500"));
  });
});
