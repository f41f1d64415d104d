// The world as a guest sees it through its firmware: console, clocks, entropy.
import { expect, test } from "vitest";
import { TIME_PAGE_ADDRESS as TIME_PAGE, TimePage } from "../../abi/boot.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { type GuestText, guest, print } from "../support/wat.ts";
import { count, MIB, machine, u32 } from "../support/wat-machine.ts";

test("delivers the console by whole lines, and the rest at the end", async () => {
  const { machine: m, lines } = await machine({
    fields: '(data (i32.const 0x5000) "one\\ntwo\\nth")',
    boot: `${print(0x5000, 2)} ${print(0x5002, 8)} (call $proc_exit (i32.const 0))`,
  });
  m.boot();
  expect(lines).toEqual(["one\ntwo\n", "th"]);
});

test("delivers an endless line in parts", async () => {
  const { machine: m, lines } = await machine({ run: `${print(0x10000, 4000)} i32.const 0` });
  m.boot();
  m.turn();
  expect(lines.map((line) => line.length)).toEqual([8000]);
});

test("machines on the same manual clock and entropy behave the same", async () => {
  const text: GuestText = {
    run: `(drop (call $random_get (i32.const 0x5000) (i32.const 16)))
      (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x5010)))
      (drop (call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 0x5018)))
      (i64.store (i32.const 0x5020) (call $clock))
      (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs})
        (i64.add (i64.load (i32.const ${TIME_PAGE})) (i64.const 3000000)))
      ${count(0x5028)} i32.const 0`,
  };
  const runs = [];
  for (let i = 0; i < 2; i++) {
    let seed = 1;
    const entropy = (into: Uint8Array) => {
      for (let at = 0; at < into.length; at++) into[at] = seed = (seed * 75 + 74) % 65537;
    };
    const { machine: m, clock } = await machine(text, { entropy });
    m.boot();
    clock.advance(10);
    runs.push(m.memory.bytes(0, MIB).slice());
  }
  expect(Buffer.compare(runs[0]!, runs[1]!)).toBe(0);
  const view = new DataView(runs[0]!.buffer);
  expect(view.getUint32(0x5028, true)).toBe(4);
  expect(view.getBigUint64(0x5010, true)).toBe(9_000_000n);
  expect(view.getBigUint64(0x5018, true)).toBe(9_000_000n);
  expect(view.getBigUint64(0x5020, true)).toBe(9_000_000n);
});

test("fails firmware calls with addresses outside memory, and the guest goes on", async () => {
  const { machine: m } = await machine(
    {
      run: `(i32.store (i32.const 0x5000) (call $random_get (i32.const -4) (i32.const 16)))
      (i32.store (i32.const 0x5004)
        (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const -4)))
      i32.const 0`,
    },
    { entropy: () => {} },
  );
  m.boot();
  expect([u32(m, 0x5000), u32(m, 0x5004)]).toEqual([21, 21]);
});

test("uses the system's clock and entropy by default", async () => {
  const m = await Machine.create({
    image: await guest({
      run: `(drop (call $random_get (i32.const 0x5000) (i32.const 16)))
      (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x5010)))
      i32.const 0`,
    }),
    memoryBytes: MIB,
  });
  m.boot();
  expect(m.memory.bytes(0x5000, 16).some((byte) => byte !== 0)).toBe(true);
  expect(m.memory.view.getBigUint64(0x5010, true)).toBeGreaterThan(1_600_000_000n * 10n ** 9n);
  expect(m.memory.view.getBigUint64(TIME_PAGE, true)).toBeGreaterThan(0n);
  m.dispose();
});

test("machines in one process share nothing", async () => {
  const module = await WebAssembly.compile(await guest({ run: `${count(0x4000)} i32.const 0` }));
  const clock = new ManualClock();
  const all = await Promise.all(
    [1, 2, 3].map(() => Machine.create({ image: module, memoryBytes: MIB, clock })),
  );
  all.forEach((m, i) => {
    m.boot();
    for (let turn = 0; turn < i; turn++) m.turn();
  });
  all[0]!.dispose();
  all[2]!.turn();
  expect(all.map((m) => u32(m, 0x4000))).toEqual([1, 2, 4]);
});
