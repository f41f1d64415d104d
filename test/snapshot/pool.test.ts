// Pools: each taker has a machine to itself, which forgets everything when it is given back.
import { beforeAll, expect, test } from "vitest";
import type { Machine } from "../../host/machine.ts";
import { Machine as NodeMachine } from "../../host/node/machine.ts";
import { MachinePool } from "../../host/node/pool.ts";
import type { RestoreOptions } from "../../host/snapshot/restore.ts";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { savedGuest } from "../support/guest.ts";
import { Random } from "../support/simulation-random.ts";

const MIB = 1024 * 1024;
let snapshot: Snapshot;
beforeAll(async () => {
  const { wasm } = await savedGuest("test/guest/snapshots.ts");
  const machine = await NodeMachine.create({ image: wasm, memoryBytes: 4 * MIB });
  machine.boot();
  snapshot = await machine.snapshot();
});

/** A word of the guest's heap, the same in every machine that is as from the snapshot. */
const wordOf = (machine: Machine) => Number(machine.call("ToroGetMem", 64));

/** A machine of the pool, and which one it is. */
interface Numbered extends RestoreOptions {
  readonly number: number;
}

function pool(size: number, waitingMax = 100, created = (_: Machine) => {}) {
  let made = 0;
  const make = (): Numbered => ({ number: made++ });
  return {
    machines: new MachinePool(snapshot, { size, make, waitingMax, created }),
    made: () => made,
  };
}

test("SN18 no two takers ever have the same machine, and none sees what another has left", async () => {
  const { machines, made } = pool(3);
  const random = new Random(7);
  const held = new Set<Machine>();
  const user = async (id: number) => {
    for (let i = 0; i < 30; i++) {
      const one = await machines.take();
      const { machine } = one;
      expect(held.has(machine)).toBe(false);
      held.add(machine);
      const { view } = machine.memory;
      const word = wordOf(machine);
      expect(view.getUint32(word, true)).toBe(0);
      view.setUint32(word, id, true);
      if (random.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
      expect(view.getUint32(word, true)).toBe(id);
      held.delete(machine);
      one.release();
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, i) => user(i + 1)));
  expect(made()).toBe(3);
  expect([machines.idle, machines.taken, machines.waiting]).toEqual([3, 0, 0]);
  machines.close();
});

test("SN18 a machine that panicked is replaced, and so is one that ended while it was idle", async () => {
  const ends: string[] = [];
  const { machines, made } = pool(1, 100, ({ exited }) => {
    exited.then((exit) => ends.push(exit.kind));
  });
  const one = await machines.take();
  const broken = one.machine;
  expect(() => broken.call("fail")).toThrow("on purpose");
  const waiting = machines.take();
  one.release();
  const two = await waiting;
  expect(two.machine).not.toBe(broken);
  expect(two.machine.ended).toBe(false);
  expect(made()).toBe(2);
  const idle = two.machine;
  two.release();
  idle.dispose();
  const three = await machines.take();
  expect(three.machine.ended).toBe(false);
  expect(three.machine).not.toBe(idle);
  expect([machines.idle, machines.taken]).toEqual([0, 1]);
  three.release();
  machines.close();
  await new Promise((resolve) => setImmediate(resolve));
  expect(ends).toEqual(["panic", "disposed", "disposed"]);
});

test("a machine is the taker's until it was given back, and then nobody's", async () => {
  const { machines } = pool(1);
  const one = await machines.take();
  expect(one.made.number).toBe(0);
  await one[Symbol.asyncDispose]();
  expect(() => one.machine).toThrow("given back");
  expect(() => one.made).toThrow("given back");
  const two = await machines.take();
  one.release(); // again: it must not give back the machine of the next taker
  expect(machines.taken).toBe(1);
  expect(two.machine.ended).toBe(false);
  machines.close();
  two.release();
});

test("takers wait in order while all are taken, up to a limit", async () => {
  const { machines } = pool(1, 2);
  const order: number[] = [];
  const one = await machines.take();
  const waiting = [1, 2].map(async (id) => {
    const taken = await machines.take();
    order.push(id);
    taken.release();
  });
  await expect(machines.take()).rejects.toThrow("all 1 machines are taken, and 2 wait for one");
  expect(machines.waiting).toBe(2);
  one.release();
  await Promise.all(waiting);
  expect(order).toEqual([1, 2]);
  expect(machines.idle).toBe(1);
  machines.close();
});

test("a machine that cannot be made is an error of the taker, and takes no place", async () => {
  let fails = true;
  const machines = new MachinePool(snapshot, {
    size: 1,
    make: () => {
      if (fails) throw new Error("no devices");
      return {};
    },
  });
  await expect(machines.take()).rejects.toThrow("no devices");
  await expect(machines.fill()).rejects.toThrow("no devices");
  expect(machines.taken).toBe(0);
  fails = false;
  await machines.fill();
  expect([machines.idle, machines.taken]).toEqual([1, 0]);
  machines.close();
  expect(() => new MachinePool(snapshot, { size: 0, make: () => ({}) })).toThrow(
    "pool: 0 machines",
  );
});

test("a pool that is closed ends its machines, and refuses who waits and who comes", async () => {
  const { machines } = pool(1);
  const one = await machines.take();
  const { machine } = one;
  const waiting = machines.take();
  const refused = expect(waiting).rejects.toThrow("pool: it is closed");
  machines.close();
  await refused;
  await expect(machines.take()).rejects.toThrow("pool: it is closed");
  expect(machine.ended).toBe(false);
  one.release();
  expect(machine.ended).toBe(true);
  expect([machines.idle, machines.taken]).toEqual([0, 0]);
});
