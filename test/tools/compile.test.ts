// Building: an author's files become an image, wherever they lie.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { compile } from "../../tools/compile.mjs";
import { compileGuest, runGuest } from "../support/guest.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder with these files, by name. */
function project(files: Record<string, string>, name = ""): string {
  const top = mkdtempSync(join(tmpdir(), "torito-"));
  folders.push(top);
  const folder = join(top, name);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  return folder;
}

const failure = (folder: string, entry = "src/main.ts") =>
  compile(entry, "debug", { folder }).then(
    () => "it compiled",
    (error: Error) => error.message,
  );

const HELLO = `import { print } from "torito/guest";
export function main(): i32 { print("hello\\n"); return 0; }
`;

describe("text()", async () => {
  const image = await compileGuest("test/guest/text.ts");
  const names = WebAssembly.Module.exports(image.module).map(({ name }) => name);

  test.each(names.filter((name) => name.startsWith("test_")))("%s", async (name) => {
    await runGuest(image, name);
  });

  test("of anything but a literal is an error in the author's line", async () => {
    const folder = project({
      "src/main.ts": `import { spanBytes, text } from "torito/guest";
export function main(): i32 {
  const name = "x";
  return spanBytes(text(name));
}
`,
    });
    const message = await failure(folder);
    expect(message).toContain("text() wants one string literal.");
    expect(message).toContain("src/main.ts(4,20)");
  });
});

test("A9 the same sources give the same bytes, whatever was compiled before", async () => {
  const hash = async (target: "debug" | "release") => {
    const { wasm, map } = await compile("apps/hello-world/main.ts", target);
    return createHash("sha256").update(wasm).update(map).digest("hex");
  };
  const debug = await hash("debug");
  const release = await hash("release");
  expect(await hash("debug")).toBe(debug);
  expect(await hash("release")).toBe(release);
});

test("an application lies anywhere: spaces and letters in its path do not matter", async () => {
  const folder = project({ "src/main.ts": HELLO }, "mein Gerät №1");
  const { wasm, sources } = await compile("src/main.ts", "debug", { folder });
  expect([...sources.keys()]).toEqual([join(folder, "src/main.ts")]);
  const here = project({ "src/main.ts": HELLO });
  const again = await compile("src/main.ts", "debug", { folder: here });
  expect(Buffer.compare(wasm, again.wasm)).toBe(0);
});

test("a file of the author's is never taken for the one that the build makes", async () => {
  const other = "export function answer(): i32 { return 42; }\n";
  const folder = project({
    "src/main.ts": `import { answer } from "../torito.entry";
import { answer as other } from "../entry";
export function main(): i32 { return answer() - other(); }
`,
    "torito.entry.ts": other,
    "entry.ts": other,
  });
  await compile("src/main.ts", "debug", { folder });
});

test("an image has one kernel, whatever versions of torito lie about", async () => {
  const other = "this is no AssemblyScript";
  const folder = project({
    "src/main.ts": `import { print } from "torito/guest";
import { twice } from "lamp";
export function main(): i32 { print("on\\n"); return twice(1); }
`,
    "node_modules/torito/guest/index.ts": other,
    "node_modules/torito/kernel/api.ts": other,
    "node_modules/lamp/index.ts": `import { Sleep } from "torito/guest";
import { half } from "./half";
export function twice(n: i32): i32 { Sleep(n); return half(4 * n); }
`,
    "node_modules/lamp/half.ts": "export function half(n: i32): i32 { return n / 2; }\n",
    "node_modules/lamp/node_modules/torito/guest/index.ts": other,
    "node_modules/lamp/node_modules/torito/kernel/api.ts": other,
  });
  const { sources } = await compile("src/main.ts", "debug", { folder });
  const read = [...sources].filter(([, stamp]) => stamp !== "").map(([path]) => path);
  expect(read.filter((path) => path.includes("torito/"))).toEqual([]);
  expect(read).toContain(join(folder, "node_modules/lamp/half.ts"));
});

test("packages above the project are found, and so are linked ones", async () => {
  const lamp = project({ "index.ts": "export function on(): i32 { return 0; }\n" });
  const folder = project({
    "apps/one/src/main.ts":
      'import { on } from "lamp";\nexport function main(): i32 { return on(); }\n',
    "node_modules/.keep": "",
  });
  symlinkSync(lamp, join(folder, "node_modules/lamp"));
  await compile("src/main.ts", "debug", { folder: join(folder, "apps/one") });
  const link = `${folder}-link`;
  symlinkSync(join(folder, "apps/one"), link);
  folders.push(link);
  await compile("src/main.ts", "debug", { folder: link });
});

test("errors are shown by the names that authors use", async () => {
  const folder = project({
    "src/main.ts": `import { nothing } from "torito/kernel/api";
import { Span } from "torito/kernel/nowhere";
export function main(): i32 { return 0; }
`,
  });
  const message = await failure(folder);
  expect(message).toContain("torito/kernel/nowhere");
  expect(message).not.toContain("~lib/torito");
});

test("a type error of the author's shows the line", async () => {
  const folder = project({
    "src/main.ts": "export function main(): i32 {\n  let n: i32 = 'five';\n  return n;\n}\n",
  });
  const message = await failure(folder);
  expect(message).toContain("Type '~lib/string/String' is not assignable to type 'i32'.");
  expect(message).toContain("src/main.ts(2,16)");
});

test("A5 a managed allocation in a driver fails the build, with file, line and column", async () => {
  const folder = project({
    "src/main.ts":
      'import { start } from "../drivers/clock";\n' +
      "export function main(): i32 { return start(); }\n",
    "drivers/clock.ts": "export function start(): i32 {\n  return new Array<i32>(4).length;\n}\n",
  });
  expect(await failure(folder)).toMatch(/^drivers\/clock\.ts:2:\d+: .* allocates/m);
});

test("an entry without main(), or with one of another type, says what is wanted", async () => {
  const wanted = "src/main.ts: an application exports `main(): i32`";
  const none = project({ "src/main.ts": "export function start(): i32 { return 0; }\n" });
  expect(await failure(none)).toContain(wanted);
  const other = project({ "src/main.ts": "export function main(n: i32): void {}\n" });
  expect(await failure(other)).toContain(wanted);
  expect(await failure(project({}), "src/main.ts")).toContain("src/main.ts: there is no such file");
});

test("asconfig.json of a project is refused, not silently merged", async () => {
  const folder = project({ "src/main.ts": HELLO, "asconfig.json": "{}" });
  expect(await failure(folder)).toContain("asconfig.json: torito does not read it");
});
