// examples/isolation.mjs runs as it is, and prints what its first lines say.
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { buildCommand } from "../support/command.ts";

test("the example measures a kept machine, fresh ones, and their memory", () => {
  buildCommand();
  const words = ["examples/isolation.mjs", "40"];
  const printed = execFileSync(process.execPath, words, { encoding: "utf8" });
  expect(printed).toMatch(
    /^one machine, kept: \d+ requests\/s\na fresh machine each: \d+ requests\/s\n/,
  );
  expect(printed).toMatch(/\na machine of the pool: \d+\.\d\d MiB, of which \d+ KiB in use\n$/);
});
