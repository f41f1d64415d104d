// TCP of the guest: which segments count (RFC 9293, 3.10.7.4; RFC 5961; RFC 7323).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { pattern, tcpGuests, writeSegment } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const SYN = 2;
const ACK = 16;

describe("TC21: a segment that is malformed", () => {
  test("is dropped and counted: checksum, header length", async () => {
    const g = await make();
    const { socket } = g.serve();
    const good = { flags: ACK, seq: g.irs + 1, ack: g.iss + 1, payload: pattern(1, 10) };
    g.peer({ ...good, checksum: 0x1234 });
    g.peer({ ...good, wrong: { 12: 4 << 4 } });
    g.peer({ ...good, wrong: { 12: 15 << 4 } });
    g.peer({ ...good, payload: Buffer.alloc(0), wrong: { 12: 6 << 4 } });
    g.peer({ ...good, source: 0 });
    expect(g.stats().badTcp).toBe(5);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script(`
      in  AP seq=1 ack=1 bytes=10
      out A ack=11
    `);
  });

  test("truncated at each byte does no harm", async () => {
    const g = await make();
    g.serve();
    const w = { flags: ACK, seq: g.irs + 1, ack: g.iss + 1, payload: pattern(1, 10) };
    const whole = writeSegment({ source: g.peerPort, dest: 80, ts: [1, 2], ...w });
    for (let bytes = 14; bytes < whole.length; bytes++) g.inject(whole.subarray(0, bytes));
    g.script("none");
  });
});

describe("TC22: a segment beside the window", () => {
  const WINDOW = 16384;

  test.each([
    ["the byte before", "A seq=0 ack=1 bytes=1", 1],
    ["wholly before", "A seq=-100 ack=1 bytes=50", 1],
    ["beyond the window", `A seq=${WINDOW + 1} ack=1 bytes=10`, 1],
    ["empty and before", "A seq=0 ack=1", 1],
    ["far away", "A seq=2000000000 ack=1 bytes=10", 1],
  ])("%s: is answered by what is expected, and dropped", async (_, segment, expected) => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  ${segment}
      out A seq=1 ack=${expected}
      none
    `);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
  });

  test("is cut at both edges", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script("in A seq=-49 ack=1 bytes=100");
    expect(g.recv(socket)).toEqual(pattern(1, 50));
    expect(g.segments().at(-1)?.ack).toBe(g.irs + 51);
    for (let seq = 51; seq < WINDOW; seq += 1000) g.script(`in A seq=${seq} ack=1 bytes=1000`);
    g.segments();
    const all = g.recv(socket) as Buffer;
    expect(all.equals(pattern(51, all.length))).toBe(true);
    expect(all.length).toBe(WINDOW - 50);
  });

  test.each([
    ["an old acknowledgement", "A seq=0 ack=1"],
    ["one beyond the window", `A seq=${WINDOW + 1} ack=1`],
    ["one of what was never sent", "A seq=1 ack=2"],
    ["a FIN that came before", "FA seq=0 ack=1"],
  ])("%s, for ever: 10 answers a second, or two ends would talk for ever", async (_, segment) => {
    const g = await make();
    g.serve();
    const storm = () => {
      for (let i = 0; i < 30; i++) g.script(`in ${segment}`);
      return g.segments().length;
    };
    expect([storm(), storm()]).toEqual([10, 0]);
    g.advance(1000);
    expect(storm()).toBe(10);
  });

  test("data that came before are answered each time: the answer has none, so it ends there", async () => {
    const g = await make();
    g.serve();
    for (let i = 0; i < 30; i++) {
      g.script(`
        in  A seq=0 ack=1 bytes=1
        out A seq=1 ack=1 bytes=0
      `);
    }
  });

  test("without a window the acknowledgement of a probe still counts", async () => {
    const g = await make();
    const { socket } = g.serve();
    for (let seq = 1; seq <= WINDOW; seq += 1024) g.script(`in A seq=${seq} ack=1 bytes=1024`);
    expect(g.segments().at(-1)?.win).toBe(0);
    g.send(socket, 1, 10);
    g.script(`
      out AP seq=1 bytes=10
      in  A seq=${WINDOW + 1} ack=11 bytes=1
      out A seq=11 ack=${WINDOW + 1} win=0
    `);
    expect(g.call("SysSocketGetOption", socket, 0x5411)).toBe(0); // SIOCOUTQ
    expect(g.recv(socket)).toEqual(pattern(1, WINDOW));
  });

  test("numbers wrap", async () => {
    const g = await make();
    g.irs = 0xffff_fff0;
    const { socket } = g.serve();
    g.script(`
      in  A seq=1 ack=1 bytes=100
      in  A seq=101 ack=1 bytes=100
    `);
    expect(g.recv(socket)).toEqual(pattern(1, 200));
    expect(g.segments().at(-1)?.ack).toBe((0xffff_fff0 + 201) >>> 0);
  });
});

describe("TC24: options", () => {
  const shake = async (options: number[]) => {
    const g = await make();
    g.listen();
    g.peer({ flags: SYN, seq: g.irs, options: Uint8Array.from(options) });
    const [answer] = g.segments();
    return answer;
  };
  const MSS = [2, 4, 5, 180];
  const SCALE = [3, 3, 2];

  test("unknown ones are skipped, in any order and place", async () => {
    const odd = [253, 5, 9, 9, 9, 1, ...SCALE, 254, 2, ...MSS, 1, 4, 2, 0, 0];
    expect(await shake(odd)).toMatchObject({ scale: 3, sack: true });
  });

  test.each([
    ["length 0", [253, 0, ...MSS, ...SCALE, 1, 1, 1]],
    ["length 1", [253, 1, ...MSS, ...SCALE, 1, 1, 1]],
    ["beyond the header", [253, 40, ...SCALE, 1, 1, 1]],
    ["an end of the list", [0, ...SCALE]],
    ["a kind alone at the end", [1, 1, 1, 3]],
  ])("%s: parsing stops there", async (_, options) => {
    const answer = await shake(options);
    expect(answer?.scale).toBeUndefined();
    expect(answer?.flags).toBe(SYN | ACK);
  });

  test.each([
    ["MSS", [2, 3, 5, 1]],
    ["window scale", [3, 4, 2, 0]],
    ["SACK permitted", [4, 3, 0, 1]],
    ["timestamps", [8, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
  ])("%s of a wrong length is not taken", async (_, options) => {
    const answer = await shake(options);
    expect([answer?.scale, answer?.sack, answer?.ts]).toEqual([undefined, false, undefined]);
  });
});

describe("TC25: initial sequence numbers", () => {
  const first = async (port: number, ms: number) => {
    const g = await make();
    g.listen();
    g.advance(ms);
    g.peerPort = port;
    g.peer({ flags: SYN, seq: 1 });
    return g.segments()[0]?.seq ?? 0;
  };

  test("rise by one every 4 microseconds for the same peer, are others for others", async () => {
    const [a, b] = [await first(2000, 0), await first(2000, 1000)];
    expect((b - a) >>> 0).toBe(250_000);
    const distance = Math.abs((await first(2001, 0)) - a);
    expect(distance).toBeGreaterThan(1_000_000);
  });
});

describe("TC26: blind attacks (RFC 5961)", () => {
  test("an RST in the window, but not at its start, is challenged", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  R seq=50
      out A seq=1 ack=1
      in  R seq=60000
      none
    `);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script("in R seq=1");
    expect(g.recv(socket)).toBe(-Errno.ECONNRESET);
  });

  test("a SYN in the window is challenged", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  S seq=50
      out A seq=1 ack=1
      in  SA seq=1 ack=1
      out A seq=1 ack=1
    `);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
  });

  test("an ACK of what was never sent, or of long ago, is answered and dropped", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script(`
      in  A seq=1 ack=2 bytes=5
      out A seq=1 ack=1
      in  A seq=1 ack=-70000 bytes=5
      out A seq=1 ack=1
    `);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script("in A seq=1 ack=-100 bytes=5");
    expect(g.recv(socket)).toEqual(pattern(1, 5));
  });

  test("10 challenges a second for each connection, and each has its own", async () => {
    const g = await make();
    g.serve();
    const storm = (ack: number) => {
      for (let i = 0; i < 30; i++) g.peer({ flags: SYN, seq: g.irs + 50, ack });
      return g.segments().length;
    };
    expect([storm(0), storm(0)]).toEqual([10, 0]);
    g.advance(1000);
    expect(storm(0)).toBe(10);
  });
});

test("TC27: urgent data are data", async () => {
  const g = await make();
  const { socket } = g.serve();
  g.peer({
    flags: ACK | 32,
    seq: g.irs + 1,
    ack: g.iss + 1,
    payload: pattern(1, 10),
    wrong: { 19: 5 },
  });
  expect(g.recv(socket)).toEqual(pattern(1, 10));
});

describe("TC49: timestamps (RFC 7323)", () => {
  test("each segment has them, and repeats the peer's", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460 ts=1000:0");
    g.script("in A seq=1 ack=1 bytes=10 ts=1007:0");
    expect(g.segments()[0]?.ts?.[1]).toBe(1007);
    g.advance(20);
    g.send(socket, 1, 5);
    const [one] = g.segments();
    expect(one?.ts?.[1]).toBe(1007);
  });

  test("an old one is answered and dropped: PAWS", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460 ts=1000:0");
    g.script(`
      in  A seq=1 ack=1 bytes=10 ts=999:0
      out A seq=1 ack=1
    `);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script("in A seq=1 ack=1 bytes=10 ts=1000:0");
    expect(g.recv(socket)).toEqual(pattern(1, 10));
  });

  test("after 24 days of silence an old one counts", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460 ts=1000:0");
    g.advance(24 * 24 * 3600 * 1000 + 1);
    g.script("in A seq=1 ack=1 bytes=10 ts=5:0");
    expect(g.recv(socket)).toEqual(pattern(1, 10));
  });

  test("that of a segment beyond the last acknowledgement is not remembered", async () => {
    const g = await make();
    g.serve("mss=1460 ts=1000:0");
    g.script("in A seq=101 ack=1 bytes=10 ts=1050:0");
    expect(g.segments()[0]?.ts?.[1]).toBe(1000);
    g.script("in A seq=1 ack=1 bytes=100 ts=1020:0");
    expect(g.segments()[0]?.ts?.[1]).toBe(1020);
  });

  test("a segment without them is dropped, but for RST", async () => {
    const g = await make();
    const { socket } = g.serve("mss=1460 ts=1000:0");
    g.script(`
      in  A seq=1 ack=1 bytes=10
      none
      in  R seq=1
    `);
    expect(g.recv(socket)).toBe(-Errno.ECONNRESET);
  });

  test("are not used with a peer that does not offer them", async () => {
    const g = await make();
    g.serve();
    g.script("in A seq=1 ack=1 bytes=10 ts=5:0");
    expect(g.segments()[0]?.ts).toBeUndefined();
  });

  test("begin at a number of the connection's own", async () => {
    const g = await make();
    g.listen();
    const values = [3000, 3001, 3002].map((port) => {
      g.peer({ source: port, flags: SYN, seq: 1, ts: [1, 0] });
      return g.segments()[0]?.ts?.[0];
    });
    expect(new Set(values).size).toBe(3);
  });
});

test("TC52: ECN is never offered, and a mark on the way means nothing", async () => {
  const g = await make();
  const listener = g.listen();
  g.peer({ flags: SYN | 0xc0, seq: g.irs, mss: 1460 });
  const [answer] = g.segments();
  expect(answer?.flags).toBe(SYN | ACK);
  g.iss = answer?.seq ?? 0;
  g.script("in A seq=1 ack=1");
  const socket = g.accept(listener);
  const marked = writeSegment({
    source: g.peerPort,
    dest: 80,
    flags: ACK | 0x80,
    seq: g.irs + 1,
    ack: g.iss + 1,
    payload: pattern(1, 10),
  });
  g.inject(marked);
  expect(g.segments()[0]?.flags).toBe(ACK);
  expect(g.recv(socket)).toEqual(pattern(1, 10));
});
