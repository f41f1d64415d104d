// TCP of the guest: handshakes, states and ends, by packet scripts (RFC 9293, 3.10.7).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ipNumber } from "../../support/frames.ts";
import {
  AF_INET,
  pattern,
  SOCK_STREAM,
  type TcpGuest,
  tcpGuests,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();

/** A socket that asks the peer's port 7 for a connection, its SYN not yet looked at. */
function connect(g: TcpGuest) {
  const socket = g.call("SysSocket", SOCK_STREAM, AF_INET);
  expect(g.call("SysSocketBind", socket, 50000)).toBe(0);
  [g.localPort, g.peerPort] = [50000, 7];
  return { socket, call: g.start("connect", socket, ipNumber("10.0.0.2") | 0, 7) };
}

const SHAKE = `
  out S seq=0
  in  SA seq=0 ack=1 mss=1460
  out A seq=1 ack=1
`;

describe("TC20: a connection that the peer asks for", () => {
  test("is accepted, carries bytes both ways, and ends by the peer's FIN first", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script("in AP seq=1 ack=1 bytes=100");
    expect(g.recv(socket)).toEqual(pattern(1, 100));
    expect(g.send(socket, 1, 300).result()).toBe(300);
    g.script(`
      out A seq=1 ack=101
      out AP seq=1 ack=101 bytes=300
      in  A seq=101 ack=301
      in  FA seq=101 ack=301
      out A seq=301 ack=102
    `);
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
    expect(g.start("close", socket).result()).toBe(0);
    g.script(`
      out FA seq=301 ack=102
      in  A seq=102 ack=302
      none
    `);
    expect(g.call("liveSockets")).toBe(1);
    expect(g.call("timeWaitCount")).toBe(0);
  });

  test("ends by our FIN first, and rests in TIME-WAIT", async () => {
    const g = await make();
    const { socket } = g.serve();
    expect(g.start("close", socket).result()).toBe(0);
    g.script(`
      out FA seq=1 ack=1
      in  A seq=1 ack=2
      in  FA seq=1 ack=2
      out A seq=2 ack=2
      none
    `);
    expect([g.call("liveSockets"), g.call("timeWaitCount")]).toEqual([1, 1]);
  });

  test("is closed by both sides at once: the FINs cross", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA seq=1 ack=1
      in  FA seq=1 ack=1
      out A seq=2 ack=2
      in  A seq=2 ack=2
      none
    `);
    expect([g.call("liveSockets"), g.call("timeWaitCount")]).toEqual([1, 1]);
  });

  test("acknowledges our FIN and sends its own in one segment", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA seq=1 ack=1
      in  FA seq=1 ack=2
      out A seq=2 ack=2
      none
    `);
    expect(g.call("timeWaitCount")).toBe(1);
  });

  test("goes on in one direction after the other has ended: half-close", async () => {
    const g = await make();
    const { socket } = g.serve();
    expect(g.start("shutdown", socket, 1).result()).toBe(0);
    g.script(`
      out FA seq=1 ack=1
      in  A seq=1 ack=2
      in  AP seq=1 ack=2 bytes=50
      out A seq=2 ack=51
    `);
    expect(g.recv(socket)).toEqual(pattern(1, 50));
    expect(g.send(socket, 1, 1).result()).toBe(-Errno.EPIPE);
    g.script(`
      in  FA seq=51 ack=2
      out A seq=2 ack=52
    `);
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
    g.start("close", socket);
    g.script("none");
    expect([g.call("liveSockets"), g.call("timeWaitCount")]).toEqual([1, 1]);
  });

  test("sends on after the peer's FIN: CLOSE-WAIT", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  FA seq=1 ack=1
      out A seq=1 ack=2
    `);
    expect(g.send(socket, 1, 20).result()).toBe(20);
    g.script(`
      out AP seq=1 ack=2 bytes=20
      in  A seq=2 ack=21
    `);
    g.start("close", socket);
    g.script(`
      out FA seq=21 ack=2
      in  A seq=2 ack=22
    `);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("hands its FIN over with the last data, and takes one that way", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  FAP seq=1 ack=1 bytes=10
      out A seq=1 ack=12
    `);
    expect(g.recv(socket)).toEqual(pattern(1, 10));
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
  });
});

describe("TC20: a connection that we ask for", () => {
  test("stands after SYN, SYN and ACK, ACK", async () => {
    const g = await make();
    const { socket, call } = connect(g);
    g.script(SHAKE);
    expect(call.result()).toBe(0);
    expect(g.send(socket, 1, 5).result()).toBe(5);
    g.script("out AP seq=1 ack=1 bytes=5");
  });

  test("stands when both sides ask at once", async () => {
    const g = await make();
    const { call } = connect(g);
    g.script(`
      out S seq=0
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  A seq=1 ack=1
    `);
    expect(call.result()).toBe(0);
  });

  test("stands when both ask at once and the answers cross", async () => {
    const g = await make();
    const { socket, call } = connect(g);
    g.script(`
      out S seq=0
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  SA seq=0 ack=1 mss=1460
    `);
    g.segments();
    g.script("in  AP seq=1 ack=1 bytes=3");
    expect(call.result()).toBe(0);
    expect(g.recv(socket)).toEqual(pattern(1, 3));
  });

  test("is refused by RST", async () => {
    const g = await make();
    const { call } = connect(g);
    g.script(`
      out S seq=0
      in  RA seq=0 ack=1
      none
    `);
    expect(call.result()).toBe(-Errno.ECONNREFUSED);
  });

  test("is not refused by an RST that does not acknowledge its SYN", async () => {
    const g = await make();
    const { call } = connect(g);
    g.script(`
      out S seq=0
      in  R seq=0
      in  RA seq=0 ack=2
      none
      in  SA seq=0 ack=1 mss=1460
      out A seq=1 ack=1
    `);
    expect(call.result()).toBe(0);
  });

  test("answers an ACK of something else by RST, and goes on", async () => {
    const g = await make();
    const { call } = connect(g);
    g.script(`
      out S seq=0
      in  A seq=900 ack=77
      out R seq=77
      in  SA seq=0 ack=77
      out R seq=77
      in  SA seq=0 ack=1 mss=1460
      out A seq=1 ack=1
    `);
    expect(call.result()).toBe(0);
  });
});

describe("TC20: segments for no connection", () => {
  test.each([
    ["S seq=5", "RA seq=0 ack=6"],
    ["S seq=5 bytes=10", "RA seq=0 ack=16"],
    ["A seq=5 ack=9", "R seq=9"],
    ["FA seq=5 ack=9 bytes=3", "R seq=9"],
    ["F seq=5 bytes=3", "RA seq=0 ack=9"],
    [". seq=5", "RA seq=0 ack=5"],
  ])("%s is answered by %s", async (segment, answer) => {
    const g = await make();
    const [flags = "", ...fields] = answer.split(" ");
    g.script(`in ${segment}`);
    const [one] = g.segments();
    const of = Object.fromEntries(fields.map((field) => field.split("=")));
    const shown = g.show(one as never);
    expect(shown.startsWith(`${flags} `), shown).toBe(true);
    expect(((one?.seq ?? 0) - g.iss) >>> 0).toBe(Number(of.seq));
    if (of.ack !== undefined) expect(((one?.ack ?? 0) - g.irs) >>> 0).toBe(Number(of.ack));
  });

  test.each(["R seq=5", "RA seq=5 ack=9", "RS seq=5"])("%s is not answered", async (segment) => {
    const g = await make();
    g.script(`
      in ${segment}
      none
    `);
  });

  test("an ACK for a listener is answered by RST, other segments are ignored", async () => {
    const g = await make();
    g.listen();
    g.script(`
      in A seq=1 ack=50
      out R seq=50
      in F seq=1
      in . seq=1 bytes=10
      in R seq=1
      none
    `);
  });
});

describe("TC29: a connection that nobody owns", () => {
  test("waits 60 seconds for the peer's FIN", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA seq=1 ack=1
      in  A seq=1 ack=2
    `);
    g.advance(59_999);
    expect(g.call("liveSockets")).toBe(2);
    g.advance(1);
    expect(g.call("liveSockets")).toBe(1);
    g.meet();
    g.script(`
      in  FA seq=1 ack=2
      out R seq=2
    `);
  });

  test("a close with data that nobody has read is a reset (RFC 2525)", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  AP seq=1 ack=1 bytes=10
      out A seq=1 ack=11
    `);
    g.start("close", socket);
    g.script(`
      out RA seq=1 ack=11
      none
    `);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("data after the close are answered by a reset", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA seq=1 ack=1
      in  AP seq=1 ack=2 bytes=10
      out RA seq=2
      none
    `);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("a reset instead of a close leaves nothing", async () => {
    const g = await make();
    const { socket } = g.serve();
    expect(g.call("SysSocketReset", socket)).toBe(0);
    g.script(`
      out RA seq=1 ack=1
      none
    `);
    g.start("close", socket);
    expect(g.call("liveSockets")).toBe(1);
  });
});

describe("TC33: a connection counts when its handshake is done", () => {
  test("and not before", async () => {
    const g = await make();
    const listener = g.listen();
    const accept = g.start("accept", listener);
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
    `);
    expect([accept.result(), g.call("liveSockets")]).toEqual([undefined, 1]);
    g.script("in A seq=1 ack=1");
    expect(accept.result()).toBeGreaterThan(0);
  });

  test("RST returns the listener's place, if its number is right", async () => {
    const g = await make();
    g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  R seq=5
      in  A seq=1 ack=9
      out R seq=9
      in  R seq=1
      in  A seq=1 ack=1
      out R seq=1
    `);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("its ACK may carry data already", async () => {
    const g = await make();
    const listener = g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  AP seq=1 ack=1 bytes=30
      out A seq=1 ack=31
    `);
    expect(g.recv(g.accept(listener))).toEqual(pattern(1, 30));
  });
});

describe("TC32: the backlog", () => {
  test("SYN and ACK are sent again after 1, 2 and 4 seconds, and then it is over", async () => {
    const g = await make();
    g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      +999
      none
      +1
      out SA seq=0 ack=1
      +1999
      none
      +1
      out SA seq=0 ack=1
      +4000
      out SA seq=0 ack=1
      +8000
      none
      in  A seq=1 ack=1
      out R seq=1
    `);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("a SYN that comes again is answered again, one with another number gets ours", async () => {
    const g = await make();
    g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  S seq=700 mss=1460
      out A seq=1 ack=1
    `);
  });

  test("holds 128 connections that are half open, and drops further SYNs", async () => {
    const g = await make();
    g.listen();
    for (let i = 0; i < 130; i++) {
      g.peer({ source: 2000 + i, seq: i, flags: 2, mss: 1460 });
      expect(g.segments()).toHaveLength(i < 128 ? 1 : 0);
    }
    expect(g.call("liveSockets")).toBe(1);
  });

  test("a full accept queue drops SYNs, and the last ACK of a handshake", async () => {
    const g = await make();
    const listener = g.listen(1);
    const handshake = (port: number) => {
      g.peerPort = port;
      g.script("in S seq=0 mss=1460");
    };
    handshake(2001);
    handshake(2002);
    const [first, second] = g.segments();
    g.peer({ source: 2001, flags: 16, seq: g.irs + 1, ack: (first?.seq ?? 0) + 1 });
    g.peer({ source: 2002, flags: 16, seq: g.irs + 1, ack: (second?.seq ?? 0) + 1 });
    handshake(2003);
    expect(g.segments()).toEqual([]);
    expect(g.call("liveSockets")).toBe(2);
    g.accept(listener);
    g.peer({ source: 2002, flags: 16, seq: g.irs + 1, ack: (second?.seq ?? 0) + 1 });
    g.accept(listener);
    expect(g.call("liveSockets")).toBe(3);
  });

  test("a listener that closes drops what is half open, and resets what waits", async () => {
    const g = await make();
    const listener = g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  A seq=1 ack=1
    `);
    g.peer({ source: 2002, flags: 2, seq: 5, mss: 1460 });
    g.segments();
    g.start("close", listener);
    g.script(`
      out RA seq=1 ack=1
      none
    `);
    g.advance(10_000);
    g.script("none");
    expect([g.call("liveSockets"), g.call("isTimerRunning")]).toEqual([0, 0]);
  });
});
