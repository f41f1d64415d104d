// docs/extending.md, followed to the letter in a copy of the project: every block is written where
// it says, every command is run, and what the page promises is checked.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

interface Block {
  readonly heading: string;
  /** "sh", or the file that the text goes into. */
  readonly target: string;
  readonly place: string;
  readonly text: string;
}

const BLOCK =
  /^## (.*)$|^```(?:(sh)|\w+ (\S+)(?: (append|(?:before|after) `[^\n]*`))?)\n([\s\S]*?)^```$/gm;

function blocksOf(page: string): Block[] {
  let heading = "";
  return [...page.matchAll(BLOCK)].flatMap(([, title, shell, file, place = "", text = ""]) => {
    if (title !== undefined) heading = title;
    return title === undefined ? [{ heading, target: shell ?? (file as string), place, text }] : [];
  });
}

const copy = mkdtempSync(join(tmpdir(), "torito-extending-"));
const blocks = blocksOf(readFileSync("docs/extending.md", "utf8"));

function edit({ target, place, text }: Block): void {
  const path = join(copy, target);
  mkdirSync(dirname(path), { recursive: true });
  if (place === "") writeFileSync(path, text);
  else if (place === "append") appendFileSync(path, `\n${text}`);
  else insert(path, place, text);
}

function insert(path: string, place: string, text: string): void {
  const [, where = "", line = ""] = /^(before|after) `(.*)`$/.exec(place) ?? [];
  const anchor = `${line}\n`;
  const parts = readFileSync(path, "utf8").split(anchor);
  expect(parts, `${path} has the line ${line} once`).toHaveLength(2);
  writeFileSync(path, parts.join(where === "before" ? text + anchor : anchor + text));
}

/** Runs the commands of a recipe, after its edits. */
function follow(heading: string): string {
  const recipe = blocks.filter((block) => block.heading === heading);
  expect(recipe.length, heading).toBeGreaterThan(0);
  for (const block of recipe) if (block.target !== "sh") edit(block);
  const commands = recipe
    .filter(({ target }) => target === "sh")
    .flatMap(({ text }) => text.trim().split("\n"));
  return commands
    .filter((line) => !line.includes(" run apps/"))
    .map(shell)
    .join("");
}

function shell(command: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], {
    cwd: copy,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command}: ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

beforeAll(() => {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], {
    encoding: "utf8",
  });
  for (const name of listed.trim().split("\n")) {
    cpSync(name, join(copy, name), { recursive: true, errorOnExist: false, force: true });
  }
  for (const name of ["build", "dist"]) cpSync(name, join(copy, name), { recursive: true });
  symlinkSync(join(process.cwd(), "node_modules"), join(copy, "node_modules"));
});

afterAll(() => rmSync(copy, { recursive: true }));

describe.sequential("docs/extending.md", () => {
  test("an application: its image serves", async () => {
    follow("An application");
    const [, run = ""] = blocks
      .filter(({ target }) => target === "sh")[0]!
      .text.trim()
      .split("\n");
    const words = run.replace("4001:7", "0:7").split(" ").slice(1);
    const child = spawn(process.execPath, words, { cwd: copy });
    try {
      const port = await new Promise<number>((resolve, reject) => {
        let seen = "";
        child.stderr.setEncoding("utf8").on("data", (text) => {
          seen += text;
          const ready = /ready in .*:(\d+)\//.exec(seen);
          if (ready !== null) resolve(Number(ready[1]));
        });
        child.on("exit", () => reject(new Error(seen)));
      });
      const answer = await new Promise((resolve, reject) => {
        let text = "";
        connect(port, "127.0.0.1")
          .on("data", (bytes) => {
            text += bytes;
          })
          .on("end", () => resolve(text))
          .on("error", reject);
      });
      expect(answer).toBe("hello\n");
    } finally {
      child.kill("SIGTERM");
    }
  });

  test("a call, and a test of it", () => {
    follow("A call");
    shell("node tools/build.mjs kernel");
    const module = new WebAssembly.Module(readFileSync(join(copy, "build/kernel.wasm")));
    expect(WebAssembly.Module.exports(module).map(({ name }) => name)).toContain("SysUptime");
    expect(follow("A test")).toMatch(/Tests .*1 passed/);
  });

  test("a benchmark: its table is printed", () => {
    expect(follow("A benchmark")).toContain("SysThreadSelf");
  });

  test("a device and its driver, and the types of all that", () => {
    expect(follow("A device and its driver")).toMatch(/Tests .*1 passed/);
    shell("node tools/tour.mjs && npx tsc -p tsconfig.json"); // types of a file that is made
  });
});
