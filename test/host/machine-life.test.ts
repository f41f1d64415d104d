// Machines come and go: none is kept by what made it, and a failure while one ends is reported by
// one alone.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, test } from "vitest";
import type { VirtioDevice } from "../../host/device.ts";
import { Machine } from "../../host/node/machine.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { type GuestText, guest, print } from "../support/wat.ts";
import { HANDSHAKE, MIB, machine } from "../support/wat-machine.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function bootAndDispose(m: Machine): void {
  m.boot();
  m.dispose();
}

describe("a machine is collected", () => {
  const ends: [string, GuestText, (m: Machine) => void][] = [
    ["disposed before boot", {}, (m) => m.dispose()],
    ["disposed", { boot: print(0x4000, 10) }, bootAndDispose],
    ["powered off", { boot: "(call $proc_exit (i32.const 0))" }, (m) => m.boot()],
    ["panicked", { run: "unreachable" }, (m) => m.boot()],
    ["failed in boot", { boot: HANDSHAKE }, (m) => m.boot()],
    ["never booted", {}, () => {}],
    ["halted", { boot: print(0x4000, 10) }, (m) => m.boot()],
    ["ended in its start function", { fields: "(func $go unreachable) (start $go)" }, () => {}],
  ];
  let images: Uint8Array<ArrayBuffer>[] = [];
  beforeAll(async () => {
    images = await Promise.all(ends.map(([, text]) => guest(text)));
  });

  /** Its devices, its memory and itself, held by nobody. */
  async function lived(image: Uint8Array<ArrayBuffer>, end: (m: Machine) => void) {
    const activate = () => {
      throw new Error("broken device");
    };
    const device = fakeDevice({ activate });
    const m = await Machine.create({ image, memoryBytes: MIB, devices: [device] });
    end(m);
    return [m, m.memory.wasm, m.memory.u8.buffer, device].map((it) => new WeakRef<object>(it));
  }

  test.each(ends.map(([name], i) => [name, i] as const))("%s", async (_, i) => {
    const left = (await Promise.all([1, 2, 3].map(() => lived(images[i]!, ends[i]![2])))).flat();
    for (let rounds = 0; rounds < 20 && left.some((it) => it.deref() !== undefined); rounds++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    expect(left.filter((it) => it.deref() !== undefined)).toEqual([]);
  });
});

test("a create() that fails leaks nothing, and leaves the devices as they were", async () => {
  const device = fakeDevice();
  const devices = [device];
  const wrong: Parameters<typeof machine>[1][] = [
    { memoryBytes: 1 },
    { budget: 0 },
    { budget: Number.NaN },
    { image: new Uint8Array(8) },
    { devices: [device, device] },
    { devices: Array.from({ length: 25 }, () => fakeDevice()) },
  ];
  for (const options of wrong) {
    await expect(machine({}, { devices, ...options }), Object.keys(options!)[0]).rejects.toThrow();
  }
  expect(device.host).toBe(null);
  const { machine: m } = await machine({}, { devices });
  expect(device.host).not.toBe(null);
  await expect(machine({}, { devices })).rejects.toThrow("fake: it is plugged in already");
  m.dispose();
});

test("disposes attached devices when another one fails to attach", async () => {
  const good = fakeDevice();
  const attach = () => {
    throw new Error("no room");
  };
  await expect(machine({}, { devices: [good, fakeDevice({ attach })] })).rejects.toThrow("no room");
  expect(good.calls).toEqual(["dispose"]);
});

describe("a device that throws", () => {
  const failing = (...names: (keyof VirtioDevice)[]) => {
    const calls = names.map((name) => [
      name,
      () => {
        throw new TypeError(`${name} is broken`);
      },
    ]);
    return fakeDevice(Object.fromEntries(calls));
  };
  const off = "(call $proc_exit (i32.const 3))";

  test("in dispose() keeps no other device from being disposed", async () => {
    const [before, after] = [fakeDevice(), fakeDevice()];
    const devices = [before, failing("dispose"), after];
    const { machine: m } = await machine({ boot: off }, { devices });
    m.boot();
    await expect(m.exited).rejects.toThrow("dispose is broken");
    expect([before.calls, after.calls]).toEqual([["dispose"], ["dispose"]]);
  });

  test("in halted() after a power-off is reported, and halted() of the others is still called", async () => {
    const after = fakeDevice();
    const boot = `${HANDSHAKE} ${HANDSHAKE.replaceAll("268435", "268439")} ${off}`;
    const devices = [failing("halted"), after];
    const { machine: m } = await machine({ boot }, { devices });
    m.boot();
    await expect(m.exited).rejects.toThrow("halted is broken");
    expect(after.calls.at(-1)).toBe("dispose");
  });

  test("in reset(), and again in dispose(): both are reported", async () => {
    const reset = HANDSHAKE.split("\n").at(-1)!.replace("(i32.const 15)", "(i32.const 0)");
    const devices = [failing("reset", "dispose")];
    const { machine: m } = await machine({ boot: `${HANDSHAKE} ${reset}` }, { devices });
    m.boot();
    await expect(m.exited).rejects.toThrow("reset is broken; dispose is broken");
  });

  test("while the guest panics hides neither the panic nor itself", async () => {
    const { machine: m } = await machine({ run: "unreachable" }, { devices: [failing("dispose")] });
    m.boot();
    await expect(m.exited).rejects.toThrow("panic: unreachable; dispose is broken");
  });

  test("in a timer is reported by its own machine", async () => {
    const device = fakeDevice();
    const { machine: m, clock } = await machine({}, { devices: [device] });
    m.boot();
    device.host!.after(5, () => {
      throw new Error("timer is broken");
    });
    clock.advance(10);
    await expect(m.exited).rejects.toThrow("timer is broken");
    expect(device.calls).toEqual(["dispose"]);
  });

  test("ends its own machine and no other, with or without a listener", async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on("unhandledRejection", listen);
    const { machine: other } = await machine({});
    other.boot();
    const { machine: m } = await machine({}, { devices: [failing("dispose")] });
    m.boot();
    m.dispose();
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
    other.turn();
    other.dispose();
    expect(await other.exited).toEqual({ kind: "disposed" });
  });
});

test("boot() and call() reject after the end, turn() and dispose() do nothing", async () => {
  const { machine: m } = await machine({});
  m.dispose();
  expect(() => m.boot()).toThrow("the machine has ended");
  expect(() => m.call("run", 1)).toThrow("the machine has ended");
  m.turn();
  m.dispose();
  expect(await m.exited).toEqual({ kind: "disposed" });
});
