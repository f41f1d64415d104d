// --proxy-protocol required: trusted proxies say who their clients are, and nobody else is let in.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { startHaproxy } from "../../support/front-ends.ts";
import { witness } from "../../support/outside-program.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-proxied-"));
const site = join(folder, "site");
const log = join(folder, "access.log");
const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

beforeAll(() => {
  buildCommand();
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

async function serve(...words: string[]) {
  rmSync(log, { force: true });
  const proxies = words.includes("--trusted-proxies") ? [] : ["--trusted-proxies", "127.0.0.1"];
  const torito = start(
    ...["serve", site, "-p", "0:80", "--access-log", log],
    ...["--proxy-protocol", "required", ...proxies, ...words],
  );
  const [, port] = await torito.until(/ready in .*127\.0\.0\.1:(\d+)/);
  const stop = async () => {
    torito.child.kill();
    expect((await torito.end).code).toBe(0);
    return readFileSync(log, "utf8");
  };
  return { port: Number(port), stop };
}

/** Sends the parts, a moment apart. Resolves with the answer, or with the error. */
function ask(port: number, parts: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
    });
    socket.on("end", () => resolve(text));
    void (async () => {
      for (const part of parts) {
        socket.write(part, "latin1");
        await setTimeout(20);
      }
    })();
  });
}

test("the client of the header is in the log, also if header and request come in one piece, or in many", async () => {
  const { port, stop } = await serve();
  const header = (last: number) => `PROXY TCP4 192.0.2.${last} 127.0.0.1 1 80\r\n`;
  expect(await ask(port, [`${header(1)}${REQUEST}`])).toMatch(/^HTTP\/1\.1 200/);
  expect(await ask(port, [header(2), REQUEST])).toMatch(/^HTTP\/1\.1 200/);
  expect(
    await ask(port, [..."PROX", `Y TCP4 192.0.2.3 127.0.0.1 1 80\r\nG`, REQUEST.slice(1)]),
  ).toMatch(/^HTTP\/1\.1 200/);
  const lines = (await stop()).split("\n");
  expect(lines.map((line) => line.split(" ")[0])).toEqual([
    ...["192.0.2.1", "192.0.2.2", "192.0.2.3", ""],
  ]);
});

test("a client without a header, or with two, does not get far", async () => {
  const { port, stop } = await serve();
  expect(await ask(port, [REQUEST])).toBe("ECONNRESET");
  const header = "PROXY TCP4 192.0.2.1 127.0.0.1 1 80\r\n";
  expect(await ask(port, [`${header}${header}${REQUEST}`])).toMatch(/^HTTP\/1\.1 400/);
  await stop();
});

test("an address that is not trusted is reset at once", async () => {
  const { port, stop } = await serve("--trusted-proxies", "192.0.2.1");
  const socket = connect(port, "127.0.0.1");
  const [error] = await once(socket, "error");
  expect(error.code).toBe("ECONNRESET");
  await stop();
});

witness("haproxy", "haproxy says it in the binary form", async () => {
  const { port, stop } = await serve();
  const haproxy = await startHaproxy([port], "default-server send-proxy-v2");
  expect(await (await fetch(`http://127.0.0.1:${haproxy.port}/`)).text()).toBe("hello");
  await haproxy.stop();
  expect(await stop()).toMatch(/^127\.0\.0\.1 - - .* "GET \/ HTTP\/1\.1" 200 5/);
});

witness("curl", "curl says it as a line", async () => {
  const { port, stop } = await serve();
  const words = ["--silent", "--haproxy-protocol", `http://127.0.0.1:${port}/`];
  expect(spawnSync("curl", words, { encoding: "utf8" }).stdout).toBe("hello");
  await stop();
});
