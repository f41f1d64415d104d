// TCP of the guest: receive windows that the memory does not hold all at once.
import { expect, test } from "vitest";
import { pattern, type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const SO_RCVBUF = 8;
const MIB = 1 << 20;

/** A guest of 16 MiB, whose windows may take less than 4, and a listener that wants 1 for each. */
async function serve() {
  const g = await make({ memoryBytes: 16 * MIB });
  const listener = g.listen(64);
  expect(g.call("SysSocketSetOption", listener, SO_RCVBUF, MIB)).toBe(0);
  return { g, listener };
}

/** A client's handshake and first segment, as they arrive together. */
function greet(g: TcpGuest, port: number): void {
  g.peerPort = port;
  g.script(`
    in  S seq=0 mss=1460 scale=7
    out SA seq=0 ack=1 win=65535
    in  A seq=1 ack=1
    in  A seq=1 ack=1 bytes=1000
  `);
}

test("TC32: eight clients, of which three fit with a whole window: each first segment is taken", async () => {
  const { g, listener } = await serve();
  for (let i = 0; i < 8; i++) {
    greet(g, 40_000 + i);
    g.script("out A seq=1 ack=1001");
    expect(g.recv(g.accept(listener))).toEqual(pattern(1, 1000));
  }
  expect(g.stats().noTcpMemory).toBe(0);
});

test("TC32: no window is left: that is counted, and the client is let in when there is one", async () => {
  const { g, listener } = await serve();
  const sockets: number[] = [];
  for (let port = 40_000; g.stats().noTcpMemory === 0; port++) {
    greet(g, port);
    if (g.stats().noTcpMemory === 0) sockets.push(g.accept(listener));
    g.segments();
  }
  expect(sockets.length).toBeGreaterThan(8);
  expect(g.stats().noTcpMemory, "the end of the handshake, and the first segment").toBe(2);
  g.start("close", sockets[0] as number);
  g.segments();
  g.script(`
    in  A seq=1 ack=1 bytes=1000
    out A seq=1 ack=1001
  `);
  expect(g.recv(g.accept(listener))).toEqual(pattern(1, 1000));
});
