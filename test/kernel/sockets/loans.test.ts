// Receive loans: packets that the application reads where the device has put them. The device is
// played by the test, which notes where every packet went.
import { describe, expect, onTestFinished, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VIRTQ_DESC_F_INDIRECT } from "../../../abi/virtio.ts";
import { VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import { compileGuest, runGuest } from "../../support/guest.ts";
import * as guest from "../../support/socket-guest.ts";

const { bytes, DONTWAIT, pattern, SO_RCVLOAN, text } = guest;
type Guest = guest.SocketGuest;

const [COPIED, PARTIAL] = [1, 2]; // as in kernel/net/socket/loan.ts
const [PAGE, LARGE] = [1, 2]; // as in kernel/net/link/pool.ts
const CAPACITY = { small: 1482, page: 4096, large: 65536, mixed: 0 };

const image = await compileGuest("test/guest/sockets.ts");

async function boot(parameters = "vsock.rx_buffers=page", memoryBytes = 1 << 24) {
  const g = await guest.SocketGuest.boot(image, { parameters, memoryBytes });
  onTestFinished(() => g.dispose());
  return g;
}

/** A connection from host port 7 to `port`; `loans`: with SO_RCVLOAN. */
function open(g: Guest, { window = 65536, loans = true, port = 80 } = {}): number {
  const listener = g.listen(port);
  g.call("SysSocketSetOption", listener, guest.SO_RCVBUF, window);
  g.call("SysSocketSetOption", listener, SO_RCVLOAN, Number(loans));
  const socket = g.accept(listener, port, 7);
  g.sent();
  return socket;
}

/** Sends a payload in packets as large as the ring's buffers; returns where it has put them. */
function deliver(g: Guest, payload: Uint8Array, dstPort = 80, srcPort = 7) {
  const places: { address: number; length: number }[] = [];
  const rx = g.device.queue(0);
  for (let at = 0; at < payload.length; ) {
    if (rx.available === 0) g.device.signal(); // takes in what has come, and posts more buffers
    const chain = rx.pop();
    if (chain === null) throw new Error("the guest has no receive buffer");
    const part = payload.subarray(at, at + chain.writableBytes - VsockHdr.sizeof);
    chain.copyTo(0, guest.packet({ op: VsockOp.RW, srcPort, dstPort }, part));
    const last = chain.count - 1;
    const address = chain.addresses[last]! + (last === 0 ? VsockHdr.sizeof : 0);
    places.push({ address, length: part.length });
    chain.release(VsockHdr.sizeof + part.length);
    at += part.length;
  }
  g.device.signal();
  return places;
}

/** The bytes that the application gets at once; throws on an error. */
function borrow(g: Guest, socket: number, max = 8) {
  const list = g.allocate(max * 16);
  const lent = g.now("loan", socket, list, max, DONTWAIT);
  if (lent < 0) throw new Error(`SysSocketRecvLoan: ${lent}`);
  return Array.from({ length: lent }, (_, i) => {
    const field = (offset: number) => g.u32(list + i * 16 + offset);
    return { token: field(0), address: field(4), length: field(8), flags: field(12) };
  });
}

type Loan = ReturnType<typeof borrow>[number];

function release(g: Guest, socket: number, loans: readonly (Loan | number)[]): number {
  const list = g.allocate(loans.length * 4 + 4);
  g.poke(list, ...loans.map((one) => (typeof one === "number" ? one : one.token)));
  return g.call("SysSocketRelease", socket, list, loans.length);
}

/** The credit that the guest's next packet tells. */
function credit(g: Guest, socket: number): { bufAlloc: number; fwdCnt: number } {
  g.sent();
  g.now("send", socket, g.allocate(1), 1);
  return g.sent(VsockOp.RW)[0]!;
}

/** Fills every buffer that the device has; none of them may be lent. */
function scribble(g: Guest, loans: readonly Loan[]): void {
  for (const chain of [...(g.device.queues[0] ?? [])]) {
    for (let i = 0; i < chain.count; i++) {
      const from = chain.addresses[i]!;
      const to = from + chain.lengths[i]!;
      const isLent = (one: Loan) => one.address < to && from < one.address + one.length;
      expect(loans.filter(isLent)).toEqual([]);
      chain.segment(i).fill(0xee);
    }
    chain.release(0); // no packet at all: posted again
  }
  g.device.signal();
}

const show = (g: Guest, loan?: Loan) => g.bytes(loan!.address, loan!.length).slice();
const flagsOf = (loans: readonly Loan[]) => loans.map((one) => one.flags);
const inFlight = (g: Guest) => [0, 1, 2].map((kind) => g.call("buffersInFlight", kind));

describe("a loan", () => {
  test("shows bytes where the device has put them, in order, and nothing is copied", async () => {
    const g = await boot();
    const socket = open(g);
    const counter = g.call("SysSocketReceiveCounter", socket) >>> 0;
    expect(g.u32(counter)).toBe(0);
    const payloads = [1000, 4096, 300, 2500].map((n, i) => pattern(n).map((b) => b ^ i));
    const places = payloads.flatMap((payload) => deliver(g, payload));
    const first = borrow(g, socket, 3);
    expect(first).toHaveLength(3); // never more than asked for
    const loans = [...first, ...borrow(g, socket)];
    expect(loans).toMatchObject(places.map((place) => ({ ...place, flags: 0 })));
    expect(loans.filter((one) => one.address % 4096 !== 0)).toEqual([]);
    expect(loans.map((one) => show(g, one))).toEqual(payloads);
    expect(g.call("loanCount")).toBe(4);
    const counted = { received: 7896, loaned: 7896, ringToSocket: 0, socketToUser: 0 };
    for (const stats of [g.stats(socket), g.stats()]) expect(stats).toMatchObject(counted);
    expect(release(g, socket, loans)).toBe(4);
    expect(g.call("loanCount")).toBe(0);
    deliver(g, pattern(4)); // SysSocketReceiveCounter counts what has arrived, read or not
    expect(g.u32(counter)).toBe(7900);
  });

  test("of a packet that was read in part is the rest, and says so", async () => {
    const g = await boot();
    const socket = open(g);
    const [place] = deliver(g, pattern(3000));
    for (const n of [500, 100]) deliver(g, pattern(n));
    const at = g.allocate(4000);
    expect(g.now("peek", socket, at, 4000)).toBe(3600);
    expect(g.now("recv", socket, at, 1200)).toBe(1200);
    expect(g.now("peek", socket, at, 10)).toBe(10);
    const loans = borrow(g, socket, 2);
    expect(loans[0]).toMatchObject({ address: place!.address + 1200, length: 1800 });
    expect(show(g, loans[0])).toEqual(pattern(3000).subarray(1200));
    expect(loans[1]!.length).toBe(500);
    expect(g.now("recv", socket, at, 4)).toBe(4);
    loans.push(...borrow(g, socket));
    expect(flagsOf(loans)).toEqual([PARTIAL, 0, COPIED | PARTIAL]);
    expect(show(g, loans[2])).toEqual(pattern(100).subarray(4));
    expect(g.stats(socket)).toMatchObject({ received: 3600, loaned: 2300, ringToSocket: 100 });
    release(g, socket, loans);
    expect(credit(g, socket).fwdCnt).toBe(3600);
  });

  test("of a small packet is a copy, and the only one, with SO_RCVLOAN", async () => {
    const g = await boot("vsock.rx_buffers=page vsock.rx_copybreak=64");
    const socket = open(g);
    const places = [1, 64, 65].flatMap((n) => deliver(g, pattern(n)));
    const loans = borrow(g, socket);
    expect(flagsOf(loans)).toEqual([COPIED, COPIED, 0]);
    expect(loans.map((one) => show(g, one))).toEqual([1, 64, 65].map(pattern));
    const inPlace = loans.map((one, i) => one.address === places[i]!.address);
    expect(inPlace).toEqual([false, false, true]);
    const counted = { received: 130, loaned: 65, ringToSocket: 65, socketToUser: 0 };
    expect(g.stats(socket)).toMatchObject(counted);
    expect(release(g, socket, loans)).toBe(3);
  });

  test("of small packets that came together is one, without SO_RCVLOAN", async () => {
    const g = await boot();
    const socket = open(g, { loans: false });
    const [place] = ["first ", "second ", "third"].flatMap((word) => deliver(g, bytes(word)));
    const loans = borrow(g, socket);
    expect(loans).toMatchObject([{ address: place!.address }]);
    expect(text(show(g, loans[0]))).toBe("first second third");
    expect(g.stats(socket)).toMatchObject({ received: 18, ringToSocket: 12 });
    for (const n of [3000, 1000, 97]) deliver(g, pattern(n));
    expect(borrow(g, socket).map((loan) => loan.length)).toEqual([4000, 97]);
  });
});

describe("credit", () => {
  test("V7: comes back at the release, in whatever order, and never at the loan", async () => {
    const g = await boot();
    const socket = open(g, { window: 8192 });
    for (const n of [1000, 2000, 500, 1500]) deliver(g, pattern(n));
    const loans = borrow(g, socket);
    expect(g.sent()).toEqual([]);
    expect(credit(g, socket).fwdCnt).toBe(0);
    let fwdCnt = 0;
    for (const batch of [[2], [3, 0], [1]]) {
      const list = batch.map((i) => loans[i]!);
      expect(release(g, socket, list)).toBe(batch.length);
      for (const loan of list) fwdCnt += loan.length;
      expect(credit(g, socket).fwdCnt).toBe(fwdCnt);
    }
    expect(release(g, socket, [])).toBe(0);
  });

  test("K8, V35: lent and queued bytes fill the window, and a peer that sends more is reset", async () => {
    const g = await boot();
    const socket = open(g, { window: 4096 });
    for (let i = 0; i < 2; i++) deliver(g, pattern(2048));
    const [first, second] = borrow(g, socket);
    expect(release(g, socket, [first!])).toBe(1);
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 2048, bufAlloc: 4096 }]);
    for (const n of [2000, 48]) deliver(g, pattern(n));
    expect(g.sent()).toEqual([]);
    deliver(g, pattern(1));
    expect(g.sent().map((one) => one.op)).toEqual([VsockOp.RST]);
    expect(borrow(g, socket).map((one) => one.length)).toEqual([2000, 48]);
    expect(show(g, second)).toEqual(pattern(2048));
    expect(release(g, socket, [second!])).toBe(1);
  });
});

describe("calls", () => {
  test("that make no sense, or find nothing in time, are errors", async () => {
    const g = await boot();
    const socket = open(g);
    const list = g.allocate(16);
    expect(g.now("loan", socket, list, 0)).toBe(-Errno.EINVAL);
    for (const bad of [0, -1, 12345, socket + 65536]) {
      expect(g.now("loan", bad, list, 1)).toBe(-Errno.EBADF);
      expect(g.call("SysSocketReceiveCounter", bad)).toBe(0);
    }
    expect(g.now("loan", socket, list, 1, DONTWAIT)).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", socket, guest.SO_RCVTIMEO, 20);
    const call = g.start("loan", socket, list, 1);
    g.advance(19);
    expect(call.result).toBeUndefined();
    g.advance(1);
    expect(call.result).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", socket, guest.SO_RCVTIMEO, 0);
    const closed = g.start("loan", socket, list, 1);
    g.now("close", socket);
    expect(closed.result).toBe(-Errno.EBADF);
  });

  test("return 0 at the end of the stream, after what is queued", async () => {
    const g = await boot();
    const socket = open(g);
    const call = g.start("loan", socket, g.allocate(16), 1);
    for (const n of [700, 800]) deliver(g, pattern(n));
    g.inject({ op: VsockOp.SHUTDOWN, flags: 2, srcPort: 7, dstPort: 80 });
    expect(call.result).toBe(1);
    expect(borrow(g, socket).map((one) => show(g, one))).toEqual([pattern(800)]);
    expect(borrow(g, socket)).toEqual([]);
  });

  test("to release with one token that is bad change nothing, wherever it stands", async () => {
    const g = await boot();
    const [socket, other] = [open(g), open(g, { port: 81 })];
    deliver(g, pattern(500), 81);
    const foreign = borrow(g, other)[0]!;
    for (let i = 0; i < 4; i++) deliver(g, pattern(1000));
    const [a = 0, b = 0, c = 0, gone = 0] = borrow(g, socket).map((one) => one.token);
    expect(release(g, socket, [gone])).toBe(1);
    const before = [g.call("loanCount"), ...inFlight(g)];
    // None, negative, a slot beyond the table, another generation, gone, another socket's, twice.
    for (const bad of [0, -1, a + 77, a + 65536, gone, foreign, a]) {
      for (const place of [0, 1, 3]) {
        const batch: (Loan | number)[] = [a, b, c];
        batch.splice(place, 0, bad);
        expect(release(g, socket, batch)).toBe(-Errno.EINVAL);
      }
    }
    for (const nobody of [0, 12345, other]) expect(release(g, nobody, [a])).toBe(-Errno.EINVAL);
    expect([g.call("loanCount"), ...inFlight(g)]).toEqual(before);
    expect(credit(g, socket).fwdCnt).toBe(1000);
    expect(release(g, socket, [c, a, b])).toBe(3);
    expect(release(g, socket, [b])).toBe(-Errno.EINVAL);
    expect(credit(g, socket).fwdCnt).toBe(4000);
    expect(release(g, other, [foreign])).toBe(1);
  });
});

describe("loans are bounded", () => {
  test("256 of a socket are out at most: then ENOBUFS, until one comes back", async () => {
    const g = await boot();
    const socket = open(g);
    for (let i = 0; i < 258; i++) deliver(g, Uint8Array.of(i & 255));
    const loans = borrow(g, socket, 300);
    expect(loans).toHaveLength(256);
    const at = g.allocate(16);
    expect(g.now("loan", socket, at, 1)).toBe(-Errno.ENOBUFS);
    expect(g.now("recv", socket, at, 1)).toBe(1);
    expect(g.bytes(at, 1)[0]).toBe(0);
    expect(release(g, socket, [loans[9]!])).toBe(1);
    expect(borrow(g, socket).map((one) => show(g, one)[0])).toEqual([1]);
    expect(g.now("loan", socket, at, 1, DONTWAIT)).toBe(-Errno.EAGAIN);
  });

  test("a socket pins receive buffers of twice its window; what comes then is copied", async () => {
    const g = await boot();
    const [start, posted] = [inFlight(g), g.device.queue(0).available];
    const socket = open(g, { window: 8192 });
    const places = Array.from({ length: 8 }, () => deliver(g, pattern(1000))[0]!);
    const loans = borrow(g, socket);
    expect(flagsOf(loans)).toEqual([0, 0, 0, 0, COPIED, COPIED, COPIED, COPIED]);
    expect(loans.slice(0, 4)).toMatchObject(places.slice(0, 4));
    expect(loans.map((one) => show(g, one))).toEqual(places.map(() => pattern(1000)));
    expect(g.stats(socket)).toMatchObject({ received: 8000, loaned: 4000, ringToSocket: 4000 });
    expect(g.call("buffersInFlight", PAGE)).toBe(start[PAGE]! + 4);
    expect(g.device.queue(0).available).toBe(posted);
    // One that comes back makes room for one; a copy that comes back makes none.
    release(g, socket, [loans[2]!, loans[7]!]);
    for (let i = 0; i < 2; i++) deliver(g, pattern(900));
    const more = borrow(g, socket);
    expect(flagsOf(more)).toEqual([0, COPIED]);
    const rest = [...loans.filter((_, i) => i !== 2 && i !== 7), ...more];
    expect(release(g, socket, rest)).toBe(8);
    expect(inFlight(g)).toEqual(start);
  });

  test("a large buffer is more than a small window may pin", async () => {
    const g = await boot("vsock.rx_buffers=large vsock.rx_ring=32");
    const socket = open(g, { window: 4096 });
    deliver(g, pattern(3000));
    const loans = borrow(g, socket);
    expect(flagsOf(loans)).toEqual([COPIED]);
    expect(show(g, loans[0])).toEqual(pattern(3000));
    expect(g.call("buffersInFlight", LARGE)).toBe(32);
  });
});

describe("a loan outlives", () => {
  const rst = { op: VsockOp.RST, srcPort: 7, dstPort: 80 };
  const ends: Record<string, (g: Guest, socket: number) => void> = {
    "its socket's close, which consumes what was not read": (g, socket) => {
      expect(g.now("close", socket)).toBe(0);
      expect(g.sent()).toMatchObject([{ op: VsockOp.SHUTDOWN, fwdCnt: 7496 }]);
    },
    "its socket, once the peer has let go": (g, socket) => {
      g.now("close", socket);
      g.inject(rst);
      expect(g.call("liveSockets")).toBe(1); // the listener
    },
    "V14: RST, after which what was queued is lent still": (g, socket) => {
      g.inject(rst);
      const queued = borrow(g, socket);
      expect(show(g, queued[0])).toEqual(pattern(400));
      expect(g.now("loan", socket, g.allocate(16), 1)).toBe(-Errno.ECONNRESET);
      expect(release(g, socket, queued)).toBe(1);
    },
    "V21: TRANSPORT_RESET": (g) => g.device.event(0),
    "the end of receiving, which gives credit for all of it": (g, socket) => {
      expect(g.now("shutdown", socket, 0)).toBe(0);
      expect(credit(g, socket).fwdCnt).toBe(7496);
    },
    "C14: a device that needs a reset": (g) => {
      const { view } = g.machine.memory;
      const { avail } = g.device.queue(1).rings;
      view.setUint16(avail + 2, view.getUint16(avail + 2, true) + 1000, true);
      g.device.consume(); // which breaks the queue
      g.device.signal();
      expect(g.device.queues).toEqual([]);
      expect(g.call("buffersInFlight", PAGE)).toBe(3); // two are lent, one is queued
    },
  };

  test.each(Object.entries(ends))("%s", async (_, end) => {
    const g = await boot();
    const start = inFlight(g);
    const socket = open(g);
    const payloads = [pattern(4096), pattern(3000).reverse()];
    for (const payload of [...payloads, pattern(400)]) deliver(g, payload);
    const loans = borrow(g, socket, 2);
    end(g, socket);
    g.sent();
    scribble(g, loans);
    expect(loans.map((one) => show(g, one))).toEqual(payloads);
    const results = [1, 0, 0].map((i) => release(g, socket, [loans[i]!]));
    expect(results).toEqual([1, 1, -Errno.EINVAL]);
    expect(g.sent()).toEqual([]); // credit for it has been given, or is nobody's any more
    expect(g.call("loanCount")).toBe(0);
    g.now("close", socket);
    expect(inFlight(g)).toEqual(g.device.queues.length === 0 ? [0, 0, 0] : start);
  });

  test("a connection, and counts for nothing in the next one of the same socket", async () => {
    const g = await boot();
    const start = inFlight(g);
    const socket = g.call("SysSocket", 1);
    g.call("SysSocketSetOption", socket, guest.SO_RCVBUF, 4096);
    g.call("SysSocketSetOption", socket, SO_RCVLOAN, 1);
    const connection = () => {
      const call = g.start("connect", socket, 2, 5000);
      const dstPort = g.sent(VsockOp.REQUEST)[0]!.srcPort;
      g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort });
      expect(call.result).toBe(0);
      for (const n of [1, 2, 3, 4]) deliver(g, pattern(1024).fill(n), dstPort, 5000);
      const loans = borrow(g, socket);
      expect(flagsOf(loans)).toEqual([0, 0, COPIED, COPIED]); // the whole window, and all it pins
      return { dstPort, loans };
    };
    const old = connection();
    g.inject({ op: VsockOp.RST, srcPort: 5000, dstPort: old.dstPort });
    const young = connection();
    expect(release(g, socket, old.loans)).toBe(4);
    expect(g.sent()).toEqual([]);
    expect(credit(g, socket)).toMatchObject({ fwdCnt: 0, bufAlloc: 4096 });
    expect(release(g, socket, young.loans)).toBe(4);
    expect(g.sent()).toMatchObject([{ op: VsockOp.CREDIT_UPDATE, fwdCnt: 4096 }]);
    expect(inFlight(g)).toEqual(start);
  });
});

describe("receive buffers", () => {
  const kinds = ["small", "page", "large", "mixed"] as const;
  const layouts = ["split on", "split off", "inline on", "inline off"];
  const modes = kinds.flatMap((kind) => layouts.map((layout) => [kind, layout] as const));

  test.each(modes)("%s, header and indirect %s: every length", async (buffers, layout) => {
    const [header, indirect] = layout.split(" ");
    const settings = `vsock.rx_buffers=${buffers} vsock.rx_header=${header} vsock.rx_ring=64`;
    const g = await boot(`${settings} vsock.indirect=${indirect}`, 1 << 26);
    const split = header === "split";
    const rx = g.device.queue(0);
    const chains = [...rx];
    // A chain of two descriptors takes two places of the ring, unless they are in a table.
    expect(chains).toHaveLength(split && indirect === "off" ? 32 : 64);
    const large = chains.filter((chain) => chain.writableBytes > 65536).length;
    if (buffers === "mixed") expect([16, chains.length / 4]).toContain(large);
    chains.forEach((chain, i) => {
      const flags = g.machine.memory.view.getUint16(rx.rings.desc + chain.head * 16 + 12, true);
      const capacity = CAPACITY[buffers] || (i < large ? CAPACITY.large : CAPACITY.page);
      const lengths = split ? [44, capacity] : [44 + capacity];
      expect(chain.lengths.slice(0, chain.count)).toEqual(lengths);
      expect((flags & VIRTQ_DESC_F_INDIRECT) !== 0).toBe(split && indirect === "on");
      if (split && buffers !== "small") expect(chain.addresses[1]! % 4096).toBe(0);
    });
    for (const chain of chains) chain.release(0);
    g.device.signal();
    const start = inFlight(g);
    const reader = open(g, { window: 262144, loans: false });
    const borrower = open(g, { window: 262144, port: 81 });
    const at = g.allocate(65536);
    for (const n of [1, 56, 1482, 1483, 4096, 8200, 65536]) {
      const payload = pattern(n);
      const packets = deliver(g, payload).length;
      if (buffers !== "mixed") expect(packets).toBe(Math.ceil(n / CAPACITY[buffers]));
      expect(g.now("recv", reader, at, 65536)).toBe(n);
      expect(Buffer.compare(g.bytes(at, n), payload)).toBe(0);
      const places = deliver(g, payload, 81);
      const loans = borrow(g, borrower, 64);
      expect(Buffer.compare(Buffer.concat(loans.map((one) => show(g, one))), payload)).toBe(0);
      const inPlace = places.map((place) => (place.length > 256 ? { ...place, flags: 0 } : {}));
      expect(loans).toMatchObject(inPlace);
      expect(release(g, borrower, loans)).toBe(places.length);
    }
    expect(inFlight(g)).toEqual(start);
  });

  test.each(["on", "off"])("page_pool=%s: a sixteenth of the heap, or none", async (pooling) => {
    const g = await boot(`vsock.rx_buffers=page vsock.page_pool=${pooling}`);
    const sockets = [80, 81].map((port) => open(g, { window: 1 << 20, port }));
    const start = inFlight(g);
    const loans = sockets.map((socket, i) => {
      for (let n = 0; n < 200; n++) deliver(g, pattern(4096), 80 + i);
      return borrow(g, socket, 256);
    });
    expect(g.call("buffersInFlight", PAGE)).toBe(start[PAGE]! + 400);
    const lent = g.call("inUse");
    expect(sockets.map((socket, i) => release(g, socket, loans[i]!))).toEqual([200, 200]);
    expect(inFlight(g)).toEqual(start);
    const kept = g.call("buffersKept", PAGE);
    expect(kept > 200).toBe(pooling === "on");
    expect(kept * 4096).toBeLessThanOrEqual(pooling === "on" ? 2 ** 24 / 16 : 0);
    expect(lent - g.call("inUse")).toBeGreaterThan((400 - kept) * 4096 - 8192);
  });
});

describe("a parameter", () => {
  /** Values that are taken, and values that are not. */
  const values: Record<string, [string, string]> = {
    "vsock.tx_copybreak": ["0 999999999", "-1 4294967295 1k"],
    "vsock.rx_copybreak": ["0 65536", "65537 x"],
    "vsock.rx_ring": ["32 32768", "31 32769 0"],
    "vsock.tx_ring": ["32 32768", "31 32769 0x40"],
    "vsock.window": ["4096 268435456", "4095 268435457"],
    "vsock.send": ["two-copy one-copy zero-copy", "zero 0"],
    "vsock.rx_buffers": ["small page large mixed", "Mixed pages"],
    "vsock.rx_header": ["split inline", "on splitt"],
    "vsock.indirect": ["on off", "1 true"],
    "vsock.page_pool": ["on off", "no of"],
  };

  const list = Object.entries(values);
  test.each(list)("%s that makes no sense is refused", async (name, [good, bad]) => {
    const complaints = async (parameters: string) => {
      const devices = [new guest.ScriptedVsock()];
      const { lines } = await runGuest(image, "liveSockets", { parameters, devices });
      return lines.filter((line) => line.startsWith("kernel:"));
    };
    for (const value of good.split(" ")) expect(await complaints(`${name}=${value}`)).toEqual([]);
    const ignored = [`kernel: the value of ${name} is ignored\n`];
    for (const value of ["", ...bad.split(" ")]) {
      expect(await complaints(`${name}=${value}`)).toEqual(ignored);
    }
    expect(await complaints(name)).toEqual(ignored);
  });

  test("that cannot be meant leaves its setting as it was", async () => {
    const g = await boot(list.map(([name]) => `${name}=?`).join(" "));
    const shapes = [...g.device.queue(0)].map((one) => one.lengths.slice(0, one.count).join());
    expect(shapes).toHaveLength(128);
    expect(new Set(shapes)).toEqual(new Set(["44,65536", "44,4096"]));
  });
});
