// The browser's clock and firmware, tried on Node, which has what they use; the firmware against
// the library of Node's, which does the same.
import { afterAll, describe, expect, test } from "vitest";
import { browserClock, DeferredCalls } from "../../../host/browser/clock.ts";
import { browserFirmware } from "../../../host/browser/firmware.ts";
import { Machine } from "../../../host/machine.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { loadFirmware } from "../../../host/node/firmware.ts";
import { type GuestText, guest, print } from "../../support/wat.ts";

const open: DeferredCalls[] = [];
afterAll(() => {
  for (const one of open) one.close();
});

describe.each([
  ["Node's", loadFirmware],
  ["the browser's", async () => browserFirmware],
] as const)("BR3 the firmware: %s", (_, load) => {
  async function boot(text: GuestText, options: object = {}) {
    const lines: string[] = [];
    const image = await guest(text);
    const machine = await Machine.create(
      { image, memoryBytes: 1 << 20, console: (line) => lines.push(line), ...options },
      { clock: new ManualClock(), loadFirmware: load },
    );
    machine.boot();
    return { machine, lines, view: machine.memory.view };
  }

  test("the console has what the guest writes, and the power-off its code", async () => {
    const { machine, lines } = await boot({
      fields: '(data (i32.const 0x5000) "one\\ntw\\c3\\b6\\n")',
      boot: `${print(0x5000, 9)} (call $proc_exit (i32.const 3))`,
    });
    expect(lines.join("")).toBe("one\ntwö\n");
    expect(await machine.exited).toEqual({ kind: "power-off", code: 3 });
  });

  test("both clocks and entropy of more than 64 KiB, in shared memory too", async () => {
    const text = {
      run: `(drop (call $random_get (i32.const 0x6000) (i32.const 200000)))
        (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x5010)))
        i32.const 0`,
    };
    const { view, machine } = await boot(text);
    const before = BigInt(Date.now() - 60_000) * 1_000_000n;
    expect(view.getBigUint64(0x5010, true)).toBeGreaterThan(before);
    for (let at = 0x6000; at < 0x6000 + 200_000 - 64; at += 50_000) {
      expect(machine.memory.bytes(at, 64).some((byte) => byte !== 0)).toBe(true);
    }
  });

  test("entropy goes into memory that is shared", async () => {
    const into = new Uint8Array(new SharedArrayBuffer(100_000));
    (await load()).random(into);
    expect(into.subarray(99_000).some((byte) => byte !== 0)).toBe(true);
  });
});

describe("the browser's clock", () => {
  test("calls that are deferred come in order, and later ones in a round of their own", async () => {
    const calls = new DeferredCalls();
    open.push(calls);
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      calls.add(() => {
        seen.push("a");
        calls.add(() => {
          seen.push("c");
          resolve();
        });
      });
      calls.add(() => seen.push("b"));
    });
    expect(seen).toEqual(["a", "b", "c"]);
  });

  test("time moves on, and a timer can be cancelled", async () => {
    const before = browserClock.now();
    let wasCalled = false;
    const cancel = browserClock.after(0, () => {
      wasCalled = true;
    });
    cancel();
    await new Promise<void>((resolve) => browserClock.after(2, resolve));
    expect(wasCalled).toBe(false);
    expect(browserClock.now()).toBeGreaterThan(before);
    expect(Math.abs(Number(browserClock.realtime() / 1_000_000n) - Date.now())).toBeLessThan(
      60_000,
    );
  });
});
