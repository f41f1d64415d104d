// A machine that is stopped inside a kick: its thread waits, and what it shows is the kick that its
// device has not seen.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterEach, expect, test } from "vitest";
import type { MachineView } from "../../host/inspect/inspector.ts";
import { type GateOrder, KickGate } from "../../host/inspect/kick-gate.ts";

interface Said {
  readonly view?: MachineView;
  readonly nowNs?: number;
  readonly status?: number;
  readonly body?: string;
}

const open: HeldMachine[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.worker.terminate();
});

class HeldMachine {
  readonly gate = new KickGate();
  readonly worker = new Worker("./test/support/held-machine.mjs", { workerData: this.gate.shared });

  readonly #said: Said[] = [];

  static async boot(): Promise<HeldMachine> {
    const machine = new HeldMachine();
    machine.worker.on("message", (said: Said) => machine.#said.push(said));
    open.push(machine);
    await machine.next();
    return machine;
  }

  /** The next message. */
  async next(): Promise<Said> {
    while (this.#said.length === 0) await once(this.worker, "message");
    return this.#said.shift() as Said;
  }

  async command(name: string): Promise<Said> {
    this.worker.postMessage(name);
    return this.next();
  }

  /** Gives an order and waits for the next that the machine says. */
  async order(order: GateOrder): Promise<Said> {
    const said = this.next();
    expect(this.gate.give(order)).toBe(true);
    return said;
  }
}

/** Chains that drivers have made available and devices have not taken. */
const waiting = ({ devices }: MachineView) =>
  devices.flatMap(({ name, queues }) =>
    queues
      .filter(({ ring }) => ring !== null && ring.availIdx !== ring.takenIdx)
      .map((queue) => `${name} ${queue.name}`),
  );

test("a machine stops at each kick of a request, and then answers it", async () => {
  const machine = await HeldMachine.boot();
  expect(machine.gate.give("run")).toBe(false);
  await machine.command("pause");
  await machine.command("kick");
  const stops: string[] = [];
  let said = await machine.command("get");
  for (; said.view !== undefined; said = await machine.order("kick")) {
    const { state, stoppedAt, stopsInKicks } = said.view;
    expect([state, stopsInKicks]).toEqual(["stopped", true]);
    stops.push(`${stoppedAt?.args?.name}`);
    // At rest every ring looks idle: this chain can be seen at no other moment.
    expect(waiting(said.view).some((queue) => queue.endsWith(`${stoppedAt?.args?.name}`))).toBe(
      true,
    );
    const running = said.view.threads?.listed.filter((one) => one.state === "running");
    if (stoppedAt?.args?.name === "request 0") expect(running).toHaveLength(1);
  }
  expect(said).toMatchObject({ status: 200, body: "hello" });
  expect(stops.length).toBeGreaterThanOrEqual(3);
  expect(stops).toContain("tx");
  expect(stops).toContain("request 0");
});

test("a breakpoint of a queue stops before the kick is served; the turn then ends, or goes on", async () => {
  const machine = await HeldMachine.boot();
  await machine.command("break");
  const first = await machine.command("get");
  expect(first.view?.state).toBe("stopped");
  expect(first.view?.stoppedAt).toMatchObject({ name: "kick", args: { name: "request 0" } });
  expect(machine.gate.give("turn")).toBe(true);
  let paused = await machine.command("look");
  const answers: Said[] = [];
  for (; paused.view === undefined; paused = await machine.next()) answers.push(paused);
  expect(paused.view?.state).toBe("paused");
  expect(waiting(first.view as MachineView)).toContain("fs site request 0");
  expect(waiting(paused.view as MachineView)).not.toContain("fs site request 0");
  // Time has stood still all the while.
  expect(paused.nowNs).toBe(first.nowNs);
  await machine.command("clear");
  await machine.command("run");
  if (answers.length === 0) answers.push(await machine.next());
  expect(answers).toMatchObject([{ status: 200, body: "hello" }]);
});
