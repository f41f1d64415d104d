// TCP of the guest: when it acknowledges (RFC 5681, 4.2).
import { describe, expect, test } from "vitest";
import { pattern, tcpGuests, writeSegment } from "../../support/tcp-guest.ts";

const make = await tcpGuests();

async function serve(options = "mss=1460") {
  const g = await make();
  return { g, ...g.serve(options) };
}

describe("TC47: acknowledgements", () => {
  /** Past the quick ones at the start. */
  const settled = async (options = "mss=1460") => {
    const { g, socket } = await serve(options);
    for (let i = 0; i < 16; i++) g.script(`in A seq=${1 + i * 10} ack=1 bytes=10`);
    expect(g.segments()).toHaveLength(16);
    g.recv(socket);
    g.segments();
    return { g, socket, seq: 161 };
  };

  test("the first 16 segments are acknowledged in the same turn", async () => {
    const { g } = await settled();
    g.script(`
      in A seq=161 ack=1 bytes=10
      none
    `);
  });

  test("one of them goes with the answer that the application gives in the same turn", async () => {
    const { g, socket } = await serve();
    const at = g.call("ToroGetMem", 2048);
    for (let i = 0; i < 3; i++) {
      const [seq, own] = [1 + i * 1200, 1 + i * 1200];
      g.start("echo", socket, at, 2048, 0);
      g.script(`
        in  AP seq=${seq} ack=${own} bytes=1200
        out AP seq=${own} ack=${seq + 1200} bytes=1200
        none
        +100
        none
      `);
    }
    g.script(`
      in  AP seq=3601 ack=3601 bytes=10     # nobody answers
      out A seq=3601 ack=3611
      none
    `);
  });

  test("the second full one is acknowledged before the answer", async () => {
    const { g, socket } = await serve();
    g.start("echo", socket, g.call("ToroGetMem", 4096), 4096, 0);
    const at = (i: number) => ({ seq: g.irs + 1 + i * 1400, payload: pattern(1 + i * 1400, 1400) });
    const ends = { source: g.peerPort, dest: 80, flags: 16, ack: g.iss + 1 };
    g.inject(...[0, 1].map((i) => writeSegment({ ...ends, ...at(i) })));
    g.script(`
      out A seq=1 ack=2801 bytes=0
      out A seq=1 ack=2801 bytes=1460
      none
    `);
  });

  test("the second one is, or one alone after 40 ms", async () => {
    const { g } = await settled();
    g.script(`
      in  A seq=161 ack=1 bytes=10
      none
      in  A seq=171 ack=1 bytes=10
      out A ack=181
      in  A seq=181 ack=1 bytes=10
      +39
      none
      +1
      out A ack=191
    `);
  });

  test("data that we send take it along", async () => {
    const { g, socket } = await settled();
    g.script("in A seq=161 ack=1 bytes=10");
    g.send(socket, 1, 5);
    g.script(`
      out AP seq=1 ack=171 bytes=5
      +100
      none
    `);
  });

  test("a gap, the end of one, and a FIN are acknowledged at once", async () => {
    const { g } = await settled();
    g.script(`
      in  A seq=171 ack=1 bytes=10
      out A ack=161
      in  A seq=161 ack=1 bytes=10
      out A ack=181
      in  FA seq=181 ack=1
      out A ack=182
    `);
  });

  test("one for a batch", async () => {
    const { g } = await settled();
    const frames = Array.from({ length: 20 }, (_, i) =>
      writeSegment({
        source: g.peerPort,
        dest: 80,
        flags: 16,
        seq: g.irs + 161 + i * 100,
        ack: g.iss + 1,
        payload: pattern(161 + i * 100, 100),
      }),
    );
    g.inject(...frames);
    g.script(`
      out A ack=2161
      none
    `);
  });
});
