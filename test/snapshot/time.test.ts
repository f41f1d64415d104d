// Time and identity in a machine that goes on: the monotonic clock where it stood, the wall clock
// where the host's is, and a generation of its own.
import { beforeAll, describe, expect, test } from "vitest";
import { GENERATION_BYTES, TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { savedGuest } from "../support/guest.ts";
import { SetClock } from "../support/set-clock.ts";

const MIB = 1024 * 1024;
const MS = 1_000_000n;
const DAY_NS = 24n * 3600n * 1000n * MS;

let image: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  image = (await savedGuest("test/guest/snapshots.ts")).wasm;
});

async function boot(options: Partial<MachineOptions> = {}) {
  const clock = new SetClock();
  clock.setRealtime(1_800_000_000_000n * MS);
  let log = "";
  const machine = await Machine.create({
    image,
    memoryBytes: 4 * MIB,
    clock,
    console: (text) => {
      log += text;
    },
    ...options,
  });
  machine.boot();
  return { machine, clock, log: () => log };
}

const generation = (machine: Machine) =>
  Buffer.from(
    machine.memory.bytes(TIME_PAGE_ADDRESS + TimePage.generation, GENERATION_BYTES),
  ).toString("hex");

test("SN7 a sleep of ten seconds with four left sleeps four more, on another host a day later", async () => {
  const { machine, clock } = await boot();
  machine.call("sleepTenSeconds");
  clock.advance(6000);
  expect(machine.call("awake")).toBe(0);
  const snapshot = await machine.snapshot();
  const other = new SetClock(5);
  const clone = await Machine.restore(snapshot, { clock: other });
  other.advance(3999);
  expect(clone.call("awake")).toBe(0);
  other.advance(1);
  expect(clone.call("awake")).toBe(1);
  expect(clone.call("monotonic")).toBe(10_000n * MS);
});

test("SN7 the monotonic clock goes on in a process that has just begun, in every way to ask for it", async () => {
  const { machine, clock } = await boot();
  clock.advance(3_600_000);
  const before = machine.call("monotonic") as bigint;
  const young = new SetClock();
  const clone = await Machine.restore(await machine.snapshot(), { clock: young });
  expect(clone.call("monotonic")).toBe(before);
  expect(clone.call("hypercall")).toBe(before);
  expect(clone.call("firmware")).toBe(before);
  young.advance(7);
  expect(clone.call("hypercall")).toBe(before + 7n * MS);
});

test("SN8 the wall clock is the host's, a day later and after it went back", async () => {
  const { machine, clock } = await boot();
  const snapshot = await machine.snapshot();
  for (const step of [DAY_NS, -DAY_NS]) {
    const later = new SetClock();
    later.setRealtime(clock.realtime() + step);
    const clone = await Machine.restore(snapshot, { clock: later });
    expect(clone.call("wall")).toBe(later.realtime());
    machine.rewind(snapshot);
    expect(machine.call("wall")).toBe(clock.realtime());
  }
});

describe("SN9 the generation", () => {
  test("is new in each clone and after each rewind, and the guest learns it", async () => {
    const { machine } = await boot();
    const own = generation(machine);
    const snapshot = await machine.snapshot();
    expect(generation(machine)).toBe(own);
    const seen = new Set([own, "00".repeat(GENERATION_BYTES)]);
    for (let i = 0; i < 5; i++) seen.add(generation(await Machine.restore(snapshot, {})));
    for (let i = 0; i < 5; i++) {
      machine.rewind(snapshot);
      seen.add(generation(machine));
    }
    expect(seen.size).toBe(12);
    const at = machine.call("generation") as number;
    expect(Buffer.from(machine.memory.bytes(at, GENERATION_BYTES)).toString("hex")).toBe(
      generation(machine),
    );
  });

  test("stays if a rewind is to keep it", async () => {
    const { machine } = await boot();
    const own = generation(machine);
    const snapshot = await machine.snapshot();
    machine.rewind(snapshot, { keepGeneration: true });
    expect(generation(machine)).toBe(own);
  });

  test("is not in the snapshot", async () => {
    const { machine } = await boot();
    const { pages } = (await machine.snapshot()).content;
    expect(Buffer.from(pages).includes(Buffer.from(generation(machine), "hex"))).toBe(false);
  });

  test("makes Math.random differ between clones, and not between two draws of one", async () => {
    const { machine } = await boot();
    machine.call("random");
    const snapshot = await machine.snapshot();
    const clones = [await Machine.restore(snapshot, {}), await Machine.restore(snapshot, {})];
    const drawn = clones.map((clone) => clone.call("random"));
    expect(drawn[0]).not.toBe(drawn[1]);
    machine.rewind(snapshot, { keepGeneration: true });
    const first = machine.call("random");
    machine.rewind(snapshot, { keepGeneration: true });
    expect(machine.call("random")).toBe(first);
  });
});

test("a line of the console that was begun is completed by every clone, and is the clone's alone", async () => {
  const { machine, log } = await boot();
  machine.call("sayHalf");
  const snapshot = await machine.snapshot();
  let other = "";
  const clone = await Machine.restore(snapshot, {
    console: (text) => {
      other += text;
    },
  });
  clone.call("sayRest");
  expect(other).toBe("one half and the rest\n");
  machine.call("sayRest");
  machine.call("sayHalf");
  machine.rewind(snapshot);
  machine.call("sayRest");
  expect(log().split("\n").slice(-3)).toEqual([
    "one half and the rest",
    "one half and the rest",
    "",
  ]);
});
