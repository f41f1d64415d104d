// `torito test`: which functions are tests, what is printed, exit codes.
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/appliance.ts";
import { buildCommand, killCommands } from "../support/command.ts";
import { project, removeProjects, torito, write } from "../support/project.ts";

beforeAll(buildCommand);
afterAll(() => {
  killCommands();
  removeProjects();
});

const MAIN = `export function main(): i32 { return 0; }
export function double(n: i32): i32 {
  if (n < 0) {
    return -1;
  }
  return 2 * n;
}
`;
const TESTS = `import { print } from "torito/guest";
import { Sleep } from "torito/kernel/api";
import { double } from "./main";

let calls = 0;

export function test_a_number_is_doubled(): void {
  assert(double(4) == 8);
  assert(calls++ == 0, "each test has a machine of its own");
}

export function test_a_minute_passes_at_once(): void {
  assert(calls++ == 0, "each test has a machine of its own");
  Sleep(59_000);
}

export function panics_an_empty_list(): void {
  assert(new Array<i32>(0)[double(0)] == 0);
}

export function helper(): void {
  assert(false, "not a test");
}
`;
const FAILING = `import { print } from "torito/guest";
import { BeginThread, Sleep } from "torito/kernel/api";

export function test_of_arithmetic(): void {
  print("about to add\\n");
  assert(2 + 2 == 5);
}

export function test_of_words(): void {
  throw new Error("said so");
}

export function panics_never(): void {}

export function test_that_sleeps(): void {
  BeginThread((_: usize): void => { while (true) Sleep(1000); }, 0, 0);
}
`;

describe("a project whose tests pass", () => {
  let folder = "";
  beforeAll(() => {
    folder = project({ "src/main.ts": MAIN, "src/main.test.ts": TESTS });
  });

  test("every test_* and panics_* runs, on a machine of its own, in simulated time: 0", async () => {
    const { code, out, err } = await torito(folder, "test").end;
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.split("\n")).toEqual([
      "src/main.test.ts",
      "  ok    a number is doubled",
      "  ok    a minute passes at once",
      "  ok    panics an empty list",
      "3 passed, 0 failed",
      "",
    ]);
  });

  test("--filter selects by a part of the name, --coverage shows lines that ran", async () => {
    const words = ["test", "--filter", "is_doubled", "--coverage"];
    const { code, out } = await torito(folder, ...words).end;
    expect(code).toBe(0);
    expect(out).toContain("1 passed, 0 failed, 2 filtered out");
    expect(out).toMatch(/ 2\/4 {2}src\/main\.ts {2}not 1 4\n/);
    expect(out).toMatch(/ 2\/4 {2}50\.0 %\n/);
  });

  test("files and folders may be named; names of nothing have no tests: 2", async () => {
    const one = await torito(folder, "test", "src/main.test.ts", "--filter", "minute").end;
    expect(one.code).toBe(0);
    const none = await torito(folder, "test", "elsewhere").end;
    expect(none).toMatchObject({ code: 2, out: "0 passed, 0 failed\n" });
    expect(none.err).toContain("no tests");
  });

  test("a filter that fits nothing: 2", async () => {
    const { code, out } = await torito(folder, "test", "-f", "nothing like it").end;
    expect(code).toBe(2);
    expect(out).toContain("0 passed, 0 failed, 3 filtered out");
  });
});

test("a failure shows message, place, frames and what was printed: 1", async () => {
  const folder = project({ "src/main.ts": MAIN, "src/failing.test.ts": FAILING });
  const { code, out } = await torito(folder, "test").end;
  expect(code).toBe(1);
  expect(out).toContain("  FAIL  of arithmetic: an assertion failed at src/failing.test.ts:6:3\n");
  expect(out).toMatch(/ at src\/failing\.test\/test_of_arithmetic \(src\/failing\.test\.ts:6:3\)/);
  expect(out).toContain("        about to add\n");
  expect(out).toMatch(/FAIL {2}of words: said so at src\/failing\.test\.ts:10:\d+\n/);
  expect(out).toContain("FAIL  panics never: it should have panicked\n");
  expect(out).toContain("FAIL  that sleeps: a thread has not ended within a minute\n");
  expect(out).toContain("0 passed, 4 failed\n");
});

test("a file that does not compile fails the run, and the others run: 1", async () => {
  const folder = project({
    "src/main.ts": MAIN,
    "src/main.test.ts": TESTS,
    "src/broken.test.ts": "export function test_it(n: i32): void {}\n",
    "src/wrong.test.ts": "export function test_it(): void { nothing(); }\n",
  });
  const { code, out, err } = await torito(folder, "test").end;
  expect(code).toBe(1);
  expect(err).toContain("src/broken.test.ts: a test takes no arguments");
  expect(err).toContain("src/wrong.test.ts(1,35)");
  expect(out).toContain("3 passed, 0 failed, 2 do not compile\n");
});

test("an allocation in a driver is refused in tests too", async () => {
  const folder = project({
    "src/main.ts": MAIN,
    "drivers/lamp.ts": "export function light(): i32 {\n  return [1, 2].length;\n}\n",
    "src/lamp.test.ts":
      'import { light } from "../drivers/lamp";\nexport function test_it(): void { light(); }\n',
  });
  const { code, err } = await torito(folder, "test").end;
  expect(code).toBe(1);
  expect(err).toMatch(/drivers\/lamp\.ts:2:\d+: drivers\/lamp\/light allocates/);
});

test("--watch runs what has changed, files that come and go included; SIGINT ends it: 0", async () => {
  const folder = project({ "src/main.ts": MAIN, "src/main.test.ts": TESTS });
  const command = torito(folder, "test", "--watch");
  const out = () => command.text().out;
  const count = (wanted: RegExp) => out().match(wanted)?.length ?? 0;
  await until(() => count(/^3 passed, 0 failed$/gm) === 1);
  write(folder, { "src/main.ts": MAIN.replace("2 * n", "3 * n") });
  await until(() => count(/^2 passed, 1 failed$/gm) === 1);
  write(folder, { "src/more.test.ts": "export function test_more(): void {}\n" });
  await until(() => count(/^1 passed, 0 failed$/gm) === 1);
  unlinkSync(join(folder, "src/more.test.ts"));
  write(folder, { "src/main.ts": MAIN });
  await until(() => count(/^3 passed, 0 failed$/gm) === 2);
  command.child.kill("SIGINT");
  expect((await command.end).code).toBe(0);
});
