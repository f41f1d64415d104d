// The start of the command: it waits for no module that the command at hand does not use.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildCommand, CLI } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-start-"));
const listing = join(folder, "loaded.cjs");

beforeAll(() => {
  buildCommand();
  const text = 'process.on("exit", () => console.error(process.moduleLoadList.join("\\n")));';
  writeFileSync(listing, text);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** Modules of Node that a run has loaded. */
function loadedBy(...words: string[]): string[] {
  const { stderr, status } = spawnSync(process.execPath, ["--require", listing, CLI, ...words]);
  expect(status).toBe(0);
  return stderr.toString().split("\n");
}

test.each([["help"], ["serve", folder, "-p", "0:80", "--check"]])(
  "%s loads no HTTP and no zlib of Node",
  (...words) => {
    const loaded = loadedBy(...words);
    expect(loaded).toContain("NativeModule fs");
    for (const name of ["http", "zlib"]) expect(loaded).not.toContain(`NativeModule ${name}`);
  },
);

test.each(["check", "top"])("%s, which uses HTTP, has it", (verb) => {
  const { stderr } = spawnSync(process.execPath, [CLI, verb, "http://127.0.0.1:9/"]);
  expect(stderr.toString()).toContain("ECONNREFUSED");
});
