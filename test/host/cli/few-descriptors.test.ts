// The command line where a process may have few file descriptors: files and clients share them.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import http from "node:http";
import { afterEach, expect, test } from "vitest";
import { CLI, makeFolder, removeFolders, until } from "../../support/appliance.ts";

afterEach(removeFolders);

/** `torito serve site` with this many descriptors. */
function serve(site: string, descriptors: number, ...more: string[]) {
  const words = [process.execPath, CLI, "serve", site, "-p", "0:80", ...more];
  const child = spawn("sh", ["-c", `ulimit -n ${descriptors} && exec "$@"`, "sh", ...words], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const seen = { log: "" };
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    seen.log += text;
  });
  const exited = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { child, seen, exited };
}

function statusOf(port: number, path: string): Promise<number | string> {
  return new Promise((resolve) => {
    const request = http.get({ port, path, host: "127.0.0.1", agent: false }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? 0));
    });
    request.on("error", ({ message }) => resolve(message));
  });
}

test.each<[number, string[]]>([
  [48, []],
  [64, []],
  [100, []],
  [192, ["--replicas", "3"]],
])("serves 300 files with %d descriptors, eight at a time and one %s", async (limit, more) => {
  const site = makeFolder();
  mkdirSync(`${site}/a/b/c`, { recursive: true });
  const paths = Array.from({ length: 300 }, (_, i) => (i % 10 ? `/${i}` : `/a/b/c/${i}`));
  for (const path of paths) writeFileSync(`${site}${path}`, "x".repeat(2000));
  const { child, seen, exited } = serve(site, limit, ...more);
  const begun = more.length === 0 ? /ready in/ : /3 of 3/; // loading takes descriptors too
  await until(() => begun.test(seen.log) || child.exitCode !== null);
  const port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(seen.log)?.[1]);
  const statuses = new Set<number | string>();
  // Eight first: nothing is in the guest's cache yet.
  for (let i = 0; i < paths.length; i += 8) {
    const some = paths.slice(i, i + 8).map((path) => statusOf(port, path));
    for (const status of await Promise.all(some)) statuses.add(status);
  }
  for (const path of paths) statuses.add(await statusOf(port, path));
  expect([...statuses], seen.log).toEqual([200]);
  child.kill("SIGTERM");
  expect(await exited).toBe(0);
});

test.each<[number, string[]]>([
  [24, []],
  [34, []],
  [47, []],
  [64, ["--replicas", "64"]],
  [130, ["--replicas", "8"]],
])("exits with 69 and one clear line with %d %s, and --check too", async (limit, more) => {
  for (const words of [more, [...more, "--check"]]) {
    const { seen, exited } = serve(makeFolder(), limit, ...words);
    expect(await exited, seen.log).toBe(69);
    expect(seen.log).toMatch(/^torito: too few file descriptors \(ulimit -n\): [^\n]*\n$/);
  }
});

test("with as many as it asks for it starts, and --check says so", async () => {
  for (const [limit, ...more] of [[48], [80, "--replicas", "2"]] as [number, ...string[]][]) {
    const checked = serve(makeFolder(), limit, ...more, "--check");
    expect(await checked.exited, checked.seen.log).toBe(0);
    const { child, seen, exited } = serve(makeFolder(), limit, ...more);
    await until(() => /ready in/.test(seen.log) || child.exitCode !== null);
    child.kill("SIGTERM");
    expect(await exited, seen.log).toBe(0);
  }
});
