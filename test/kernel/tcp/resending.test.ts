// TCP of the guest: how it sends again what a time-out has found lost (RFC 5681, 3.1; RFC 9293,
// 3.8.6), and which echoes of its clock set the time-out (RFC 7323, 4).
import { describe, expect, test } from "vitest";
import { tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;
const TCP_NODELAY = 0x601;

async function serve(options = `mss=${MSS}`) {
  const g = await make();
  return { g, ...g.serve(options) };
}

describe("TC41: segments that are sent again after a time-out", () => {
  test("are full ones, where an acknowledgement leaves room for less than one", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 8 * MSS);
    g.segments();
    g.script(`
      +1000
      out A seq=1 bytes=1000
      in  A seq=1 ack=301           # cwnd: 1300, of which 700 are in flight
      none
      in  A seq=1 ack=1001          # cwnd: 2000
      out A seq=1001 bytes=1000
      out A seq=2001 bytes=1000
      none
    `);
  });

  test("are full ones, where the application had sent a little at a time", async () => {
    const { g, socket } = await serve();
    g.call("SysTcpSetOption", socket, TCP_NODELAY, 1);
    for (let i = 0; i < 25; i++) g.send(socket, 1 + 100 * i, 100);
    expect(g.segments()).toHaveLength(25);
    g.script(`
      +1000
      out A seq=1 bytes=1000
      none
      in  A seq=1 ack=1001
      out A seq=1001 bytes=1000
      out AP seq=2001 bytes=500
      none
    `);
  });

  test("wait for a whole one where the peer's window has room for a part", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 8 * MSS);
    g.segments();
    g.script(`
      +1000
      out A seq=1 bytes=1000
      in  A seq=1 ack=1001 win=1900
      out A seq=1001 bytes=1000
      none
      in  A seq=1 ack=2001 win=900
      out A seq=2001 bytes=900      # all that fits, and nothing is in flight
      none
    `);
  });
});

describe("TC40: an echo of our clock", () => {
  /** After a round trip of no time, and another echo: is a segment sent again after `ms`? */
  const isLateAfter = async (echo: number, ms: number) => {
    const { g, socket } = await serve(`mss=${MSS} ts=5:0`);
    g.send(socket, 1, 10);
    g.script(`
      out AP seq=1
      in  A seq=1 ack=11 ts=5:${echo}
    `);
    g.send(socket, 11, 10);
    g.segments();
    g.advance(ms);
    return g.segments().length > 0;
  };

  test("from before the connection counts, up to two minutes back", async () => {
    expect(await isLateAfter(-8000, 1199)).toBe(false);
    expect(await isLateAfter(-119_000, 15_000)).toBe(false);
    expect(await isLateAfter(-121_000, 200)).toBe(true);
  });

  test.each([
    ["from the future", 5],
    ["of an age whose microseconds have 33 bits", -4_296_000],
    ["half of the circle away", 2 ** 31 + 1000],
  ])("%s is made up", async (_, echo) => {
    expect([await isLateAfter(echo, 199), await isLateAfter(echo, 200)]).toEqual([false, true]);
  });
});
