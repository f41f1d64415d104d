// Has every numbered statement about the guest's TCP/IP a test, as far as it is built?
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const STATEMENTS = [
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 63].map((n) => `TC${n}`),
  ...["NP8", "NP9", "NP10", "NP12"],
];
const TITLE = /["`]((?:[A-Z]+\d+, )*[A-Z]+\d+): /g;

test("every statement has a test whose title begins with its number", () => {
  const sources = [...testSources("test/kernel/inet").values()];
  const found = sources.flatMap((source) =>
    [...source.matchAll(TITLE)].flatMap(([, list]) => (list as string).split(", ")),
  );
  expect(STATEMENTS.filter((number) => !found.includes(number))).toEqual([]);
});
