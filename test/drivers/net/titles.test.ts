// Has every numbered statement that binds the network driver a test, and is it one that runs with
// every combination of ring features?
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const STATEMENTS = [
  ...[1, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 18, 24, 25, 29, 32, 33, 35, 36].map((n) => `NW${n}`),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `ND${n}`),
];
const TITLE = /[([]\s*"((?:[A-Z]+\d+, )*[A-Z]+\d+): /g;
const suites = testSources("test/drivers/net");
suites.delete("test/drivers/net/titles.test.ts");

test("the driver has a test for each statement", () => {
  const found = [...suites.values()].flatMap((source) =>
    [...source.matchAll(TITLE)].flatMap(([, list]) => (list as string).split(", ")),
  );
  expect(STATEMENTS.filter((number) => !found.includes(number))).toEqual([]);
});

test("all of them run with every combination of ring features", () => {
  expect(suites.size).toBe(7);
  for (const [path, source] of suites) {
    const blocks = source.match(/^(describe|test)\b.*$/gm);
    expect(blocks, path).toEqual([expect.stringMatching(/^describe\.each\(RINGS\)/)]);
  }
});
