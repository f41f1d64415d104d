// docs/rules.md is the key to the rules that sources and tests cite: no citation without an entry,
// and no entry that nothing in the project keeps or tests.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const KEY = "docs/rules.md";
const CITATION = /\b(?:S[IRN]|H[BF]|ET|AL|N[WGDBPZ]|TC|[ACJMSVFUGKHDW])\d{1,2}\b/g;

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { encoding: "utf8" })
  .split("\n")
  .filter((name) =>
    /^(abi|apps|bench|drivers|guest|host|kernel|test|docs)\/.*\.(ts|mjs|md)$/.test(name),
  )
  .filter((name) => name !== KEY && existsSync(name));

/** Rules that the key explains. */
function keys(text: string): string[] {
  return [...text.matchAll(/^\| ((?:[A-Z]{1,2})\d+) \|/gm)].map(([, rule]) => rule as string);
}

/** Rules cited by comments and by titles of tests. */
function cited(source: string): string[] {
  const prose = [
    ...source.matchAll(/\/\/.*$|^\s*\/?\*.*$/gm),
    ...source.matchAll(/["`](?:[^"`\n]*)["`]/g),
  ];
  return prose.flatMap(([text]) => text.match(CITATION) ?? []);
}

/** Numbers of a range in a comment or title: "D1 to D17". */
function ranges(source: string): string[] {
  const found = source.matchAll(/\b([A-Z]+)(\d+) to \1(\d+)\b/g);
  return [...found].flatMap(([, letter, from, to]) =>
    Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => `${letter}${Number(from) + i}`),
  );
}

test("every rule that is cited has an entry, and every entry is cited", () => {
  const known = keys(readFileSync(KEY, "utf8"));
  expect(new Set(known).size).toBe(known.length);
  const sources = files.map((name) => readFileSync(name, "utf8"));
  const used = new Set(sources.flatMap((source) => [...cited(source), ...ranges(source)]));
  expect([...used].filter((rule) => !known.includes(rule)).sort()).toEqual([]);
  expect(known.filter((rule) => !used.has(rule))).toEqual([]);
});

test("a citation is a comment or a title, and a range is all of its rules", () => {
  expect(cited('// V16\nconst V1 = K2;\ntest("K8: x", f);\n')).toEqual(["V16", "K8"]);
  expect(ranges("D1 to D3")).toEqual(["D1", "D2", "D3"]);
  expect(keys("| V1 | both |\n| rule | x |\n")).toEqual(["V1"]);
});
