// `--replicas N --inspect`: machines in threads of their own, which the inspector stops in kicks,
// while the process answers everybody else.
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MachineView } from "../../../host/inspect/inspector.ts";
import type { TraceEvent } from "../../../host/trace/event.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { compileOnce } from "../../support/compiled.ts";
import { perfettoFaults } from "../../support/perfetto.ts";
import { clientOf, startReplicas } from "../../support/replicas.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-kicks-"));
const image = join(folder, "fragile.wasm");
const site = join(folder, "site");
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const KICKS = [{ on: "kick" }];

beforeAll(async () => {
  buildCommand();
  const { wasm } = await compileOnce("test/guest/fragile.ts", "release", { kind: "application" });
  writeFileSync(image, wasm);
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

async function inspected(replicas: number, ...words: string[]) {
  const torito = await startReplicas(replicas, ...words, "--inspect", "--grace", "10m");
  const { ask } = torito;
  const look = async (machine = 1): Promise<MachineView | null> => {
    const { status, text } = await ask(`/inspect/state?machine=${machine}`);
    return status === 200 ? JSON.parse(text) : null;
  };
  const command = async (name: string, body: object = {}, machine = 1) => {
    const { status, text } = await ask(
      `/inspect/${name}?machine=${machine}`,
      "POST",
      JSON.stringify(body),
    );
    return { status, ...(JSON.parse(text) as { state?: string; error?: string }) };
  };
  /** Waits for the next stop. */
  const stopped = async (machine = 1): Promise<MachineView> => {
    for (;;) {
      const view = await look(machine);
      if (view?.state === "stopped") return view;
      await setTimeout(5);
    }
  };
  const stop = async () => {
    torito.child.kill();
    const result = await torito.end;
    expect(result.code, result.err).toBe(0);
    return result;
  };
  return { ...torito, look, command, stopped, stop };
}

const queueOf = ({ stoppedAt }: MachineView) => `${stoppedAt?.args?.name}`;

/** Queues with chains that drivers have made available and devices have not taken. */
const waiting = ({ devices }: MachineView) =>
  devices.flatMap(({ queues }) =>
    queues.flatMap(({ name, ring }) => (ring && ring.availIdx !== ring.takenIdx ? name : [])),
  );

test("a request is stepped kick by kick to its end", async () => {
  const { port, command, stopped, look, stop } = await inspected(1, "serve", site);
  expect((await look())?.stopsInKicks).toBe(true);
  expect(await command("step", { by: "kick" })).toMatchObject({
    status: 409,
    error: "the machine is not paused",
  });
  expect(await command("pause")).toEqual({ status: 202, state: "paused" });
  const client = await clientOf(port);
  const answer = client.say(GET);
  let isAnswered = false;
  void answer.then(() => {
    isAnswered = true;
  });
  expect((await command("step", { by: "kick" })).status).toBe(202);
  const stops: string[] = [];
  let nowNs = 0;
  while (!isAnswered) {
    const view = await look();
    if (view?.state !== "stopped") continue;
    expect(waiting(view)).toContain(queueOf(view));
    expect(view.nowNs).toBeGreaterThanOrEqual(nowNs);
    expect((await look())?.nowNs).toBe(view.nowNs);
    nowNs = view.nowNs;
    stops.push(queueOf(view));
    expect(await command("step", { by: "kick" })).toEqual({ status: 202, state: "running" });
  }
  expect(await answer).toContain("hello");
  expect(stops).toContain("tx");
  expect(stops).toContain("request 0");
  await command("resume");
  // A turn ends where its step says, between two turns.
  await command("break", { breakpoints: [{ on: "kick", queue: "request 0" }] });
  const again = clientOf(port).then(({ say }) => say(GET.replace("/", "/none")));
  await stopped();
  expect(await command("step", { by: "turn" })).toEqual({ status: 202, state: "paused" });
  while ((await look())?.state !== "paused") await setTimeout(5);
  await command("break", { breakpoints: [] });
  await command("resume");
  expect(await again).toMatch(/^HTTP\/1\.1 404/);
  await stop();
});

describe("while a machine is stopped in a kick", () => {
  test("it is no hang, everybody is answered with what is known, and clients stay", async () => {
    const saved = join(folder, "saved.torito");
    const words = ["--watchdog", "1s", "--admin-snapshot", saved];
    const torito = await inspected(1, "serve", site, ...words);
    const { port, ask, command, stopped, metric, stop } = torito;
    const client = await clientOf(port);
    await client.say(GET);
    const answers = await metric('torito_http_requests_total{code="200",method="GET"}');
    await command("break", { breakpoints: KICKS });
    const answer = client.say(GET);
    const view = await stopped();
    expect((await ask("/livez")).status).toBe(200);
    expect(await ask("/readyz")).toEqual({
      status: 503,
      text: "[-]guest failed: the inspector has stopped it in a kick\nnot ready\n",
    });
    expect(await metric('torito_http_requests_total{code="200",method="GET"}')).toBe(answers);
    const { total, connections } = JSON.parse((await ask("/connections")).text);
    expect([total, connections.length, connections[0].address]).toEqual([1, 1, client.address]);
    const map = await ask("/inspect/heap");
    expect([map.status, JSON.parse(map.text).error]).toEqual([
      503,
      "its thread waits in a kick, and maps no heap",
    ]);
    expect((await ask("/snapshot", "POST")).text).toContain("no replica can be saved now");
    expect((await ask("/reload", "POST")).status).toBe(202);
    expect(JSON.parse((await ask("/inspect/machines")).text)).toEqual({
      machines: [{ machine: 1, state: "stopped" }],
    });
    expect(JSON.parse((await ask("/inspect/trace?seconds=0.1")).text)).toEqual([]);
    const top = start("top", torito.admin);
    expect((await top.end).out).toMatch(/^torito {2}stopped /);
    await setTimeout(3000); // of a watchdog that allows one second
    expect(await torito.look()).toEqual(view);
    expect(await metric("torito_machine_restarts_total")).toBe(0);
    await command("break", { breakpoints: [] });
    expect((await torito.look())?.breakpoints).toEqual([]);
    expect(await command("resume")).toEqual({ status: 202, state: "running" });
    expect(await answer).toContain("hello");
    expect((await ask("/readyz")).status).toBe(200);
    expect((await ask("/inspect/heap")).status).toBe(200);
    expect((await stop()).err).not.toMatch(/watchdog|new machine/);
  });

  test("SIGTERM lets it finish what it has begun, and it stops at no breakpoint", async () => {
    const { port, command, stopped, child, end } = await inspected(1, "serve", site);
    await command("break", { breakpoints: KICKS });
    const answer = (await clientOf(port)).say(GET);
    await stopped();
    child.kill();
    expect(await answer).toContain("hello");
    expect((await end).code).toBe(0);
  });

  test("so it does if it is paused between turns", async () => {
    const { port, command, child, end } = await inspected(1, "serve", site);
    const client = await clientOf(port);
    await client.say(GET);
    await command("pause");
    const answer = client.say(GET);
    child.kill();
    expect(await answer).toContain("hello");
    expect((await end).code).toBe(0);
  });

  test("the end of its time ends the process", async () => {
    const { port, command, stopped, end } = await inspected(1, "serve", site, "--timeout", "10s");
    await command("break", { breakpoints: KICKS });
    void (await clientOf(port)).say(GET);
    await stopped();
    expect((await end).code).toBe(124);
  });

  test("the page that looked may leave: it stays stopped, and the next one sees where", async () => {
    const { port, admin, command, stopped, stop } = await inspected(1, "serve", site);
    const watch = async () => {
      const { body } = await fetch(`${admin}/inspect/events`);
      const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      return {
        has: async (wanted: string) => {
          while (!text.includes(wanted)) text += (await reader?.read())?.value ?? "";
        },
        leave: () => reader?.cancel(),
      };
    };
    const first = await watch();
    await first.has('"state":"running"');
    await command("break", { breakpoints: KICKS });
    const answer = (await clientOf(port)).say(GET);
    await first.has('"state":"stopped"');
    await first.has('"name":"kick"'); // the event itself
    await first.leave();
    await stopped();
    const second = await watch();
    await second.has('"state":"stopped"');
    await command("break", { breakpoints: [] });
    await command("resume");
    expect(await answer).toContain("hello");
    await second.has('"state":"running"');
    await second.leave();
    await stop();
  });
});

test("a machine that panics while it is stepped is replaced, and keeps its breakpoints", async () => {
  const { port, command, look, until, text, serving, stop } = await inspected(1, "run", image);
  const client = await clientOf(port);
  expect(await client.say("a")).toBe("a");
  await command("pause");
  const end = client.say("!");
  await command("break", { breakpoints: [{ on: "kick", queue: "tx" }, { on: "error" }] });
  await command("step", { by: "kick" });
  while (!text().err.includes("told to panic")) {
    if ((await look())?.state === "stopped") await command("step", { by: "kick" });
  }
  expect(await end).toBe("");
  await until(/replica 1: a new machine in /);
  while ((await look()) === null) await setTimeout(5);
  expect((await look())?.breakpoints).toHaveLength(2);
  await command("break", { breakpoints: [] });
  await command("resume");
  await serving();
  expect(await (await clientOf(port)).say("b")).toBe("b");
  await stop();
});

test("IN9: of several machines each is shown and stopped by itself, and the others serve", async () => {
  const torito = await inspected(2, "serve", site);
  const { ask, admin, command, stopped, look, stop } = torito;
  const [one, two] = await torito.oneOfEach(GET);
  await command("break", { breakpoints: KICKS }, 2);
  const answer = two?.say(GET);
  await stopped(2);
  expect(await one?.say(GET)).toContain("hello");
  for (let i = 0; i < 10; i++) {
    const client = await clientOf(torito.port);
    expect(await client.say(GET)).toContain("hello");
    client.socket.destroy();
  }
  expect((await look(1))?.state).toBe("running");
  expect((await ask("/readyz")).status).toBe(200);
  expect(JSON.parse((await ask("/inspect/machines")).text)).toEqual({
    machines: [
      { machine: 1, state: "running" },
      { machine: 2, state: "stopped" },
    ],
  });
  const { connections } = JSON.parse((await ask("/connections")).text);
  expect(new Set(connections.map(({ replica }: { replica: number }) => replica)).size).toBe(2);
  const top = start("top", `${admin}?machine=2`);
  expect((await top.end).out).toMatch(/^torito {2}stopped /);
  for (const machine of ["0", "3", "x", "01", ""]) {
    const { status, text } = await ask(`/inspect/state?machine=${machine}`);
    expect([machine, status, JSON.parse(text)]).toEqual([
      machine,
      400,
      { error: "machine: 1 to 2" },
    ]);
  }
  await command("break", { breakpoints: [] }, 2);
  await command("resume", {}, 2);
  expect(await answer).toContain("hello");
  await stop();
});

test("TR8: a trace of a machine in a thread is a whole file", async () => {
  const { port, ask, stop } = await inspected(1, "serve", site);
  const trace = ask("/inspect/trace?seconds=1");
  await setTimeout(200);
  await (await clientOf(port)).say(GET);
  const events = JSON.parse((await trace).text) as TraceEvent[];
  expect(perfettoFaults(events)).toEqual([]);
  expect(events.some(({ name }) => name === "RW from guest")).toBe(true);
  await stop();
});

test("TR8: a trace of a machine in a thread has its panic, and an end", async () => {
  const { port, ask, stop } = await inspected(1, "run", image);
  const trace = ask("/inspect/trace?seconds=60");
  await setTimeout(200);
  const client = await clientOf(port);
  expect(await client.say("a")).toBe("a");
  await client.say("!");
  const events = JSON.parse((await trace).text) as TraceEvent[];
  expect(events.filter(({ name }) => name === "RW to guest")).toHaveLength(2);
  expect(perfettoFaults(events)).toEqual([]);
  await stop();
});

test.each([[[]], [["--replicas", "1"]]])("TR8: SIGTERM ends a trace: %j", async (replicas) => {
  const torito = start("serve", site, "-p", "0:80", "--inspect", ...replicas);
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const trace = await fetch(`${admin}/inspect/trace?seconds=60`);
  await (await clientOf(Number(port))).say(GET);
  torito.child.kill();
  const events = (await trace.json()) as TraceEvent[];
  expect(events.some(({ name }) => name === "RW from guest")).toBe(true);
  expect((await torito.end).code).toBe(0);
});

test("a card and hybrid vsock go with one machine in a thread", async () => {
  const path = join(folder, "vsock");
  const shape = ["-p", "0:80/net", "--vsock-uds", path, "--replicas", "1", "--inspect"];
  const torito = start("serve", site, "--net", ...shape);
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const post = (name: string, body: object) =>
    fetch(`${admin}/inspect/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  await post("break", { breakpoints: KICKS });
  const client = await clientOf(Number(port));
  const answer = client.say(GET);
  let view: MachineView | null = null;
  while (view?.state !== "stopped") view = await (await fetch(`${admin}/inspect/state`)).json();
  expect(view.netConnections.total).toBe(1);
  await post("break", { breakpoints: [] });
  await post("resume", {});
  expect(await answer).toContain("hello");
  const socket = connect({ path });
  await once(socket, "connect");
  socket.destroy();
  client.socket.destroy();
  torito.child.kill();
  expect((await torito.end).code).toBe(0);
});

test("without a thread nothing has changed, and what the process writes goes with none", async () => {
  for (const option of [["--pcap", "x"], ["--trace", "x"], ["--stats"]]) {
    const words = ["serve", site, "-p", "0:80", "--replicas", "1", "--inspect", ...option];
    const { code, err } = await start(...words).end;
    const why = "is of a machine without a thread: not with --inspect and --replicas 1";
    expect([code, err]).toEqual([2, `torito: ${option[0]} ${why}\n`]);
  }
});
