// TCP of the guest: what it sends, and when (RFC 9293, 3.8; RFC 5681, RFC 6298, RFC 6582).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ipNumber } from "../../support/frames.ts";
import {
  AF_INET,
  SOCK_STREAM,
  type TcpGuest,
  tcpGuests,
  tooLong,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;
const TCP_NODELAY = 0x601;
const TCP_USER_TIMEOUT = 0x612;
const SO_CONNECT_TIMEOUT = 6;

/** A connection with segments of 1000 bytes; the initial window holds ten of them. */
async function serve(win = 65535, options = `mss=${MSS}`) {
  const g = await make();
  return { g, ...g.serve(options, win) };
}

const lengths = (g: TcpGuest) => g.segments().map((one) => one.payload.length);
const count = (g: TcpGuest) => g.segments().length;

describe("TC23: the size of segments", () => {
  test.each([
    ["mss=1000", 1000],
    ["mss=1460", 1460],
    ["mss=9000", 1460],
    ["", 536],
    ["mss=0", 536],
    ["mss=1", 88],
    ["mss=87", 88],
  ])("%s: %i bytes", async (options, bytes) => {
    const { g, socket } = await serve(65535, options);
    g.send(socket, 1, 2 * bytes);
    expect(lengths(g)).toEqual([bytes, bytes]);
  });

  test("timestamps take 12 bytes of it", async () => {
    const { g, socket } = await serve(65535, "mss=1000 ts=5:0");
    g.send(socket, 1, 2 * 988);
    expect(lengths(g)).toEqual([988, 988]);
  });

  test("our own is the MTU less 40", async () => {
    const g = await make({ config: { mtu: 9000 } });
    g.listen();
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1 mss=8960
    `);
  });
});

describe("TC40: the retransmission timer", () => {
  test("is a second at first for a SYN, doubles, and gives up after 6 tries", async () => {
    const g = await make();
    const socket = g.call("SysSocket", SOCK_STREAM, AF_INET);
    const call = g.start("connect", socket, ipNumber("10.0.0.2") | 0, 7);
    expect(count(g)).toBe(1);
    for (let ms = 1000, i = 0; i < 6; i++, ms *= 2) {
      g.advance(ms - 1);
      g.meet();
      expect(count(g), `${ms}`).toBe(0);
      g.advance(1);
      expect(count(g), `${ms}`).toBe(1);
    }
    g.advance(64_000);
    expect([count(g), call.result()]).toEqual([0, -Errno.ETIMEDOUT]);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("SO_CONNECT_TIMEOUT ends an attempt earlier", async () => {
    const g = await make();
    const socket = g.call("SysSocket", SOCK_STREAM, AF_INET);
    g.call("SysSocketSetOption", socket, SO_CONNECT_TIMEOUT, 2500);
    const call = g.start("connect", socket, ipNumber("10.0.0.2") | 0, 7);
    g.advance(2499);
    expect(call.result()).toBeUndefined();
    g.advance(1);
    expect(call.result()).toBe(-Errno.ETIMEDOUT);
  });

  test("is at least 200 ms where the round trip is short", async () => {
    const { g, socket } = await serve(65535, "mss=1000 ts=5:0");
    g.send(socket, 1, 10);
    g.script(`
      out AP seq=1
      in  A seq=1 ack=11 ts=5:0
    `);
    g.send(socket, 11, 10);
    g.script(`
      out AP seq=11
      +199
      none
      +1
      out AP seq=11
      +399
      none
      +1
      out AP seq=11
    `);
  });

  test("follows the round trips that are measured, without timestamps", async () => {
    const { g, socket } = await serve();
    for (let i = 0; i < 20; i++) {
      g.send(socket, 1 + i, 1);
      expect(count(g)).toBe(1);
      g.advance(300);
      g.script(`in A seq=1 ack=${2 + i}`);
    }
    g.send(socket, 21, 1);
    g.segments();
    g.advance(499);
    expect(count(g), "a peer may delay its acknowledgement").toBe(0);
    g.advance(1);
    expect(count(g)).toBe(1);
  });

  test("is not fed by segments that were sent twice (Karn)", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10);
    g.segments();
    g.advance(1000);
    expect(count(g)).toBe(1);
    g.advance(100);
    g.script("in A seq=1 ack=11");
    g.send(socket, 11, 10);
    g.segments();
    g.advance(1999);
    expect(count(g)).toBe(0);
    g.advance(1);
    expect(count(g)).toBe(1);
  });

  test("starts anew when something is acknowledged", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 2 * MSS);
    g.segments();
    g.advance(900);
    g.script(`in A seq=1 ack=${1 + MSS}`);
    g.advance(999);
    expect(count(g)).toBe(0);
    g.advance(2000);
    expect(count(g)).toBeGreaterThan(0);
  });

  test("gives up after 15 times, tells the peer, and the caller", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10);
    g.segments();
    for (let i = 0; i < 15; i++) {
      g.advance(Math.min(1000 * 2 ** i, 60_000));
      g.meet();
      expect(count(g), `${i}`).toBe(1);
    }
    g.advance(60_000);
    g.meet();
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
    g.advance(5000); // ARP had a packet to wait for
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("TC51: TCP_USER_TIMEOUT gives up earlier", async () => {
    const { g, socket } = await serve();
    expect(g.call("SysTcpSetOption", socket, TCP_USER_TIMEOUT, 2500)).toBe(0);
    g.send(socket, 1, 10);
    g.advance(1000);
    g.advance(1999);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.advance(1);
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });
});

describe("TC41: after a time-out", () => {
  test("one segment is sent, and the others follow as they are acknowledged", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 8 * MSS);
    expect(count(g)).toBe(8);
    g.script(`
      +1000
      out A seq=1 bytes=1000
      none
    `);
    expect(g.call("congestionWindow", socket)).toBe(MSS);
    expect(g.call("slowStartThreshold", socket)).toBe(4 * MSS);
    g.script(`
      in  A seq=1 ack=1001
      out A seq=1001 bytes=1000
      out A seq=2001 bytes=1000
      none
      in  A seq=1 ack=8001
      none
    `);
  });

  test("a lost SYN means an initial window of one segment", async () => {
    const g = await make();
    const listener = g.listen();
    g.script(`
      in  S seq=0 mss=1000
      out SA seq=0
      +1000
      out SA seq=0
      in  A seq=1 ack=1
    `);
    g.send(g.accept(listener), 1, 5000);
    expect(lengths(g)).toEqual([1000]);
  });
});

describe("TC43: a closed window", () => {
  test("is probed with a byte, ever more rarely, for as long as the peer answers", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100);
    g.script(`
      out AP seq=1
      in  A seq=1 ack=101 win=0
    `);
    g.send(socket, 101, 500);
    g.script("none");
    for (let i = 0, ms = 200; i < 20; i++, ms = Math.min(ms * 2, 60_000)) {
      g.advance(ms);
      g.meet();
      const [probe, ...rest] = g.segments();
      expect([probe?.payload.length, rest.length], `${i}`).toEqual([1, 0]);
      g.script("in A seq=1 ack=101 win=0");
    }
    g.script(`
      in  A seq=1 ack=101 win=65535
      out AP seq=101 bytes=500
    `);
  });

  test("the byte of a probe that is taken counts", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100);
    g.script("in A seq=1 ack=101 win=0");
    g.send(socket, 101, 500);
    g.segments();
    g.advance(200);
    g.script(`
      out A seq=101 bytes=1
      in  A seq=1 ack=102 win=1000
      out AP seq=102 bytes=499
    `);
  });

  test("without any answer it is given up", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100);
    g.script("in A seq=1 ack=101 win=0");
    g.send(socket, 101, 500);
    for (let i = 0; i < 17; i++) {
      g.advance(60_000);
      g.meet();
    }
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });
});

describe("TC44: silly windows", () => {
  test("half of the largest window ever seen is worth a segment, less is not", async () => {
    const { g, socket } = await serve(1500, "mss=1460");
    g.send(socket, 1, 5000);
    expect(lengths(g)).toEqual([750, 750]);
    g.script(`
      in  A seq=1 ack=1501 win=700
      none
      in  A seq=1 ack=1501 win=750
      out A seq=1501 bytes=750
    `);
  });

  test("the timer sends what fits at last", async () => {
    const { g, socket } = await serve(1500, "mss=1460");
    g.send(socket, 1, 5000);
    g.script(`in A seq=1 ack=1501 win=700`);
    g.segments();
    g.advance(200);
    expect(lengths(g)).toEqual([700]);
  });

  test("an MSS above the window does not stop the transfer", async () => {
    const g = await make({ config: { mtu: 65520 } });
    const { socket } = g.serve("mss=61440", 53248);
    g.send(socket, 1, 100_000);
    expect(lengths(g)).toEqual([26624, 26624]);
  });
});

describe("TC46: Nagle", () => {
  test("a short segment waits while something is in flight, a full one does not", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10);
    g.send(socket, 11, 20);
    g.send(socket, 31, MSS);
    expect(lengths(g)).toEqual([10, MSS]);
    g.script(`
      in  A seq=1 ack=${11 + MSS}
      out AP bytes=20
    `);
  });

  test("TCP_NODELAY sends at once, also what waits when it is set", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10);
    g.send(socket, 11, 20);
    expect(lengths(g)).toEqual([10]);
    expect(g.call("SysTcpSetOption", socket, TCP_NODELAY, 1)).toBe(0);
    expect(lengths(g)).toEqual([20]);
    g.send(socket, 31, 5);
    expect(lengths(g)).toEqual([5]);
    expect(g.call("SysTcpGetOption", socket, TCP_NODELAY)).toBe(1);
  });

  test("MSG_MORE keeps a head for its body, and not for ever", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100, 0x8000);
    g.script("none");
    g.send(socket, 101, 50);
    g.script(`
      out AP seq=1 bytes=150
      in  A seq=1 ack=151
    `);
    g.send(socket, 151, 10, 0x8000);
    g.script("none");
    g.advance(200);
    expect(lengths(g)).toEqual([10]);
  });

  test("bytes that fill the send buffer do not wait for more, though they fill no segment", async () => {
    const g = await make({ config: { mtu: 65520 } });
    const { socket } = g.serve("mss=61440");
    expect(g.call("SysSocketSetOption", socket, 7, 4096)).toBe(0);
    g.send(socket, 1, 10_000);
    expect(lengths(g)).toEqual([4096]);
    g.script("in A seq=1 ack=4097");
    expect(lengths(g)).toEqual([4096]);
  });

  test("a FIN takes what waits along", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10);
    g.send(socket, 11, 20);
    g.start("shutdown", socket, 1);
    const [, last] = g.segments();
    expect([last?.payload.length, last?.flags]).toEqual([20, 0x19]);
  });
});

describe("TC50: keep-alive", () => {
  const [SO_KEEPALIVE, IDLE, INTERVAL, COUNT] = [0x609, 0x604, 0x605, 0x606];

  test("is off unless it is asked for", async () => {
    const { g } = await serve();
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("probes a silent peer, and gives it up", async () => {
    const { g, socket } = await serve();
    for (const [option, value] of [
      [IDLE, 10_000],
      [INTERVAL, 1000],
      [COUNT, 3],
      [SO_KEEPALIVE, 1],
    ]) {
      expect(g.call("SysTcpSetOption", socket, option as number, value as number)).toBe(0);
    }
    g.script(`
      +9999
      none
      +1
      out A seq=0
      in  A seq=1 ack=1
      +9999
      none
      +1
      out A seq=0
      +1000
      out A seq=0
      +1000
      out A seq=0
      +1000
      out RA seq=1
    `);
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });

  test("its defaults are Linux's", async () => {
    const { g, socket } = await serve();
    expect([IDLE, INTERVAL, COUNT].map((o) => g.call("SysTcpGetOption", socket, o))).toEqual([
      7_200_000, 75_000, 9,
    ]);
  });
});

describe("TC55: the link", () => {
  test("down: nothing is sent and timers go on; up: what is due is sent", async () => {
    const { g, socket } = await serve();
    g.device.setStatus(0);
    g.send(socket, 1, 10);
    g.advance(1000);
    expect(count(g)).toBe(0);
    g.device.setStatus(1);
    g.settle();
    expect(lengths(g)).toEqual([10]);
  });
});

describe("TC9: errors by ICMP", () => {
  test("fragmentation needed lowers the MSS, not below 536, and what is in flight goes again", async () => {
    const { g, socket } = await serve(65535, "mss=1460");
    g.send(socket, 1, 2920);
    const [first] = g.device.sent.slice(-2);
    g.segments();
    g.inject(tooLong(first?.frame ?? Buffer.alloc(0), 1000));
    expect(lengths(g)).toEqual([960, 960, 960, 40]);
    g.inject(tooLong(first?.frame ?? Buffer.alloc(0), 68));
    expect(lengths(g)[0]).toBe(536);
  });
});
