// docs/embedding.md, followed word for word: each program runs from the packed package, and prints
// what the page says.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { transform } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeFolders } from "../support/appliance.ts";
import { checkTypes, install } from "../support/installed.ts";

const PAGE = readFileSync("docs/embedding.md", "utf8");
const PROGRAM = /^```ts (\S+)\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm;
const programs = [...PAGE.matchAll(PROGRAM)].map(
  ([, name = "", source = "", output = ""]) => [name, source, output] as const,
);

let installed: string;
beforeAll(() => {
  installed = install();
  for (const [name, source] of programs) writeFileSync(join(installed, name), source);
});
afterAll(removeFolders);

test("every program of the page has its output", () => {
  expect(PAGE.match(/^```ts /gm)).toHaveLength(programs.length);
  expect(programs.length).toBeGreaterThan(3);
});

test.each(programs)("%s prints what the page says", async (name, source, output) => {
  // Node 20 has neither types nor `await using`.
  const { code } = await transform(source, { loader: "ts", target: "node20", format: "esm" });
  const file = name.replace(/\.ts$/, ".mjs");
  writeFileSync(join(installed, file), code);
  const printed = execFileSync(process.execPath, [file], { cwd: installed, encoding: "utf8" });
  expect(printed).toBe(output);
});

test("the programs have no type errors", () => {
  const files = programs.map(([name]) => name);
  expect(checkTypes("nodenext", "nodenext", files)).toBe("");
});
