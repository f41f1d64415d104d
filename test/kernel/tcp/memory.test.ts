// TCP of the guest: receive windows that the memory does not hold all at once.
import { expect, test } from "vitest";
import { TH_ACK } from "../../../abi/tcp.ts";
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
    out SA seq=0 ack=1
    in  A seq=1 ack=1
    in  A seq=1 ack=1 bytes=1000
  `);
}

test("TC32: windows are smaller the more connections there are, and no first segment is lost", async () => {
  const { g, listener } = await serve();
  const windows: number[] = [];
  for (let i = 0; i < 500; i++) {
    greet(g, 40_000 + i);
    const [ack] = g.segments();
    expect(ack).toMatchObject({ flags: TH_ACK });
    windows.push(ack?.win ?? 0);
    expect(g.recv(g.accept(listener))).toEqual(pattern(1, 1000));
    g.segments();
  }
  expect(g.stats().noTcpMemory).toBe(0);
  expect(windows[0]).toBeGreaterThan(windows[99] as number);
  expect(windows[99]).toBe(windows[499]);
});

test("TC32: clients that all come before one is done have less as well", async () => {
  const { g, listener } = await serve();
  const ports = Array.from({ length: 64 }, (_, i) => 40_000 + i);
  const numbers = ports.map((port) => {
    g.peerPort = port;
    g.script("in S seq=0 mss=1460 scale=7\nout SA seq=0 ack=1");
    return g.iss;
  });
  for (const [i, port] of ports.entries()) {
    g.peerPort = port;
    g.iss = numbers[i] as number;
    g.script("in A seq=1 ack=1\nin A seq=1 ack=1 bytes=1000\nout A seq=1 ack=1001");
  }
  for (const _ of ports) expect(g.recv(g.accept(listener))).toEqual(pattern(1, 1000));
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
