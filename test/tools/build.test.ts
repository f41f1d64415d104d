// `torito build`, and images that `torito run` builds: what is said, what is written, exit codes.
import { existsSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildCommand, killCommands, startWith } from "../support/command.ts";
import { emptyFolder, project, removeProjects, torito, write } from "../support/project.ts";

beforeAll(buildCommand);
afterAll(() => {
  killCommands();
  removeProjects();
});

const HELLO = `import { print } from "torito/guest";
export function main(): i32 { print("hello\\n"); return 0; }
`;

describe.sequential("a project that is built", () => {
  let folder = "";
  beforeAll(() => {
    folder = project({ "src/main.ts": HELLO });
  });
  const image = () => join(folder, "build/main.wasm");

  test("has an image and its map, and one line says so", async () => {
    const { code, out, err } = await torito(folder, "build").end;
    expect({ code, out }).toEqual({ code: 0, out: "" });
    const bytes = statSync(image()).size;
    expect(err).toMatch(new RegExp(`^build/main\\.wasm  ${bytes} bytes  \\d+ ms\\n$`));
    const map = JSON.parse(readFileSync(`${image()}.map`, "utf8"));
    expect(map.sources).toEqual(expect.arrayContaining(["src/main.ts", "torito/kernel/main.ts"]));
    const text = (name: string) => map.sourcesContent[map.sources.indexOf(name)];
    expect(text("src/main.ts")).toBe(HELLO);
    expect(text("torito/kernel/main.ts")).toBe(null); // it is installed
  });

  test("A10 imports its memory, hypercalls and firmware, and nothing else", () => {
    const module = new WebAssembly.Module(readFileSync(image()));
    const from = WebAssembly.Module.imports(module).map(({ module }) => module);
    expect([...new Set(from)].sort()).toEqual(["env", "hypercall", "wasi_snapshot_preview1"]);
  });

  test("runs without being built again, until a source is newer", async () => {
    const first = await torito(folder, "run", ".").end;
    expect(first).toMatchObject({ code: 0, out: expect.stringContaining("hello\n") });
    expect(first.err).not.toContain("bytes");
    write(folder, { "src/main.ts": HELLO.replace("hello", "changed") });
    const later = new Date(Date.now() + 2000); // some file systems count seconds
    utimesSync(join(folder, "src/main.ts"), later, later);
    const second = await torito(folder, "run", ".").end;
    expect(second).toMatchObject({ code: 0, out: expect.stringContaining("changed\n") });
    expect(second.err).toContain("build/main.wasm");
  });

  test("is not run when its sources have errors: 1", async () => {
    write(folder, { "src/main.ts": "export function main(): i32 { return nothing; }\n" });
    const later = new Date(Date.now() + 4000);
    utimesSync(join(folder, "src/main.ts"), later, later);
    const { code, out, err } = await torito(folder, "run", ".").end;
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("src/main.ts(1,38)");
  });
});

test("errors are shown with the author's lines: 1; as JSON, one object each", async () => {
  const folder = project({
    "src/main.ts": "export function main(): i32 {\n  return one + two;\n}\n",
  });
  // CI is a variable that makes asc colour whatever it writes.
  const pretty = await startWith({ cwd: folder, env: { CI: "true" } }, "build").end;
  expect({ code: pretty.code, out: pretty.out }).toEqual({ code: 1, out: "" });
  expect(pretty.err).toContain("2 │ return one + two;");
  expect(pretty.err).toContain("src/main.ts(2,10)");
  expect(pretty.err).not.toContain("\u001b["); // colours are for terminals
  const json = await torito(folder, "build", "--log-format", "json").end;
  const [first] = json.err
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(first).toMatchObject({
    level: "error",
    comp: "build",
    msg: "Cannot find name 'one'.",
    file: "src/main.ts",
    line: 2,
    column: 10,
  });
  expect(existsSync(join(folder, "build"))).toBe(false);
});

test("an import that no machine has is an error, which names it", async () => {
  const folder = project({
    "src/main.ts": "declare function fly(): i32;\nexport function main(): i32 { return fly(); }\n",
  });
  const { code, err } = await torito(folder, "build").end;
  expect(code).toBe(1);
  expect(err).toContain("no machine has what the image imports: main.fly");
});

test("-o names the image, and ENTRY another main file or its folder", async () => {
  const folder = project({ "apps/one/main.ts": HELLO });
  const { code, err } = await torito(folder, "build", "apps/one", "-o", "out/it.wasm").end;
  expect({ code, line: err.split("  ")[0] }).toEqual({ code: 0, line: "out/it.wasm" });
  expect(statSync(join(folder, "out/it.wasm")).size).toBeGreaterThan(10_000);
});

test("a folder that cannot be written: 69 and one line", async () => {
  const folder = project({ "src/main.ts": HELLO, build: "a file is in the way" });
  const { code, err } = await torito(folder, "build").end;
  expect(code).toBe(69);
  expect(err).toMatch(/^torito: E(EXIST|NOTDIR|ACCES): .*\n$/);
});

test("a project without main.ts: 1, and the name that is looked for", async () => {
  const { code, err } = await torito(project({}), "build").end;
  expect({ code, err }).toEqual({ code: 1, err: "src/main.ts: there is no such file\n\n" });
});

test("a folder without a project: 2, and what makes one", async () => {
  const folder = project({});
  rmSync(join(folder, "package.json"), { force: true });
  const { code, err } = await torito(folder, "build").end;
  expect({ code, err }).toEqual({
    code: 2,
    err: "torito: .: no project here; torito new DIR makes one\n",
  });
});

test("a manifest that is no JSON: 2 and one line", async () => {
  const { code, err } = await torito(project({ "package.json": "{" }), "build").end;
  expect(code).toBe(2);
  expect(err).toMatch(/^torito: .*package\.json: .*\n$/);
});

test.each([
  ['{ "torito": { "publish": "80" } }', "--publish 80: not [HOST:]PORT:GUESTPORT[/net]"],
  ['{ "torito": { "memory": "lots" } }', "memory lots: not a size"],
  ['{ "torito": { "volumes": [1] } }', "torito.volumes is neither a string nor a list of strings"],
  ['{ "torito": { "entri": "x" } }', "no setting torito.entri; did you mean entry?"],
  ['{ "torito": [] }', '"torito" is not an object'],
])("package.json with %s is refused: 2", async (manifest, message) => {
  const folder = project({ "package.json": manifest, "src/main.ts": HELLO });
  const { code, err } = await torito(folder, "run", ".").end;
  expect(code).toBe(2);
  expect(err).toContain(`${join(folder, "package.json")}: `);
  expect(err).toContain(message);
});

test("a device that cannot be made is an error of one line: 2", async () => {
  const image = resolve("build/hello-world.wasm");
  const folder = project({
    "bad.mjs": "export default class { constructor() { throw Error('no') } }",
  });
  for (const [path, message] of [
    ["nowhere.mjs", "ENOENT"],
    ["bad.mjs", "no"],
  ]) {
    const { code, err } = await torito(folder, "run", image, "--device", path as string).end;
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`^torito: --device ${path}: .*${message}.*\n$`));
  }
});

test.each([
  ["build --watch", "build has no option --watch"],
  ["dev --pcap x", "dev has no option --pcap"],
  ["run . --filter x", "run has no option --filter"],
  ["tets", 'unknown command "tets"; did you mean test?'],
  ["new", "which directory?"],
])("`torito %s` is refused: 2", async (line, message) => {
  const { code, err } = await torito(emptyFolder(), ...line.split(" ")).end;
  expect(code).toBe(2);
  expect(err).toContain(message);
});

test.each(["new", "dev", "build", "test", "run", "serve"])("torito %s --help", async (verb) => {
  const { code, out } = await torito(emptyFolder(), verb, "--help").end;
  expect(code).toBe(0);
  expect(out).toMatch(new RegExp(`^torito ${verb} `));
  expect(out).toContain("Exit codes");
});

test("A12 without the compiler it ends, and says which command installs it: 69", async () => {
  // A copy without node_modules around it, as a global installation is.
  const folder = emptyFolder();
  for (const name of ["dist", "tools", "kernel", "package.json"]) {
    await import("node:fs/promises").then((fs) =>
      fs.cp(resolve(name), join(folder, "torito", name), { recursive: true }),
    );
  }
  rmSync(join(folder, "torito/tools/reference"), { recursive: true, force: true });
  write(folder, { "app/package.json": "{}", "app/src/main.ts": HELLO });
  const cli = join(folder, "torito/dist/host/cli.js");
  const { code, err } = await startWith({ cwd: join(folder, "app"), cli }, "build").end;
  const { peerDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const version = peerDependencies.assemblyscript;
  const command = `npm install --save-dev --save-exact assemblyscript@${version}`;
  expect({ code, err }).toEqual({
    code: 69,
    err: `torito: building needs the compiler, and it is not installed: ${command}\n`,
  });
});
