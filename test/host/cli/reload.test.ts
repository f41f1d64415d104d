// SIGHUP: settings and rules are read again, all of them or none.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildCommand, killCommands, start } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-reload-"));
const site = join(folder, "site");
const configure = (settings: unknown) =>
  writeFileSync(join(folder, "torito.json"), JSON.stringify(settings));
const rules = (text: string) => writeFileSync(join(site, "_headers"), text);

beforeAll(() => {
  buildCommand();
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

async function serve() {
  const torito = start("serve", site, "-p", "0:80");
  const [, url] = await torito.until(/ready in .*(http:\S+)/);
  let seen = 0;
  /** Sends SIGHUP, and resolves with what was logged about it. */
  const hangUp = async () => {
    torito.child.kill("SIGHUP");
    const [, told = ""] = await torito.until(
      new RegExp(String.raw`(?:SIGHUP: [^\n]*\n(?:.|\n)*?){${seen}}SIGHUP: ([^\n]*)\n`),
    );
    seen++;
    return told;
  };
  return { ...torito, url: url as string, hangUp };
}

test("settings of the site, rules and the log level change while requests go on", async () => {
  configure({ cors: ["https://a.example"] });
  rules("/*\n  X-Rule: one\n");
  const { child, url, hangUp, end } = await serve();
  const ask = async (origin: string) => {
    const { headers } = await fetch(url, { headers: { origin } });
    return [headers.get("access-control-allow-origin"), headers.get("x-rule")];
  };
  expect(await ask("https://b.example")).toEqual([null, "one"]);
  configure({ cors: ["https://b.example"], "log-level": "error" });
  rules("/*\n  X-Rule: two\n");
  expect(await hangUp()).toBe("reloaded");
  expect(await ask("https://b.example")).toEqual(["https://b.example", "two"]);
  child.kill();
  expect((await end).code).toBe(0);
});

test("a mistake leaves everything as it was, and is logged; the next reload succeeds", async () => {
  configure({ cors: ["*"] });
  rules("/*\n  X-Rule: one\n");
  const { child, url, hangUp, end } = await serve();
  const ask = async () => {
    const { headers } = await fetch(url, { headers: { origin: "https://a.example" } });
    return [headers.get("access-control-allow-origin"), headers.get("x-rule")];
  };
  configure({ corrs: [] });
  rules("/*\n  X-Rule: two\n");
  expect(await hangUp()).toMatch(
    /^nothing has changed: .*unknown key "corrs"; did you mean cors\?/,
  );
  expect(await ask()).toEqual(["*", "one"]);
  configure({ cors: [], "access-log": "/nowhere/log" });
  writeFileSync(join(folder, "torito.json"), "{");
  expect(await hangUp()).toMatch(/^nothing has changed: .*not JSON/);
  configure({ cors: [] });
  expect(await hangUp()).toBe("reloaded");
  expect(await ask()).toEqual([null, "two"]);
  child.kill();
  expect((await end).code).toBe(0);
});

test("settings that need a restart are named", async () => {
  configure({ memory: "64M" });
  rules("");
  const { child, hangUp, until, end } = await serve();
  configure({ memory: "32M", grace: "1s" });
  expect(await hangUp()).toBe("reloaded");
  await until(/warn: memory has changed, which needs a restart\n/);
  child.kill();
  const { code, err } = await end;
  expect(code).toBe(0);
  expect(err).not.toContain("grace has changed");
  expect(err).not.toContain("connections has changed"); // it only follows the memory
});

test("a log cannot be switched on in a guest that was not asked for one, which is said", async () => {
  configure({});
  const { child, hangUp, until, end } = await serve();
  configure({ "access-log": "new.log" });
  expect(await hangUp()).toBe("reloaded");
  await until(/warn: access-log has changed, which needs a restart\n/);
  child.kill();
  expect((await end).code).toBe(0);
});

test("a new line without effect leaves everything as it was; old ones go on as they are", async () => {
  configure({ admin: "0" });
  rules("/*\n  X-Rule: one\n  Server: mine\n");
  const { child, url, hangUp, until, end } = await serve();
  const [, admin] = await until(/admin on (http:\S+)/);
  const rule = async () => (await fetch(url)).headers.get("x-rule");
  rules("/*\n  X-Rule: two\n\n  Server: mine\nX-Frame-Options DENY\n");
  expect(await hangUp()).toMatch(/^nothing has changed: _headers:5: neither a path/);
  const answer = await fetch(`${admin}reload`, {
    method: "POST",
    headers: { "content-type": "application/json" },
  });
  expect([answer.status, await answer.json()]).toEqual([
    409,
    { state: "unchanged", error: expect.stringContaining("_headers:5: neither a path") },
  ]);
  expect(await rule()).toBe("one");
  rules("/*\n  X-Rule: two\n\n  Server: mine\n");
  expect(await hangUp()).toBe("reloaded");
  expect(await rule()).toBe("two");
  child.kill();
  expect((await end).code).toBe(0);
});

test("a log that would be published with the site leaves everything as it was", async () => {
  configure({ admin: "0" });
  const { child, hangUp, end } = await serve();
  configure({ admin: "0", "access-log": "site/a.log" });
  expect(await hangUp()).toMatch(
    /^nothing has changed: access-log: .*a\.log would be published with the site/,
  );
  expect(existsSync(join(site, "a.log"))).toBe(false);
  child.kill();
  expect((await end).code).toBe(0);
});

test("a log is switched on and off where the admin listener counts requests", async () => {
  configure({ admin: "0" });
  const { child, url, hangUp, end } = await serve();
  const log = join(folder, "on.log");
  await (await fetch(`${url}/before`)).text();
  configure({ admin: "0", "access-log": log });
  expect(await hangUp()).toBe("reloaded");
  await (await fetch(`${url}/while`, { headers: { "user-agent": "agent" } })).text();
  configure({ admin: "0" });
  expect(await hangUp()).toBe("reloaded");
  await (await fetch(`${url}/after`)).text();
  child.kill();
  expect((await end).code).toBe(0);
  const text = readFileSync(log, "utf8");
  expect(text).toMatch(/"GET \/\/while HTTP\/1\.1" 404 \d+ "-" "agent"\n$/);
  expect(text).not.toMatch(/before|after/);
});

test("a hundred reloads under load, and an end in the middle of one, lose no request", async () => {
  configure({});
  rules("/*\n  X-Rule: one\n");
  const { child, url, end } = await serve();
  let going = true;
  const ask = async () => {
    let count = 0;
    while (going) {
      expect((await (await fetch(url)).text()).length).toBe(5);
      count++;
    }
    return count;
  };
  const clients = [ask(), ask(), ask(), ask()];
  for (let i = 0; i < 100; i++) {
    rules(`/*\n  X-Rule: ${i}\n`);
    child.kill("SIGHUP");
    await new Promise((resolve) => setImmediate(resolve));
  }
  going = false;
  for (const count of await Promise.all(clients)) expect(count).toBeGreaterThan(0);
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect((await end).code).toBe(0);
});
