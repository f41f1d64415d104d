// The access log of the command: its file, its lines, and a disk or reader that does not keep up.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addressSet, anonymous } from "../../../host/cli/service/client-addresses.ts";
import { FULL_MAX, LogFile } from "../../../host/cli/service/log-file.ts";
import { fixed, LINES_BYTES, SLACK_BYTES } from "../../../host/service/line-buffer.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-access-"));
const file = (name: string) => join(folder, name);
const site = file("site");

beforeAll(() => {
  buildCommand();
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
  writeFileSync(join(site, "large.bin"), Buffer.alloc(32 * 2 ** 20));
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

async function serve(...words: string[]) {
  const torito = start("serve", site, "-p", "0:80", ...words);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  return { ...torito, port: Number(port), url: `http://127.0.0.1:${port}` };
}

async function stop({ child, end }: { child: { kill(): boolean }; end: Promise<unknown> }) {
  child.kill();
  return (await end) as { code: number; out: string; err: string };
}

/** Sends the bytes, and resolves with the answer when the server ends. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(bytes);
  let answer = "";
  for await (const part of socket.setEncoding("latin1")) answer += part;
  return answer;
}

test("AL1 a line for each request, in combined format, with what was sent", async () => {
  const torito = await serve("--access-log", file("combined.log"));
  await (
    await fetch(torito.url, { headers: { "user-agent": 'a"b', referer: "http://r/" } })
  ).text();
  await (await fetch(`${torito.url}/missing?q=1`, { method: "HEAD" })).text();
  const answer = await raw(torito.port, "BAD\r\n\r\n");
  expect(answer).toMatch(/^HTTP\/1\.1 400/);
  await stop(torito);
  const lines = readFileSync(file("combined.log"), "utf8").split("\n");
  const date = String.raw`\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]`;
  expect(lines[0]).toMatch(
    new RegExp(
      String.raw`^127\.0\.0\.1 - - ${date} "GET / HTTP/1\.1" 200 5 "http://r/" "a\\x22b"$`,
    ),
  );
  expect(lines[1]).toMatch(/"HEAD \/missing\?q=1 HTTP\/1\.1" 404 0 "-" "node"$/);
  expect(lines[2]).toMatch(/"-" 400 \d+ "-" "-"$/);
  expect(lines.slice(3)).toEqual([""]);
});

test("AL1 - is stdout; without the option there is no log", async () => {
  const torito = await serve("--access-log", "-", "--access-log-format", "json");
  await (await fetch(torito.url)).text();
  const { out } = await stop(torito);
  const line = out.split("\n").find((one) => one.startsWith("{")) as string;
  expect(JSON.parse(line)).toMatchObject({ method: "GET", path: "/", status: 200, bytes: 5 });
  const silent = await serve();
  await (await fetch(silent.url)).text();
  expect((await stop(silent)).out).not.toContain("GET");
});

test("AL2 a response that is not complete says how much was sent, and why", async () => {
  const torito = await serve("--access-log", file("aborted.log"), "--access-log-format", "json");
  const client = connect(torito.port, "127.0.0.1");
  client.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(client, "readable");
  client.resetAndDestroy();
  await setTimeout(300);
  await stop(torito);
  const line = JSON.parse(readFileSync(file("aborted.log"), "utf8"));
  expect(line).toMatchObject({ path: "/large.bin", status: 200, aborted: "gone" });
  expect(line.bytes).toBeLessThan(32 * 2 ** 20);
});

test("AL3 SIGHUP goes on in a new file of the same name", async () => {
  const path = file("rotated.log");
  const torito = await serve("--access-log", path);
  await (await fetch(`${torito.url}/one`)).text();
  await setTimeout(250);
  renameSync(path, `${path}.1`);
  torito.child.kill("SIGHUP");
  await torito.until(/SIGHUP: reloaded/);
  await (await fetch(`${torito.url}/two`)).text();
  await stop(torito);
  expect(readFileSync(`${path}.1`, "utf8")).toMatch(/^.*\/one.*\n$/);
  expect(readFileSync(path, "utf8")).toMatch(/^.*\/two.*\n$/);
});

test("AL3 a file that cannot be opened ends the start with its name", async () => {
  const { code, err } = await start("serve", site, "--access-log", "/nowhere/log").end;
  expect(code).toBe(2);
  expect(err).toContain("access-log: ENOENT");
});

describe("AL3 lines that nobody takes are dropped and counted", () => {
  const line = (i: number) => `${`${i}`.padStart(9, "0")}${"x".repeat(90)}\n`;
  const add = (log: LogFile, text: string) => log.room(text.length + SLACK_BYTES)?.put(fixed(text));

  test("on a pipe that nobody reads; a line that was begun is finished first", async () => {
    const path = file("pipe");
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const log = new LogFile(path, () => {});
    for (let i = 0; i < 2000; i++) add(log, line(i));
    await log.flushed();
    expect(log.dropped).toBeGreaterThan(1000);
    const read = () => {
      const bytes = Buffer.alloc(1 << 20);
      try {
        return bytes.toString("utf8", 0, readSync(reader, bytes));
      } catch {
        return ""; // there is nothing more
      }
    };
    const first = read();
    const { dropped } = log;
    add(log, line(5000));
    await log.flushed();
    expect(log.dropped).toBe(dropped);
    const lines = `${first}${read()}`.split("\n").slice(0, -1);
    expect(lines.every((one) => one.length === 99 || one.startsWith("0"))).toBe(true);
    expect(lines.at(-1)).toBe(line(5000).trim());
    expect(lines.length).toBeGreaterThanOrEqual(2001 - dropped);
    closeSync(reader);
  });

  test("on a full disk, which is reported", async () => {
    const told: string[] = [];
    const log = new LogFile("/dev/full", (message) => told.push(message));
    for (let i = 0; i < 10; i++) add(log, line(i));
    await log.flushed();
    expect(log.dropped).toBe(10);
    expect(told[0]).toContain("ENOSPC");
  });

  test("when more wait than there is room for", async () => {
    const path = file("waiting");
    const log = new LogFile(path, () => {});
    const [each, most] = [Math.floor(LINES_BYTES / 100), FULL_MAX + 1];
    for (let i = 0; i < each * most + 10; i++) add(log, line(i));
    expect(log.dropped).toBe(10);
    await log.flushed();
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(each * most + 1);
    add(log, line(7));
    await log.flushed();
    expect(readFileSync(path, "utf8").endsWith(line(7))).toBe(true);
    expect(log.dropped).toBe(10);
  });
});

test("AL4 connections that are given up are logged, at most five a second", async () => {
  const torito = await serve("--access-log", "/dev/null");
  for (let i = 0; i < 20; i++) await raw(torito.port, "BAD\r\n\r\n");
  const { err } = await stop(torito);
  const lines = err.split("\n").filter((one) => one.includes("cut 127.0.0.1: protocol"));
  expect(lines.length).toBeGreaterThanOrEqual(5);
  expect(lines.length).toBeLessThan(20);
  expect(lines[0]).toMatch(/^warn: http: cut 127\.0\.0\.1: protocol$/);
});

test("AL5 the address is the socket's, or what a trusted proxy says; and may be shortened", async () => {
  const ask = async (words: string[], forwarded: string) => {
    const path = file(`forwarded-${Math.random()}.log`);
    const torito = await serve("--access-log", path, ...words);
    await (await fetch(torito.url, { headers: { "x-forwarded-for": forwarded } })).text();
    await stop(torito);
    return readFileSync(path, "utf8").split(" ")[0];
  };
  expect(await ask([], "192.0.2.99")).toBe("127.0.0.1");
  const trusting = ["--trusted-proxies", "127.0.0.0/8"];
  expect(await ask(trusting, "198.51.100.1, 192.0.2.99, 127.0.0.9")).toBe("192.0.2.99");
  expect(await ask(trusting, "nonsense")).toBe("127.0.0.1");
  expect(await ask([...trusting, "--access-log-anonymize"], "192.0.2.99")).toBe("192.0.2.0");
});

test("AL5 shortened addresses name nobody, and a list of addresses is checked", () => {
  expect(anonymous("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1::");
  expect(anonymous("2001:db8::6")).toBe("2001:db8:0::");
  expect(anonymous("::1")).toBe("0:0:0::");
  expect(anonymous("")).toBe("");
  expect(() => addressSet(["10.0.0.0/8", "::1"])).not.toThrow();
  for (const one of ["10.0.0.0/33", "a.example", "", "::1/129", "10.0.0.0/x"]) {
    expect(() => addressSet([one])).toThrow("is not an address");
  }
});

test("AL6 an id is sent back if it is one, and none is made up", async () => {
  const torito = await serve();
  const ask = async (id: string) =>
    (await fetch(torito.url, { headers: { "x-request-id": id } })).headers.get("x-request-id");
  const long = "a".repeat(128);
  for (const id of ["a", "A-z_0.9", long]) expect(await ask(id)).toBe(id);
  for (const id of ["", "a b", `${long}a`, "a;b", "a\u00e9"]) expect(await ask(id)).toBe(null);
  const response = await fetch(torito.url, { headers: { "x-request-id": "body" } });
  expect(await response.text()).toBe("hello");
  expect((await fetch(torito.url)).headers.has("x-request-id")).toBe(false);
  await stop(torito);
});
