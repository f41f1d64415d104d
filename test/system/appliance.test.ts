// docs/appliance.md, followed word for word from the packed tarball in an empty folder, but for the
// port: every command is run, every file written, and what the page shows is looked for.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";

const BLOCK = /^```(\S*)(?: ([^\n]*))?\n([\s\S]*?)^```$/gm;
const PAGE = readFileSync("docs/appliance.md", "utf8");
const blocks = [...PAGE.matchAll(BLOCK)].map(([, kind = "", info = "", text = ""]) => ({
  kind,
  info,
  text,
}));

const folder = makeFolder();
const project = join(folder, "notes");
/** npm asks nobody, and takes from its cache what it has. */
const env = { ...process.env, npm_config_audit: "false", npm_config_prefer_offline: "true" };
let port = 0;
let server: ChildProcess | null = null;
let printed = ""; // by the last command

beforeAll(async () => {
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: resolve("."),
    stdio: "ignore",
  });
  expect(readdirSync(folder)).toEqual(["torito-0.1.0.tgz"]);
  port = await freePort();
});
afterAll(async () => {
  await stopServer();
  removeFolders();
});

function freePort(): Promise<number> {
  return new Promise((found) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as { port: number };
      listener.close(() => found(port));
    });
  });
}

const withPort = (text: string) => text.replaceAll("4000", String(port));

/** Runs the commands in the folder that those before have come to. */
let cwd = folder;
function shell(commands: string): void {
  const script = `set -e\n${withPort(commands)}\npwd >&3`;
  const stdio = ["ignore", "pipe", "pipe", "pipe"] as const;
  const { status, output } = spawnSync("bash", ["-c", script], { cwd, env, stdio: [...stdio] });
  printed = `${output[1]}${output[2]}`;
  expect(status, printed).toBe(0);
  cwd = String(output[3]).trim();
}

/** Starts the server, and returns once it is ready; the one before is stopped first, by Ctrl-C. */
async function startServer(command: string): Promise<void> {
  await stopServer();
  const words = command.trim().split(" ");
  const child = spawn(words[0] as string, words.slice(1), { cwd, env, detached: true });
  server = child;
  printed = "";
  await new Promise<void>((ready, failed) => {
    const take = (chunk: Buffer) => {
      printed += chunk;
      if (printed.includes("ready")) ready();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("exit", () => failed(new Error(`${command} ended: ${printed}`)));
  });
}

async function stopServer(): Promise<void> {
  const child = server;
  server = null;
  if (child === null) return;
  child.removeAllListeners("exit");
  const ended = new Promise((resolve) => child.on("exit", resolve));
  process.kill(-(child.pid as number), "SIGINT"); // as a terminal does: npm and what it has started
  await ended;
}

/** Writes a file of the project, or changes it as the block says. */
function edit(info: string, kind: string, text: string): void {
  const [file = "", ...place] = info.split(" ");
  const path = join(project, file);
  const where = place.join(" ");
  if (kind === "json") {
    const manifest = JSON.parse(readFileSync(path, "utf8"));
    manifest[where] = JSON.parse(withPort(text));
    writeFileSync(path, JSON.stringify(manifest, null, 2));
    return;
  }
  if (kind === "diff") {
    const [, from = "", to = ""] = /^-(.*)\n\+(.*)\n$/.exec(text) ?? [];
    const before = readFileSync(path, "utf8");
    expect(before).toContain(from);
    writeFileSync(path, before.replace(from, to));
    return;
  }
  const line = /^before `(.*)`$/.exec(where)?.[1];
  if (line !== undefined) {
    const before = readFileSync(path, "utf8");
    expect(before).toContain(line);
    writeFileSync(path, before.replace(line, `${text}${line}`));
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Sets the port that the project publishes, once it is there. */
function publish(): void {
  const path = join(project, "package.json");
  const text = readFileSync(path, "utf8");
  writeFileSync(path, withPort(text));
}

test("the page leads from nothing to a note that survives a restart", {
  timeout: 300_000,
}, async () => {
  expect(blocks.filter(({ kind }) => kind === "sh").length).toBeGreaterThan(8);
  for (const { kind, info, text } of blocks) {
    if (kind === "text") {
      for (const line of withPort(text).trim().split("\n")) expect(printed).toContain(line);
    } else if (kind !== "sh") {
      edit(info, kind, text);
    } else if (info === "server") {
      await startServer(text);
    } else {
      if (info !== "client") await stopServer();
      shell(text);
      if (text.includes("torito new")) publish();
    }
  }
});
