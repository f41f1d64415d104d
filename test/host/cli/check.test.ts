// `--check` finds what a start would not get over, and ends with the same code.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as codes from "../../../host/cli/usage.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-check-"));
const site = join(folder, "site");
const file = (name: string) => join(folder, name);
let taken: Server;
let port = 0;

beforeAll(async () => {
  buildCommand();
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
  mkdirSync(join(site, ".t"));
  symlinkSync(join(site, "new.pcap"), file("link.pcap"));
  symlinkSync(site, file("alias"));
  mkdirSync(file("long"));
  const fields = Array.from({ length: 9 }, (_, i) => `  X-${i}: ${"v".repeat(900)}\n`).join("");
  writeFileSync(join(file("long"), "_headers"), `/a/*\n${fields}`);
  mkdirSync(file("huge"));
  const rule = (i: number) => `/${i}\n  X-${"n".repeat(900)}: v${i}\n`;
  const rules = Array.from({ length: 1990 }, (_, i) => rule(i)).join("");
  writeFileSync(join(file("huge"), "_headers"), `${rules}${"# padding\n".repeat(300_000)}`);
  writeFileSync(file("device.mjs"), "export default class { constructor() { throw Error('no') } }");
  taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, "127.0.0.1", listening));
  port = (taken.address() as { port: number }).port;
});

afterAll(() => {
  taken.close();
  killCommands();
  rmSync(folder, { recursive: true });
});

describe("the same code and the same line, by --check and by a start", () => {
  test.each<[string, number, string, () => string[]]>([
    ["a port that is taken", 69, "the address is in use", () => [site, "--port", `${port}`]],
    ["an admin port that is taken", 69, "admin: ", () => [site, "--admin", `${port}`]],
    ["a site that is not there", 69, "cannot share", () => [file("nowhere")]],
    [
      "an access log in no folder",
      2,
      "access-log: ENOENT",
      () => [site, "--access-log", file("none/a.log")],
    ],
    ["rules that are too many", 2, "_headers has more than", () => [file("huge")]],
    [
      "headers that no answer has room for",
      2,
      "_headers: 8163 bytes of headers for /a/*, more than the 7936",
      () => [file("long")],
    ],
    [
      "a port that is taken, of replicas",
      69,
      "the address is in use",
      () => [site, "--port", `${port}`, "--replicas", "2"],
    ],
    [
      "two faults of replicas, of which the first counts",
      2,
      "access-log: ENOENT",
      () => [file("huge"), "--port", `${port}`, "--replicas", "2", "--access-log", file("none/a")],
    ],
    [
      "rules that are too many for replicas, and an admin port that is taken",
      2,
      "_headers has more than",
      () => [file("huge"), "--replicas", "2", "--admin", `${port}`],
    ],
    [
      "a site of replicas that is not there",
      69,
      "cannot share",
      () => [file("nowhere"), "--replicas", "2"],
    ],
    [
      "a device that cannot be made",
      2,
      "device.mjs: no",
      () => [site, "--device", file("device.mjs")],
    ],
    ["too little memory", 70, "panic", () => [site, "-m", "64K", "--connections", "1"]],
    [
      "an access log among the files of the site",
      2,
      "access-log: ",
      () => [site, "--access-log", join(site, "a.log")],
    ],
    [
      "a capture that a link leads into the site",
      2,
      "would be published with the site",
      () => [site, "--pcap", file("link.pcap")],
    ],
    [
      "a trace in a hidden folder of the site",
      2,
      "trace: ",
      () => [site, "--trace", join(site, ".t/x.json")],
    ],
    [
      "a snapshot in a site of replicas, by another name of its folder",
      2,
      "admin-snapshot: ",
      () => [
        ...[site, "--replicas", "2", "--admin", "0"],
        ...["--admin-snapshot", join(file("alias"), "w.torito")],
      ],
    ],
    ["a capture", 69, "--pcap", () => [site, "--pcap", file("none/x.pcap")]],
    ["a trace", 69, "--trace", () => [site, "--trace", file("none/x.json")]],
    ["a path that is none", 69, "cannot listen", () => [site, "--vsock-uds", file("none/v.sock")]],
    ["no such image", 2, "no such file", () => ["IMAGE"]],
    [
      "a port of the guest where nobody listens",
      2,
      "publish 127.0.0.1:0:81: WebServer listens on port 80 of its guest alone",
      () => [site, "-p", "0:81"],
    ],
  ])("%s", async (_, code, message, words) => {
    const [target = "", ...more] = words();
    const command = target === "IMAGE" ? ["run", file("none.wasm")] : ["serve", target];
    const free = more.includes("--port") || more.includes("-p") || target === "IMAGE";
    const all = [...command, ...(free ? [] : ["--port", "0"]), ...more];
    const checked = await start(...all, "--check").end;
    const started = await start(...all).end;
    expect(checked).toMatchObject({ code, err: expect.stringContaining(message) });
    expect(started).toMatchObject({ code, err: expect.stringContaining(message) });
  });
});

test("a file that would be published is not made", () => {
  expect(readdirSync(site).sort()).toEqual([".t", "index.html"]);
  expect(readdirSync(join(site, ".t"))).toEqual([]);
});

test("a log beside the site, whose folder has a name that begins alike, is private", async () => {
  mkdirSync(file("site-logs"));
  const log = join(file("site-logs"), "a.log");
  const { code, err } = await start("serve", site, "--port", "0", "--access-log", log, "--check")
    .end;
  expect([code, err]).toEqual([0, "torito: the configuration is good\n"]);
});

test("makes nothing: no log, no socket", async () => {
  const words = ["--access-log", file("new.log"), "--vsock-uds", file("v.sock"), "--port", "0"];
  const { code, err } = await start("serve", site, ...words, "--check").end;
  expect([code, err]).toEqual([0, "torito: the configuration is good\n"]);
  expect(() => readFileSync(file("new.log"))).toThrow("ENOENT");
  expect(() => readFileSync(file("v.sock"))).toThrow("ENOENT");
});

test("lines of the rule files without an effect are warnings", async () => {
  const own = mkdtempSync(join(folder, "own-"));
  writeFileSync(join(own, "_redirects"), "/a https://b.example/:splat 200\n");
  const { code, err } = await start("serve", own, "--port", "0", "--check").end;
  expect(code).toBe(0);
  expect(err).toMatch(
    /^warn: _redirects:1: .*; the line has no effect\ntorito: the configuration is good\n$/,
  );
});

test("the guide has a table of the codes, and each of them", () => {
  const guide = readFileSync("docs/operating.md", "utf8");
  const rows = [...guide.matchAll(/^\| (\d+) \| [^|]+ \|$/gm)].map(([, code]) => Number(code));
  const known = Object.entries(codes)
    .filter(([name]) => name.startsWith("EXIT_") && name !== "EXIT_MAX")
    .map(([, code]) => code as number);
  expect(rows).toEqual([0, ...known]);
});
