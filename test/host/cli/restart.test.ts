// --restart: a machine that panics is replaced, while its ports stay open.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BackOff } from "../../../host/cli/service/restart.ts";
import type { MachineView } from "../../../host/inspect/inspector.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { compileOnce } from "../../support/compiled.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-restart-"));
const image = join(folder, "fragile.wasm");

beforeAll(async () => {
  buildCommand();
  const { wasm } = await compileOnce("test/guest/fragile.ts", "release", { kind: "application" });
  writeFileSync(image, wasm);
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

async function run(...words: string[]) {
  const torito = start("run", image, "-p", "0:80", ...words);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const say = (word: string) =>
    new Promise<string>((resolve) => {
      const client = connect(Number(port), "127.0.0.1");
      client.on("error", () => {});
      client.on("close", () => resolve(""));
      client.on("data", (part) => {
        resolve(part.toString());
        client.destroy();
      });
      client.write(word);
    });
  return { ...torito, say };
}

test("the next client waits for the new machine, and is answered", async () => {
  const { child, say, until, end } = await run("--restart", "--admin", "0");
  const [, admin] = await until(/admin on (http:\S+)\//);
  const metric = async (name: string) =>
    new RegExp(`^${name} (\\d+)$`, "m").exec(await (await fetch(`${admin}/metrics`)).text())?.[1];
  expect(await say("a")).toBe("a");
  const before = Number(await metric("torito_connections_accepted_total"));
  expect(await say("!")).toBe("");
  const answers = await Promise.all(["b", "c", "d"].map(say));
  expect(answers).toEqual(["b", "c", "d"]);
  await until(/panic: told to panic(?:.|\n)*warn: a new machine in 0\.1 s(?:.|\n)*ready in/);
  expect(await metric("torito_machine_restarts_total")).toBe("1");
  const after = Number(await metric("torito_connections_accepted_total"));
  expect(after).toBeGreaterThanOrEqual(before + 4);
  expect(await metric("torito_fragile_bytes_total")).toBe("4"); // as of both machines
  child.kill();
  expect((await end).code).toBe(0);
});

test("the inspector's breakpoints outlive the machine", async () => {
  const { child, say, until, end } = await run("--restart", "--inspect");
  const [, root] = await until(/inspector on (http:\S+)inspect/);
  const post = (name: string, body: object) =>
    fetch(`${root}inspect/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  const breakpoints = [{ on: "thread", name: "serveForever" }];
  await post("break", { breakpoints });
  expect(await say("!")).toBe("");
  await until(/a new machine in/);
  const view = async () => (await (await fetch(`${root}inspect/state`)).json()) as MachineView;
  await expect.poll(async () => (await view()).breakpoints).toEqual(breakpoints);
  await post("break", { breakpoints: [{ on: "packet", op: "REQUEST" }] });
  const answer = say("a");
  await expect.poll(async () => (await view()).state).toBe("paused");
  await post("break", { breakpoints: [] });
  await post("resume", {});
  expect(await answer).toBe("a");
  child.kill();
  expect((await end).code).toBe(0);
});

test("a second panic soon after the first makes the pause longer", async () => {
  const { child, say, until, end } = await run("--restart");
  await say("!");
  await say("a");
  await say("!");
  await until(/a new machine in 0\.1 s(?:.|\n)*a new machine in 0\.2 s(?:.|\n)*ready in/);
  child.kill();
  expect((await end).code).toBe(0);
});

test("a signal in the pause ends the process", async () => {
  const { child, say, until, end } = await run("--restart");
  await say("!");
  await until(/a new machine/);
  child.kill();
  expect((await end).err).toContain("SIGTERM: finishing");
});

test("without it a panic ends the process", async () => {
  const { say, end } = await run();
  await say("!");
  expect((await end).code).toBe(70);
});

test("the pause doubles up to half a minute, and is short again after a minute without a panic", () => {
  const backOff = new BackOff();
  const pauses = Array.from({ length: 11 }, () => backOff.after(1000));
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
  expect(backOff.after(60_000)).toBe(100);
});
