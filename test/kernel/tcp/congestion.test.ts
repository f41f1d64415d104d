// TCP of the guest: congestion control (RFC 5681, RFC 6582, RFC 6928, RFC 3042).
import { describe, expect, test } from "vitest";
import { type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;

/** A connection with segments of 1000 bytes; the initial window holds ten of them. */
async function serve() {
  const g = await make();
  return { g, ...g.serve(`mss=${MSS}`) };
}

const count = (g: TcpGuest) => g.segments().length;

describe("TC42: congestion control", () => {
  test("ten segments at first, then two for each that is acknowledged", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 60 * MSS);
    expect(count(g)).toBe(10);
    g.script(`in A seq=1 ack=${1 + MSS}`);
    expect(count(g)).toBe(2);
    g.script(`in A seq=1 ack=${1 + 3 * MSS}`);
    expect(count(g)).toBe(4);
    g.script(`in A seq=1 ack=${1 + 13 * MSS}`);
    expect(count(g), "no more than two for one acknowledgement").toBe(12);
  });

  test("the first two duplicates let a new segment go each, the third sends the first again", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 20 * MSS);
    expect(count(g)).toBe(10);
    g.script(`
      in  A seq=1 ack=1
      out A seq=10001
      none
      in  A seq=1 ack=1
      out A seq=11001
      none
      in  A seq=1 ack=1
      out A seq=1 bytes=1000
    `);
    expect(g.call("slowStartThreshold", socket)).toBe(6 * MSS);
  });

  test("a partial acknowledgement in a recovery sends the next hole, a full one ends it", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 30 * MSS);
    g.segments();
    for (let i = 0; i < 3; i++) g.script("in A seq=1 ack=1");
    const again = g.segments().filter((one) => one.seq === g.iss + 1);
    expect(again).toHaveLength(1);
    g.script(`in A seq=1 ack=${1 + 4 * MSS}`);
    expect(g.segments()[0]?.seq).toBe(g.iss + 1 + 4 * MSS);
    g.script(`in A seq=1 ack=${1 + 12 * MSS}`);
    expect(g.call("congestionWindow", socket)).toBeLessThanOrEqual(6 * MSS);
    for (const one of g.segments()) expect(one.seq).toBeGreaterThan(g.iss + 12 * MSS);
  });

  test("duplicates of what a time-out has sent again are no loss (RFC 6582)", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 8 * MSS);
    g.segments();
    g.advance(1000);
    expect(count(g)).toBe(1);
    for (let i = 0; i < 5; i++) g.script("in A seq=1 ack=1");
    expect(g.segments().filter((one) => one.seq === g.iss + 1)).toEqual([]);
  });

  test("an acknowledgement with data, or with another window, is no duplicate", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10 * MSS);
    g.segments();
    for (let i = 0; i < 4; i++) {
      g.script(`in A seq=1 ack=1 win=${60000 - i}`);
      g.script(`in A seq=${1 + i} ack=1 bytes=1 win=${60000 - i}`);
    }
    expect(g.segments().filter((one) => one.payload.length > 0)).toEqual([]);
  });

  test("beyond the threshold the window grows by a segment a round trip", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 8 * MSS);
    g.segments();
    g.advance(1000); // a time-out: the threshold is 4 segments
    g.script(`in A seq=1 ack=${1 + 8 * MSS}`);
    for (let acked = 8, i = 0; i < 3; i++) {
      const before = g.call("congestionWindow", socket);
      const segments = Math.floor(before / MSS);
      g.send(socket, 1 + acked * MSS, segments * MSS);
      for (let k = 0; k < segments; k++) g.script(`in A seq=1 ack=${1 + (++acked) * MSS}`);
      const grown = g.call("congestionWindow", socket) - before;
      if (before >= 4 * MSS) expect(grown).toBeLessThanOrEqual(MSS);
    }
  });

  test("after a pause the window starts again", async () => {
    const { g, socket } = await serve();
    let acked = 0;
    for (let i = 0; i < 4; i++) {
      g.send(socket, 1 + acked, 10 * MSS);
      for (let k = 0; k < 10; k++) {
        acked += MSS;
        g.script(`in A seq=1 ack=${1 + acked}`);
      }
    }
    g.segments();
    g.advance(5000);
    g.send(socket, 1 + acked, 40 * MSS);
    expect(count(g)).toBe(10);
  });

  test("an acknowledgement that is split does not open the window faster (NP4)", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 40 * MSS);
    g.segments();
    for (let i = 1; i <= 50; i++) g.script(`in A seq=1 ack=${1 + i * 20}`);
    expect(g.call("congestionWindow", socket)).toBe(11 * MSS);
  });

  test("a loss is noticed though 2 GiB were sent since the last one, as numbers wrap", async () => {
    const { g, socket } = await serve();
    const GIB = 2 ** 30;
    for (let gib = 1; gib <= 3; gib++) {
      g.send(socket, 1, 4 * MSS);
      g.script(`in A seq=1 ack=${1 + 4 * MSS}`);
      g.call("skipNumbers", socket, GIB);
      g.iss = (g.iss + 4 * MSS + GIB) >>> 0;
    }
    g.send(socket, 1, 4 * MSS);
    g.segments();
    g.script(`
      in  A seq=1 ack=1
      in  A seq=1 ack=1
      in  A seq=1 ack=1
      out A seq=1 bytes=1000
    `);
  });
});
