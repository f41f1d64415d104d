// The tables of docs/operating.md: all metrics with their labels, and all reasons, beside those
// of a service on a card that has answered something.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildCommand, killCommands, start } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-tables-"));
const guide = readFileSync("docs/operating.md", "utf8");
let text = "";

beforeAll(async () => {
  buildCommand();
  writeFileSync(join(folder, "index.html"), "hello");
  const torito = start("serve", folder, "--net", "-p", "0:80/net", "--admin", "0");
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, url] = await torito.until(/ready in .*(http:\S+)\//);
  await (await fetch(url as string)).text();
  await (await fetch(`${url}/missing`)).text();
  text = await (await fetch(`${admin}/metrics`)).text();
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

function rowsOf(table: string): string[][] {
  const [, rows = ""] =
    new RegExp(`<!-- ${table} -->\n([^]*?)<!-- /${table} -->`).exec(guide) ?? [];
  const cells = rows.split("\n").map((row) => row.split("|").slice(1, -1));
  return cells.slice(2).filter(({ length }) => length > 0);
}

const wordsOf = (cell = ""): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!);

test("the table of metrics has each family with its labels, and no other", () => {
  const labels = new Map<string, Set<string>>();
  for (const [, name] of text.matchAll(/^# TYPE (\S+) /gm)) labels.set(name!, new Set());
  for (const [, name, set] of text.matchAll(
    /^(\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+$/gm,
  )) {
    for (const [, label] of set?.matchAll(/(\w+)="/g) ?? []) {
      if (label !== "le") labels.get(name!)?.add(label!);
    }
  }
  const documented = rowsOf("metrics").map(([name, list]) => [wordsOf(name)[0], wordsOf(list)]);
  expect(documented.length).toBeGreaterThan(30);
  expect(documented).toEqual([...labels].map(([name, set]) => [name, [...set]]));
});

test("the table of reasons has each of them, with what it is of", () => {
  const found = new Map<string, string[]>();
  for (const [family, of] of [
    ["torito_http_aborted_total", "aborted"],
    ["torito_http_connections_cut_total", "cut"],
    ["torito_connections_refused_total", "refused"],
  ] as const) {
    for (const [, reason] of text.matchAll(new RegExp(`^${family}\\{reason="(\\w+)"\\}`, "gm"))) {
      found.set(reason!, [...(found.get(reason!) ?? []), of]);
    }
  }
  const documented = rowsOf("reasons").map(([reason, of]) => [
    wordsOf(reason)[0],
    of?.trim().split(", "),
  ]);
  expect(documented).toEqual([...found]);
});
