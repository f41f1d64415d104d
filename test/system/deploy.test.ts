// deploy/: what is shipped there works as it stands, but for the numbers of ports.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Command, parseCommandLine } from "../../host/cli/arguments.ts";
import { Appliance, makeFolder, removeFolders } from "../support/appliance.ts";
import { buildCommand, start } from "../support/command.ts";
import { FrontEnd, freePort } from "../support/front-ends.ts";
import { witness } from "../support/outside-program.ts";

beforeAll(buildCommand);
afterEach(removeFolders);

const shipped = (name: string) => readFileSync(`deploy/${name}`, "utf8");

describe("a rolling restart of two replicas loses no request", () => {
  const run = (...words: string[]) => {
    const base = ["test/soak/rolling.mjs", "--requests", "1000", "--rounds", "1"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...base, ...words], {
      encoding: "utf8",
    });
    return { status, stdout, stderr };
  };

  witness("haproxy", "in haproxy's configuration as it is shipped", async () => {
    const { status, stdout, stderr } = run("--lame-duck", "3s");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^round 1: \d{4,} answered, 0 lost, worst \d+ ms\n$/);
  });
});

witness("nginx", "nginx passes requests to both replicas, with addresses and ids", async () => {
  const folder = makeFolder();
  const site = join(folder, "site");
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
  const logs = ["one.log", "two.log"].map((name) => join(folder, name));
  const replicas = await Promise.all(
    logs.map((path) =>
      Appliance.serve(
        ...[site, "--access-log", path, "--access-log-format", "json"],
        ...["--trusted-proxies", "127.0.0.0/8"],
      ),
    ),
  );
  const port = await freePort();
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(" ");
  const text = shipped("nginx.conf")
    .replace("127.0.0.1:8000", `127.0.0.1:${port}`)
    .replace("127.0.0.1:8080", `127.0.0.1:${replicas[0]?.port}`)
    .replace("127.0.0.1:8081", `127.0.0.1:${replicas[1]?.port}`)
    .replace("http {", `http { access_log off; ${temp}`);
  writeFileSync(join(folder, "nginx.conf"), `daemon off; pid ${folder}/pid;\n${text}`);
  const words = ["-c", join(folder, "nginx.conf"), "-p", folder, "-e", join(folder, "error.log")];
  const nginx = await FrontEnd.start("nginx", words, port);
  for (let i = 0; i < 20; i++) {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    expect([response.status, await response.text()]).toEqual([200, "hello"]);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  }
  await nginx.stop();
  for (const [i, replica] of replicas.entries()) {
    expect(await replica.stop()).toBe(0);
    const lines = readFileSync(logs[i] as string, "utf8")
      .trim()
      .split("\n");
    expect(lines.length).toBeGreaterThan(5);
    expect(JSON.parse(lines[0] as string).request_id).toMatch(/^[0-9a-f]{32}$/);
  }
});

describe("systemd", () => {
  witness("systemd-analyze", "finds no fault with the units", async () => {
    const { status, stderr } = spawnSync(
      "systemd-analyze",
      ["verify", "deploy/torito.service", "deploy/torito.socket"],
      { encoding: "utf8" },
    );
    expect([status, stderr]).toEqual([0, ""]);
  });

  witness("systemd-analyze", "finds the service confined", async () => {
    const { status, stdout } = spawnSync(
      "systemd-analyze",
      ["security", "--offline=yes", "--threshold=40", "deploy/torito.service"],
      { encoding: "utf8" },
    );
    expect(status, stdout).toBe(0);
  });
});

witness("promtool", "Prometheus reads its configuration", async () => {
  const { status } = spawnSync("promtool", ["check", "config", "deploy/prometheus.yml"]);
  expect(status).toBe(0);
});

test("torito reads its configuration", () => {
  const words = ["serve", "site", "--config", "deploy/torito.json"];
  expect(parseCommandLine(words) as Command).toMatchObject({
    publish: [{ host: "127.0.0.1", port: 8080, guestPort: 80 }],
    admin: { address: { host: "127.0.0.1", port: 9090 } },
    accessLog: { path: "-", format: "json", proxies: ["127.0.0.0/8"] },
    restarts: true,
  });
});

describe("torito check", () => {
  test("ends with 0 for an answer, and 1 for a bad one, none, or one that does not come", async () => {
    const statuses: Record<string, number> = { "/good": 204, "/bad": 503 };
    const server = createServer(({ url = "" }, response) => {
      const status = statuses[url];
      if (status !== undefined) response.writeHead(status).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const check = (path: string) => start("check", `http://127.0.0.1:${port}${path}`).end;
    expect(await check("/good")).toMatchObject({ code: 0, err: "" });
    expect(await check("/bad")).toMatchObject({ code: 1, err: expect.stringContaining("503") });
    expect(await check("/never")).toMatchObject({
      code: 1,
      err: expect.stringContaining("no answer in 1000 ms"),
    });
    server.closeAllConnections();
    server.close();
    await once(server, "close");
    expect(await check("/good")).toMatchObject({ code: 1 });
    expect(await start("check", "ftp://a/").end).toMatchObject({ code: 2 });
    expect(await start("check").end).toMatchObject({ code: 2 });
  });
});
