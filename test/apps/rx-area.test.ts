// The receive area of apps/rx-zerocopy: the cases of the 2022 RFC, valid and invalid.
import { describe, expect, test } from "vitest";
import { Errno } from "../../abi/errno.ts";
import { VsockOp } from "../../abi/vsock.ts";
import type { SocketGuest } from "../support/socket-guest.ts";
import {
  bytes,
  PendingCall,
  pattern,
  SO_RCVBUF,
  socketGuests,
  text,
} from "../support/socket-guest.ts";

const bootGuest = await socketGuests("test/guest/rx-area.ts");
const [PORT, PEER, WINDOW] = [80, 7, 262144];
const [OPTION_BYTES, PAGE_BYTES] = [8, 4096];
/** The test's device takes buffers as they come: with these any packet fits, in any order. */
const LARGE = "vsock.rx_buffers=large";

/** Connects a socket whose listener was enabled, and maps an area. */
async function boot(pages = 16, parameters = "", window = WINDOW) {
  const g = await bootGuest({ parameters });
  const listener = g.listen(PORT);
  g.call("SysSocketSetOption", listener, SO_RCVBUF, window);
  expect(g.call("areaEnable", listener)).toBe(0);
  const socket = g.accept(listener, PORT, PEER);
  return { g, listener, socket, area: map(g, pages) };
}

function map(g: SocketGuest, pages: number): number {
  const area = g.call("areaMap", pages) >>> 0;
  expect(area).not.toBe(0);
  expect(area % PAGE_BYTES).toBe(0);
  return area;
}

const send = (g: SocketGuest, payload: Uint8Array) =>
  g.inject({ op: VsockOp.RW, srcPort: PEER, dstPort: PORT }, payload);
const page = (g: SocketGuest, area: number, i: number) => g.call("areaPage", area, i) >>> 0;

function start(g: SocketGuest, socket: number, area: number, length = OPTION_BYTES): PendingCall {
  const record = Number(g.machine.call("startAreaReceive", socket, area, length)) >>> 0;
  g.settle();
  return new PendingCall(g, record);
}

/** areaReceive that must not wait. */
function receive(g: SocketGuest, socket: number, area: number, length = OPTION_BYTES): number {
  const { result } = start(g, socket, area, length);
  if (result === undefined) throw new Error("areaReceive waits");
  return result;
}

/** The lengths in page 0, the end not included. */
function lengths(g: SocketGuest, area: number): number[] {
  const found: number[] = [];
  for (let at = area; g.u32(at) !== 0; at += 8) {
    expect(g.u32(at + 4)).toBe(0);
    found.push(g.u32(at));
  }
  return found;
}

/** The heap is as it was; a block may be some bytes larger in one place than in another. */
function expectHeap(g: SocketGuest, [blocks = 0, bytes = 0]: number[]): void {
  expect(g.call("heapBlocks")).toBe(blocks);
  expect(Math.abs(g.call("inUse") - bytes)).toBeLessThan(PAGE_BYTES);
}

/** The packets as an application reads them: page by page. */
function packets(g: SocketGuest, area: number): Buffer[] {
  let next = 1;
  return lengths(g, area).map((length) => {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < length; at += PAGE_BYTES) {
      const address = page(g, area, next++);
      expect(address).not.toBe(0);
      expect(address % PAGE_BYTES).toBe(0);
      parts.push(g.bytes(address, Math.min(PAGE_BYTES, length - at)).slice());
    }
    return Buffer.concat(parts);
  });
}

/** The RFC's example. */
const stream = pattern(56 + 4096 + 8200);
const three = [stream.slice(0, 56), stream.slice(56, 4152), stream.slice(4152)] as const;
const buffers = (payloads: readonly Uint8Array[]) => payloads.map((one) => Buffer.from(one));

describe("the area's contents", () => {
  test("packets of 56, 4096 and 8200 bytes take pages 1, 2 and 3 to 5, as in the RFC", async () => {
    const { g, socket, area } = await boot();
    for (const payload of three) send(g, payload);
    expect(receive(g, socket, area)).toBe(3);
    expect(lengths(g, area)).toEqual([56, 4096, 8200]);
    expect(packets(g, area)).toEqual(buffers(three));
    expect(g.bytes(page(g, area, 5), 8)).toEqual(three[2].slice(8192));
    expect(page(g, area, 0)).toBe(0);
    expect(page(g, area, 6)).toBe(0);
  });

  test("a packet of a page or more is not copied; one of 56 bytes is, twice", async () => {
    const { g, socket, area } = await boot();
    for (const payload of three) send(g, payload);
    receive(g, socket, area);
    expect(g.stats(socket)).toMatchObject({ loaned: 12_296, ringToSocket: 56, socketToUser: 56 });
  });

  test("without a copybreak nothing is copied, and the pages are not the area's own", async () => {
    const { g, socket, area } = await boot(16, "vsock.rx_copybreak=0");
    for (const payload of three) send(g, payload);
    expect(receive(g, socket, area)).toBe(3);
    expect(packets(g, area)).toEqual(buffers(three));
    expect(g.stats(socket)).toMatchObject({ loaned: 12_352, ringToSocket: 0, socketToUser: 0 });
    const own = [1, 2, 3, 4, 5].map((i) => page(g, area, i) - area);
    expect(own.filter((offset) => offset >= 0 && offset < 17 * PAGE_BYTES)).toEqual([]);
  });

  test("a packet of one byte has a page of its own", async () => {
    const { g, socket, area } = await boot();
    for (const letter of ["a", "b", "c"]) send(g, bytes(letter));
    expect(receive(g, socket, area)).toBe(3);
    expect(lengths(g, area)).toEqual([1, 1, 1]);
    const pages = [1, 2, 3].map((i) => page(g, area, i));
    expect(new Set(pages).size).toBe(3);
    expect(pages.map((at) => text(g.bytes(at, 1)))).toEqual(["a", "b", "c"]);
  });

  test("a ring of pages brings the same stream as more packets, none of them copied", async () => {
    const { g, socket, area } = await boot(16, "vsock.rx_buffers=page");
    const parts = [4096, 4096, 8].map((length) => pattern(length));
    for (const payload of parts) send(g, payload);
    expect(receive(g, socket, area)).toBe(3);
    expect(packets(g, area)).toEqual(buffers(parts));
    expect(g.stats(socket).socketToUser).toBe(8);
  });

  test.each(["vsock.rx_header=inline", "vsock.rx_buffers=small"])(
    "with %s the layout is the same, out of the area's own pages",
    async (parameter) => {
      const { g, socket, area } = await boot(16, parameter);
      const parts = three.map((part) => part.slice(0, 1400));
      for (const payload of parts) send(g, payload);
      expect(receive(g, socket, area)).toBe(3);
      expect(packets(g, area)).toEqual(buffers(parts));
      expect([1, 2, 3].map((i) => page(g, area, i) - area)).toEqual([4096, 8192, 12_288]);
      expect(g.stats(socket).socketToUser).toBe(56 + 1400 + 1400);
    },
  );

  test("a large packet after its header is copied to pages that follow each other", async () => {
    const { g, socket, area } = await boot(16, `vsock.rx_header=inline ${LARGE}`);
    send(g, three[2]);
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area)).toEqual(buffers([three[2]]));
    expect(g.stats(socket).socketToUser).toBe(8200);
  });

  test("shows bytes that the socket may not pin at their copy, if that is a page", async () => {
    const { g, socket, area } = await boot(16, "", 8300);
    send(g, pattern(3000)); // came in 64 KiB, of which the window allows none
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area)).toEqual(buffers([pattern(3000)]));
    expect(g.stats(socket)).toMatchObject({ ringToSocket: 3000, socketToUser: 0 });
    g.call("areaAdviseDontNeed", area);
    send(g, three[2]); // has no page of the pool
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area)).toEqual(buffers([three[2]]));
    expect(g.stats(socket)).toMatchObject({ ringToSocket: 11_200, socketToUser: 8200 });
  });

  test("the rest of a packet whose begin was read is copied, unless it begins at a page", async () => {
    const { g, socket, area } = await boot();
    const into = g.allocate(4096);
    send(g, three[2]);
    expect(g.now("recv", socket, into, 10)).toBe(10);
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area)).toEqual(buffers([three[2].slice(10)]));
    expect(page(g, area, 3)).toBe(0);
    expect(g.stats(socket).socketToUser).toBe(10 + 8190);
    g.call("areaAdviseDontNeed", area);
    send(g, three[2]);
    expect(g.now("recv", socket, into, 4096)).toBe(4096);
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area)).toEqual(buffers([three[2].slice(4096)]));
    expect(g.stats(socket).socketToUser).toBe(10 + 8190 + 4096);
  });
});

describe("receiving into an area", () => {
  test("waits until there are data", async () => {
    const { g, socket } = await boot();
    const dirty = g.allocate(1 << 20);
    g.bytes(dirty, 1 << 20).fill(0xff);
    g.call("ToroFreeMem", dirty);
    const area = map(g, 16);
    const call = start(g, socket, area);
    expect(call.result).toBeUndefined();
    expect(lengths(g, area)).toEqual([]);
    send(g, bytes("late"));
    expect(call.result).toBe(1);
    expect(packets(g, area).map(text)).toEqual(["late"]);
  });

  test("goes on round by round, with no byte lost and nothing left on the heap", async () => {
    const { g, socket, area } = await boot(16, LARGE);
    const sizes = [1, 256, 257, 2048, 4095, 4096, 4097, 8192, 16_384];
    const round = (number: number) => {
      const sent = sizes.map((size) => pattern(size + number).slice(number));
      for (const payload of sent) send(g, payload);
      expect(receive(g, socket, area)).toBe(sizes.length);
      expect(packets(g, area)).toEqual(buffers(sent));
      for (const _ of ["once", "twice"]) expect(g.call("areaAdviseDontNeed", area)).toBe(0);
      expect(lengths(g, area)).toEqual([]);
      expect(page(g, area, 1)).toBe(0);
    };
    round(0);
    const before = [g.call("heapBlocks"), g.call("inUse")];
    for (let number = 1; number < 12; number++) round(number);
    expectHeap(g, before);
    expect(g.call("loanCount")).toBe(0);
  });

  test("finds the end of the stream after all packets, and again", async () => {
    const { g, socket, area } = await boot();
    send(g, bytes("last"));
    g.inject({ op: VsockOp.SHUTDOWN, srcPort: PEER, dstPort: PORT, flags: 2 });
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area).map(text)).toEqual(["last"]);
    g.call("areaAdviseDontNeed", area);
    expect(receive(g, socket, area)).toBe(0);
    expect(lengths(g, area)).toEqual([]);
    expect(receive(g, socket, area)).toBe(0);
  });

  test("ends when the stream does, and fails when the connection is lost", async () => {
    const ending = await boot();
    const end = start(ending.g, ending.socket, ending.area);
    ending.g.inject({ op: VsockOp.SHUTDOWN, srcPort: PEER, dstPort: PORT, flags: 2 });
    expect(end.result).toBe(0);
    const lost = await boot();
    const call = start(lost.g, lost.socket, lost.area);
    lost.g.inject({ op: VsockOp.RST, srcPort: PEER, dstPort: PORT });
    expect(call.result).toBe(-Errno.ECONNRESET);
  });

  test("leaves to the next call what has no page left", async () => {
    const { g, socket, area } = await boot(4);
    const sent = Array.from({ length: 10 }, (_, i) => pattern(1000 + i));
    for (const payload of sent) send(g, payload);
    for (const part of [sent.slice(0, 4), sent.slice(4, 8), sent.slice(8)]) {
      expect(receive(g, socket, area)).toBe(part.length);
      expect(packets(g, area)).toEqual(buffers(part));
      g.call("areaAdviseDontNeed", area);
    }
  });

  test("leaves a packet whole that has more pages than are left, and none overtakes it", async () => {
    const { g, socket, area } = await boot(3);
    const sent = [three[1], three[2], three[0]];
    for (const payload of sent) send(g, payload);
    for (const payload of sent) {
      expect(receive(g, socket, area)).toBe(1);
      expect(packets(g, area)).toEqual(buffers([payload]));
      g.call("areaAdviseDontNeed", area);
    }
  });

  test("takes the 256 packets that a socket may have lent, and the rest with the next call", async () => {
    const { g, socket, area } = await boot(511);
    const other = map(g, 511);
    for (let i = 0; i < 300; i++) send(g, Uint8Array.of(i));
    expect(receive(g, socket, area)).toBe(256);
    expect(receive(g, socket, other)).toBe(-Errno.ENOBUFS);
    expect(packets(g, area).map((one) => one[0])).toEqual(Array.from({ length: 256 }, (_, i) => i));
    g.call("areaAdviseDontNeed", area);
    expect(receive(g, socket, other)).toBe(44);
    expect(packets(g, other).map((one) => one[0])).toEqual(Array.from({ length: 44 }, (_, i) => i));
  });

  test("works with several areas at once, each of which is given back for itself", async () => {
    const { g, socket, area } = await boot();
    const other = map(g, 1);
    send(g, three[2]);
    expect(receive(g, socket, area)).toBe(1);
    send(g, three[1]);
    expect(receive(g, socket, other)).toBe(1);
    expect(g.call("areaAdviseDontNeed", area)).toBe(0);
    expect(packets(g, other)).toEqual(buffers([three[1]]));
    expect(g.call("loanCount")).toBe(1);
    expect(g.call("areaUnmap", other)).toBe(0);
    expect(g.call("loanCount")).toBe(0);
  });

  test("works on a socket that was enabled before it connected", async () => {
    const { g, area } = await boot();
    const socket = g.call("SysSocket", 1);
    expect(g.call("areaEnable", socket)).toBe(0);
    g.sent();
    const call = g.start("connect", socket, 2, 1000);
    const { srcPort } = g.sent(VsockOp.REQUEST)[0] as { srcPort: number };
    expect(g.call("areaEnable", socket)).toBe(-Errno.EOPNOTSUPP);
    g.inject({ op: VsockOp.RESPONSE, srcPort: 1000, dstPort: srcPort });
    expect(call.result).toBe(0);
    g.inject({ op: VsockOp.RW, srcPort: 1000, dstPort: srcPort }, bytes("hello"));
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area).map(text)).toEqual(["hello"]);
  });
});

describe("giving pages back", () => {
  test("returns the credit, and nothing before does, not even for what was copied", async () => {
    const { g, socket, area } = await boot(64);
    const fwdCnt = () => {
      g.sent();
      g.inject({ op: VsockOp.CREDIT_REQUEST, srcPort: PEER, dstPort: PORT });
      return g.sent(VsockOp.CREDIT_UPDATE).map((one) => one.fwdCnt);
    };
    const sent = [three[0], pattern(65_536), pattern(65_536), pattern(65_536)];
    for (const payload of sent) send(g, payload);
    g.sent();
    expect(receive(g, socket, area)).toBe(4);
    expect(g.sent()).toEqual([]);
    expect(fwdCnt()).toEqual([0]);
    expect(g.call("areaAdviseDontNeed", area)).toBe(0);
    expect(g.sent(VsockOp.CREDIT_UPDATE)).toMatchObject([{ fwdCnt: 56 + 3 * 65_536 }]);
  });

  test("is possible after the socket was closed; until then the pages stay good", async () => {
    const { g, socket, area } = await boot();
    for (const payload of three) send(g, payload);
    expect(receive(g, socket, area)).toBe(3);
    g.call("SysSocketClose", socket);
    g.inject({ op: VsockOp.RST, srcPort: PEER, dstPort: PORT });
    expect(g.call("liveSockets")).toBe(1); // the listener
    expect(packets(g, area)).toEqual(buffers(three));
    expect(g.call("areaAdviseDontNeed", area)).toBe(0);
    expect(g.call("loanCount")).toBe(0);
    expect(lengths(g, area)).toEqual([]);
  });

  test("and unmapping leave the heap and the pool as they were", async () => {
    const { g, listener, socket, area } = await boot(16, LARGE);
    const session = (connection: number, at: number) => {
      for (const payload of three) send(g, payload);
      expect(receive(g, connection, at)).toBe(3);
      expect(g.call("areaUnmap", at)).toBe(0); // full
      g.call("SysSocketClose", connection);
      g.inject({ op: VsockOp.RST, srcPort: PEER, dstPort: PORT });
      return [0, 1, 2].map((kind) => g.call("buffersInFlight", kind));
    };
    const pooled = session(socket, area);
    const before = [g.call("heapBlocks"), g.call("inUse")];
    for (let i = 0; i < 5; i++) {
      expect(session(g.accept(listener, PORT, PEER), map(g, 16))).toEqual(pooled);
    }
    expectHeap(g, before);
    expect(g.call("loanCount")).toBe(0);
  });
});

describe("misuse", () => {
  /** An open connection with a packet that no error may lose. */
  async function withPacket() {
    const booted = await boot();
    send(booted.g, bytes("kept"));
    const { g, socket, area } = booted;
    const isKept = () => {
      expect(lengths(g, area)).toEqual([]);
      expect(receive(g, socket, area)).toBe(1);
      expect(packets(g, area).map(text)).toEqual(["kept"]);
    };
    return { ...booted, isKept };
  }

  test("a socket that was not enabled is refused, and its data stay", async () => {
    const { g, area } = await boot();
    const listener = g.listen(81);
    const socket = g.accept(listener, 81, PEER);
    g.inject({ op: VsockOp.RW, srcPort: PEER, dstPort: 81 }, bytes("plain"));
    expect(receive(g, socket, area)).toBe(-Errno.EOPNOTSUPP);
    expect(g.now("recv", socket, g.allocate(16), 16)).toBe(5);
  });

  test("a connected socket cannot be enabled, a disconnected one can", async () => {
    const { g, area } = await boot();
    const socket = g.accept(g.listen(81), 81, PEER);
    expect(g.call("areaEnable", socket)).toBe(-Errno.EOPNOTSUPP);
    expect(receive(g, socket, area)).toBe(-Errno.EOPNOTSUPP);
    g.inject({ op: VsockOp.RST, srcPort: PEER, dstPort: 81 });
    expect(g.call("areaEnable", socket)).toBe(0);
    g.call("SysSocketClose", socket);
    expect(g.call("areaEnable", socket)).toBe(-Errno.EBADF);
  });

  test("an option shorter than an address is refused, a longer one is not", async () => {
    const { g, socket, area } = await withPacket();
    for (const short of [0, 4, 7]) expect(receive(g, socket, area, short)).toBe(-Errno.EINVAL);
    expect(receive(g, socket, area, 16)).toBe(1);
  });

  test("an address that is no area's is refused", async () => {
    const { g, socket, area, isKept } = await withPacket();
    for (const address of [0, 1, g.allocate(8192), area - PAGE_BYTES, 0xffff_f000]) {
      expect(receive(g, socket, address)).toBe(-Errno.EINVAL);
      expect(g.call("areaAdviseDontNeed", address)).toBe(-Errno.EINVAL);
      expect(g.call("areaUnmap", address)).toBe(-Errno.EINVAL);
      expect(page(g, address, 1)).toBe(0);
    }
    isKept();
  });

  test("an address inside the area is not its start", async () => {
    const { g, socket, area, isKept } = await withPacket();
    for (const offset of [1, 8, PAGE_BYTES, 16 * PAGE_BYTES]) {
      expect(receive(g, socket, area + offset)).toBe(-Errno.EINVAL);
    }
    isKept();
    expect(receive(g, socket, page(g, area, 1))).toBe(-Errno.EINVAL);
  });

  test("a second receive before the pages are given back fails, and changes nothing", async () => {
    const { g, socket, area } = await boot();
    for (const payload of three) send(g, payload);
    expect(receive(g, socket, area)).toBe(3);
    send(g, bytes("next"));
    expect(receive(g, socket, area)).toBe(-Errno.EINVAL);
    expect(packets(g, area)).toEqual(buffers(three));
    g.call("areaAdviseDontNeed", area);
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area).map(text)).toEqual(["next"]);
  });

  test("of two threads that wait with one area the second gets an error and no packet", async () => {
    const { g, socket, area } = await boot();
    const calls = [start(g, socket, area), start(g, socket, area)];
    send(g, bytes("one"));
    send(g, bytes("two"));
    expect(calls.map((call) => call.result).sort()).toEqual([1, -Errno.EINVAL].sort());
    expect(packets(g, area).map(text)).toEqual(["one"]);
    g.call("areaAdviseDontNeed", area);
    expect(receive(g, socket, area)).toBe(1);
    expect(packets(g, area).map(text)).toEqual(["two"]);
  });

  test("an area that was unmapped is none, also for a thread that waits with it", async () => {
    const { g, socket, area } = await boot();
    const call = start(g, socket, area);
    expect(g.call("areaUnmap", area)).toBe(0);
    send(g, bytes("kept"));
    expect(call.result).toBe(-Errno.EINVAL);
    expect(receive(g, socket, area)).toBe(-Errno.EINVAL);
    expect(g.call("areaAdviseDontNeed", area)).toBe(-Errno.EINVAL);
    expect(g.call("areaUnmap", area)).toBe(-Errno.EINVAL);
    const other = map(g, 2);
    expect(receive(g, socket, other)).toBe(1);
    expect(packets(g, other).map(text)).toEqual(["kept"]);
  });

  test("a listener, a closed socket and no socket receive nothing", async () => {
    const { g, listener, socket, area } = await boot();
    expect(receive(g, listener, area)).toBe(-Errno.ENOTCONN);
    g.call("SysSocketClose", socket);
    expect(receive(g, socket, area)).toBe(-Errno.EBADF);
    expect(receive(g, 0, area)).toBe(-Errno.EBADF);
    expect(g.call("areaEnable", 0)).toBe(-Errno.EBADF);
  });

  test("a socket that is closed while a thread waits takes the wait with it", async () => {
    const { g, socket, area } = await boot();
    const call = start(g, socket, area);
    g.call("SysSocketClose", socket);
    expect(call.result).toBe(-Errno.EBADF);
    expect(g.call("areaUnmap", area)).toBe(0);
  });

  test("a packet larger than the area stays queued until an area holds it", async () => {
    const { g, socket, area } = await boot(2);
    send(g, three[2]);
    expect(receive(g, socket, area)).toBe(-Errno.EMSGSIZE);
    expect(lengths(g, area)).toEqual([]);
    const larger = map(g, 3);
    expect(receive(g, socket, larger)).toBe(1);
    expect(packets(g, larger)).toEqual(buffers([three[2]]));
  });

  test("areas have bounds: 1 to 4096 pages, 16 of them, and the memory there is", async () => {
    const { g } = await boot();
    const before = [g.call("heapBlocks"), g.call("inUse")];
    // 4096 pages are 16 MiB, as much as the machine has.
    for (const pages of [0, 4096, 4097, 0xffff_ffff]) expect(g.call("areaMap", pages)).toBe(0);
    expectHeap(g, before);
    const others = Array.from({ length: 15 }, () => map(g, 1));
    expect(g.call("areaMap", 1)).toBe(0);
    expect(g.call("areaUnmap", others[3] as number)).toBe(0);
    map(g, 1);
    expect(g.call("areaMap", 1)).toBe(0);
  });
});
