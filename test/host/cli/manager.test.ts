// Service managers: sockets that they hand over, and messages that they get.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { takeInherited } from "../../../host/cli/service/inherited.ts";
import { notifier } from "../../../host/cli/service/notify.ts";
import type { Log } from "../../../host/log.ts";
import { CLI } from "../../support/appliance.ts";
import { buildCommand, killCommands, start, startWith } from "../../support/command.ts";
import { witness } from "../../support/outside-program.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-manager-"));

beforeAll(() => {
  buildCommand();
  writeFileSync(join(folder, "index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

/** A shell that becomes torito, whose process it then has the number of. */
function handedOver(descriptor: string, variables: string) {
  const serve = `${process.execPath} ${CLI} serve ${folder} ${descriptor}`;
  const command = `export LISTEN_PID=$$ ${variables}; exec ${serve}`;
  const child = spawn("/bin/sh", ["-c", command], { stdio: ["ignore", "pipe", "pipe"] });
  let err = "";
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    err += part;
  });
  return once(child, "close").then(([code]) => ({ code, err }));
}

describe("sockets that are handed over", () => {
  test("are those of this process, and their variables are gone after", () => {
    const server = { LISTEN_PID: "7", LISTEN_FDS: "0", LISTEN_FDNAMES: "a:b", HOME: "/" };
    const env: NodeJS.ProcessEnv = { ...server };
    expect(takeInherited(env, 8)).toEqual([]);
    expect(env).toEqual({ HOME: "/" });
    expect(takeInherited({ ...server }, 7)).toEqual([]);
    expect(takeInherited({}, 7)).toEqual([]);
  });

  test.each(["1000", "-1", "x", "1.5"])("are not %s", (count) => {
    expect(() => takeInherited({ LISTEN_PID: "7", LISTEN_FDS: count }, 7)).toThrow(
      `LISTEN_FDS ${count}: not a number from 0 to 64`,
    );
  });

  test("are not a file, or nothing", async () => {
    const file = await handedOver("3</dev/null", "LISTEN_FDS=1");
    expect(file).toMatchObject({
      code: 2,
      err: "torito: LISTEN_FDS: descriptor 3 is not a socket\n",
    });
    const nothing = await handedOver("", "LISTEN_FDS=64");
    expect(nothing.code).toBe(2);
    expect(nothing.err).toContain("torito: LISTEN_FDS: descriptor");
  });

  test.each([
    ["the service restarts", "", []],
    ["a service of two replicas restarts", "", ["--replicas", "2"]],
    ["a service on a path restarts", "held", []],
    ["two replicas on a path restart", "shared", ["--replicas", "2"]],
  ])("serve on while %s: requests wait, and none fails", async (_, name, words) => {
    const path = name === "" ? "" : join(folder, name);
    const holder = spawn(process.execPath, ["-e", HOLDER, path, CLI, folder, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = { out: "", err: "" };
    holder.stdout.setEncoding("utf8").on("data", (part: string) => {
      text.out += part;
    });
    holder.stderr.setEncoding("utf8").on("data", (part: string) => {
      text.err += part;
    });
    const until = async (holds: () => boolean) => {
      while (!holds()) await setTimeout(10);
    };
    const count = () => text.err.split("ready in").length - 1;
    await until(() => count() === 1);
    const port = Number(/port (\d+)/.exec(text.out)?.[1]);
    if (path === "") expect(text.err).toContain(`http://127.0.0.1:${port}/`);
    else expect(text.err).toMatch(/ready in \d+ ms {2}descriptor \d+\n/);
    const place = path === "" ? { port, host: "127.0.0.1" } : { path };
    let going = true;
    let answered = 0;
    const ask = async () => {
      while (going) {
        expect(await answerOf(place)).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)+hello$/);
        answered++;
      }
    };
    const clients = Array.from({ length: 8 }, ask);
    for (let restart = 2; restart <= 4; restart++) {
      await setTimeout(100);
      const children = `/proc/${holder.pid}/task/${holder.pid}/children`;
      const service = Number(readFileSync(children, "utf8").trim());
      process.kill(service, "SIGTERM");
      await until(() => count() === restart);
    }
    going = false;
    await Promise.all(clients);
    expect(answered).toBeGreaterThan(20);
    const last = Number(
      readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8").trim(),
    );
    process.kill(last, "SIGTERM");
    expect(await once(holder, "close")).toEqual([0, null]);
  });

  witness("systemd-socket-activate", "come from systemd too", async () => {
    const free = createServer();
    await new Promise<void>((listening) => free.listen(0, "127.0.0.1", listening));
    const { port } = free.address() as { port: number };
    free.close();
    await once(free, "close");
    const words = ["-l", `127.0.0.1:${port}`, process.execPath, CLI, "serve", folder];
    const manager = spawn("systemd-socket-activate", words, { stdio: "ignore" });
    let answer = "";
    while (answer === "") {
      answer = await answerOf({ port, host: "127.0.0.1" }).catch(() => "");
      await setTimeout(20);
    }
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)+hello$/);
    manager.kill("SIGTERM");
    expect(await once(manager, "close")).toEqual([0, null]);
  });
});

describe("readiness", () => {
  test("is a line on the descriptor of --ready-fd", async () => {
    const torito = startWith(
      { stdio: ["ignore", "pipe", "pipe", "pipe"] },
      ...["serve", folder, "-p", "0:80", "--ready-fd", "3"],
    );
    const [part] = await once(torito.child.stdio[3] as NodeJS.ReadableStream, "data");
    expect(String(part)).toBe("ready\n");
    torito.child.kill();
    expect((await torito.end).code).toBe(0);
  });

  test("is a warning where the descriptor is none", async () => {
    const torito = start("serve", folder, "-p", "0:80", "--ready-fd", "99");
    await torito.until(/warn: ready-fd 99: EBADF/);
    await torito.until(/ready in/);
    torito.child.kill();
    expect((await torito.end).code).toBe(0);
  });

  witness("socat", "systemd hears of ready, reload and stop, with the main process", async () => {
    const path = join(folder, "notify");
    const heard = spawn("socat", ["-u", `UNIX-RECV:${path}`, "STDOUT"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let text = "";
    heard.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    while (spawnSync("test", ["-S", path]).status !== 0) await setTimeout(10);
    const torito = startWith(
      { env: { NOTIFY_SOCKET: path } },
      ...["serve", folder, "-p", "0:80", "--lame-duck", "1s"],
    );
    const until = async (wanted: string) => {
      while (!text.includes(wanted)) await setTimeout(10);
    };
    await until("READY=1");
    expect(text).toContain(`MAINPID=${torito.child.pid}`);
    torito.child.kill("SIGHUP");
    await until("RELOADING=1");
    torito.child.kill("SIGTERM");
    await until("STOPPING=1");
    expect((await torito.end).code).toBe(0);
    heard.kill();
  });

  test("without the program, and on a socket that nobody reads, is one warning", async () => {
    const told: string[] = [];
    const log: Log = (level, _, message) => told.push(`${level}: ${message}`);
    const notify = notifier({ NOTIFY_SOCKET: "/nowhere" }, log, "no-such-program");
    notify("READY=1");
    notify("STOPPING=1");
    while (told.length === 0) await setTimeout(5);
    await setTimeout(50);
    expect(told).toEqual([expect.stringMatching(/^warn: systemd-notify fails: /)]);
    const silent = notifier({}, log, "no-such-program");
    silent("READY=1");
    expect(told).toHaveLength(1);
  });

  test("does not keep a service from starting and ending where nobody reads it", async () => {
    const torito = startWith(
      { env: { NOTIFY_SOCKET: join(folder, "nobody") } },
      ...["serve", folder, "-p", "0:80", "--lame-duck", "0s"],
    );
    await torito.until(/ready in/);
    torito.child.kill();
    expect((await torito.end).code).toBe(0);
  });
});

/** Binds a socket and hands it to four services, one after the other; it never accepts itself. */
const HOLDER = `
  const { spawnSync } = require("node:child_process");
  const { writeSync } = require("node:fs");
  const server = require("node:net").createServer();
  const [path, cli, ...serve] = process.argv.slice(1);
  const place = path === "" ? { port: 0, host: "127.0.0.1" } : { path };
  server.listen({ ...place, backlog: 511 }, () => {
    writeSync(1, "port " + server.address().port + "\\n");
    const script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"';
    for (let i = 0; i < 4; i++) {
      const words = ["-c", script, "sh", process.execPath, cli, "serve", ...serve];
      spawnSync("/bin/sh", words, { stdio: ["ignore", "ignore", "inherit", server._handle.fd] });
    }
    process.exit(0);
  });`;

/** The answer of a request on a connection of its own. Rejects if there is none. */
function answerOf(place: NetConnectOpts): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(place);
    let text = "";
    socket.on("error", reject);
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
    });
    socket.on("end", () => resolve(text));
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  });
}
