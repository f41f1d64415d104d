// How a service begins and ends: clients wait instead of being refused, and none is lost.
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { lameDuckPreset } from "../../../host/cli/values.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";

const VSOCK = ["-p", "0:80"];
const site = mkdtempSync(join(tmpdir(), "torito-drain-"));

beforeAll(() => {
  buildCommand();
  writeFileSync(join(site, "index.html"), "hello");
  writeFileSync(join(site, "large.bin"), Buffer.alloc(64 * 2 ** 20));
});

afterAll(() => {
  killCommands();
  rmSync(site, { recursive: true });
});

async function serveBy(published: readonly string[], ...words: string[]) {
  const torito = start("serve", site, ...published, ...words);
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  return { ...torito, port: Number(port) };
}

/** A connection, and what it has received. */
async function client(port: number) {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let text = "";
  const ended: string[] = [];
  socket.setEncoding("latin1").on("data", (part: string) => {
    text += part;
  });
  socket.on("end", () => ended.push("end"));
  socket.on("error", (error: NodeJS.ErrnoException) => ended.push(`${error.code}`));
  await once(socket, "connect");
  const get = async (path = "/") => {
    text = "";
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    while (!text.endsWith("hello") && ended.length === 0) await setTimeout(5);
    return text;
  };
  return { socket, get, ended, text: () => text };
}

async function goes({ ended }: { ended: readonly string[] }): Promise<void> {
  while (ended.length === 0) await setTimeout(5);
}

describe.each([
  ["vsock", VSOCK],
  ["TCP", ["--net", "-p", "0:80/net"]],
])("clients by %s", (_, published) => {
  test("a service that is to end answers old and new clients with Connection: close, and then lets nobody in", async () => {
    const { child, port, until, end } = await serveBy(published, "--lame-duck", "1s");
    const old = await client(port);
    expect(await old.get()).toContain("Connection: keep-alive");
    child.kill("SIGTERM");
    await until(/SIGTERM: finishing/);
    const fresh = await client(port);
    for (const one of [old, fresh]) {
      expect(await one.get()).toMatch(/^HTTP\/1\.1 200 OK\r\n(.*\r\n)*Connection: close\r\n/);
      await goes(one);
      one.socket.end();
    }
    expect(await end).toMatchObject({ code: 0 });
    const [error] = await once(connect(port, "127.0.0.1"), "error");
    expect(error.code).toBe("ECONNREFUSED");
  });

  test("an idle connection is ended without a reset, also if a request crosses the end", async () => {
    const { child, port, end } = await serveBy(published);
    const idle = await client(port);
    await idle.get();
    child.kill("SIGTERM");
    await goes(idle);
    idle.socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(await end).toMatchObject({ code: 0 });
    expect(idle.ended).toEqual(["end"]);
  });

  test("a response under way is finished", async () => {
    const { child, port, until, end } = await serveBy(published);
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = 0;
    socket.once("data", () => child.kill("SIGTERM"));
    socket.on("data", (chunk) => {
      bytes += chunk.length;
      if (bytes > 2 ** 20) return;
      socket.pause();
      void until(/SIGTERM/).then(() => socket.resume());
    });
    await once(socket, "end");
    socket.end();
    expect(bytes).toBeGreaterThan(64 * 2 ** 20);
    expect((await end).code).toBe(0);
  });

  test("a client that comes while the guest boots waits, and is answered", async () => {
    const torito = start("serve", site, ...published, "--log-level", "debug");
    const [, port] = await torito.until(/listening on 127\.0\.0\.1:(\d+)/);
    expect(torito.text().err).not.toContain("ready");
    const early = await client(Number(port));
    expect(await early.get()).toContain("200 OK");
    early.socket.destroy();
    torito.child.kill("SIGTERM");
    expect((await torito.end).code).toBe(0);
  });

  test("SIGTERM while the guest boots: clients that wait are answered first", async () => {
    const torito = start("serve", site, ...published, "--log-level", "debug", "--lame-duck", "2m");
    const [, port] = await torito.until(/listening on 127\.0\.0\.1:(\d+)/);
    const early = await client(Number(port));
    const answer = early.get();
    torito.child.kill("SIGTERM");
    expect(await answer).toMatch(/200 OK\r\n(.*\r\n)*Connection: close\r\n/);
    await goes(early);
    early.socket.end();
    expect((await torito.end).code).toBe(0);
  });

  test("clients that do not finish are reset after the grace, with a count; the code is 0", async () => {
    const { child, port, end } = await serveBy(published, "--grace", "100ms", "--access-log", "-");
    const slow = connect(port, "127.0.0.1");
    slow.on("error", () => {});
    slow.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(slow, "readable");
    child.kill("SIGTERM");
    const { code, out, err } = await end;
    expect(code).toBe(0);
    expect(err).toContain("1 client was reset: not done after 0.1 s");
    expect(out).toContain('"GET /large.bin HTTP/1.1" 200 ');
    slow.destroy();
  });
});

test("SIGTERM before anything has begun ends the process", async () => {
  const torito = start("serve", site, ...VSOCK);
  torito.child.kill("SIGTERM");
  const { code, signal } = await torito.end;
  expect(code === 0 || signal === "SIGTERM").toBe(true);
});

test("two signals within a millisecond end the process at once, with 143", async () => {
  const { child, port, end } = await serveBy(VSOCK, "--lame-duck", "2m");
  const held = await client(port);
  child.kill("SIGTERM");
  child.kill("SIGINT");
  expect([130, 143]).toContain((await end).code);
  held.socket.destroy();
});

test("an address that is taken ends the start before a machine is made", async () => {
  const taken = createServer();
  await new Promise<void>((listening) => taken.listen(0, "127.0.0.1", listening));
  const { port } = taken.address() as { port: number };
  const { code, err } = await start("serve", site, "-p", `${port}:80`, "-m", "4G").end;
  expect(code).toBe(69);
  expect(err).toBe(`torito: cannot listen on 127.0.0.1:${port}: the address is in use\n`);
  taken.close();
});

test("SIGUSR1 opens no debugger, and SIGHUP does not end the process", async () => {
  const { child, until, end } = await serveBy(VSOCK);
  child.kill("SIGUSR1");
  child.kill("SIGHUP");
  await until(/SIGHUP/);
  child.kill("SIGTERM");
  const { code, err } = await end;
  expect(code).toBe(0);
  expect(err).not.toContain("Debugger");
});

test("the lame duck is 5 s where a manager or a container ends the process, and 0 on a terminal", () => {
  expect(lameDuckPreset({}, 7, false)).toBe("0s");
  expect(lameDuckPreset({}, 1, false)).toBe("5s");
  expect(lameDuckPreset({ NOTIFY_SOCKET: "/run/x" }, 7, false)).toBe("5s");
  expect(lameDuckPreset({ KUBERNETES_SERVICE_HOST: "10.0.0.1" }, 7, false)).toBe("5s");
  expect(lameDuckPreset({ NOTIFY_SOCKET: "/run/x" }, 1, true)).toBe("0s");
});
