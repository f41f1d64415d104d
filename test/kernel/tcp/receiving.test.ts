// TCP of the guest: reassembly, SACK, windows and acknowledgements.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ADDRESS } from "../../support/net-guest.ts";
import { pattern, type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const WINDOW = 16384;

async function serve(options = "mss=1460", parameters?: string) {
  const g = await make(parameters === undefined ? {} : { parameters });
  return { g, ...g.serve(options) };
}

/** Numbers of bytes that arrive, each [from, to), and a mark of who brought them. */
type Piece = readonly [number, number];

/** Sends pieces whose bytes are their index; returns what the application reads. */
function pieces(g: TcpGuest, socket: number, list: readonly Piece[]): number[] {
  for (const [i, [from, to]] of list.entries()) {
    g.peer({
      flags: 16,
      seq: g.irs + from,
      ack: g.iss + 1,
      payload: Buffer.alloc(to - from, i),
    });
  }
  const read = g.recv(socket);
  return typeof read === "number" ? [] : [...read];
}

/** For each byte the piece that brings it first, up to the first hole. */
function firstComers(list: readonly Piece[]): number[] {
  const bytes = new Map<number, number>();
  for (const [i, [from, to]] of list.entries()) {
    for (let at = from; at < to; at++) if (!bytes.has(at)) bytes.set(at, i);
  }
  const read: number[] = [];
  for (let at = 1; bytes.has(at); at++) read.push(bytes.get(at) as number);
  return read;
}

describe("TC30: data out of order", () => {
  test("waits for what is missing, and is acknowledged at once, every time", async () => {
    const { g, socket } = await serve();
    g.script(`
      in  A seq=101 ack=1 bytes=100
      out A seq=1 ack=1
      in  A seq=301 ack=1 bytes=100
      out A seq=1 ack=1
      in  A seq=1 ack=1 bytes=100
      out A seq=1 ack=201
      in  A seq=201 ack=1 bytes=100
      out A seq=1 ack=401
    `);
    expect(g.recv(socket)).toEqual(pattern(1, 400));
  });

  const SHAPES: [string, Piece[]][] = [
    [
      "the same again",
      [
        [11, 21],
        [11, 21],
        [1, 11],
      ],
    ],
    [
      "one inside another that came first",
      [
        [11, 41],
        [21, 31],
        [1, 11],
      ],
    ],
    [
      "one around another that came first",
      [
        [21, 31],
        [11, 41],
        [1, 11],
      ],
    ],
    [
      "over the start of one",
      [
        [21, 31],
        [11, 25],
        [1, 11],
      ],
    ],
    [
      "over the end of one",
      [
        [11, 21],
        [15, 31],
        [1, 11],
      ],
    ],
    [
      "between two, touching both",
      [
        [11, 21],
        [31, 41],
        [21, 31],
        [1, 11],
      ],
    ],
    [
      "between two, over both",
      [
        [11, 21],
        [31, 41],
        [15, 35],
        [1, 11],
      ],
    ],
    [
      "over three holes at once",
      [
        [11, 16],
        [21, 26],
        [31, 36],
        [11, 46],
        [1, 11],
      ],
    ],
    [
      "the missing piece reaches into what waits",
      [
        [11, 21],
        [1, 16],
      ],
    ],
    [
      "the missing piece covers what waits",
      [
        [11, 21],
        [1, 31],
      ],
    ],
    [
      "the missing piece ends where it waits",
      [
        [11, 21],
        [1, 11],
      ],
    ],
    [
      "same start, longer",
      [
        [11, 21],
        [11, 31],
        [1, 11],
      ],
    ],
    [
      "same start, shorter",
      [
        [11, 31],
        [11, 21],
        [1, 11],
      ],
    ],
    [
      "same end, earlier start",
      [
        [21, 31],
        [11, 31],
        [1, 11],
      ],
    ],
  ];
  test.each(SHAPES)("overlap: %s: the first bytes stay", async (_, list) => {
    const { g, socket } = await serve();
    expect(pieces(g, socket, list)).toEqual(firstComers(list));
  });

  test("single bytes in reverse order", async () => {
    const { g, socket } = await serve();
    for (let seq = 30; seq >= 1; seq--) g.script(`in A seq=${seq} ack=1 bytes=1`);
    expect(g.recv(socket)).toEqual(pattern(1, 30));
  });

  test("32 holes at most: what makes one more is dropped, and asked for again", async () => {
    const { g, socket } = await serve();
    for (let i = 0; i < 40; i++) g.script(`in A seq=${3 + 2 * i} ack=1 bytes=1`);
    for (let i = 0; i < 33; i++) g.script(`in A seq=${1 + 2 * i} ack=1 bytes=2`);
    const read = g.recv(socket) as Buffer;
    expect(read).toEqual(pattern(1, 66));
  });

  test("bytes beyond the window are cut off", async () => {
    const { g, socket } = await serve();
    g.script(`in A seq=${WINDOW - 99} ack=1 bytes=200`);
    for (let seq = 1; seq < WINDOW - 99; seq += 1000) {
      g.script(`in A seq=${seq} ack=1 bytes=${Math.min(1000, WINDOW - 99 - seq)}`);
    }
    const read = g.recv(socket) as Buffer;
    expect(read.length).toBe(WINDOW);
    expect(read.equals(pattern(1, WINDOW))).toBe(true);
  });

  test("a FIN out of order waits as well", async () => {
    const { g, socket } = await serve();
    g.script(`
      in  FA seq=11 ack=1 bytes=10
      out A ack=1
      in  A seq=1 ack=1 bytes=10
      out A ack=22
    `);
    expect(g.recv(socket)).toEqual(pattern(1, 20));
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
  });

  test("a segment that waited is copied once", async () => {
    const g = await make({ config: { mtu: 9000 } });
    const { socket } = g.serve("mss=8960");
    g.script(`
      in A seq=4001 ack=1 bytes=4000
      in A seq=1 ack=1 bytes=4000
    `);
    expect(g.moved(socket)).toMatchObject({ received: 8000, ringToSocket: 8000 });
    expect(g.recv(socket)).toEqual(pattern(1, 8000));
  });

  test("a copy that waited needs no memory to be read", async () => {
    const g = await make({ config: { mtu: 9000 } });
    const { socket } = g.serve("mss=8960");
    const at = g.call("ToroGetMem", 65536) >>> 0;
    const forThread = g.call("ToroGetMem", 65536);
    g.script("in A seq=4001 ack=1 bytes=4000");
    for (let bytes = 1 << 20; bytes >= 16; bytes >>= 1) {
      while (g.call("ToroGetMem", bytes) !== 0);
    }
    g.script("in A seq=1 ack=1 bytes=4000");
    g.call("ToroFreeMem", forThread);
    expect(g.start("recv", socket, at, 9000, 0x40).result()).toBe(8000);
    const { buffer } = g.machine.memory.view;
    expect(Buffer.from(buffer.slice(at, at + 8000))).toEqual(pattern(1, 8000));
  });

  test("the connection takes its waiting segments along when it ends", async () => {
    const { g, socket, listener } = await serve();
    const before = g.call("buffersInFlight", 1);
    g.start("close", socket);
    g.segments();
    g.peerPort = 41000;
    g.script(`
      in  S seq=0 mss=1460
      out SA seq=0 ack=1
      in  A seq=1 ack=1
    `);
    const other = g.accept(listener);
    g.script("in A seq=2001 ack=1 bytes=1400");
    g.script("in R seq=1");
    expect(g.recv(other)).toBe(-Errno.ECONNRESET);
    expect(g.call("buffersInFlight", 1)).toBe(before);
  });
});

describe("TC31: SACK", () => {
  test("is said when it was agreed, the newest block first", async () => {
    const { g } = await serve("mss=1460 sack");
    g.script(`
      in  A seq=101 ack=1 bytes=100
      out A ack=1 blocks=101-201
      in  A seq=301 ack=1 bytes=100
      out A ack=1 blocks=301-401,101-201
      in  A seq=201 ack=1 bytes=50
      out A ack=1 blocks=101-251,301-401
      in  A seq=1 ack=1 bytes=100
      out A ack=251 blocks=301-401
      in  A seq=251 ack=1 bytes=50
      out A ack=401
    `);
  });

  test("three blocks beside timestamps, four without", async () => {
    for (const [options, ts, most] of [
      ["mss=1460 sack", "", 4],
      ["mss=1460 sack ts=5", "ts=5:0", 3],
    ] as const) {
      const { g } = await serve(options);
      for (let i = 1; i <= 6; i++) g.script(`in A seq=${1 + 100 * i} ack=1 bytes=10 ${ts}`);
      const last = g.segments().at(-1);
      expect(last?.blocks).toHaveLength(most);
      expect(last?.blocks[0]?.[0]).toBe(g.irs + 601);
    }
  });

  test("a duplicate is reported first (RFC 2883)", async () => {
    const { g } = await serve("mss=1460 sack");
    g.script(`
      in  A seq=1 ack=1 bytes=100
      out A ack=101
      in  A seq=1 ack=1 bytes=100
      out A ack=101 blocks=1-101
      in  A seq=201 ack=1 bytes=100
      out A ack=101 blocks=201-301
      in  A seq=51 ack=1 bytes=50
      out A ack=101 blocks=51-101,201-301
    `);
  });

  test("is not said to a peer that did not ask for it", async () => {
    const { g } = await serve();
    g.script("in A seq=101 ack=1 bytes=100");
    expect(g.segments()[0]?.blocks).toEqual([]);
  });
});

describe("TC45: the window that we advertise", () => {
  test("does not move by little, and opens again when enough is read", async () => {
    const { g, socket } = await serve("mss=1460", `${ADDRESS} vsock.window=${WINDOW}`);
    for (let seq = 1; seq <= WINDOW; seq += 1024) g.script(`in A seq=${seq} ack=1 bytes=1024`);
    expect(g.segments().at(-1)?.win).toBe(0);
    g.recv(socket, 1000);
    g.script("none");
    g.recv(socket, 460);
    const [update] = g.segments();
    expect(update?.win).toBeGreaterThanOrEqual(1460);
  });

  test("its right edge never goes back", async () => {
    const { g, socket } = await serve("mss=1460 scale=7");
    let edge = 0;
    let seq = 1;
    for (let i = 0; i < 400; i++) {
      const bytes = 1 + ((i * 7919) % 1460);
      g.script(`in A seq=${seq} ack=1 bytes=${bytes}`);
      seq += bytes;
      if (i % 3 === 0) g.recv(socket, 1 + ((i * 104729) % 5000));
      for (const one of g.segments()) {
        const said = ((one.ack - g.irs) >>> 0) + one.win * 8;
        expect(said).toBeGreaterThanOrEqual(edge);
        edge = said;
      }
      if (edge - seq < 1460) g.recv(socket, 65536);
      for (const one of g.segments()) edge = ((one.ack - g.irs) >>> 0) + one.win * 8;
    }
  });

  test("grows for a stream that fills it", async () => {
    const { g, socket } = await serve("mss=1460 scale=7");
    expect(fill(g, socket, 3, 2000)).toBeGreaterThan(200_000);
  });
});

/** Sends segments as the window allows, and reads when it does not. Returns the largest window. */
function fill(g: TcpGuest, socket: number, shift: number, segments: number): number {
  let [seq, edge, largest] = [1, 1 + WINDOW, 0];
  const look = () => {
    for (const one of g.segments()) {
      edge = ((one.ack - g.irs) >>> 0) + (one.win << shift);
      largest = Math.max(largest, one.win << shift);
    }
  };
  for (let i = 0; i < segments; i++) {
    for (; edge - seq < 1460; look()) g.recv(socket, 1 << 22);
    g.script(`in A seq=${seq} ack=1 bytes=1460`);
    seq += 1460;
    look();
  }
  return largest;
}

describe("TC48: window scale (RFC 7323)", () => {
  test("is offered with a shift that expresses the largest window, and unscaled in the SYN", async () => {
    const g = await make({ parameters: "net.address=10.0.0.1/24 vsock.window=4194304" });
    g.listen();
    g.script(`
      in  S seq=0 mss=1460 scale=0
      out SA win=16384 scale=7
    `);
  });

  test("is not offered to a peer that does not", async () => {
    const { g } = await serve();
    g.script("in A seq=1 ack=1 bytes=100");
    expect(g.segments()[0]?.win).toBeGreaterThan(16000);
  });

  test("the peer's shift counts, 14 at most", async () => {
    for (const [said, shift] of [
      [3, 3],
      [14, 14],
      [15, 14],
      [255, 14],
    ] as const) {
      const { g, socket } = await serve(`mss=1460 scale=${said}`);
      g.script(`in A seq=1 ack=1 win=2`);
      expect(g.call("peerWindow", socket)).toBe(2 << shift);
    }
  });

  test("a window of 4 MiB can be used", async () => {
    const g = await make({
      memoryBytes: 64 * 1024 * 1024,
      parameters: "net.address=10.0.0.1/24 vsock.window=4194304",
    });
    const { socket } = g.serve("mss=1460 scale=7");
    expect(fill(g, socket, 7, 12_000)).toBeGreaterThan(3_900_000);
  });
});
