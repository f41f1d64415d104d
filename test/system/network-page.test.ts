// docs/network.md: its program prints what the page says. It runs in a folder of the project, where
// the package finds itself.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { transform } from "esbuild";
import { expect, test } from "vitest";

const PAGE = readFileSync("docs/network.md", "utf8");
const PROGRAM = /^```ts (\S+)\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm;
const programs = [...PAGE.matchAll(PROGRAM)].map(
  ([, name = "", source = "", output = ""]) => [name, source, output] as const,
);

test("every program of the page has its output", () => {
  expect(PAGE.match(/^```ts \S/gm)).toHaveLength(programs.length);
});

test.each(programs)("%s prints what the page says", async (name, source, output) => {
  const { code } = await transform(source, { loader: "ts", target: "node20", format: "esm" });
  mkdirSync("build/test", { recursive: true });
  const file = `build/test/${name.replace(/\.ts$/, "")}-${process.pid}.mjs`;
  writeFileSync(file, code);
  expect(execFileSync(process.execPath, [file], { encoding: "utf8" })).toBe(output);
});
