// TCP of the guest: the probe for the loss of the last segments of a flight (RFC 8985, 7).
import { describe, expect, test } from "vitest";
import { tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;

/** A connection of segments of 1000 bytes with a round trip of 50 ms: the time-out is 250 ms. */
async function serve(options = "sack", win = 65535) {
  const g = await make();
  const listener = g.listen();
  g.script(`
    in  S  seq=0 win=${win} mss=1012 ts=5:0 ${options}
    out SA seq=0 ack=1
    +50
    in  A  seq=1 ack=1 win=${win} ts=5:0
  `);
  const socket = g.accept(listener);
  /** The application sends this many segments, and the first of them leave. */
  const send = (from: number, segments: number) => {
    g.send(socket, 1 + from * MSS, segments * MSS);
    return g.segments().length;
  };
  const windowSegments = () => g.call("congestionWindow", socket) / MSS;
  return { g, socket, send, windowSegments };
}

describe("TC42: a probe for the last segments", () => {
  test("sends the last one again after two round trips, once; then the time-out runs", async () => {
    const { g, send, windowSegments } = await serve();
    expect(send(0, 5)).toBe(5);
    g.script(`
      +99
      none
      +1
      out A seq=4001 bytes=1000
      none
      +249
      none
    `);
    expect(windowSegments()).toBe(10);
    g.script(`
      +1
      out A seq=1 bytes=1000
      none
    `);
    expect(windowSegments()).toBe(1);
  });

  test("sends a new one, if there is one, though the network's window is full", async () => {
    const { g, send } = await serve();
    expect(send(0, 12)).toBe(10);
    g.script(`
      +100
      out A seq=10001 bytes=1000
      none
    `);
  });

  test("sends no new one beyond the peer's window", async () => {
    const { g, send } = await serve("sack", 5000);
    expect(send(0, 12)).toBe(5);
    g.script(`
      +100
      out A seq=4001 bytes=1000
      none
    `);
  });

  test("takes the FIN along", async () => {
    const { g, socket, send } = await serve();
    send(0, 2);
    g.start("shutdown", socket, 1);
    g.script(`
      out FA seq=2001 bytes=0
      +100
      out FA seq=1002 bytes=999
      in  A seq=1 ack=2002 ts=5:0
    `);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test.each([
    ["for one segment, whose acknowledgement the peer may delay", "sack", 1],
    ["for a peer without SACK, which cannot tell", "", 5],
  ])("there is none %s: the time-out comes first", async (_, options, segments) => {
    const { g, send } = await serve(options);
    send(0, segments);
    g.script(`
      +249
      none
      +1
      out A seq=1 bytes=1000
      none
    `);
  });

  test("there is none after a time-out, until all of its flight is acknowledged", async () => {
    const { g, send } = await serve();
    send(0, 5);
    g.advance(100);
    g.advance(250);
    g.segments();
    g.script(`
      in  A seq=1 ack=1001 ts=5:400
      in  A seq=1 ack=2001 ts=5:400
      in  A seq=1 ack=3001 ts=5:400
    `);
    expect(g.segments().at(-1)?.seq, "all is in flight again").toBe(g.iss + 4001);
    g.script(`
      +150
      none
      in  A seq=1 ack=5001 ts=5:540
      none
    `);
    expect(send(5, 2)).toBe(2);
    g.advance(100);
    expect(g.segments().map((one) => one.seq - g.iss)).toEqual([6001]);
  });

  test("waits anew with each acknowledgement, and none is due when all is acknowledged", async () => {
    const { g, send } = await serve();
    send(0, 6);
    g.script(`
      +50
      in  A seq=1 ack=2001 ts=5:50
      +99
      none
      in  A seq=1 ack=4001 ts=5:99
      +99
      none
      in  A seq=1 ack=6001 ts=5:199
      +1000
      none
    `);
    expect(g.call("isTimerRunning")).toBe(0);
  });
});

describe("TC42: the answer to a probe", () => {
  test("that tells of holes makes a recovery of them, long before the time-out", async () => {
    const { g, socket, send } = await serve();
    send(0, 10);
    g.script(`
      +50
      in  A seq=1 ack=7001 ts=5:50          # three are lost
      +100
      out A seq=9001 bytes=1000
      none
      +50
      in  A seq=1 ack=7001 blocks=9001-10001 ts=5:50
      out A seq=7001 bytes=1000
      none
      +50
      in  A seq=1 ack=8001 blocks=9001-10001 ts=5:200
      out A seq=8001 bytes=1000
      +50
      in  A seq=1 ack=10001 ts=5:250
      none
    `);
    expect(g.call("slowStartThreshold", socket)).toBe(2 * MSS);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  /** A flight of two, whose second is sent again by the probe. */
  const probed = async () => {
    const one = await serve();
    one.send(0, 2);
    one.g.script(`
      +100
      out A seq=1001 bytes=1000
    `);
    return one;
  };

  test("that tells of nothing: it has repaired a loss, and the window is halved", async () => {
    const { g, send, windowSegments } = await probed();
    g.script("in A seq=1 ack=2001 ts=5:100");
    expect(windowSegments(), "not yet: it may be for the first").toBe(10);
    send(2, 1);
    g.script("in A seq=1 ack=3001 ts=5:100");
    expect(windowSegments()).toBe(5);
    send(3, 1);
    g.script("in A seq=1 ack=4001 ts=5:100");
    expect(windowSegments(), "once").toBe(5);
  });

  test("that reports a duplicate (RFC 2883): nothing was lost", async () => {
    const { g, send, windowSegments } = await probed();
    g.script(`
      in A seq=1 ack=2001 ts=5:50
      in A seq=1 ack=2001 blocks=1001-2001 ts=5:50
    `);
    send(2, 1);
    g.script("in A seq=1 ack=3001 ts=5:100");
    expect(windowSegments()).toBe(10);
  });

  test("that comes twice: nothing was lost", async () => {
    const { g, send, windowSegments } = await probed();
    g.script(`
      in A seq=1 ack=2001 ts=5:50
      in A seq=1 ack=2001 ts=5:50
    `);
    send(2, 1);
    g.script("in A seq=1 ack=3001 ts=5:100");
    expect(windowSegments()).toBe(10);
  });

  test("and then another window: that is no second answer", async () => {
    const { g, send, windowSegments } = await probed();
    g.script(`
      in A seq=1 ack=2001 ts=5:100
      in A seq=1 ack=2001 win=60000 ts=5:100
    `);
    send(2, 1);
    g.script("in A seq=1 ack=3001 win=60000 ts=5:100");
    expect(windowSegments()).toBe(5);
  });

  test("to a new segment halves nothing", async () => {
    const { g, send, windowSegments } = await serve();
    send(0, 12);
    g.advance(100);
    g.segments();
    g.script("in A seq=1 ack=11001 ts=5:50");
    expect(windowSegments()).toBeGreaterThanOrEqual(10);
  });
});
