// Has every numbered statement about the guest's TCP/IP a test?
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const STATEMENTS = [
  ...numbers("TC", 1, 14),
  ...numbers("TC", 20, 33),
  ...numbers("TC", 40, 55),
  ...numbers("TC", 60, 63),
  ...numbers("NP", 1, 12),
];

function numbers(prefix: string, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => `${prefix}${first + i}`);
}
const TITLE = /["`]((?:[A-Z]+\d+, )*[A-Z]+\d+): /g;

test("every statement has a test whose title begins with its number", () => {
  const folders = ["test/kernel/inet", "test/kernel/tcp"];
  const sources = folders.flatMap((folder) => [...testSources(folder).values()]);
  const found = sources.flatMap((source) =>
    [...source.matchAll(TITLE)].flatMap(([, list]) => (list as string).split(", ")),
  );
  expect(STATEMENTS.filter((number) => !found.includes(number))).toEqual([]);
});
