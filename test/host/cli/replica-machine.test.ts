// A replica's machine, as the process sees it, while the replica's thread says nothing.
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Held, ToReplica } from "../../../host/cli/replicas/inspection-messages.ts";
import { ReplicaMachine } from "../../../host/cli/replicas/replica-machine.ts";
import { Unavailable } from "../../../host/cli/service/inspected.ts";
import { KickGate } from "../../../host/inspect/kick-gate.ts";

/** The machine, and the messages that its replica gets. */
function replica() {
  const machine = new ReplicaMachine([]);
  const { port, gate } = machine.data;
  const told: ToReplica[] = [];
  port.on("message", (message) => told.push(message));
  const view = { state: "stopped", breakpoints: [] };
  const hold = async () => {
    new KickGate(gate).close();
    port.postMessage({ held: { view } as unknown as Held });
    while (machine.held === null) await setImmediate();
  };
  return { machine, told, gate: new KickGate(gate), hold };
}

test("one that does not answer is waited for, but not for ever", async () => {
  const { machine } = replica();
  const asked = [machine.look(), machine.heapMap(), machine.command({ name: "pause" })];
  for (const one of asked) await expect(one).rejects.toThrow(Unavailable);
  machine.end();
});

test("one that stops in a kick before it has heard is not waited for, and does nothing later", async () => {
  const { machine, told, hold } = replica();
  const [look, heap] = [machine.look(), machine.heapMap()];
  const pause = machine.command({ name: "pause" });
  const refused = expect(heap).rejects.toThrow("its thread waits in a kick");
  await hold();
  expect(await look).toMatchObject({ state: "stopped" });
  expect(await pause).toBe("stopped");
  await refused;
  while (told.length < 4) await setImmediate();
  expect(told.at(-1)).toEqual({ cancelled: [1, 2, 3] });
  machine.end();
});

test("orders go to its gate, breakpoints wait, and after the release it does not stop", async () => {
  const { machine, gate, hold } = replica();
  for (const [command, order, state] of [
    [{ name: "pause" }, "turn", "paused"],
    [{ name: "step", by: "thread" }, "turn", "paused"],
    [{ name: "step", by: "kick" }, "kick", "running"],
    [{ name: "resume" }, "run", "running"],
  ] as const) {
    await hold();
    expect(await machine.command(command)).toBe(state);
    expect(gate.wait()).toBe(order);
  }
  await hold();
  const breakpoints = [{ on: "error" }] as const;
  expect(await machine.command({ name: "break", breakpoints })).toBe("stopped");
  expect((await machine.look()).breakpoints).toEqual(breakpoints);
  machine.release();
  expect(gate.wait()).toBe("run");
  gate.close();
  expect(gate.wait()).toBe("run");
  expect(gate.give("kick")).toBe(false);
  machine.end();
});

test("one that ends leaves nobody waiting", async () => {
  const { machine } = replica();
  const look = expect(machine.look()).rejects.toThrow(Unavailable);
  machine.end();
  await look;
  expect(machine.view()).toBeNull();
});
