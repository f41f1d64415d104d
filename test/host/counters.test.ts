// Counters of applications: what the kernel notes, and what the host reads from any memory.
import { expect, test } from "vitest";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { COUNTERS_MAX, Counter, CounterKind, CounterTable } from "../../abi/counters.ts";
import { readCounters } from "../../host/counters.ts";
import { GuestMemory } from "../../host/memory.ts";
import { Machine } from "../../host/node/machine.ts";
import { savedGuest } from "../support/guest.ts";

const TABLE = 0x8000;
const TEXTS = 0x9000;

function memoryWith(...counters: readonly [name: string, help: string, kind: CounterKind][]) {
  const memory = new GuestMemory(1);
  const { view } = memory;
  view.setUint32(TIME_PAGE_ADDRESS + TimePage.counters, TABLE, true);
  view.setUint32(TABLE + CounterTable.count, counters.length, true);
  let free = TEXTS;
  const put = (place: number, text: string) => {
    view.setUint32(place, free, true);
    view.setUint32(place + 4, text.length, true);
    memory.u8.set(Buffer.from(text, "latin1"), free);
    free += text.length;
  };
  for (const [i, [name, help, kind]] of counters.entries()) {
    const at = TABLE + CounterTable.counters + i * Counter.sizeof;
    view.setBigUint64(at + Counter.value, BigInt(i) + 2n ** 40n, true);
    view.setUint32(at + Counter.kind, kind, true);
    put(at + Counter.name, name);
    put(at + Counter.help, help);
  }
  return memory;
}

test("reads names, labels, kinds, texts and values beyond 32 bits", () => {
  const memory = memoryWith(
    ['hits_total{by="name"}', "Hits.", CounterKind.Counter],
    ["entries", "Entries.", CounterKind.Gauge],
  );
  expect(readCounters(memory)).toEqual([
    {
      name: "hits_total",
      label: { name: "by", value: "name" },
      kind: "counter",
      help: "Hits.",
      value: 2 ** 40,
    },
    { name: "entries", label: null, kind: "gauge", help: "Entries.", value: 2 ** 40 + 1 },
  ]);
});

test.each([
  ["a name of others", "x\ny", "Help.", CounterKind.Gauge],
  ["an empty name", "", "Help.", CounterKind.Gauge],
  ["a label that ends the line", 'x{a="\n"}', "Help.", CounterKind.Gauge],
  ["two labels", 'x{a="b",c="d"}', "Help.", CounterKind.Gauge],
  ["a help of two lines", "x", "Help.\n# TYPE", CounterKind.Gauge],
  ["no help", "x", "", CounterKind.Gauge],
  ["a name that is too long", "x".repeat(129), "Help.", CounterKind.Gauge],
  ["a gauge with the name of a counter", "x_total", "Help.", CounterKind.Gauge],
  ["a counter with the name of a gauge", "x", "Help.", CounterKind.Counter],
])("leaves out %s", (_, name, help, kind) => {
  const memory = memoryWith([name, help, kind], ["good", "Help.", CounterKind.Gauge]);
  expect(readCounters(memory).map((one) => one.name)).toEqual(["good"]);
});

test("reads no more than there can be, each once, and nothing outside of the memory", () => {
  const memory = memoryWith(
    ["one", "Help.", CounterKind.Gauge],
    ["one", "Help.", CounterKind.Gauge],
  );
  memory.view.setUint32(TABLE + CounterTable.count, 0xffffffff, true);
  expect(readCounters(memory)).toHaveLength(1);
  const at = TABLE + CounterTable.counters;
  memory.view.setUint32(at + Counter.name, 0xfffffffe, true);
  expect(readCounters(memory)).toHaveLength(1); // the second
  for (const address of [0, 65535, 0xffffffff]) {
    memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.counters, address, true);
    expect(readCounters(memory)).toEqual([]);
  }
});

test("the kernel has room for 32; the application counts the others for nobody", async () => {
  const image = (await savedGuest("test/guest/snapshots.ts")).wasm;
  const machine = await Machine.create({ image, memoryBytes: 4 * 1024 * 1024 });
  machine.boot();
  expect(readCounters(machine.memory)).toEqual([]);
  machine.call("countMany", 1, 7);
  expect(readCounters(machine.memory)).toMatchObject([
    { name: "tries_total", label: { name: "result", value: "good" }, value: 7 },
  ]);
  machine.call("countMany", COUNTERS_MAX + 5, 1);
  const table = machine.memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.counters, true);
  expect(machine.memory.view.getUint32(table, true)).toBe(COUNTERS_MAX);
  expect(readCounters(machine.memory)).toHaveLength(1);
  machine.dispose();
});
