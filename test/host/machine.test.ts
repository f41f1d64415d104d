import { describe, expect, test } from "vitest";
import { BootInfo, TimePage } from "../../abi/boot.ts";
import { Mmio } from "../../abi/virtio.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { print } from "../support/wat.ts";
import { count, HANDSHAKE, MIB, machine, u32, write } from "../support/wat-machine.ts";

const BOOT_INFO = 0x1000;
const TIME_PAGE = 0x2000;

/** A UTF-16 string as AssemblyScript lays it out; its address is `address`. */
function utf16(address: number, text: string): string {
  const hex = (bytes: Uint8Array) =>
    [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  const length = new Uint8Array(new Uint32Array([text.length * 2]).buffer);
  const units = new Uint8Array(Uint16Array.from(text, (c) => c.charCodeAt(0)).buffer);
  return `(data (i32.const ${address - 4}) "${hex(length)}${hex(units)}")`;
}

describe("boot", () => {
  test("passes memory size, command line and time page in the boot information", async () => {
    const { machine: m } = await machine(
      { boot: "(i32.store (i32.const 0x4000) (local.get $info))" },
      { parameters: "port=80 root=site", devices: [fakeDevice(), fakeDevice()] },
    );
    m.boot();
    expect(u32(m, 0x4000)).toBe(BOOT_INFO);
    expect(u32(m, BOOT_INFO + BootInfo.magic)).toBe(0x6f726f74);
    expect(u32(m, BOOT_INFO + BootInfo.version)).toBe(1);
    expect(u32(m, BOOT_INFO + BootInfo.memoryPages)).toBe(16);
    expect(u32(m, BOOT_INFO + BootInfo.cpuCount)).toBe(1);
    expect(u32(m, BOOT_INFO + BootInfo.timePage)).toBe(TIME_PAGE);
    const line = m.memory.bytes(
      u32(m, BOOT_INFO + BootInfo.commandLine),
      u32(m, BOOT_INFO + BootInfo.commandLineBytes),
    );
    expect(new TextDecoder().decode(line)).toBe(
      "virtio_mmio.device=512@0x10000000:5 virtio_mmio.device=512@0x10001000:6 port=80 root=site",
    );
  });

  test("calls _initialize, boot and the first run in this order, once", async () => {
    const step = (n: number) => `(i32.store (i32.const 0x4000)
      (i32.add (i32.mul (i32.load (i32.const 0x4000)) (i32.const 10)) (i32.const ${n})))`;
    const { machine: m } = await machine({
      initialize: step(1),
      boot: step(2),
      run: `${step(3)} i32.const 0`,
    });
    m.boot();
    expect(u32(m, 0x4000)).toBe(123);
    expect(() => m.boot()).toThrow("boots once");
  });

  test("refuses parameters that do not fit", async () => {
    const { machine: m } = await machine({}, { parameters: "x".repeat(4096) });
    expect(() => m.boot()).toThrow("4096 of 4032 bytes");
  });

  test.each([0, 65536 * 1.5, -65536, 65535, 2 ** 33])(
    "memory of %d bytes is refused",
    async (n) => {
      await expect(machine({}, { memoryBytes: n })).rejects.toThrow("multiple of 64 KiB");
    },
  );

  test("refuses an image that needs more memory than there is", async () => {
    await expect(machine({ memory: "32 65536" })).rejects.toThrow(/does not fit 1048576 bytes/);
  });

  test("works on shared memory, and refuses an image for the other kind", async () => {
    const shared = { memory: "1 65536 shared", boot: print(0x4000, 3) };
    const fields = '(data (i32.const 0x4000) "hi\\n")';
    const { machine: m, lines } = await machine({ ...shared, fields }, { sharedMemory: true });
    m.boot();
    expect(m.memory.u8.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(lines).toEqual(["hi\n"]);
    await expect(machine(shared)).rejects.toThrow("does not fit");
  });
});

describe("the image", () => {
  const create = (image: BufferSource) => Machine.create({ image, memoryBytes: MIB });

  test("refuses bytes that are not WebAssembly", async () => {
    await expect(create(new TextEncoder().encode("#!/bin/sh"))).rejects.toThrow(
      "image: not a WebAssembly module",
    );
  });

  test("refuses an image without the entry points or with unknown imports", async () => {
    const { assemble } = await import("../support/wat.ts");
    const memory = '(import "env" "memory" (memory 1 65536)) (export "memory" (memory 0))';
    const entries = `(func (export "_initialize")) (func (export "boot") (param i32))
      (func (export "interrupt") (param i32)) (func (export "run") (param i32) (result i32)
      i32.const 0)`;
    const cases: [string, string][] = [
      ["(module)", "exports no memory"],
      [`(module ${memory})`, "exports no _initialize()"],
      [`(module (memory 1) (export "memory" (memory 0)) ${entries})`, "env.memory"],
      [`(module (import "env" "abort" (func)) ${memory} ${entries})`, "imports env.abort"],
      [`(module (import "hypercall" "dma" (func)) ${memory} ${entries})`, "hypercall.dma"],
    ];
    for (const [text, message] of cases) {
      await expect(create(await assemble("wrong.wat", text))).rejects.toThrow(message);
    }
    await create(await assemble("right.wat", `(module ${memory} ${entries})`));
  });
});

describe("the end", () => {
  test("power-off ends the machine with the guest's code, and disposes of its devices", async () => {
    const device = fakeDevice();
    const { machine: m } = await machine(
      { run: `${count(0x4000)} (call $proc_exit (i32.const 7)) i32.const 0` },
      { devices: [device] },
    );
    m.boot();
    m.turn();
    expect(await m.exited).toEqual({ kind: "power-off", code: 7 });
    expect(device.calls).toEqual(["dispose"]);
    expect(u32(m, 0x4000)).toBe(1);
  });

  test("reports a panic with message, place and the guest's frames", async () => {
    const { machine: m } = await machine({
      fields: `${utf16(0x5004, "queue: free list empty")} ${utf16(0x5104, "kernel/queue.ts")}
        (func $add (call $panic (i32.const 0x5004) (i32.const 0x5104) (i32.const 12)
        (i32.const 3)))`,
      boot: "(call $add)",
    });
    m.boot();
    const exit = await m.exited;
    expect(exit).toMatchObject({ kind: "panic", code: 70, line: 12, column: 3 });
    expect(exit).toMatchObject({ message: "queue: free list empty", file: "kernel/queue.ts" });
    expect(exit).toMatchObject({ stack: expect.stringMatching(/at add .*\n.*at boot/) });
  });

  test("keeps the beginning of a very long panic message", async () => {
    const { machine: m } = await machine({
      boot: `(i32.store (i32.const 0x5000) (i32.const 0xf0000))
        (call $panic (i32.const 0x5004) (i32.const 0x5004) (i32.const 0) (i32.const 0))`,
    });
    m.boot();
    const exit = await m.exited;
    expect(exit).toMatchObject({ message: "\0".repeat(4096), file: "\0".repeat(4096) });
  });

  test("reports a panic with invalid addresses", async () => {
    const { machine: m } = await machine({
      run: `(call $panic (i32.const -2) (i32.const 0x7fffffff) (i32.const -1) (i32.const 0))
        i32.const 0`,
    });
    m.boot();
    expect(await m.exited).toMatchObject({ message: "panic", file: "", line: 0 });
  });

  test.each([
    ["unreachable", "unreachable", "unreachable"],
    ["a load out of bounds", "(drop (i32.load (i32.const -8)))", "memory access out of bounds"],
    ["a recursion without end", "(call $deep)", "Maximum call stack size exceeded"],
  ])("%s is reported as a panic", async (_, body, message) => {
    const { machine: m } = await machine({ fields: "(func $deep (call $deep))", boot: body });
    m.boot();
    expect(await m.exited).toMatchObject({ kind: "panic", message, code: 70 });
  });

  test("rejects with a fault of a device's own code, and does not blame the guest", async () => {
    const device = fakeDevice({
      activate: () => {
        throw new TypeError("undefined is not a function");
      },
    });
    const { machine: m } = await machine({ boot: HANDSHAKE }, { devices: [device] });
    m.boot();
    await expect(m.exited).rejects.toThrow("undefined is not a function");
  });

  test("dispose() ends a machine once, before or after boot", async () => {
    const device = fakeDevice();
    const { machine: m, clock } = await machine(
      { run: `${count(0x4000)} i32.const 1` },
      { devices: [device] },
    );
    m.boot();
    m.dispose();
    m.dispose();
    expect(await m.exited).toEqual({ kind: "disposed" });
    clock.settle();
    m.turn();
    expect(u32(m, 0x4000)).toBe(1);
    expect(device.calls).toEqual(["dispose"]);
    const { machine: never } = await machine({});
    never.dispose();
    expect(await never.exited).toEqual({ kind: "disposed" });
  });
});

test("dispose() from inside a turn takes effect when the guest has returned", async () => {
  const device = fakeDevice();
  const box: { m?: Machine; calls?: readonly string[] } = {};
  const { machine: m } = await machine(
    { run: `${print(0x1fff, 1)} ${print(0x1000, 4096)} ${count(0x4000)} i32.const 1` },
    {
      devices: [device],
      console: () => {
        box.m?.dispose();
        box.calls = [...device.calls];
      },
    },
  );
  box.m = m;
  m.boot();
  expect(await m.exited).toEqual({ kind: "disposed" });
  expect(box.calls).toEqual([]);
  expect(device.calls).toEqual(["dispose"]);
  expect(u32(m, 0x4000)).toBe(1);
});

describe("turns", () => {
  test("continues a guest that spends its budget in later turns of the event loop", async () => {
    const { machine: m, clock } = await machine(
      { run: `${count(0x4000)} (i32.store (i32.const 0x4004) (local.get $budget)) i32.const 1` },
      { budget: 123 },
    );
    m.boot();
    expect(u32(m, 0x4000)).toBe(1);
    expect(u32(m, 0x4004)).toBe(123);
    expect(clock.deferred).toBe(1);
    m.turn(); // a host event in between does not double the deferral
    expect(clock.deferred).toBe(1);
    expect(clock.settle()).toBe(1);
    expect(u32(m, 0x4000)).toBe(3);
  });

  test("wakes the guest when a timer is due, and not before", async () => {
    const { machine: m, clock } = await machine({
      run: `${count(0x4000)}
        (if (i32.eq (i32.load (i32.const 0x4000)) (i32.const 1))
          (then (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs}) (i64.const 5500000)))
          (else (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs}) (i64.const -1))))
        i32.const 0`,
    });
    m.boot();
    expect(clock.timers).toBe(1);
    clock.advance(5);
    expect(u32(m, 0x4000)).toBe(1);
    clock.advance(1);
    expect(u32(m, 0x4000)).toBe(2);
    expect(m.memory.view.getBigUint64(TIME_PAGE, true)).toBe(6_000_000n);
    expect(clock.timers).toBe(0);
  });

  test("checks a postponed timer again without entering the guest", async () => {
    const { machine: m, clock } = await machine({
      run: `${count(0x4000)} (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs})
        (i64.mul (i64.extend_i32_u (i32.load (i32.const 0x4000))) (i64.const 10000000)))
        i32.const 0`,
    });
    m.boot(); // wants 10 ms
    m.turn(); // wants 20 ms
    expect(clock.timers).toBe(1);
    clock.advance(15);
    expect(u32(m, 0x4000)).toBe(2);
    expect(clock.timers).toBe(1);
    clock.advance(5);
    expect(u32(m, 0x4000)).toBe(3);
  });

  test("leaves the event loop time when a timer is always due", async () => {
    const { machine: m, clock } = await machine({
      run: `${count(0x4000)}
        (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs}) (i64.const 0)) i32.const 0`,
    });
    m.boot();
    expect(u32(m, 0x4000)).toBe(64);
    expect(clock.deferred).toBe(1);
  });

  test("runs the guest's turn after a device's event, or at once on request", async () => {
    const device = fakeDevice();
    const queue = [
      write(Mmio.QueueSize, 4),
      write(Mmio.QueueDescLow, 0x5000),
      write(Mmio.QueueDriverLow, 0x5100),
      write(Mmio.QueueDeviceLow, 0x5200),
      write(Mmio.QueueReady, 1),
    ];
    const ready = write(Mmio.Status, 15);
    const { machine: m, clock } = await machine(
      { boot: HANDSHAKE.replace(ready, `${queue.join("\n")} ${ready}`), interrupt: count(0x4000) },
      { devices: [device] },
    );
    m.boot();
    // Two chains, which are the first descriptor.
    m.memory.view.setUint16(0x5102, 2, true);
    const event = (atOnce?: boolean) => {
      device.queues[0]?.pop()?.release(0);
      device.queues[0]?.signal();
      device.host?.turn(atOnce);
      return u32(m, 0x4000);
    };
    expect(event()).toBe(0);
    expect(clock.settle()).toBe(1);
    expect(u32(m, 0x4000)).toBe(1);
    expect(event(true)).toBe(2);
    expect(clock.deferred).toBe(0);
    device.host?.turn(true); // nothing is pending
    expect(u32(m, 0x4000)).toBe(2);
  });

  test("turn() from inside a turn asks for one more round", async () => {
    const box: { m?: Machine } = {};
    const { machine: m } = await machine(
      {
        fields: '(data (i32.const 0x5000) "x\\n")',
        run: `${count(0x4000)} (if (i32.eq (i32.load (i32.const 0x4000)) (i32.const 1))
          (then ${print(0x5000, 2)})) i32.const 0`,
      },
      { console: () => box.m?.turn() },
    );
    box.m = m;
    m.boot();
    expect(u32(m, 0x4000)).toBe(2);
  });

  test("the watchdog's word differs between entries and is 0 outside", async () => {
    const presence = new Int32Array(1);
    const seen: number[] = [];
    class Witness extends ManualClock {
      override now(): number {
        seen.push(presence[0]!);
        return super.now();
      }
    }
    const { machine: m } = await machine(
      { run: "(drop (call $clock)) i32.const 0" },
      { presence, clock: new Witness() },
    );
    m.boot();
    m.turn();
    expect(new Set(seen).size).toBe(3); // boot, and two turns
    expect(seen).not.toContain(0);
    expect(presence[0]).toBe(0);
  });

  test("the watchdog's word is 0 while the host works inside an entry", async () => {
    // A reader of the console that paused for longer than the limit had its guest killed.
    const presence = new Int32Array(1);
    const seen: number[] = [];
    const look = () => {
      seen.push(presence[0]!);
    };
    const { machine: m } = await machine(
      { fields: '(data (i32.const 0x5000) "x\\n")', boot: `${print(0x5000, 2)} ${HANDSHAKE}` },
      { presence, console: look, devices: [fakeDevice({ activate: look })] },
    );
    m.boot();
    expect(seen).toEqual([0, 0]);
  });
});
