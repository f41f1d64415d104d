// The guest's two clocks: the monotonic one never steps, the other one is where the host's is.
import { beforeAll, describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { PacketCapture } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import type { Clock } from "../../host/ports/clock.ts";
import { WallClock } from "../../host/wall-clock.ts";
import { compileGuest, type GuestImage } from "../support/guest.ts";
import { MIB, machine } from "../support/wat-machine.ts";

const MS = 1_000_000n;
const HOUR = 3_600_000n * MS;

/** A host whose wall clock can be set, and which can sleep: then only the wall clock goes on. */
class Host extends ManualClock {
  #wallNs = 1_700_000_000_000n * MS;

  override realtime(): bigint {
    return this.#wallNs + BigInt(Math.floor(this.now()));
  }

  step(ns: bigint): void {
    this.#wallNs += ns;
  }
}

describe("in the guest", () => {
  let image: GuestImage;
  beforeAll(async () => {
    image = await compileGuest("test/guest/wall.ts");
  });

  async function boot(clock: Clock) {
    const m = await Machine.create({ image: image.module, memoryBytes: 4 * MIB, clock });
    m.boot();
    return { m, wall: () => m.call("wall") as bigint, monotonic: () => m.call("monotonic") };
  }

  test.each([
    ["an hour of sleep", HOUR],
    ["a step back by an hour", -HOUR],
    ["a step of five milliseconds", 5n * MS],
    ["a step to another century", 36500n * 24n * HOUR],
  ])(
    "%s is seen within a tenth of a second, and the monotonic clock does not notice",
    async (_, ns) => {
      const host = new Host();
      const { wall, monotonic } = await boot(host);
      expect(wall()).toBe(host.realtime());
      host.advance(250);
      expect(wall()).toBe(host.realtime());
      host.step(ns);
      host.advance(100);
      expect(wall()).toBe(host.realtime());
      expect(monotonic()).toBe(350n * MS);
    },
  );

  test("a guest that has been idle for long has the time of its next entry", async () => {
    const host = new Host();
    const { m, wall } = await boot(host);
    host.step(HOUR);
    host.advance(10_000);
    expect(wall()).toBe(host.realtime());
    m.dispose();
  });

  test("it follows a clock that drifts, and does not tremble with one of whole milliseconds", async () => {
    const host = new Host();
    const coarse = { ...clockOf(host), realtime: () => (host.realtime() / MS) * MS };
    const { wall, monotonic } = await boot(coarse);
    let last = 0n;
    for (let i = 0; i < 200; i++) {
      host.advance(7.3);
      const offset = wall() - (monotonic() as bigint);
      if (i > 0) expect(offset).toBe(last);
      last = offset;
    }
    for (let i = 0; i < 100; i++) {
      host.step(MS / 10n);
      host.advance(100);
    }
    const late = host.realtime() - wall();
    expect(late < 3n * MS && late > -3n * MS).toBe(true);
  });

  test("a hand-cranked clock gives every machine the same times", async () => {
    const told = [];
    for (let i = 0; i < 2; i++) {
      const clock = new ManualClock(5);
      const { wall } = await boot(clock);
      const times = [];
      for (let ms = 0; ms < 50; ms += 7) {
        clock.advance(ms);
        times.push(wall());
      }
      told.push(times);
      expect(times.at(-1)).toBe(clock.realtime());
    }
    expect(told[0]).toEqual(told[1]);
  });
});

/** A clock as a plain object. */
function clockOf(host: ManualClock): Clock {
  return {
    now: () => host.now(),
    realtime: () => host.realtime(),
    after: (ms, callback) => host.after(ms, callback),
    defer: (callback) => host.defer(callback),
  };
}

test("the firmware's clock is the host's at every call", async () => {
  const host = new Host();
  const time = "(drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x5000)))";
  const { machine: m } = await machine({ run: `${time} i32.const 0` }, { clock: host });
  m.boot();
  host.step(HOUR);
  m.turn();
  expect(m.memory.view.getBigUint64(0x5000, true)).toBe(host.realtime());
});

test("a capture's packets have the time of the host's wall clock, also after a step", () => {
  const host = new Host();
  const stamps: bigint[] = [];
  const capture = new PacketCapture((bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (bytes.length < 32) return;
    stamps.push(BigInt(view.getUint32(0, true)) * 1_000_000n + BigInt(view.getUint32(4, true)));
  }, host);
  const packet = new Uint8Array(44);
  const chain = { readableBytes: 44, readable: () => [packet] };
  for (const ns of [0n, HOUR, -HOUR]) {
    host.step(ns);
    host.advance(100);
    capture.fromGuest(chain as unknown as Parameters<PacketCapture["fromGuest"]>[0]);
    expect(stamps.at(-1)! - host.realtime() / 1000n).toBeOneOf([0n, -1n, 1n]);
  }
});

test("the wall clock is read no more often than every hundredth of a second", () => {
  const host = new Host();
  let reads = 0;
  const realtime = () => {
    reads++;
    return host.realtime();
  };
  const wall = new WallClock({ ...clockOf(host), realtime });
  for (let i = 0; i < 1000; i++) {
    wall.look(host.now());
    host.advance(1);
  }
  expect(reads).toBe(100);
});
