// --replicas: machines in threads that share a port; those that die are replaced.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { compileOnce } from "../../support/compiled.ts";
import { clientOf, startReplicas } from "../../support/replicas.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-replicas-"));
const image = join(folder, "fragile.wasm");
const site = join(folder, "site");
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

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

async function stop({ child, end }: ReturnType<typeof start>) {
  child.kill();
  const result = await end;
  expect(result.code, result.err).toBe(0);
  return result;
}

test("each replica serves some of the clients, and one log and one set of numbers has them all", async () => {
  const log = join(folder, "whole.log");
  const torito = await startReplicas(3, "serve", site, "--access-log", log);
  const { port, ask, metric, places } = torito;
  expect(await ask("/readyz")).toMatchObject({ status: 200 });
  expect(await ask("/livez")).toMatchObject({ status: 200 });
  const clients = await torito.oneOfEach(GET);
  expect(new Set((await places()).values())).toEqual(new Set([1, 2, 3]));
  const before = await metric('torito_http_requests_total{code="200",method="GET"}');
  const rounds = Array.from({ length: 60 }, async (_, i) => {
    const client = await clientOf(port);
    for (let k = 0; k < 10; k++) {
      await client.say(`GET /?${i}.${k} HTTP/1.1\r\nHost: a\r\n\r\n`);
    }
    client.socket.destroy();
  });
  await Promise.all(rounds);
  expect(await metric('torito_http_requests_total{code="200",method="GET"}')).toBe(before + 600);
  expect(await metric("torito_connections_max")).toBe(3 * 4096);
  const { text } = await ask("/metrics");
  const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(series.length).toBeLessThanOrEqual(300);
  for (const { socket } of clients) socket.destroy();
  await stop(torito);
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  expect(lines).toHaveLength(before + 600);
  const line = /^127\.1\.\d+\.\d+ - - \[.{26}\] "GET \/\S* HTTP\/1\.1" 200 5 "-" "-"$/;
  expect(lines.filter((one) => !line.test(one))).toEqual([]);
  expect(new Set(lines.map((one) => /\?\d+\.\d/.exec(one)?.[0])).size).toBe(600 + 1);
});

test("one replica is the service itself, without a thread", async () => {
  const torito = start("serve", site, "-p", "0:80", "--admin", "0", "--replicas", "1");
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const client = await clientOf(Number(port));
  await client.say(GET);
  const { connections } = (await (await fetch(`${admin}/connections`)).json()) as {
    connections: object[];
  };
  expect(connections[0]).not.toHaveProperty("replica");
  expect((await stop(torito)).err).not.toContain("replica");
});

describe("a replica that dies", () => {
  test("by a panic loses its own clients, is replaced, and no counter goes back", async () => {
    const torito = await startReplicas(2, "run", image);
    const { metric, serving, until, port, ask } = torito;
    const [doomed, other] = await torito.oneOfEach("a");
    const before = await metric("torito_connections_accepted_total");
    const words = await metric("torito_fragile_bytes_total");
    expect(words).toBe(await metric("torito_connections_accepted_total"));
    expect(await metric("torito_fragile_clients")).toBe(2);
    const interrupts = await metric('torito_virtqueue_interrupts_total{device="vsock"}');
    expect(await doomed?.say("!")).toBe("");
    await until(/error: replica 1: guest: panic: told to panic at /);
    await until(/warn: replica 1: a new machine in 0\.1 s\n/);
    expect(await other?.say("b")).toBe("b");
    expect((await ask("/readyz")).status).toBe(200);
    expect(await metric("torito_connections_accepted_total")).toBeGreaterThanOrEqual(before);
    await serving();
    expect(await other?.say("c")).toBe("c");
    expect(await metric("torito_machine_restarts_total")).toBe(1);
    expect(await metric("torito_fragile_bytes_total")).toBe(words + 2);
    expect(await metric("torito_fragile_clients")).toBe(1);
    expect(await metric("torito_connections_accepted_total")).toBeGreaterThanOrEqual(before);
    expect(await metric('torito_virtqueue_interrupts_total{device="vsock"}')).toBeGreaterThan(
      interrupts,
    );
    expect(await (await clientOf(port)).say("d")).toBe("d");
    await torito.oneOfEach("e"); // the new one has clients too
    await stop(torito);
  });

  test("because it hangs is ended by the watchdog, while others serve", async () => {
    const torito = await startReplicas(2, "run", image, "--watchdog", "2s");
    const { serving, until, metric, ask } = torito;
    const [other, stuck] = await torito.oneOfEach("a");
    const end = stuck?.say("~");
    for (let i = 0; i < 20; i++) {
      expect(await other?.say("b")).toBe("b");
      await setTimeout(20);
    }
    expect((await ask("/readyz")).status).toBe(200);
    expect((await ask("/livez")).status).toBe(200);
    const before = await metric("torito_connections_accepted_total");
    await until(/error: replica 2: watchdog: the guest has not returned for 2 s\n/);
    expect(await end).toBe("");
    await serving();
    expect(await other?.say("c")).toBe("c");
    expect(await metric("torito_machine_restarts_total")).toBe(1);
    expect(await metric("torito_connections_accepted_total")).toBeGreaterThanOrEqual(before);
    await stop(torito);
  });

  test("leaves clients waiting when it was the last, and a second one soon after waits longer", async () => {
    const torito = await startReplicas(2, "run", image);
    const { until, port, ask, serving } = torito;
    for (const client of await torito.oneOfEach("a")) expect(await client.say("!")).toBe("");
    const answers = ["b", "c", "d"].map(async (word) => (await clientOf(port)).say(word));
    expect(await Promise.all(answers)).toEqual(["b", "c", "d"]);
    await serving();
    expect((await ask("/readyz")).status).toBe(200);
    const [, again] = await torito.oneOfEach("a");
    await again?.say("!");
    await until(/replica 2: a new machine in 0\.1 s(?:.|\n)*replica 2: a new machine in 0\.2 s/);
    await stop(torito);
  });

  test("and does not return does not keep the process from ending at once", async () => {
    const torito = await startReplicas(2, "run", image, "--watchdog", "0");
    const [client] = await torito.oneOfEach("a");
    void client?.say("~");
    torito.child.kill("SIGTERM");
    await torito.until(/SIGTERM: finishing/);
    torito.child.kill("SIGTERM");
    expect(await torito.end).toMatchObject({ code: 143, signal: null });
  });
});

test("PROXY headers, node:net's sockets and the console are as with one machine", async () => {
  const words = ["--proxy-protocol", "required", "--trusted-proxies", "127.0.0.0/8"];
  const torito = await startReplicas(2, "serve", site, ...words, "--sockets", "net");
  const client = await clientOf(torito.port);
  const header = "PROXY TCP4 192.0.2.7 127.0.0.1 1 80\r\n";
  expect(await client.say(`${header}${GET}`)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect([...(await torito.places()).keys()]).toEqual(["192.0.2.7"]);
  const stranger = await clientOf(torito.port);
  expect(await stranger.say(GET)).toBe("");
  const { out } = await stop(torito);
  const lines = out.trimEnd().split("\n");
  expect(lines.filter((line) => line === "WebServer: listening on vsock port 80")).toHaveLength(2);
  expect(lines.length % 2).toBe(0);
  const once = new Set(lines);
  for (const line of once) expect(lines.filter((other) => other === line).length % 2).toBe(0);
});

test("a reload takes effect in all replicas, or in none", async () => {
  const settings = (json: unknown) =>
    writeFileSync(join(folder, "torito.json"), JSON.stringify(json));
  const rules = (text: string) => writeFileSync(join(site, "_headers"), text);
  settings({ cors: ["https://a.example"] });
  rules("/*\n  X-Rule: one\n");
  const torito = await startReplicas(3, "serve", site);
  const clients = await torito.oneOfEach(GET);
  const heads = async () => {
    const answers = await Promise.all(clients.map(({ say }) => say(GET)));
    return [...new Set(answers.map((text) => /X-Rule: (\w+)/.exec(text)?.[1]))];
  };
  expect(await heads()).toEqual(["one"]);
  rules("/*\n  X-Rule: two\n");
  settings({ "access-log": "/nowhere/log" });
  expect((await torito.ask("/reload", "POST")).status).toBe(409);
  expect(await heads()).toEqual(["one"]);
  settings({ corrs: [] });
  expect((await torito.ask("/reload", "POST")).text).toContain("did you mean cors?");
  expect(await heads()).toEqual(["one"]);
  expect(await torito.metric("torito_config_last_reload_successful")).toBe(0);
  settings({});
  rules("/*\n  X-Rule: two\nX-Rule three\n");
  expect((await torito.ask("/reload", "POST")).text).toContain("_headers:3: neither a path");
  expect(await heads()).toEqual(["one"]);
  rules("/*\n  X-Rule: two\n");
  settings({ memory: "32M", "access-log": join(folder, "reloaded.log") });
  const reloaded = JSON.parse((await torito.ask("/reload", "POST")).text);
  expect(reloaded).toEqual({ state: "reloaded", needRestart: ["memory"] });
  expect(await heads()).toEqual(["two"]);
  torito.child.kill("SIGHUP");
  await torito.until(/SIGHUP: reloaded\n/);
  rmSync(join(folder, "torito.json"));
  rmSync(join(site, "_headers"));
  await stop(torito);
});

test("a log is switched on by a reload only where all guests note their requests", async () => {
  const log = join(folder, "later.log");
  const settings = (json: unknown) =>
    writeFileSync(join(folder, "torito.json"), JSON.stringify(json));
  const words = ["serve", site, "-p", "0:80", "--replicas", "2"];
  settings({});
  const deaf = start(...words);
  await deaf.until(/2 of 2\n/);
  settings({ "access-log": log });
  deaf.child.kill("SIGHUP");
  await deaf.until(/warn: access-log has changed, which needs a restart\n/);
  await stop(deaf);
  expect(existsSync(log)).toBe(false);
  settings({ admin: "0" });
  const torito = await startReplicas(2, "serve", site);
  const clients = await torito.oneOfEach(GET);
  settings({ "access-log": log });
  expect((await torito.ask("/reload", "POST")).status).toBe(202);
  for (const { say } of clients) await say(GET);
  settings({});
  expect((await torito.ask("/reload", "POST")).status).toBe(202);
  for (const { say } of clients) await say(GET);
  await stop(torito);
  rmSync(join(folder, "torito.json"));
  expect(readFileSync(log, "utf8").match(/"GET \/ HTTP/g)).toHaveLength(2);
});

test("a drain tells all clients, answers those that have asked, and ends idle ones", async () => {
  const large = 32 * 2 ** 20;
  writeFileSync(join(site, "large.bin"), Buffer.alloc(large));
  const torito = await startReplicas(2, "serve", site, "--lame-duck", "500ms");
  const { child, until, end, ask } = torito;
  const [one, two] = await torito.oneOfEach(GET);
  const [idle] = await torito.oneOfEach(GET);
  let bytes = 0;
  two?.socket.on("data", (part: string) => {
    bytes += part.length;
  });
  two?.socket.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
  expect((await ask("/drain", "POST")).status).toBe(202);
  expect((await ask("/readyz")).status).toBe(503);
  expect((await ask("/undrain", "POST")).text).toContain("serving");
  expect((await ask("/readyz")).status).toBe(200);
  child.kill("SIGTERM");
  await until(/SIGTERM: finishing/);
  while (!(await one?.say(GET))?.includes("Connection: close")) await setTimeout(5);
  expect((await end).code).toBe(0);
  expect(bytes).toBeGreaterThan(large);
  expect(idle?.socket.readableEnded).toBe(true);
  rmSync(join(site, "large.bin"));
});

test("one of them is saved, and all go on from what was saved; lines of JSON name the replica", async () => {
  const saved = join(folder, "warm.torito");
  const torito = await startReplicas(2, "serve", site, "--admin-snapshot", saved);
  expect((await torito.ask("/snapshot", "POST")).status).toBe(202);
  await stop(torito);
  const words = ["serve", site, "--restore", saved, "--log-format", "json"];
  const again = await startReplicas(2, ...words, "--log-level", "debug");
  for (const client of await again.oneOfEach(GET)) expect(await client.say(GET)).toContain("hello");
  expect((await again.ask("/log-level", "POST", '{"level":"warn"}')).status).toBe(202);
  const { err } = await stop(again);
  const lines = err
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(new Set(lines.map(({ replica }) => replica))).toEqual(new Set([undefined, 1, 2]));
});

describe("they do not begin", () => {
  test("without the directory, with one line", async () => {
    const { code, err } = await start("serve", join(folder, "no"), "--replicas", "3").end;
    expect(code).toBe(69);
    expect(err.split("\n").filter((line) => /^torito: /.test(line))).toHaveLength(1);
  });

  test("on a port that is taken", async () => {
    const first = await startReplicas(2, "serve", site);
    const words = ["serve", site, "-p", `${first.port}:80`, "--replicas", "2"];
    const { code, err } = await start(...words).end;
    expect(code).toBe(69);
    expect(err).toContain(`127.0.0.1:${first.port}: the address is in use\n`);
    await stop(first);
  });

  test("without a port", async () => {
    const { code, err } = await start("run", image, "--replicas", "2").end;
    expect([code, err]).toEqual([2, "torito: --replicas 2: no port is published to share\n"]);
  });
});
