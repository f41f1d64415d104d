// Settings from flags, the environment and torito.json: which one holds, and what is refused.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Command, parseCommandLine } from "../../../host/cli/arguments.ts";
import { configSchema } from "../../../host/cli/config/schema.ts";
import type { Environment } from "../../../host/cli/config/sources.ts";
import { CliError } from "../../../host/cli/usage.ts";
import { buildCommand, killCommands, startWith } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-config-"));
const site = join(folder, "site");
const file = join(folder, "torito.json");

beforeAll(() => {
  buildCommand();
  mkdirSync(site);
});
beforeEach(() => rmSync(file, { force: true }));
afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

function serve(words: readonly string[], json: unknown = null, env: Environment = {}): Command {
  if (json !== null) writeFileSync(file, typeof json === "string" ? json : JSON.stringify(json));
  return parseCommandLine(["serve", site, ...words], () => null, env) as Command;
}

const source = ({ settings }: Command, name: string) =>
  settings.find((one) => one.name === name)?.source;

describe("the strongest source holds", () => {
  test("a flag, then the environment, then the file, then the default", () => {
    const json = { memory: "16M" };
    const env = { TORITO_MEMORY: "32M" };
    expect(serve([]).memoryBytes).toBe(64 * 2 ** 20);
    expect(serve([], json).memoryBytes).toBe(16 * 2 ** 20);
    expect(serve([], json, env).memoryBytes).toBe(32 * 2 ** 20);
    const all = serve(["-m", "48M"], json, env);
    expect(all.memoryBytes).toBe(48 * 2 ** 20);
    expect(source(all, "memory")).toBe("--memory");
    expect(source(serve([], json, env), "memory")).toBe("TORITO_MEMORY");
    expect(source(serve([], json), "memory")).toBe(`${file}: memory`);
    expect(source(serve([], {}), "memory")).toBe("default");
  });

  test("a list of a stronger source replaces the other, and is not added to it", () => {
    const json = { publish: ["8080:80", "9090:81"] };
    expect(serve([], json).publish).toHaveLength(2);
    expect(serve(["-p", "0:80"], json).publish).toEqual([
      { host: "127.0.0.1", port: 0, guestPort: 80 },
    ]);
    expect(serve([], json, { TORITO_PUBLISH: "1:80, 2:81" }).publish).toMatchObject([
      { port: 1 },
      { port: 2 },
    ]);
  });

  test("options of the site too, also to switch one off", () => {
    expect(serve([]).site).toMatchObject({ precompressed: true, cors: [], listing: false });
    const json = { precompressed: false, cors: ["https://a.example"], types: { ts: "text/plain" } };
    const { site: own } = serve([], json);
    expect(own).toMatchObject(json);
    expect(serve(["--precompressed=true", "--cors", "*"], json).site).toMatchObject({
      precompressed: true,
      cors: ["*"],
      types: { ts: "text/plain" },
    });
    expect(serve([], json, { TORITO_LISTING: "1" }).site).toMatchObject({ listing: true });
  });

  test.each([
    [["--port", "8080"], {}, {}, "127.0.0.1", 8080],
    [["--port", "8080", "--host", "0.0.0.0"], {}, {}, "0.0.0.0", 8080],
    [["--host", "[::1]"], {}, {}, "::1", 4000],
    [[], {}, { PORT: "3000", HOST: "0.0.0.0" }, "0.0.0.0", 3000],
    [[], { port: 5000 }, { PORT: "3000" }, "127.0.0.1", 5000],
    [["-p", "0.0.0.0:1:80"], {}, { PORT: "3000", HOST: "::" }, "0.0.0.0", 1],
    [["--host", "::"], { publish: ["127.0.0.1:8443:80"] }, {}, "::", 8443],
    [[], { host: "0.0.0.0" }, { TORITO_PORT: "7000" }, "0.0.0.0", 7000],
  ])("the address of %j, %j and %j is %s port %i", (words, json, env, host, port) => {
    expect(serve(words, json, env).publish).toEqual([{ host, port, guestPort: 80 }]);
  });

  test("the root stands anywhere, and paths of a file are relative to it", () => {
    writeFileSync(file, JSON.stringify({ root: "site", volume: ["data:d:rw"] }));
    const words = ["serve", "--config", file];
    const { volumes } = parseCommandLine(words) as Command;
    expect(volumes).toEqual([
      { directory: site, tag: "site", readOnly: true },
      { directory: join(folder, "data"), tag: "d", readOnly: false },
    ]);
    const other = parseCommandLine([...words, "--root", "/srv"]) as Command;
    expect(other.volumes[0]).toMatchObject({ directory: "/srv" });
  });

  test("an editor's $schema sets nothing", () => {
    expect(serve([], { $schema: "./torito.schema.json" }).settings).toHaveLength(
      serve([]).settings.length,
    );
  });
});

const TWICE = '{"memory": "16M", "cid": 3, "memory": "32M"}';

describe("a mistake ends with 2 and the name of the key", () => {
  test.each<[string, readonly string[], unknown, Environment, string]>([
    ["a misspelt key", [], { memroy: "64M" }, {}, 'unknown key "memroy"; did you mean memory?'],
    ["an unknown key", [], { xyzzy: 1 }, {}, 'unknown key "xyzzy"'],
    ["a misspelt flag", ["--acces"], null, {}, "--acces"],
    ["swapped letters", [], { prot: 8080 }, {}, 'unknown key "prot"; did you mean port?'],
    ["a misspelt variable", [], null, { TORITO_MEMROY: "1M" }, "did you mean TORITO_MEMORY?"],
    ["an unknown variable", [], null, { TORITO_XYZZY: "1" }, "TORITO_XYZZY"],
    ["a key in another case", [], { Memory: "64M" }, {}, 'unknown key "Memory"'],
    ["a key with an underscore", [], { log_level: "info" }, {}, "did you mean log-level?"],
    ["a key that is only a flag", [], { pcap: "x" }, {}, 'unknown key "pcap"'],
    ["a key that stands twice", [], TWICE, {}, 'the key "memory" stands there twice'],
    ["a file that is not JSON", [], "{memory: 1}", {}, "not JSON"],
    ["a comment", [], '{"memory": "64M"} // large', {}, "not JSON"],
    ["a list", [], [], {}, "not an object"],
    ["a number for a size", [], { memory: 64 }, {}, "memory: 64 is not a string"],
    ["a string for a number", [], { cid: "3" }, {}, 'cid: "3" is not a number'],
    ["a string for a list", [], { publish: "80:80" }, {}, "publish"],
    ["a string for a flag", [], { fresh: "yes" }, {}, 'fresh: "yes" is not true or false'],
    ["a number for a choice", [], { dotfiles: 1 }, {}, "dotfiles: 1 is not one of hide, serve"],
    ["an unknown choice", [], { etag: "sha" }, {}, "etag"],
    ["an unknown choice in the environment", [], null, { TORITO_ETAG: "sha" }, "TORITO_ETAG"],
    ["a flag that is neither", [], null, { TORITO_FRESH: "maybe" }, "TORITO_FRESH"],
    ["a duration without unit", [], { grace: "20" }, {}, "grace 20: not a duration"],
    ["a duration in hours", [], { grace: "1h" }, {}, "grace 1h: not a duration"],
    ["a duration with a space", [], { "lame-duck": "5 s" }, {}, "lame-duck 5 s: not a duration"],
    ["a size with a small letter", [], { memory: "64m" }, {}, "memory 64m: not a size"],
    ["a size of 5 GiB", [], { memory: "5G" }, {}, "memory 5G"],
    ["a port out of range", [], { port: 65536 }, {}, "port 65536"],
    ["a fraction of a port", [], { port: 80.5 }, {}, "port 80.5"],
    ["PORT that is a name", [], null, { PORT: "http" }, "PORT http"],
    ["a host with a path", [], { host: "a/b" }, {}, "host a/b"],
    ["a port and a publish", ["--port", "1", "-p", "2:80"], null, {}, "--port: --publish says"],
    ["both in one file", [], { port: 1, publish: ["2:80"] }, {}, "port: "],
    ["two roots", ["--root", "x"], null, {}, "--root: the site is"],
    ["machines without fresh", [], { machines: 4 }, {}, "machines goes with --fresh"],
    ["no replicas", [], { replicas: 0 }, {}, "replicas 0: not a number from 1 to 64"],
    ["65 replicas", [], null, { TORITO_REPLICAS: "65" }, "TORITO_REPLICAS 65: not a number"],
    ["half a replica", ["--replicas", "1.5"], null, {}, "--replicas 1.5: not a number"],
    ["replicas that forget", ["--fresh"], { replicas: 2 }, {}, "replicas does not go with --fresh"],
    ["a trace of replicas", ["--trace", "x"], { replicas: 2 }, {}, "--trace is of one machine"],
    ["a capture of replicas", ["--pcap", "x"], { replicas: 2 }, {}, "--pcap is of one machine"],
    ["copies of replicas", ["--stats"], { replicas: 2 }, {}, "--stats is of one machine"],
    ["a path of replicas", [], { replicas: 2, "vsock-uds": "x" }, {}, "vsock-uds is of one"],
    ["a memory that is the snapshot's", [], { memory: "16M", restore: "x" }, {}, "memory is the"],
    ["all origins and one", [], { cors: ["*", "https://a.example"] }, {}, "cors"],
    ["a type without slash", [], { types: { ts: "text" } }, {}, "types"],
    ["a fallback outside", [], { fallback: "index.html" }, {}, "fallback"],
    ["no connections", [], { connections: 0 }, {}, "connections 0"],
    ["a level that is none", [], null, { TORITO_LOG_LEVEL: "loud" }, "TORITO_LOG_LEVEL loud"],
    [
      "a header that nobody may send",
      ["--proxy-protocol", "required"],
      {},
      {},
      "--proxy-protocol: t",
    ],
    ["a proxy that is none", [], { "trusted-proxies": ["a.example"] }, {}, "trusted-proxies: "],
    ["two directories with one tag", [], { volume: ["x:site"] }, {}, "volume: two"],
  ])("%s", (_, words, json, env, message) => {
    let error: unknown;
    try {
      serve(words, json, env);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(CliError);
    expect((error as CliError).code).toBe(2);
    expect((error as CliError).message).toContain(message);
  });

  test("a file that is not there, and one that is for another command", () => {
    expect(() => serve(["--config", join(folder, "missing.json")])).toThrow("missing.json: ENOENT");
    writeFileSync(file, JSON.stringify({ cors: ["*"] }));
    expect(() => parseCommandLine(["run", "x.wasm", "--config", file])).toThrow(
      'run has no option "cors"',
    );
  });
});

describe("the command", () => {
  test("--print-config prints what holds, and whence", async () => {
    writeFileSync(file, JSON.stringify({ memory: "16M" }));
    const env = { TORITO_CORS: "*", PORT: "0" };
    const torito = startWith({ env }, "serve", site, "--print-config", "--grace", "1s");
    const { code, out } = await torito.end;
    expect(code).toBe(0);
    expect(out).toMatch(/^memory +.* = "16M" {2}\(.*torito\.json: memory\)$/m);
    expect(out).toMatch(/^cors +.* = \["\*"\] {2}\(TORITO_CORS\)$/m);
    expect(out).toMatch(/^grace +.* = "1s" {2}\(--grace\)$/m);
    expect(out).toMatch(/^publish +.* = \["127\.0\.0\.1:0:80"\] {2}\(PORT\)$/m);
    expect(out).toMatch(/^watchdog +.* = "10s"$/m);
  });

  test("--check ends with 0, or as a start would and with a line for each fault", async () => {
    const good = await startWith({}, "serve", site, "--check", "--port", "0").end;
    expect(good).toMatchObject({ code: 0, err: "torito: the configuration is good\n" });
    const taken = createServer();
    await new Promise<void>((listening) => taken.listen(0, "127.0.0.1", listening));
    const { port } = taken.address() as { port: number };
    const nowhere = join(folder, "nowhere");
    const words = ["--port", `${port}`, "-m", "16M", "--connections", "5000"];
    const bad = await startWith({}, "serve", nowhere, "--check", ...words).end;
    expect(bad.code).toBe(2);
    expect(bad.err.split("\n")).toEqual([
      "torito: connections: 5000 do not fit into memory, which holds 1024",
      `torito: cannot listen on 127.0.0.1:${port}: the address is in use`,
      expect.stringMatching(/^torito: fs: cannot share .*nowhere: ENOENT/),
      "",
    ]);
    taken.close();
  });

  test("a mistake in the file is one line, and 2", async () => {
    writeFileSync(file, JSON.stringify({ memroy: "16M" }));
    const { code, err } = await startWith({}, "serve", site).end;
    expect(code).toBe(2);
    expect(err).toBe(`torito: ${file}: unknown key "memroy"; did you mean memory?\n`);
  });
});

test("the schema that the package ships is that of the table of options", () => {
  const shipped = readFileSync("torito.schema.json", "utf8");
  expect(shipped).toBe(`${JSON.stringify(configSchema(), null, 2)}\n`);
  const { properties } = configSchema() as { properties: Record<string, unknown> };
  expect(Object.keys(properties)).toEqual(expect.arrayContaining(["memory", "cors", "$schema"]));
  expect(properties).not.toHaveProperty("help");
});
