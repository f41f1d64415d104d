// Two joined sockets of the host, without any guest.
import { describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import type { SocketEvents } from "../../host/ports/sockets.ts";
import { NOBODY } from "../../host/ports/sockets.ts";
import { PairLoop, type PairSocket } from "../../host/sockets/pair.ts";
import { TAKEN_BYTES_MAX } from "../../host/sockets/wire.ts";
import { Random } from "../support/simulation-random.ts";

const text = (chunk: Uint8Array) => Buffer.from(chunk).toString();

/** Events of a socket. */
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

/** A part of a send: small, large or nothing. */
function noise(random: Random): Buffer {
  const bytes = random.below([1, 100, 20_000, 100_000][random.below(4)] as number);
  return Buffer.alloc(bytes, 1 + random.below(255));
}

const BROKEN = "the peer broke the connection off";

describe("two joined sockets", () => {
  test("deliver nothing before the event loop's next turn", () => {
    const { a, b, ofA, ofB, settle } = joined();
    b.answered(true);
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

  test("takes a small send at once, and lends the bytes of a large one until read", () => {
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
    expect(ofB).toEqual(["small", `${TAKEN_BYTES_MAX + 1} bytes`]);
  });

  test("gives a reader that pauses at every chunk one at a time, of 64 KiB at most", () => {
    const { a, b, ofA, settle } = joined();
    const seen = watch(b, () => b.pause());
    a.send([Buffer.alloc(100_000), Buffer.alloc(40_000)]);
    a.end();
    for (let i = 1; i <= 4; i++) {
      settle();
      expect(seen).toHaveLength(i);
      b.resume();
    }
    expect(seen).toEqual(["65536 bytes", "34464 bytes", "40000 bytes", "end"]);
    expect(ofA).toEqual(["sent"]);
  });

  test("fills the buffers of a read in place one after the other", () => {
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

  test("close delivers accepted bytes, and later sends fail", () => {
    const { a, b, ofA, ofB, settle } = joined();
    a.send([Buffer.from("bye")]);
    a.close();
    settle();
    expect([ofA, ofB]).toEqual([["closed"], ["bye", "end"]]);
    expect(b.send([Buffer.from("?")])).toBe(false);
    settle();
    expect(ofB).toEqual(["bye", "end", BROKEN, "closed"]);
  });

  test("close with unread bytes resets, as a kernel does", () => {
    const { a, b, ofA, ofB, settle } = joined();
    b.send([Buffer.from("unread")]);
    a.close();
    settle();
    expect([ofA, ofB]).toEqual([["closed"], [BROKEN, "closed"]]);
  });

  test("a reset drops lent bytes, and each side hears of it once", () => {
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

  test.each([
    ["in chunks", false],
    ["in place", true],
  ])("delivers in order to a reader that pauses at random: %s", (_, inPlace) => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed);
      const { clock, a, b } = joined();
      const sent: Buffer[] = [];
      const read: Buffer[] = [];
      let lent: Buffer[] = [];
      let ended = false;
      const take = (chunk: Uint8Array) => {
        read.push(Buffer.from(chunk));
        if (random.below(3) === 0) b.pause();
      };
      a.events = {
        ...NOBODY,
        sent: () => void lent.splice(0).forEach((part) => void part.fill(0)),
      };
      const end = () => {
        ended = true;
      };
      b.events = { ...NOBODY, data: take, end };
      let buffer = Buffer.alloc(0);
      const next = () => {
        buffer = Buffer.alloc(1 + random.below(70_000));
        return buffer;
      };
      if (inPlace) {
        b.readInto({ buffer: next, filled: (length) => take(buffer.subarray(0, length)) });
      }
      for (let sends = 0; !ended; ) {
        if (lent.length === 0 && sends < 20) {
          const parts = Array.from({ length: 1 + random.below(3) }, () => noise(random));
          sent.push(...parts.map((part) => Buffer.from(part)));
          if (a.send(parts)) for (const part of parts) part.fill(0);
          else lent = parts;
          if (++sends === 20) a.end();
        }
        clock.settle();
        if (random.below(2) === 0) b.resume();
      }
      expect(Buffer.concat(read).equals(Buffer.concat(sent))).toBe(true);
      expect(lent).toEqual([]);
    }
  });

  test("two busy sockets leave the event loop time for others", () => {
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
