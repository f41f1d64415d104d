// TCP of the guest: where payload is copied, and who has a buffer until when.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ALL_FEATURES } from "../../support/net-guest.ts";
import {
  MSG_ZEROCOPY,
  ONE_COPY,
  SO_RCVBUF,
  SO_RCVLOAN,
  SO_SENDMODE,
  SO_ZEROCOPY,
  TWO_COPY,
  ZERO_COPY,
} from "../../support/socket-guest.ts";
import { pattern, type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const IN_PLACE = "net.address=10.0.0.1/24 vsock.tx_copybreak=0";
const DONTWAIT = 0x40;
/** Frames that fill the pages of the ring. */
const PAGES = {
  config: { mtu: 4082 },
  parameters: "net.address=10.0.0.1/24 net.rx_buffers=page",
};
const COPIED = 1; // of a loan, as in kernel/net/socket/loan.ts

async function serve(parameters = IN_PLACE, options = "mss=1000") {
  const g = await make({ parameters });
  return { g, ...g.serve(options) };
}

/** A send with MSG_ZEROCOPY of bytes of the pattern; returns where they are. */
function lend(g: TcpGuest, socket: number, seq: number, length: number): number {
  const at = g.bytes(seq, length);
  expect(g.start("send", socket, at, length, MSG_ZEROCOPY).result()).toBe(length);
  return at;
}

/** The next range of completions, [first, last, flags], or what the call returned instead of 1. */
function completion(g: TcpGuest, socket: number): number[] | number | undefined {
  const range = g.place(0, 0, 0);
  const result = g.start("completion", socket, range, DONTWAIT).result();
  return result === 1 ? g.words(range, 3) : result;
}

describe("NZ1: MSG_ZEROCOPY", () => {
  test("a buffer is its sender's again when the peer has acknowledged it, not before", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    lend(g, socket, 1, 2500);
    const sent = g.segments().map((one) => one.payload.length);
    expect(sent, "the end does not wait for Nagle").toEqual([1000, 1000, 500]);
    g.script("in A seq=1 ack=1001");
    expect(completion(g, socket), "the device has none of it").toBe(-Errno.EAGAIN);
    g.script("in A seq=1 ack=2501");
    expect(completion(g, socket)).toEqual([0, 0, 0]);
    expect(completion(g, socket)).toBe(0);
    expect(g.moved(socket)).toMatchObject({ lent: 2500, userToPacket: 0, packetToRing: 0 });
  });

  test("nor while the device has a segment, however much is acknowledged", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    g.device.consuming = false;
    lend(g, socket, 1, 500);
    g.script("in A seq=1 ack=501");
    expect(completion(g, socket)).toBe(-Errno.EAGAIN);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    g.script("in A seq=1 ack=501");
    expect(completion(g, socket)).toEqual([0, 0, 0]);
  });

  test("16 buffers and the headers are one chain, and one segment", async () => {
    const { g, socket } = await serve(IN_PLACE, "mss=1460");
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    const list = Array.from({ length: 16 }, (_, i) => [g.bytes(1 + i * 50, 50), 50]).flat();
    const flags = MSG_ZEROCOPY;
    expect(g.start("sendVector", socket, g.place(...list), 16, flags).result()).toBe(800);
    const sent = g.segments();
    expect(sent.reduce((sum, one) => sum + one.payload.length, 0)).toBe(800);
    expect(sent.length).toBeLessThanOrEqual(2);
    expect(Buffer.concat(sent.map((one) => one.payload))).toEqual(pattern(1, 800));
    for (const one of sent) expect(one.isGood).toBe(true);
  });
});

describe("NZ2: checksums of payload where it lies", () => {
  test.each([1, 2, 3, 7, 255, 256, 999])("buffers of %i bytes, at odd places", async (bytes) => {
    const { g, socket } = await serve(IN_PLACE, "mss=1460");
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    const at = g.bytes(0, 8000);
    const list = Array.from({ length: 5 }, (_, i) => [at + 1 + i * bytes, bytes]).flat();
    g.start("sendVector", socket, g.place(...list), 5, MSG_ZEROCOPY);
    g.script(`in A seq=1 ack=1`);
    const sent = g.segments().filter((one) => one.payload.length > 0);
    for (const one of sent) expect(one.isGood).toBe(true);
    expect(Buffer.concat(sent.map((one) => one.payload))[0]).toBe(1);
  });
});

describe("NZ3: a buffer that changes while it is lent", () => {
  test("travels as it is then, with a right checksum, and harms nobody else", async () => {
    const { g, socket, listener } = await serve();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    const at = lend(g, socket, 1, 100);
    g.segments();
    g.machine.memory.bytes(at, 100).fill(0xee);
    g.advance(1000);
    const [again] = g.segments();
    expect(again?.payload).toEqual(Buffer.alloc(100, 0xee));
    expect(again?.isGood).toBe(true);
    g.script("in A seq=1 ack=101");
    g.peerPort = 40001;
    g.script(`
      in  S  seq=0 mss=1000
      out SA seq=0 ack=1
      in  A  seq=1 ack=1
    `);
    const other = g.accept(listener);
    g.send(other, 1, 100);
    g.script("out AP seq=1 bytes=100");
  });
});

describe("NZ4: lent data and the end", () => {
  test.each([
    ["an acknowledgement", "in A seq=1 ack=102"],
    ["a reset", "in R seq=1"],
  ])("of a socket that is closed they are kept until %s", async (_, end) => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SENDMODE, ZERO_COPY);
    const at = g.bytes(1, 100);
    const sending = g.start("send", socket, at, 100, 0);
    g.start("close", socket);
    g.advance(400);
    expect(sending.result(), "another thread has closed it").toBeUndefined();
    for (const one of g.segments()) expect(one.isGood).toBe(true);
    g.script(end);
    expect(sending.result()).toBe(100);
  });

  test("a reset frees them, and the completion says so", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_ZEROCOPY, 1);
    lend(g, socket, 1, 100);
    lend(g, socket, 101, 100);
    g.script("in R seq=1");
    expect(completion(g, socket)).toEqual([0, 1, 0]);
    expect(g.recv(socket)).toBe(-Errno.ECONNRESET);
  });

  test("the time-out of a blocking send takes them back by a reset", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SENDMODE, ZERO_COPY);
    g.call("SysSocketSetOption", socket, 21, 3000);
    const sending = g.start("send", socket, g.bytes(1, 100), 100, 0);
    g.advance(2999);
    expect(sending.result()).toBeUndefined();
    g.segments();
    g.advance(1);
    expect(sending.result()).toBe(100);
    expect(g.segments().at(-1)?.flags).toBe(0x14);
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });
});

describe("NZ5: copies on the way out", () => {
  test.each([
    ["zero-copy", ZERO_COPY, { lent: 3000, userToPacket: 0, packetToRing: 0 }],
    ["one-copy", ONE_COPY, { lent: 0, userToPacket: 3000, packetToRing: 0 }],
    ["two-copy", TWO_COPY, { lent: 0, userToPacket: 3000, packetToRing: 3000 }],
  ])("%s", async (_, mode, counters) => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SENDMODE, mode);
    const sending = g.start("send", socket, g.bytes(1, 3000), 3000, 0);
    const sent = g.segments();
    expect(Buffer.concat(sent.map((one) => one.payload))).toEqual(pattern(1, 3000));
    for (const one of sent) expect(one.isGood).toBe(true);
    g.script("in A seq=1 ack=3001");
    expect(sending.result()).toBe(3000);
    expect(g.moved(socket)).toMatchObject({ sent: 3000, ...counters });
  });

  test("two-copy copies once more for each transmission, one-copy does not", async () => {
    for (const [mode, packetToRing] of [
      [TWO_COPY, 200],
      [ONE_COPY, 0],
    ]) {
      const { g, socket } = await serve();
      g.call("SysSocketSetOption", socket, SO_SENDMODE, mode as number);
      g.send(socket, 1, 100);
      g.advance(1000);
      expect(g.segments().map((one) => one.payload)).toEqual([pattern(1, 100), pattern(1, 100)]);
      expect(g.moved(socket)).toMatchObject({ userToPacket: 100, packetToRing });
    }
  });

  test("two-copy needs no chunk for longer than its copy, and leaves nothing", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, SO_SENDMODE, TWO_COPY);
    const at = g.bytes(1, 5000);
    const blocks = g.call("heapBlocks");
    g.device.consuming = false;
    g.start("send", socket, at, 5000, DONTWAIT);
    g.script("in A seq=1 ack=5001");
    expect(g.call("sendQueuesBytes")).toBe(0);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    expect(g.call("heapBlocks")).toBe(blocks);
  });

  test("two-copy leaves segmentation to the card, within a packet", async () => {
    const g = await make({ features: ALL_FEATURES, parameters: IN_PLACE });
    const { socket } = g.serve("mss=1000 scale=8 sack", 60_000);
    g.call("SysSocketSetOption", socket, SO_SENDMODE, TWO_COPY);
    g.send(socket, 1, 200_000, DONTWAIT);
    let acked = 0;
    for (let i = 0; i < 40 && acked < 200_000; i++) {
      for (const one of g.segments()) {
        expect(one.payload).toEqual(pattern((one.seq - g.iss) >>> 0, one.payload.length));
        acked = ((one.seq - g.iss - 1) >>> 0) + one.payload.length;
      }
      g.script(`in A seq=1 ack=${1 + acked} win=4000`);
    }
    expect(acked).toBe(200_000);
    expect(g.moved(socket)).toMatchObject({ packetToRing: 200_000 });
  });
});

describe("loans", () => {
  /** Segments of `bytes` bytes, as many, in a connection that keeps packets apart. */
  async function lent(bytes: number, count: number, window = 1 << 20) {
    const g = await make(PAGES);
    const listener = g.listen();
    g.call("SysSocketSetOption", listener, SO_RCVBUF, window);
    g.call("SysSocketSetOption", listener, SO_RCVLOAN, 1);
    g.script(`
      in  S  seq=0 mss=4042 scale=7
      out SA seq=0 ack=1
      in  A  seq=1 ack=1
    `);
    const socket = g.accept(listener);
    for (let i = 0; i < count; i++) g.script(`in A seq=${1 + i * bytes} ack=1 bytes=${bytes}`);
    return { g, socket };
  }

  function borrow(g: TcpGuest, socket: number, max: number) {
    const list = g.place(...Array<number>(max * 4).fill(0));
    const count = g.start("loan", socket, list, max, DONTWAIT).result() ?? 0;
    if (count < 0) return count;
    return Array.from({ length: count }, (_, i) => {
      const [token = 0, address = 0, length = 0, flags = 0] = g.words(list + i * 16, 4);
      return { token, length, flags, bytes: Buffer.from(g.machine.memory.bytes(address, length)) };
    });
  }

  test("NZ6: a page is lent as it is, given back in any order, and opens the window then", async () => {
    const { g, socket } = await lent(4000, 4);
    const loans = borrow(g, socket, 8);
    if (typeof loans === "number") throw new Error(`loan: ${loans}`);
    expect(loans.map(({ length, flags }) => [length, flags & COPIED])).toEqual(
      Array(4).fill([4000, 0]),
    );
    expect(Buffer.concat(loans.map(({ bytes }) => bytes))).toEqual(pattern(1, 16_000));
    expect(g.moved(socket)).toMatchObject({ loaned: 16_000, ringToSocket: 0, socketToUser: 0 });
    const windowAt = (seq: number) => {
      g.segments();
      g.script(`in A seq=${seq} ack=1 bytes=1`);
      return (g.segments().at(-1)?.win as number) * 2 ** 5;
    };
    const pinned = windowAt(16_001);
    for (const i of [2, 0, 3, 1]) {
      expect(g.call("SysSocketRelease", socket, g.place(loans[i]?.token ?? 0), 1)).toBe(1);
    }
    expect(windowAt(16_002)).toBeGreaterThanOrEqual(pinned + 4 * 4000 - 2 ** 5);
    expect(g.call("loanCount")).toBe(0);
  });

  test("NZ6: a segment that came too early is lent without a copy as well (NZ9)", async () => {
    const { g, socket } = await lent(4000, 1);
    g.script(`
      in A seq=8001 ack=1 bytes=4000
      in A seq=4001 ack=1 bytes=4000
    `);
    const loans = borrow(g, socket, 8);
    if (typeof loans === "number") throw new Error(`loan: ${loans}`);
    expect(loans.map(({ flags }) => flags & COPIED)).toEqual([0, 0, 0]);
    expect(Buffer.concat(loans.map(({ bytes }) => bytes))).toEqual(pattern(1, 12_000));
    for (const { token } of loans) g.call("SysSocketRelease", socket, g.place(token), 1);
  });

  test("NZ7: few bytes are copied out, and the buffer goes back to the ring", async () => {
    const before = await lent(1, 0);
    const buffers = (g: TcpGuest) =>
      Array.from({ length: 8 }, (_, i) => g.call("buffersInFlight", i)).reduce((a, b) => a + b);
    const idle = buffers(before.g);
    const { g, socket } = await lent(200, 20);
    expect(buffers(g)).toBe(idle);
    const loans = borrow(g, socket, 32);
    if (typeof loans === "number") throw new Error(`loan: ${loans}`);
    expect(loans).toHaveLength(20);
    expect(loans.every(({ flags }) => (flags & COPIED) !== 0)).toBe(true);
    for (const { token } of loans) g.call("SysSocketRelease", socket, g.place(token), 1);
  });

  test("NZ8: a pinned buffer counts as a whole, and more than that is copied", async () => {
    const { g, socket } = await lent(300, 100, 32768);
    const loans = borrow(g, socket, 200);
    if (typeof loans === "number") throw new Error(`loan: ${loans}`);
    const pinned = loans.filter(({ flags }) => (flags & COPIED) === 0).length;
    expect(pinned).toBeGreaterThan(0);
    expect(pinned * 4096).toBeLessThanOrEqual(2 * 32768);
    expect(Buffer.concat(loans.map(({ bytes }) => bytes))).toEqual(pattern(1, 30_000));
    for (const { token } of loans) g.call("SysSocketRelease", socket, g.place(token), 1);
  });

  test("TC62: a loan outlives its connection, and its socket", async () => {
    const { g, socket } = await lent(4000, 2);
    const loans = borrow(g, socket, 8);
    if (typeof loans === "number") throw new Error(`loan: ${loans}`);
    g.script("in R seq=8001");
    g.start("close", socket);
    for (const { token, bytes } of loans) {
      expect(bytes.length).toBe(4000);
      expect(g.call("SysSocketRelease", socket, g.place(token), 1)).toBe(1);
    }
    expect([g.call("loanCount"), g.call("liveSockets")]).toEqual([0, 1]);
  });

  test("TC62: none of nothing, and none of what is no loan", async () => {
    const { g, socket } = await lent(4000, 0);
    expect(borrow(g, socket, 8)).toBe(-Errno.EAGAIN);
    expect(g.start("loan", socket, g.place(0, 0, 0, 0), 0, 0).result()).toBe(-Errno.EINVAL);
    expect(g.call("SysSocketRelease", socket, g.place(12345), 1)).toBe(-Errno.EINVAL);
    g.script("in FA seq=1 ack=1");
    expect(borrow(g, socket, 8)).toEqual([]);
  });
});
