// `torito snapshot`, `--restore` and `--fresh`, as their users start them.
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../host/cli/arguments.ts";
import { ageText } from "../../../host/cli/snapshots.ts";
import { Appliance, makeFolder, removeFolders, until } from "../../support/appliance.ts";
import { buildCommand } from "../../support/command.ts";

let folder: string;
let site: string;
beforeAll(() => {
  buildCommand();
  folder = makeFolder();
  site = `${folder}/site`;
  mkdirSync(site);
  writeFileSync(`${site}/index.html`, "<p>home</p>");
});
afterAll(removeFolders);

/** Runs a command to its end. */
async function run(...words: string[]) {
  const command = new Appliance(words);
  return { code: await command.exited, stderr: command.stderr };
}

async function save(name: string, ...more: string[]): Promise<string> {
  const path = `${folder}/${name}`;
  const volume = ["-v", `${site}:site`, "-m", "16M"];
  const done = await run("snapshot", "apps/web-server", ...volume, "-o", path, ...more);
  expect(done).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^saved .*: \d+ KiB of memory in use\n$/),
  });
  return path;
}

describe("arguments", () => {
  test.each([
    ["snapshot", "which application?"],
    ["snapshot apps/web-server", "snapshot: which file?"],
    ["snapshot a -o f --fresh", "snapshot has no option --fresh"],
    ["snapshot a -o f --restore g", "snapshot has no option --restore"],
    ["snapshot a -o f --pcap g", "snapshot has no option --pcap"],
    ["run a --fresh", "run has no option --fresh"],
    ["run a --after x", "run has no option --after"],
    ["serve a --machines 3", "--machines goes with --fresh"],
    ["serve a --fresh --machines 0", "--machines 0: not a number from 1 to 4096"],
    ["serve a --fresh --access-log x", "--access-log does not go with --fresh"],
    ["serve a --fresh --stats", "--stats does not go with --fresh"],
    ["serve a --fresh --vsock-uds x", "--vsock-uds does not go with --fresh"],
    ["serve a --restore x -m 64M", "--memory is the snapshot's with --restore"],
    ["serve a --restore x --fs-window 0", "--fs-window is the snapshot's with --restore"],
    ["serve a --restore x -- idle=3", "--restore: the guest has its parameters already"],
    ["snapshot a -o f --after GET", '--after GET: not a request as in "GET /"'],
  ])("%s", (words, message) => {
    expect(() => parseCommandLine(words.split(" "))).toThrow(message);
  });

  test("of a snapshot and of a pool", () => {
    const words = ["snapshot", "a", "-o", "f", "--after", "GET /x", "--after", "HEAD /"];
    const after = [
      { method: "GET", path: "/x" },
      { method: "HEAD", path: "/" },
    ];
    expect(parseCommandLine(words)).toMatchObject({ save: { path: "f", after }, machines: null });
    expect(parseCommandLine(["serve", "a", "--fresh"])).toMatchObject({
      machines: 8,
      windowBytes: 0,
    });
  });

  test.each([
    [-5, "0 s"],
    [119_000, "119 s"],
    [600_000, "10 min"],
    [10_800_000, "3 h"],
    [864_000_000, "10 days"],
  ])("the age of %i ms is %s", (ms, text) => expect(ageText(ms)).toBe(text));
});

describe("a machine that is saved", () => {
  test("is restored by serve, its file is its owner's, and pages are the host's of now", async () => {
    const path = await save("warm.torito", "--after", "GET /");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    writeFileSync(`${site}/index.html`, "<p>changed</p>");
    const server = await Appliance.serve(site, "--restore", path);
    expect(server.stderr).toMatch(
      /^restoring .* \(image [0-9a-f]{12}, taken \d+ s ago, connections to reset: 1\)\n/,
    );
    expect(await (await fetch(server.url)).text()).toBe("<p>changed</p>");
    expect(await server.stop()).toBe(0);
  });

  test("is described without what its guest knew", async () => {
    const path = await save("described.torito", "--after", "GET /");
    const command = new Appliance(["inspect", path]);
    expect(await command.exited).toBe(0);
    const [image, taken, memory, ...rest] = command.stdout.split("\n");
    expect(image).toMatch(/^image {8}[0-9a-f]{64}$/);
    expect(taken).toMatch(/^taken {8}\S+Z, \d+ s ago, \d+ s after boot$/);
    expect(memory).toMatch(/^memory {7}16 MiB, \d+ KiB in \d+ runs in use$/);
    expect(rest).toEqual([
      "devices      vsock, fs site, fs settings",
      "connections  1, which are reset",
      "",
    ]);
    expect((await run("inspect", "package.json")).code).toBe(2);
    expect((await run("inspect")).stderr).toContain("which snapshot?");
  });

  test("SN11 is refused by another application, other volumes, in one line with exit code 2", async () => {
    const path = await save("other.torito");
    const image = await run("run", "apps/echo", "--restore", path);
    expect(image.code).toBe(2);
    expect(image.stderr).toMatch(
      /\ntorito: snapshot: it is of the image [0-9a-f]{12}, not [0-9a-f]{12}\n$/,
    );
    const devices = await run("run", "apps/web-server", "--restore", path);
    expect(devices.code).toBe(2);
    expect(devices.stderr).toMatch(
      /\ntorito: snapshot: it has the devices vsock, fs site, fs settings, not vsock\n$/,
    );
  });

  test("SN12 is refused when it is damaged, missing or something else", async () => {
    const bytes = readFileSync(await save("damaged.torito"));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(`${folder}/damaged.torito`, bytes);
    const damaged = await run("serve", site, "--restore", `${folder}/damaged.torito`);
    expect(damaged).toEqual({
      code: 2,
      stderr: expect.stringMatching(
        /^torito: .*damaged\.torito: snapshot: pages 0 to \d+ of it are damaged\n$/,
      ),
    });
    const none = await run("serve", site, "--restore", `${folder}/none`);
    expect(none).toEqual({
      code: 2,
      stderr: expect.stringMatching(/^torito: snapshot: ENOENT.*\n$/),
    });
    const text = await run("serve", site, "--restore", "package.json");
    expect(text.stderr).toBe("torito: package.json: snapshot: this is no snapshot\n");
  });

  test("is not saved if its guest ends before, if a request fails, or if the file cannot be", async () => {
    const ended = await run("snapshot", "apps/hello-world", "-p", "1:80", "-o", `${folder}/x`);
    expect(ended.code).toBe(70);
    expect(ended.stderr).toContain("the guest has ended before it was saved");
    const volume = ["-v", `${site}:site`];
    const failed = await run(
      "snapshot",
      "apps/web-server",
      ...volume,
      "-o",
      "x",
      "--after",
      "GET /none",
    );
    expect(failed).toEqual({ code: 2, stderr: 'torito: --after "GET /none": status 404\n' });
    const output = ["-o", `${folder}/no/x`];
    const unwritable = await run("snapshot", "apps/web-server", ...volume, ...output);
    expect(unwritable).toEqual({ code: 69, stderr: expect.stringContaining("ENOENT") });
  });
});

describe("serve --fresh", () => {
  const ask = (port: number) =>
    new Promise<string>((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () =>
        socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
      );
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("close", () => resolve(text));
      socket.on("error", () => {});
    });

  test("serves each connection by a machine of its own, tells of waiting, and drains", async () => {
    const server = await Appliance.serve(site, "--fresh", "--machines", "2", "-m", "16M");
    for (let i = 0; i < 20; i++) expect(await ask(server.port)).toMatch(/200 OK[\s\S]*<p>/);
    const keeping = [net.connect(server.port, "127.0.0.1"), net.connect(server.port, "127.0.0.1")];
    await Promise.all(keeping.map((one) => new Promise((resolve) => one.on("connect", resolve))));
    const waiting = ask(server.port);
    await until(() => server.stderr.includes("all 2 machines are taken: clients wait for one"));
    for (const one of keeping) one.destroy();
    expect(await waiting).toContain("200 OK");
    await until(() => server.stderr.includes("no client waits for a machine any more"));
    expect(await server.stop()).toBe(0);
  });

  test("begins with a snapshot, if there is one", async () => {
    const path = await save("pool.torito", "--after", "GET /");
    const server = await Appliance.serve(site, "--fresh", "--restore", path);
    expect(await ask(server.port)).toContain("200 OK");
    expect(await server.stop()).toBe(0);
  });
});
