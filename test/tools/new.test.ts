// `torito new`: every template gives a project that editors like, whose tests pass and that runs.
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, killCommands } from "../support/command.ts";
import {
  emptyFolder,
  exchange,
  installInto,
  removeProjects,
  torito,
  write,
} from "../support/project.ts";

beforeAll(() => {
  buildCommand();
  if (!existsSync("dist/types")) execFileSync(process.execPath, ["tools/types.mjs"]);
});
afterAll(() => {
  killCommands();
  removeProjects();
});

const TEMPLATES = ["device", "echo", "files", "hello", "http"];

/** A project made from a template, with what `npm install` would install. */
async function make(template: string): Promise<string> {
  const parent = emptyFolder();
  const { code } = await torito(parent, "new", "my-app", "-t", template).end;
  expect(code).toBe(0);
  installInto(join(parent, "my-app"), "torito", "assemblyscript");
  return join(parent, "my-app");
}

test("these are the templates", () => {
  expect(readdirSync("templates").sort()).toEqual([...TEMPLATES, "shared"].sort());
});

describe.each(TEMPLATES)("the template %s", (template) => {
  let folder = "";
  beforeAll(async () => {
    folder = await make(template);
  });

  test("has the project's name in it, and no placeholder is left", () => {
    const texts = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => !name.startsWith("node_modules") && /\.\w+$/.test(name))
      .map((name) => [name, readFileSync(join(folder, name), "utf8")] as const);
    expect(texts.filter(([, text]) => text.includes("{{"))).toEqual([]);
    const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    expect(manifest.name).toBe("my-app");
    const { peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(manifest.devDependencies.assemblyscript).toBe(peerDependencies.assemblyscript);
    expect(resolve(folder, manifest.devDependencies.torito.replace("file:", ""))).toBe(
      resolve("."),
    );
    expect(readdirSync(folder)).toContain(".gitignore");
  });

  test("has no error in an editor", () => {
    const tsc = resolve("node_modules/.bin/tsc");
    const { stdout, status } = spawnSync(tsc, ["-p", "."], { cwd: folder, encoding: "utf8" });
    expect({ stdout, status }).toEqual({ stdout: "", status: 0 });
    writeFileSync(join(folder, "src/wrong.ts"), "export const wrong: i32 = 'text';\n");
    const wrong = spawnSync(tsc, ["-p", "."], { cwd: folder, encoding: "utf8" });
    expect(wrong.stdout).toContain("src/wrong.ts(1,14): error TS2322");
    writeFileSync(join(folder, "src/wrong.ts"), "");
  });

  test("has tests that pass", async () => {
    const { code, out, err } = await torito(folder, "test").end;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^[1-9]\d* passed, 0 failed$/m);
  });
});

test("the device of the template device has the type that a machine wants", async () => {
  const folder = await make("device");
  installInto(folder, "@types");
  const options = ["--allowJs", "--checkJs", "--noEmit", "--strict", "--skipLibCheck"];
  const kind = ["--module", "nodenext", "--target", "es2023", "--types", "node"];
  const words = ["--ignoreConfig", ...options, ...kind, "devices/dice.mjs"];
  const tsc = resolve("node_modules/.bin/tsc");
  expect(spawnSync(tsc, words, { cwd: folder, encoding: "utf8" }).stdout).toBe("");
});

describe("applications made from templates run", () => {
  /** `torito dev`, once the guest has said something or listens. */
  async function dev(template: string, wanted: RegExp, ...words: string[]) {
    const command = torito(await make(template), "dev", ...words);
    const found = await command.until(wanted);
    return { found, ...command };
  }
  const PORT = /ready {2}\w+:\/\/127\.0\.0\.1:(\d+)\//;

  test("hello prints its line, and the machine ends", async () => {
    const { text, child } = await dev(
      "hello",
      /the guest has ended with exit code 0/,
      "-p",
      "0:80",
    );
    expect(text().out).toContain("Hello, world!\n");
    child.kill("SIGINT");
  });

  test("echo sends back what it receives, from the port that package.json publishes", async () => {
    const { found, child } = await dev("echo", PORT, "-p", "0:7");
    expect(await exchange(Number(found[1]), "abc")).toBe("abc");
    child.kill("SIGINT");
  });

  test("http answers with JSON", async () => {
    const { found, child } = await dev("http", PORT, "-p", "0:80");
    const port = Number(found[1]);
    const notes = `http://127.0.0.1:${port}/notes`;
    const made = await fetch(notes, { method: "POST", body: JSON.stringify({ text: "milk €" }) });
    expect(made.status).toBe(201);
    expect(made.headers.get("location")).toBe("/notes/1");
    expect(await (await fetch(notes)).json()).toEqual([{ id: "1", text: "milk €" }]);
    expect((await fetch(notes, { method: "POST", body: "{" })).status).toBe(400);
    child.kill("SIGINT");
  });

  test("files counts its runs in a file of the host, in a release image that is built once", async () => {
    const folder = await make("files");
    const first = await torito(folder, "run", ".").end;
    expect(first).toMatchObject({ code: 0, out: expect.stringContaining("started 1 times\n") });
    expect(first.err).toMatch(/^build\/main\.wasm {2}\d+ bytes {2}\d+ ms$/m);
    const second = await torito(folder, "run", ".").end;
    expect(second).toMatchObject({ code: 0, out: expect.stringContaining("started 2 times\n") });
    expect(second.err).not.toContain("bytes");
    expect(readFileSync(join(folder, "data/count"), "utf8")).toBe("2");
  });

  test("device rolls its dice", async () => {
    const command = torito(await make("device"), "dev", "-p", "0:80");
    const rolled = new Promise((resolve) => {
      const look = () => /^[1-6] \+ [1-6] = \d+$/m.test(command.text().out) && resolve(true);
      command.child.stdout?.on("data", look);
    });
    expect(await rolled).toBe(true);
    command.child.kill("SIGINT");
    await command.end;
    const { out } = command.text();
    for (const [, a, b, sum] of out.matchAll(/^(\d) \+ (\d) = (\d+)$/gm)) {
      expect(Number(a) + Number(b)).toBe(Number(sum));
    }
    expect(out).toContain("dice, irq 6\n");
  });
});

describe("the folder", () => {
  const create = async (folder: string, ...words: string[]) => {
    const { code, out, err } = await torito(folder, "new", ...words).end;
    return { code, out, err };
  };

  test("may be the present one, with .git in it; the three next commands are shown", async () => {
    const folder = join(emptyFolder(), "My API");
    mkdirSync(join(folder, ".git"), { recursive: true });
    const { code, out } = await create(folder, ".");
    expect(code).toBe(0);
    expect(out).toMatch(/^my-api: /);
    expect(out).toMatch(/\n {2}npm install\n {2}npx torito dev\n$/);
    const parent = emptyFolder();
    expect((await create(parent, "a b")).out).toContain("\n  cd 'a b'\n");
  });

  test("that is not empty is refused: 2; --force adds, and overwrites nothing", async () => {
    const folder = emptyFolder();
    write(folder, { "src/main.ts": "mine" });
    const refused = await create(folder, ".");
    expect(refused).toMatchObject({ code: 2, out: "" });
    expect(refused.err).toContain("is not empty (src); --force adds to it");
    expect(readdirSync(folder)).toEqual(["src"]);
    expect((await create(folder, ".", "--force")).code).toBe(0);
    expect(readFileSync(join(folder, "src/main.ts"), "utf8")).toBe("mine");
    expect(existsSync(join(folder, "package.json"))).toBe(true);
  });

  test("is the one that a path with .. means", async () => {
    const folder = emptyFolder();
    mkdirSync(join(folder, "here"));
    const { code, err } = await create(join(folder, "here"), "../x/..");
    expect(code).toBe(2);
    expect(err).toContain("is not empty (here)");
  });

  test("gives the name: without a letter or digit there is none, 2", async () => {
    const folder = emptyFolder();
    expect(await create(folder, "...")).toMatchObject({ code: 2, out: "" });
    expect(await create(folder, "Привет")).toMatchObject({
      code: 2,
      err: expect.stringContaining('"Привет" gives no name'),
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("that is a file, or cannot be written: an error of one line", async () => {
    const folder = emptyFolder();
    write(folder, { file: "" });
    expect(await create(folder, "file")).toMatchObject({ code: 2 });
    if (process.getuid?.() === 0) return; // root writes everywhere
    chmodSync(folder, 0o555);
    expect(await create(folder, "new")).toMatchObject({ code: 69, out: "" });
    chmodSync(folder, 0o755);
  });
});

test("an unknown template is refused, and the others are listed: 2", async () => {
  const { code, err } = await torito(emptyFolder(), "new", "x", "-t", "htpp").end;
  const all = TEMPLATES.join(", ");
  expect({ code, err }).toEqual({
    code: 2,
    err: `torito: new: no template "htpp"; there are ${all}; did you mean http?\n`,
  });
});
