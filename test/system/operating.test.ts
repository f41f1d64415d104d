// docs/operating.md, "Two replicas in ten minutes", followed word for word, but for the ports.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect } from "vitest";
import { CLI, makeFolder, removeFolders } from "../support/appliance.ts";
import { buildCommand } from "../support/command.ts";
import { freePort } from "../support/front-ends.ts";
import { witness } from "../support/outside-program.ts";

const PAGE = readFileSync("docs/operating.md", "utf8");
const SECTION = PAGE.slice(PAGE.indexOf("## Two replicas"), PAGE.indexOf("## Settings"));
const blocks = [...SECTION.matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(
  ([, kind = "", name = "", text = ""]) => ({ kind, name, text }),
);

const services = new Map<string, ChildProcess>();
beforeAll(buildCommand);
afterAll(() => {
  for (const child of services.values()) child.kill("SIGKILL");
  removeFolders();
});

witness("haproxy", "a stranger gets two replicas, health, metrics and logs", async () => {
  expect(blocks.length).toBeGreaterThan(15);
  const folder = makeFolder();
  const ports = new Map<string, string>();
  for (const port of ["8000", "8080", "8081", "9090", "9091"]) {
    ports.set(port, `${await freePort()}`);
  }
  const here = (text: string) =>
    text.replace(/\b(8000|8080|8081|9090|9091)\b/g, (port) => ports.get(port) as string);
  // As `npm install --global` leaves it.
  const global = join(folder, "global/lib/node_modules");
  const bin = join(folder, "global/bin");
  mkdirSync(global, { recursive: true });
  mkdirSync(bin);
  symlinkSync(resolve("."), join(global, "torito"));
  const command = `#!/bin/sh\nexec ${process.execPath} ${resolve(CLI)} "$@"\n`;
  writeFileSync(join(bin, "torito"), command, { mode: 0o755 });
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    npm_config_prefix: join(folder, "global"),
  };

  const begin = async (name: string, text: string) => {
    const [program = "", ...words] = here(text).trim().split(" ");
    const child = spawn(program, words, { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
    services.set(name, child);
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (part: string) => {
      said += part;
    });
    while (program === "torito" && !said.includes("ready in")) {
      expect(child.exitCode, said).toBe(null);
      await setTimeout(20);
    }
  };

  let printed = "";
  for (const { kind, name, text } of blocks) {
    if (kind === "json") writeFileSync(join(folder, name), here(text));
    else if (kind === "service") await begin(name, text);
    else if (kind === "restart") {
      const child = services.get(name) as ChildProcess;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      expect(await gone).toBe(0);
      await begin(name, text);
    } else if (kind === "sh") {
      const { status, stdout, stderr } = spawnSync("bash", ["-ec", here(text)], {
        ...{ cwd: folder, env, encoding: "utf8" },
      });
      printed = stdout;
      expect([status, stderr], text).toEqual([0, expect.any(String)]);
      const file = join(folder, "haproxy.cfg");
      if (text.includes("haproxy.cfg")) writeFileSync(file, here(readFileSync(file, "utf8")));
    } else {
      expect(kind).toBe("shows");
      for (const line of text.trim().split("\n")) expect(printed).toContain(line);
    }
  }
});
