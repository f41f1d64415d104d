// A clock that stands still, and a machine on it.
import { describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { PausableClock } from "../../host/pausable-clock.ts";

const SECOND_NS = 1e9;

function clocks() {
  const host = new ManualClock();
  const clock = new PausableClock(host);
  const called: string[] = [];
  const call = (name: string) => () => void called.push(name);
  return { host, clock, called, call };
}

describe("a pause", () => {
  test("stops time, which goes on where it was", () => {
    const { host, clock } = clocks();
    host.advance(1000);
    clock.pause();
    host.advance(60_000);
    expect(clock.now()).toBe(SECOND_NS);
    expect(clock.realtime()).toBe(BigInt(SECOND_NS));
    clock.resume();
    expect(clock.now()).toBe(SECOND_NS);
    expect(clock.realtime()).toBe(61n * BigInt(SECOND_NS)); // the wall clock is the host's
    host.advance(1000);
    expect(clock.now()).toBe(2 * SECOND_NS);
  });

  test("lets no timer fire, and gives each the time that it had left", () => {
    const { host, clock, called, call } = clocks();
    clock.after(100, call("a"));
    host.advance(40);
    clock.pause();
    clock.after(10, call("b"));
    host.advance(60_000);
    expect(called).toEqual([]);
    clock.resume();
    host.advance(9);
    expect(called).toEqual([]);
    host.advance(1);
    expect(called).toEqual(["b"]);
    host.advance(49);
    expect(called).toEqual(["b"]);
    host.advance(1);
    expect(called).toEqual(["b", "a"]);
    expect(host.timers).toBe(0);
  });

  test("holds what was deferred, before it and in it, and does not change the order", () => {
    const { host, clock, called, call } = clocks();
    clock.defer(call("a"));
    clock.pause();
    clock.defer(call("b"));
    while (host.settle() > 0);
    expect(called).toEqual([]);
    clock.resume();
    while (host.settle() > 0);
    expect(called).toEqual(["a", "b"]);
  });

  test("twice is once, and so is its end", () => {
    const { host, clock, called, call } = clocks();
    clock.resume();
    clock.pause();
    host.advance(5);
    clock.pause();
    expect(clock.now()).toBe(0);
    clock.resume();
    clock.resume();
    clock.after(1, call("a"));
    host.advance(1);
    expect([clock.now(), called]).toEqual([1e6, ["a"]]);
  });

  test("keeps a timer cancelled that is cancelled in it", () => {
    const { host, clock, called, call } = clocks();
    const cancel = clock.after(1, call("a"));
    clock.pause();
    cancel();
    clock.resume();
    host.advance(10);
    expect(called).toEqual([]);
    expect(clock.step()).toBe(false);
  });
});

describe("a step", () => {
  test("makes the calls that were deferred, once, and not those that they defer", () => {
    const { clock, called, call } = clocks();
    clock.pause();
    clock.defer(() => {
      called.push("a");
      clock.defer(call("b"));
    });
    expect([clock.step(), called]).toEqual([true, ["a"]]);
    expect([clock.step(), called]).toEqual([true, ["a", "b"]]);
    expect([clock.step(), called]).toEqual([false, ["a", "b"]]);
  });

  test("goes on to the next timer if nothing was deferred", () => {
    const { host, clock, called, call } = clocks();
    clock.after(500, call("late"));
    clock.after(200, call("early"));
    clock.pause();
    expect([clock.step(), called, clock.now()]).toEqual([true, ["early"], 0.2 * SECOND_NS]);
    expect(clock.realtime()).toBe(200_000_000n);
    clock.resume();
    host.advance(299);
    expect(called).toEqual(["early"]);
    host.advance(1);
    expect(called).toEqual(["early", "late"]);
  });

  test("is none while time goes on", () => {
    const { clock, called, call } = clocks();
    clock.after(1, call("a"));
    expect([clock.step(), called]).toEqual([false, []]);
  });
});
