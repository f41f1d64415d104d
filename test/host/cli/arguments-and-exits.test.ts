// The built command as its users start it: arguments, exit codes, signals.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../host/cli/arguments.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { assemble, guest, print } from "../../support/wat.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-cli-"));
const image = (name: string) => join(folder, `${name}.wasm`);

beforeAll(async () => {
  buildCommand();
  const images = {
    halt: guest({}),
    spin: guest({ run: "(loop $forever (br $forever)) i32.const 0" }),
    seven: guest({
      fields: '(data (i32.const 0x4000) "bye\\n")',
      boot: `${print(0x4000, 4)} (call $proc_exit (i32.const 7))`,
    }),
    coarse: guest({ boot: "(call $proc_exit (i32.const 256))" }),
    typed: assemble(
      "typed.wat",
      `(module (import "env" "memory" (memory 1 65536)) (export "memory" (memory 0))
        (func (export "_initialize")) (func (export "boot") (param i64))
        (func (export "interrupt") (param i32)) (func (export "run") (param i32) (result i32)
        i32.const 0))`,
    ),
    loops: guest({ fields: "(func $go (loop $for (br $for))) (start $go)" }),
    leaves: guest({ fields: "(func $go (call $proc_exit (i32.const 9))) (start $go)" }),
    fails: guest({ fields: "(func $go unreachable) (start $go)" }),
    grows: guest({ run: "(memory.grow (i32.const 0))" }),
    trap: guest({ fields: "(func $divide unreachable)", boot: "(call $divide)" }),
    parameters: guest({ boot: `${print(0x1040, 60)} (call $proc_exit (i32.const 0))` }),
  };
  for (const [name, bytes] of Object.entries(images)) writeFileSync(image(name), await bytes);
  writeFileSync(image("text"), "not an image");
  mkdirSync(image("folder"));
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

describe("arguments", () => {
  test.each([
    ["", "no command"],
    ["server .", 'unknown command "server"; did you mean serve?'],
    ["xyzzy", 'unknown command "xyzzy"'],
    ["serve", "which directory?"],
    ["run", "which application?"],
    ["serve a b", '"b" is one argument too many'],
    ["serve . --pubish 1:2", "unknown option --pubish; did you mean --publish?"],
    ["serve . -x", "unknown option -x"],
    ["help srve", 'unknown command "srve"; did you mean serve?'],
    ["serve . --no-listing", "unknown option --no-listing; --listing=off turns it off"],
    ["serve . --inspect 9091 --admin 9090", "--inspect 9091: the inspector is on --admin"],
    ["serve . --admin=9090 --inspect=9091", "--inspect 9091: the inspector is on --admin"],
    ["serve . --publish", "--publish needs a value"],
    ["serve . -p", "-p needs a value"],
    ["serve . -p 80", "--publish 80: not [HOST:]PORT:GUESTPORT[/net]"],
    ["serve . -p 65536:80", "not a number from 0 to 65535"],
    ["serve . -p 80:0", "not a number from 1 to"],
    ["serve . -v x", "--volume x: not HOSTDIR:TAG"],
    ["serve . -v x:site", 'two directories have the tag "site"'],
    [`serve . -v x:${"t".repeat(37)}`, "longer than 36 bytes"],
    ["serve . -m lots", "not a size"],
    ["serve . -m 1000", "multiple of 64K"],
    ["serve . -m 5G", "4G at most"],
    ["serve . --cid 2", "--cid 2: not a number from 3"],
    ["serve . --connect 80", "not PORT:[HOST:]TCPPORT"],
    ["serve . --vsock-uds", "--vsock-uds needs a value"],
    ["serve . --seqpacket 0", "--seqpacket 0: not a number from 1"],
    ["serve . --stats=yes", "--stats takes no value"],
    ["serve . --timeout soon", "--timeout soon: not a duration"],
    ["serve . --timeout 5h", "--timeout 5h: not a duration as in 500ms, 10s or 2m"],
    ["serve . --watchdog 1e3", "--watchdog 1e3: not a duration"],
    ["serve . --lame-duck 1.5s", "--lame-duck 1.5s: not a duration"],
    ["serve . -m 64MB", "not a size as in 64K, 64M or 1G"],
    ["serve . --grace -1", "--grace"],
    ["serve . --log-format xml", "not one of pretty, json"],
    ["serve . --log-level loud", "not one of error, warn, info, debug"],
    ["--help=yes", "--help takes no value"],
  ])("`torito %s` is refused", (line, message) => {
    const words = line.split(" ").filter((word) => word !== "");
    expect(() => parseCommandLine(words)).toThrow(message);
  });

  test("plain numbers of flags are seconds, as they were before durations had units", () => {
    const words = ["run", "x", "--timeout", "10", "--grace", "0.25", "--watchdog", "0"];
    expect(parseCommandLine(words)).toMatchObject({
      timeoutMs: 10_000,
      graceMs: 250,
      watchdogMs: null,
    });
  });

  test("serve is WebServer on 127.0.0.1:4000 with the directory as its site", () => {
    expect(parseCommandLine(["serve", "./site"])).toMatchObject({
      app: "web-server",
      publish: [{ host: "127.0.0.1", port: 4000, guestPort: 80 }],
      volumes: [{ directory: "./site", tag: "site", readOnly: true }],
      memoryBytes: 64 * 2 ** 20,
      windowBytes: 16 * 2 ** 20,
      cid: 3,
      vsockPath: null,
      seqpacket: [],
      capture: null,
      trace: null,
      stats: false,
      timeoutMs: null,
      lameDuckMs: 0,
      graceMs: 20000,
      watchdogMs: 10000,
    });
  });

  test("run has a window for files only on request, serve if memory is left for it", () => {
    expect(parseCommandLine(["run", "x"])).toMatchObject({ windowBytes: 0 });
    expect(parseCommandLine(["serve", "x", "-m", "4G"])).toMatchObject({ windowBytes: 0 });
    expect(parseCommandLine(["serve", "x", "--fs-window", "0"])).toMatchObject({ windowBytes: 0 });
  });

  test("parses every option", () => {
    const words =
      "run apps/x -p 8080:80 -p [::1]:0:81 -v a:b:c:ro -v d:e:rw --device ./dice.mjs -m 1G --fs-window 128M --cid 5 --connect 9:10 " +
      "--connect 11:db:12 --sockets net --timeout 1500ms --lame-duck 2m --grace 0 --watchdog 0 --log-format json " +
      "--vsock-uds /run/x --seqpacket 80 --seqpacket 9 --pcap x.pcap --trace x.json --stats --log-level debug -- port=81 -x --help";
    expect(parseCommandLine(words.split(" "))).toEqual({
      kind: "run",
      app: "apps/x",
      publish: [
        { host: "127.0.0.1", port: 8080, guestPort: 80 },
        { host: "::1", port: 0, guestPort: 81 },
      ],
      volumes: [
        { directory: "a:b", tag: "c", readOnly: true },
        { directory: "d", tag: "e", readOnly: false },
      ],
      devices: ["./dice.mjs"],
      connect: new Map([
        [9, { host: "127.0.0.1", port: 10 }],
        [11, { host: "db", port: 12 }],
      ]),
      vsockPath: "/run/x",
      net: null,
      seqpacket: [80, 9],
      capture: {
        ...{ path: "x.pcap", format: "vsock", snaplen: 262_144, port: null },
        rotation: null,
      },
      netCapture: null,
      trace: { path: "x.json", names: false },
      stats: true,
      restorePath: null,
      save: null,
      machines: null,
      connections: 65536,
      sockets: "net",
      accessLog: { path: null, format: "combined", anonymize: false, proxies: [] },
      admin: null,
      readyFd: null,
      replicas: 1,
      areThreads: false,
      restarts: false,
      isProxied: false,
      site: null,
      act: "run",
      settings: expect.any(Array),
      memoryBytes: 2 ** 30,
      windowBytes: 2 ** 27,
      cid: 5,
      timeoutMs: 1500,
      lameDuckMs: 120000,
      graceMs: 0,
      watchdogMs: null,
      logFormat: "json",
      logLevel: "debug",
      parameters: "port=81 -x --help",
    });
  });
});

describe("exit codes", () => {
  test("help and version: 0", async () => {
    const help = await start("--help").end;
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(help.out).toContain("torito serve ./site");
    expect((await start("help").end).out).toBe(help.out);
    const ofServe = (await start("serve", "--help").end).out;
    expect(ofServe).toContain("--inspect [[HOST:]PORT]");
    expect((await start("help", "serve").end).out).toBe(ofServe);
    expect((await start("--version").end).out).toMatch(/^torito \d+\.\d+\.\d+\n$/);
  });

  test("a mistake on the command line: 2 and one line", async () => {
    const { code, out, err } = await start("serve", ".", "--mem", "1").end;
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toBe("torito: unknown option --mem; did you mean --memory?\n");
  });

  test("a missing or invalid image: 2 and one line", async () => {
    const missing = await start("run", image("missing")).end;
    expect(missing).toMatchObject({ code: 2, err: expect.stringContaining("no such file") });
    const unbuilt = await start("run", "apps/missing").end;
    expect(unbuilt).toMatchObject({ code: 2, err: expect.stringContaining("npm run build") });
    for (const other of ["/no/such/dir/hello-world", "other/echo", "README.md", folder]) {
      const { code, err } = await start("run", other).end;
      expect([code, err]).toEqual([2, expect.stringContaining(`${other}: neither an image`)]);
    }
    const text = await start("run", image("text")).end;
    expect(text.code).toBe(2);
    expect(text.err).toMatch(/^torito: image: not a WebAssembly module.*\n$/);
    const directory = await start("run", image("folder")).end;
    expect(directory.code).toBe(2);
    expect(directory.err).toMatch(/^torito: .*folder\.wasm: EISDIR.*\n$/);
    const app = await start("run", "apps/no-such-application").end;
    expect(app).toMatchObject({ code: 2, err: expect.stringContaining("no-such-application") });
  });

  test("a directory that is missing or a port that is taken: 69 and one line", async () => {
    const volume = await start("run", image("halt"), "-v", `${folder}/nowhere:site`).end;
    expect(volume.code).toBe(69);
    expect(volume.err).toMatch(/^torito: .*nowhere.*\n$/);
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { port } = server.address() as AddressInfo;
    const bound = await start("run", image("halt"), "-p", `${port}:80`).end;
    expect(bound.code).toBe(69);
    expect(bound.err).toMatch(new RegExp(`^torito: .*${port}.*\\n$`));
    server.close();
  });

  test("a path for vsock that cannot be bound: 69 and one line; the file stays", async () => {
    const path = join(folder, "letter");
    writeFileSync(path, "dear reader");
    const { code, err } = await start("run", image("halt"), "--vsock-uds", path).end;
    expect(code).toBe(69);
    expect(err).toBe(`torito: cannot listen on ${path}: a file is there that is not a socket\n`);
    expect(readFileSync(path, "utf8")).toBe("dear reader");
  });

  test("power-off: the guest's code, its console on stdout", async () => {
    expect(await start("run", image("seven")).end).toMatchObject({ code: 7, out: "bye\n" });
  });

  test("does not report success for a code that a parent process cannot see", async () => {
    expect((await start("run", image("coarse")).end).code).toBe(255);
  });

  test("more parameters than there is room for: 2 and one line", async () => {
    const { code, err } = await start("run", image("halt"), "--", "x".repeat(5000)).end;
    expect(code).toBe(2);
    expect(err).toMatch(/^torito: kernel parameters: .* of 4032 bytes\n$/);
  });

  test("panic: 70, with the guest's frames on stderr", async () => {
    const { code, err } = await start("run", image("trap")).end;
    expect(code).toBe(70);
    expect(err).toMatch(/panic: unreachable\n {4}at divide .*\n {4}at boot /);
  });

  test("--timeout: 124", async () => {
    expect(await start("run", image("halt"), "--timeout", "100ms").end).toMatchObject({
      code: 124,
    });
  });

  test("parameters after -- reach the guest", async () => {
    const { out } = await start("run", image("parameters"), "--", "a=1", "--b").end;
    expect(out).toContain("virtio_mmio.device=512@0x10000000:5 a=1 --b");
  });

  test("an entry point of another type: 2 and one line", async () => {
    const { code, err } = await start("run", image("typed")).end;
    expect(code).toBe(2);
    expect(err).toBe("torito: image: its boot() is not of the type (i32) -> ()\n");
  });

  test("a start function that powers off or traps ends like a boot() that does", async () => {
    expect(await start("run", image("leaves")).end).toMatchObject({ code: 9 });
    const { code, err } = await start("run", image("fails")).end;
    expect(code).toBe(70);
    expect(err).toMatch(/panic: unreachable\n {4}at go /);
  });

  test("a start function that never returns is killed by the watchdog", async () => {
    const { signal, err } = await start("run", image("loops"), "--watchdog", "200ms").end;
    expect(signal).toBe("SIGKILL");
    expect(err).toContain("watchdog: the guest has not returned for 0.2 s");
  });

  test("a guest that detaches the host's views: 70", async () => {
    const { code, err } = await start("run", image("grows")).end;
    expect(code).toBe(70);
    expect(err).toMatch(/^error: guest: panic: memory\.grow, in a memory of fixed size/);
  });

  test("a guest that never returns is killed by the watchdog", async () => {
    const { signal, err } = await start("run", image("spin"), "--watchdog", "200ms").end;
    expect(signal).toBe("SIGKILL");
    expect(err).toContain("watchdog: the guest has not returned for 0.2 s");
  });
});

describe("signals", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "the first %s drains and ends with 0",
    async (signal) => {
      const { child, until, end } = start("run", image("halt"));
      await until(/ready in \d+ ms/);
      child.kill(signal);
      expect(await end).toMatchObject({ code: 0, err: expect.stringContaining(signal) });
    },
  );

  /** A client whose connection a guest without a kernel never answers. */
  async function withClient(...words: string[]) {
    const listening = /listening on 127\.0\.0\.1:(\d+)/;
    const torito = start("run", image("halt"), "-p", "0:80", "--log-level", "debug", ...words);
    const [, port] = await torito.until(listening);
    const client = connect(Number(port), "127.0.0.1");
    client.on("error", () => {});
    await new Promise<void>((connected) => client.on("connect", connected));
    return { ...torito, client };
  }

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("the second %s ends at once, with %i", async (signal, code) => {
    const { child, until, end, client } = await withClient();
    child.kill(signal);
    await until(/finishing open connections/);
    child.kill(signal);
    expect((await end).code).toBe(code);
    client.destroy();
  });

  test("resets the clients that are left when the grace runs out, says how many, and ends with 0", async () => {
    const { child, end, client } = await withClient("--grace", "100ms");
    child.kill("SIGTERM");
    expect(await end).toMatchObject({
      code: 0,
      err: expect.stringContaining("1 client was reset: not done after 0.1 s"),
    });
    client.destroy();
  });
});

test("--vsock-uds: the path is there while torito runs, and gone after", async () => {
  const path = join(folder, "vsock");
  const { child, until, end } = start("run", image("halt"), "--vsock-uds", path);
  await until(/ready in/);
  const client = connect(path);
  client.on("error", () => {});
  const closed = new Promise((resolve) => client.on("close", resolve));
  client.write("GET / HTTP/1.1\n");
  await closed;
  child.kill("SIGTERM");
  expect((await end).code).toBe(0);
  expect(existsSync(path)).toBe(false);
});

test("--stats: one block on stderr at exit, in JSON on request", async () => {
  const { err } = await start("run", image("seven"), "--stats", "--log-level", "error").end;
  expect(err.split("\n").map((line) => line.replace(/ +/g, " "))).toEqual([
    " bytes host copies/byte guest copies/byte",
    "to guest 0 0.000 -",
    "from guest 0 0.000 -",
    "",
  ]);
  const json = await start("run", image("seven"), "--stats", "--log-format", "json").end;
  expect(JSON.parse(json.err.trim().split("\n").at(-1) as string)).toMatchObject({
    comp: "torito",
    stats: { toGuest: { bytes: 0, guestCopies: null }, fromGuest: { bytes: 0 } },
  });
});

test("reports missing resources in JSON on request", async () => {
  const words = ["run", image("halt"), "-v", `${folder}/nowhere:site`, "--log-format", "json"];
  const { code, err } = await start(...words).end;
  expect(code).toBe(69);
  expect(JSON.parse(err)).toMatchObject({ level: "error", comp: "torito" });
});

test("writes log lines in JSON on request", async () => {
  const { child, until, end } = start("run", image("halt"), "--log-format", "json");
  await until(/ready in/);
  child.kill("SIGTERM");
  const lines = (await end).err.trim().split("\n");
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(parsed[0]).toMatchObject({ level: "info", cid: 3, comp: "torito" });
});
