// The inspector on the admin listener: who may look, who may command, and what it costs to look.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { topLines } from "../../../host/cli/top.ts";
import type { MachineView } from "../../../host/inspect/inspector.ts";
import type { TraceEvent } from "../../../host/trace/event.ts";
import { Appliance, removeFolders, until } from "../../support/appliance.ts";
import { perfettoFaults } from "../../support/perfetto.ts";

const SITE = "apps/web-server/site";
let appliance: Appliance;
let root: string;

beforeAll(async () => {
  appliance = await Appliance.serve(SITE, "--inspect");
  root = /inspector on (http:\S+)inspect/.exec(appliance.stderr)?.[1] ?? "";
});
afterAll(async () => {
  await appliance.stop();
  removeFolders();
});

const state = async (): Promise<MachineView> => (await fetch(`${root}inspect/state`)).json();

function command(name: string, body: object, headers: Record<string, string> = {}) {
  return fetch(`${root}inspect/${name}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** A page that looks: parses Server-Sent Events. */
class Looker {
  readonly views: MachineView[] = [];
  readonly events: TraceEvent[] = [];
  readonly request: http.ClientRequest;
  response: http.IncomingMessage | null = null;
  #rest = "";

  constructor() {
    this.request = http.get(`${root}inspect/events`, { agent: false }, (response) => {
      this.response = response;
      response.setEncoding("utf8").on("data", (part: string) => this.#take(part));
    });
    this.request.on("error", () => {});
  }

  #take(part: string): void {
    this.#rest += part;
    for (let end = this.#rest.indexOf("\n\n"); end >= 0; end = this.#rest.indexOf("\n\n")) {
      const [, kind, data] = /^event: (\w+)\ndata: (.*)$/s.exec(this.#rest.slice(0, end)) ?? [];
      if (kind === "view") this.views.push(JSON.parse(data as string));
      if (kind === "events") this.events.push(...JSON.parse(data as string).events);
      this.#rest = this.#rest.slice(end + 2);
    }
  }

  leave(): void {
    this.request.destroy();
  }
}

describe("the pages", () => {
  test("prints one address, on this computer", () => {
    expect(root).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  });

  test("are a page, its files, and the machine as JSON", async () => {
    const page = await fetch(`${root}inspect`);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'self'/);
    const html = await page.text();
    const files = [...html.matchAll(/(?:src|href)="(inspect\/[^"]+\.(?:js|css))"/g)];
    expect(files.length).toBe(2);
    for (const [, path] of files) expect((await fetch(`${root}${path}`)).status).toBe(200);
    expect((await fetch(`${root}inspect/..%2f..%2fpackage.json`)).status).toBe(404);
    expect((await fetch(`${root}inspect/none.js`)).status).toBe(404);
    const { threads, devices } = await state();
    expect(threads?.listed.map(({ name }) => name)).toContain("torito/kernel/main/runApplication");
    expect(devices.map(({ name }) => name)).toContain("vsock");
    const heap = await (await fetch(`${root}inspect/heap`)).json();
    expect(heap.blocks.length).toBeGreaterThan(10);
  });

  test("know one machine, which need not be named", async () => {
    const list = await (await fetch(`${root}inspect/machines`)).json();
    expect(list).toEqual({ machines: [{ machine: 1, state: "running" }] });
    expect((await fetch(`${root}inspect/state?machine=1`)).status).toBe(200);
    const other = await fetch(`${root}inspect/state?machine=2`);
    expect([other.status, await other.json()]).toEqual([400, { error: "machine: 1 to 1" }]);
  });

  test("are only read", async () => {
    for (const path of ["inspect", "inspect/state", "inspect/events", "inspect/trace"]) {
      const response = await fetch(`${root}${path}`, { method: "PUT" });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET"]);
    }
    expect((await fetch(`${root}inspect/none`, { method: "PUT" })).status).toBe(404);
  });

  test("a trace of no length, or too long, is refused", async () => {
    for (const seconds of ["x", "", "0", "-1", "601", "1e99"]) {
      const response = await fetch(`${root}inspect/trace?seconds=${seconds}`);
      expect([seconds, response.status]).toEqual([seconds, 400]);
      expect((await response.json()).error).toBe("seconds: more than 0, and 600 at most");
    }
  });

  test("a trace with names is refused, and one that asks in other words", async () => {
    const refusal = await fetch(`${root}inspect/trace?seconds=1&names=1`);
    expect([refusal.status, (await refusal.json()).error]).toEqual([
      403,
      "names are users': the service has to be started with --inspect-names",
    ]);
    const wrong = await fetch(`${root}inspect/trace?seconds=1&names=yes`);
    expect([wrong.status, (await wrong.json()).error]).toEqual([400, "names: 0 or 1"]);
  });

  test("a trace has names if they are allowed and asked for, and not otherwise", async () => {
    const other = await Appliance.serve(SITE, "--inspect", "--inspect-names");
    const its = /inspector on (http:\S+)inspect/.exec(other.stderr)?.[1] ?? "";
    const traced = async (query: string) => {
      const response = await fetch(`${its}inspect/trace?seconds=1${query}`); // it has begun
      await fetch(`${other.url}/small.html`);
      return response.text();
    };
    expect(await traced("&names=1")).toContain('"file":"/small.html"');
    expect(await traced("")).not.toContain("small.html");
    expect(await traced("&names=0")).not.toContain("small.html");
    await other.stop();
  });

  test("show no payload and no name of a file", async () => {
    const looker = new Looker();
    await until(() => looker.views.length > 0);
    await fetch(`${appliance.url}/small.html?secret=1`);
    await until(() => looker.events.some(({ name }) => name === "RW from guest"));
    const text = JSON.stringify([looker.views, looker.events]);
    expect(text).not.toContain("secret");
    expect(text).not.toContain("small.html");
    looker.leave();
  });

  test("TR8: send a trace of the next seconds, as a file", async () => {
    const trace = fetch(`${root}inspect/trace?seconds=1`).then((response) => response.json());
    await new Promise((resolve) => setTimeout(resolve, 200)); // the trace begins with its request
    await fetch(`${appliance.url}/small.html`);
    const events = (await trace) as TraceEvent[];
    expect(perfettoFaults(events)).toEqual([]);
    expect(events.some(({ bind_id: flow }) => flow !== undefined)).toBe(true);
    const names = events.filter(({ ph }) => ph === "M").map(({ args }) => `${args?.name}`);
    expect(names.some((name) => name.endsWith("serveConnection"))).toBe(true);
  });
});

describe("commands", () => {
  test("IN4: a machine that is paused keeps its clients waiting, and answers them then", async () => {
    expect(await (await command("pause", {})).json()).toEqual({ state: "paused" });
    const answer = fetch(`${appliance.url}/small.html`).then((response) => response.text());
    await until(async () => (await state()).state === "paused");
    const before = await state();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { nowNs, switches } = await state();
    expect([nowNs, switches]).toEqual([before.nowNs, before.switches]);
    expect(await (await command("resume", {})).json()).toEqual({ state: "running" });
    expect((await answer).length).toBeGreaterThan(100);
  });

  test("a machine that is paused is alive, and says why it is not ready", async () => {
    await command("pause", {});
    expect((await fetch(`${root}livez`)).status).toBe(200);
    const ready = await fetch(`${root}readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      "[-]guest failed: the inspector has paused it\nnot ready\n",
    ]);
    await command("resume", {});
    expect((await fetch(`${root}readyz`)).status).toBe(200);
  });

  test("a service that ends stops at no breakpoint, and finishes what it has begun", async () => {
    const other = await Appliance.serve(SITE, "--inspect", "--grace", "10m");
    const its = /inspector on (http:\S+)inspect/.exec(other.stderr)?.[1] ?? "";
    const post = (name: string, body: object) =>
      fetch(`${its}inspect/${name}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
    await post("break", { breakpoints: [{ on: "packet" }] });
    const answer = fetch(`${other.url}/small.html`).then((response) => response.status);
    await until(async () => (await (await fetch(`${its}inspect/state`)).json()).state === "paused");
    other.kill();
    expect(await answer).toBe(200);
    expect(await other.exited).toBe(0);
  });

  test("step and break are checked, and refused with a reason", async () => {
    const error = async (name: string, body: object) => {
      const response = await command(name, body);
      return [response.status, (await response.json()).error];
    };
    expect(await error("step", { by: "turn" })).toEqual([409, "the machine is not paused"]);
    expect(await error("step", { by: "year" })).toEqual([400, "by: turn, thread or kick"]);
    expect(await error("step", {})).toEqual([400, "by: turn, thread or kick"]);
    expect(await error("step", { by: "kick" })).toEqual([
      409,
      "its thread serves this page as well, and may not block in a kick; " +
        "with --replicas 1 --inspect the machine has a thread of its own",
    ]);
    const wrong = [400, "breakpoints: a list of breakpoints"];
    for (const list of [null, 7, [{}], [{ on: "moon" }], [{ on: "kick", queue: 7 }]]) {
      expect(await error("break", { breakpoints: list })).toEqual(wrong);
    }
    const many = Array.from({ length: 33 }, () => ({ on: "error" }));
    expect(await error("break", { breakpoints: many })).toEqual([400, "32 breakpoints at most"]);
  });

  test("a breakpoint stops the machine, which says at what", async () => {
    await command("break", { breakpoints: [{ on: "thread", name: "serveConnection" }] });
    const answer = fetch(`${appliance.url}/small.html`).then((response) => response.status);
    await until(async () => (await state()).state === "paused");
    expect((await state()).stoppedAt?.name).toBe("apps/web-server/connection/serveConnection");
    await command("break", { breakpoints: [] });
    await command("resume", {});
    expect(await answer).toBe(200);
  });

  test("IN7: come from the inspector's own page, or from no browser", async () => {
    const from = async (headers: Record<string, string>) =>
      (await command("resume", {}, headers)).status;
    expect(await from({})).toBe(202);
    expect(await from({ Origin: root.slice(0, -1) })).toBe(202);
    expect(await from({ Origin: "http://evil.example" })).toBe(403);
    expect(await from({ Origin: "null" })).toBe(403);
    expect(await from({ "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(await from({ "Sec-Fetch-Site": "same-site" })).toBe(403);
    const form = await fetch(`${root}inspect/pause`, { method: "POST", body: "x=1" });
    expect(form.status).toBe(415);
    for (const path of ["state", "events"]) {
      const response = await fetch(`${root}inspect/${path}`);
      expect(response.headers.get("access-control-allow-origin")).toBeNull();
      await response.body?.cancel();
    }
  });

  test("IN8: a wrong Host is refused with 421", async () => {
    const { port } = new URL(root);
    const status = await new Promise((resolve) => {
      const options = { port, path: "/inspect/state", headers: { Host: "evil.example" } };
      http.get({ ...options, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
    });
    expect(status).toBe(421);
  });
});

describe("looking", () => {
  test("IN1: nobody looks, nothing is recorded; and again when the last one leaves", async () => {
    const looker = new Looker();
    await until(() => looker.views.length > 1);
    await fetch(`${appliance.url}/small.html`);
    await until(() => looker.events.length > 10);
    looker.leave();
    // A trace that begins anew names its tracks again, and knows nothing of before.
    const next = new Looker();
    await until(() => next.views.length > 0);
    expect(next.events.every(({ ph }) => ph === "M")).toBe(true);
    next.leave();
  });

  test("IN6: ten look, and one of them does not read: the others see all", async () => {
    const lookers = Array.from({ length: 10 }, () => new Looker());
    await until(() => lookers.every(({ views }) => views.length > 0));
    const [stuck, ...others] = lookers as [Looker, ...Looker[]];
    stuck.response?.pause();
    for (let i = 0; i < 200; i++) await (await fetch(`${appliance.url}/small.html`)).text();
    const seen = (one: Looker) => one.events.filter(({ name }) => name === "RW from guest").length;
    await until(() => others.every((one) => seen(one) >= 200));
    expect(new Set(others.map(seen)).size).toBe(1);
    for (const one of lookers) one.leave();
  });

  test("twelve may look; others get a reason, and health is answered", async () => {
    const lookers = Array.from({ length: 12 }, () => new Looker());
    await until(() => lookers.every(({ views }) => views.length > 0));
    for (const path of ["events", "trace"]) {
      const response = await fetch(`${root}inspect/${path}`);
      expect([response.status, await response.json()]).toEqual([503, { error: "12 look already" }]);
    }
    expect((await fetch(`${root}livez`)).status).toBe(200);
    for (const one of lookers) one.leave();
    await until(async () => {
      const response = await fetch(`${root}inspect/events`);
      await response.body?.cancel();
      return response.status === 200;
    });
  });

  test("IN9: another machine of the process is another inspector", async () => {
    const other = await Appliance.serve(SITE, "--inspect");
    const its = /inspector on (http:\S+)inspect/.exec(other.stderr)?.[1] ?? "";
    await fetch(`${other.url}/small.html`);
    const view: MachineView = await (await fetch(`${its}inspect/state`)).json();
    expect(view.nowNs).not.toBe((await state()).nowNs);
    await other.stop();
  });
});

describe("torito top", () => {
  test("prints the machine once where there is no terminal", async () => {
    const top = new Appliance(["top", root]);
    expect(await top.exited).toBe(0);
    const { stdout } = top;
    expect(stdout).toMatch(/^torito {2}running {2}up \d/);
    expect(stdout).toContain("vsock tx");
    expect(stdout).toContain("torito/kernel/main/runApplication");
  });

  test("is not taken in by what others answer, and prints no control characters", async () => {
    const view = { ...(await state()), threads: { total: 1, listed: [] as unknown[] } };
    view.threads.listed.push({ id: 1, name: "\u001b[2Jx", state: "ready", waitsFor: "" });
    let answer: unknown = view;
    const server = http.createServer((_, response) => response.end(JSON.stringify(answer)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const top = new Appliance(["top", url]);
    expect(await top.exited).toBe(0);
    expect(top.stdout).toContain("?[2Jx");
    for (answer of [{}, [], null, "x", { devices: [{}] }, { ...view, devices: 7 }]) {
      const one = new Appliance(["top", url]);
      expect(await one.exited).toBe(69);
      expect(one.stderr).toBe(`torito: top ${url}: not the state of a machine\n`);
    }
    server.close();
  });

  test("says what is wrong in one line", async () => {
    for (const [words, code, message] of [
      [["top"], 2, "top: which URL?"],
      [["top", "nonsense"], 2, "top nonsense: not a URL of http"],
      [["top", "http://127.0.0.1:1/"], 69, "top http://127.0.0.1:1: connect ECONNREFUSED"],
      [["top", appliance.url], 69, "it has no inspector"],
    ] as const) {
      const top = new Appliance(words);
      expect([words, await top.exited]).toEqual([words, code]);
      expect(top.stderr).toContain(message);
      expect(top.stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });

  test("fits a terminal, and counts by the second", async () => {
    const before = await state();
    const later = { ...before, nowNs: before.nowNs + 2e9, switches: before.switches + 100 };
    const lines = topLines(later, before, 5);
    expect(lines).toHaveLength(5);
    expect(lines.at(-1)).toBe("...");
    expect(topLines(later, before, 50)[1]).toContain("(50/s)");
  });
});
