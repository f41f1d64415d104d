// TCP of the guest: what it makes of the peer's SACK blocks (RFC 6675).
import { describe, expect, test } from "vitest";
import { type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;

/**
 * A connection with SACK that has sent `segments` full segments; the script is not asked for them.
 */
async function sending(segments: number, win = 65535) {
  const g = await make();
  const { socket } = g.serve(`mss=${MSS} sack`, win);
  g.send(socket, 1, segments * MSS);
  return { g, socket, first: numbers(g) };
}

/**
 * Numbers of the segments that the guest has sent since: those of the first bytes, in thousands.
 */
const numbers = (g: TcpGuest) => g.segments().map((one) => (((one.seq - g.iss) >>> 0) - 1) / MSS);

/** The peer acknowledges `ack` segments, and has those of the blocks beside them. */
const sack = (g: TcpGuest, ack: number, ...blocks: [number, number][]) =>
  g.script(
    `in A seq=1 ack=${1 + ack * MSS} ` +
      `blocks=${blocks.map(([a, b]) => `${1 + a * MSS}-${1 + b * MSS}`)}`,
  );

describe("TC42: with SACK", () => {
  test("a hole below three segments is lost, and sent again alone", async () => {
    const { g, first } = await sending(10);
    expect(first).toHaveLength(10);
    sack(g, 0, [1, 2]);
    sack(g, 0, [1, 3]);
    expect(numbers(g)).toEqual([]);
    sack(g, 0, [1, 4]);
    expect(numbers(g)).toEqual([0]);
    sack(g, 10);
    expect(numbers(g)).toEqual([]);
  });

  test("one acknowledgement that tells of enough is as good as three", async () => {
    const { g } = await sending(10);
    sack(g, 0, [1, 6]);
    expect(numbers(g)).toEqual([0]);
  });

  test("several holes of a window are sent again within a round trip", async () => {
    const { g } = await sending(10);
    sack(g, 0, [1, 2], [3, 4], [5, 10]);
    expect(numbers(g)).toEqual([0, 2, 4]);
    sack(g, 3, [3, 4], [5, 10]);
    expect(numbers(g)).toEqual([]);
  });

  test("the window is half of what was in flight, and new data fill it up", async () => {
    const { g, socket } = await sending(30);
    sack(g, 0, [1, 4]);
    // 10 were in flight: 5 may be. 6 are on their way beside the three that arrived.
    expect(numbers(g)).toEqual([0]);
    expect(g.call("slowStartThreshold", socket)).toBe(5 * MSS);
    sack(g, 0, [1, 7]);
    expect(numbers(g)).toEqual([10]);
    sack(g, 0, [1, 9]);
    expect(numbers(g)).toEqual([11, 12]);
    sack(g, 10);
    expect(g.call("congestionWindow", socket)).toBe(5 * MSS);
  });

  test("a retransmission that is lost is noticed by what was sent after it", async () => {
    const { g, socket } = await sending(30);
    sack(g, 0, [1, 10]);
    expect(numbers(g)).toEqual([0, 10, 11, 12, 13]);
    sack(g, 0, [1, 12]);
    expect(numbers(g)).toEqual([14, 15]);
    sack(g, 0, [1, 13]);
    expect(numbers(g), "the third of them").toEqual([0]);
    expect(g.call("slowStartThreshold", socket), "a second loss (RFC 5681, 4.3)").toBeLessThan(
      5 * MSS,
    );
  });

  test("an end of which nothing is heard is sent again once in a recovery", async () => {
    const { g } = await sending(10);
    sack(g, 0, [1, 7]);
    expect(numbers(g)).toEqual([0, 9]);
    sack(g, 7);
    expect(numbers(g)).toEqual([]);
  });

  test("after a time-out only what the peer lacks is sent again", async () => {
    const { g } = await sending(10);
    sack(g, 0, [2, 3]);
    sack(g, 0, [2, 3], [5, 6]);
    numbers(g);
    g.advance(1000);
    expect(numbers(g)).toEqual([0]);
    sack(g, 1, [2, 3], [5, 6]);
    expect(numbers(g)).toEqual([1, 3]);
    sack(g, 4, [5, 6]);
    expect(numbers(g), "one more for an acknowledgement, after a time-out").toEqual([4, 6, 7]);
  });

  test("segments are cut to the hole that they fill", async () => {
    const { g } = await sending(10);
    g.script("in A seq=1 ack=1 blocks=301-9001");
    expect(g.segments().map((one) => [(one.seq - g.iss) >>> 0, one.payload.length])).toContainEqual(
      [1, 300],
    );
  });

  test("a FIN in a hole is sent again with its data", async () => {
    const g = await make();
    const { socket } = g.serve(`mss=${MSS} sack`);
    g.send(socket, 1, 5 * MSS);
    g.start("shutdown", socket, 1);
    expect(numbers(g)).toEqual([0, 1, 2, 3, 4, 5]);
    sack(g, 0, [1, 5]);
    g.script(`
      out A seq=1 bytes=1000
      out FA seq=5001 bytes=0
      none
    `);
    g.script(`in A seq=1 ack=${2 + 5 * MSS}`);
    expect(g.call("tcpState", socket)).toBe(5);
  });
});

describe("NP6: blocks that cannot be", () => {
  test.each([
    ["empty", "2001-2001"],
    ["upside down", "4001-2001"],
    ["acknowledged already: D-SACK", "0-1"],
    ["beyond all that was sent", "2001-10002"],
    ["the whole circle", "1-1"],
    ["half of the circle away", "2147483649-2147484649"],
  ])("%s: no news", async (_, block) => {
    const { g } = await sending(10);
    for (let i = 0; i < 5; i++) g.script(`in A seq=1 ack=1 blocks=${block}`);
    expect(numbers(g)).toEqual([]);
    g.script(`in A seq=1 ack=${1 + 10 * MSS}`);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("the same news again is none", async () => {
    const { g } = await sending(10);
    for (let i = 0; i < 9; i++) sack(g, 0, [2, 3]);
    expect(numbers(g)).toEqual([]);
  });

  test("bytes that the peer takes back are sent again after a time-out (RFC 2018, 8)", async () => {
    const { g } = await sending(8);
    sack(g, 0, [1, 2]);
    sack(g, 0, [1, 2], [3, 4]);
    numbers(g);
    sack(g, 1); // the second segment is gone
    numbers(g);
    g.advance(10);
    expect(numbers(g), "a probe (RFC 8985, 7)").toEqual([7]);
    g.advance(200);
    expect(numbers(g)).toEqual([1]);
    sack(g, 2);
    expect(numbers(g)).toEqual([2, 3]);
  });

  test("a hundred ranges: 32 are noted, and the memory is given back", async () => {
    const { g } = await sending(10);
    const blocks = g.call("heapBlocks");
    for (let i = 0; i < 100; i++) {
      const from = 1010 + i * 60;
      g.script(`in A seq=1 ack=1 blocks=${from}-${from + 20}`);
    }
    // Each is news, so all of them tell of the first segment's loss, and of the other holes'.
    expect(numbers(g)[0]).toBe(0);
    expect(g.call("heapBlocks") - blocks).toBeLessThan(40);
    sack(g, 10);
    expect(g.call("sendQueuesBytes")).toBe(0);
    expect(g.call("heapBlocks")).toBeLessThan(blocks);
  });

  test("a connection that ends in a recovery gives the board back", async () => {
    const { g, socket } = await sending(10);
    const blocks = g.call("heapBlocks");
    sack(g, 0, [1, 9]);
    expect(g.call("heapBlocks")).toBeGreaterThan(blocks);
    g.script("in R seq=1");
    expect(g.recv(socket)).toBe(-104);
    expect(g.call("heapBlocks")).toBeLessThan(blocks);
  });
});
