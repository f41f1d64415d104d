// Two joined sockets of the host, without any guest.
import { describe, expect, test } from "vitest";
import { ManualClock } from "../host/clock.ts";
import { PairLoop, type PairSocket } from "../host/sockets/pair.ts";
import { TAKEN_BYTES_MAX } from "../host/sockets/wire.ts";
import type { SocketEvents } from "../host/sockets.ts";

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();

/** What has happened to a socket. */
function watch(socket: PairSocket, each: (event: string) => void = () => {}): string[] {
  const seen: string[] = [];
  const note = (event: string) => {
    seen.push(event);
    each(event);
  };
  const events: SocketEvents = {
    connected: () => note("connected"),
    data: (chunk) => note(chunk.length > 20 ? `${chunk.length} bytes` : text(chunk)),
    end: () => note("end"),
    sent: () => note("sent"),
    failed: (error) => note(error.message),
    closed: () => note("closed"),
  };
  socket.events = events;
  return seen;
}

function joined() {
  const clock = new ManualClock();
  const [a, b] = new PairLoop(clock).pair();
  const settle = () => {
    while (clock.settle() > 0);
  };
  return { clock, a, b, ofA: watch(a), ofB: watch(b), settle };
}

const BROKEN = "the peer broke the connection off";

describe("two joined sockets", () => {
  test("tell each other nothing before the event loop comes round", () => {
    const { a, b, ofA, ofB, settle } = joined();
    b.opened(true);
    expect(a.send([Buffer.from("he"), Buffer.from("llo")])).toBe(true);
    a.end();
    expect([ofA, ofB]).toEqual([[], []]);
    settle();
    expect([ofA, ofB]).toEqual([["connected"], ["hello", "end"]]);
    b.end();
    settle();
    expect([ofA, ofB]).toEqual([
      ["connected", "end", "closed"],
      ["hello", "end", "closed"],
    ]);
  });

  test("a small send is taken at once and its bytes may change; a large one is lent until read", () => {
    const { a, b, ofA, ofB, settle } = joined();
    const small = Buffer.from("small");
    b.pause();
    expect(a.send([small])).toBe(true);
    small.fill("x");
    expect(a.send([Buffer.alloc(TAKEN_BYTES_MAX + 1)])).toBe(false);
    expect(() => a.send([small])).toThrow(/in flight/);
    settle();
    expect([ofA, ofB]).toEqual([[], []]);
    b.resume();
    settle();
    expect(ofA).toEqual(["sent"]);
    expect(ofB).toEqual([`${TAKEN_BYTES_MAX + 6} bytes`]);
  });

  test("a reader that pauses at every chunk is given one at a time, of 64 KiB at most", () => {
    const { a, b, ofA, settle } = joined();
    const seen = watch(b, () => b.pause());
    a.send([Buffer.alloc(100_000), Buffer.alloc(40_000)]);
    a.end();
    for (let i = 1; i <= 4; i++) {
      settle();
      expect(seen).toHaveLength(i);
      b.resume();
    }
    expect(seen).toEqual(["65536 bytes", "65536 bytes", "8928 bytes", "end"]);
    expect(ofA).toEqual(["sent"]);
  });

  test("a read in place fills the buffer that was chosen, and goes on with the next", () => {
    const { a, b, ofA, settle } = joined();
    const buffers = [Buffer.alloc(3), Buffer.alloc(30_000), Buffer.alloc(8)];
    const lengths: number[] = [];
    let next = 0;
    b.readInto({
      buffer: () => buffers[next++] as Buffer,
      filled: (length) => void lengths.push(length),
    });
    a.send([Buffer.alloc(20_000, 1)]);
    settle();
    expect(lengths).toEqual([3, 19_997]);
    expect([buffers[1]?.[19_996], buffers[1]?.[19_997]]).toEqual([1, 0]);
    expect(ofA).toEqual(["sent"]);
  });

  test("close delivers what was taken; whoever sends on is told that it broke", () => {
    const { a, b, ofA, ofB, settle } = joined();
    a.send([Buffer.from("bye")]);
    a.close();
    settle();
    expect([ofA, ofB]).toEqual([["closed"], ["bye", "end"]]);
    expect(b.send([Buffer.from("?")])).toBe(false);
    settle();
    expect(ofB).toEqual(["bye", "end", BROKEN, "closed"]);
  });

  test("close with bytes unread is a reset, as of a kernel", () => {
    const { a, b, ofA, ofB, settle } = joined();
    b.send([Buffer.from("unread")]);
    a.close();
    settle();
    expect([ofA, ofB]).toEqual([["closed"], [BROKEN, "closed"]]);
  });

  test("a reset forgets what was lent, and each side hears of it once", () => {
    const { a, b, ofA, ofB, settle } = joined();
    a.send([Buffer.alloc(50_000)]);
    a.reset();
    a.reset();
    a.close();
    b.resume();
    settle();
    expect([ofA, ofB]).toEqual([["closed"], [BROKEN, "closed"]]);
    b.reset();
    settle();
    expect(ofB).toEqual([BROKEN, "closed"]);
  });

  test("two that never stop talking leave the event loop time for others", () => {
    const { clock, a, b } = joined();
    let talks = 0;
    const answer = (socket: PairSocket) => {
      talks++;
      socket.send([Buffer.from("!")]);
    };
    watch(a, () => answer(a));
    watch(b, () => answer(b));
    answer(a);
    expect(clock.settle()).toBe(1);
    expect(talks).toBeGreaterThan(2);
    expect(talks).toBeLessThan(100);
    expect(clock.deferred).toBe(1);
  });
});
