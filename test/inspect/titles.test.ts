// Is every numbered requirement on what shows the machine named by the title of a test? BR: in a
// browser's tab; IN: the inspector; TR: traces; PC: captures; TO: the tour.
import { expect, test } from "vitest";
import { testSources } from "../support/test-files.ts";

const COUNTS = { BR: 9, IN: 9, TR: 8, PC: 7, TO: 6 };
/** Of a test, of several, or of one with a witness; the number stands in front. */
const TITLE = /\b(?:test|describe|inChromium|witness)\b[^\n]*\n?[^\n]*["`]([A-Z]{2}\d[^"`\n]*)/g;

test("every requirement has a test whose title has its number", () => {
  const titles = [...testSources("test").values()].flatMap((source) =>
    [...source.matchAll(TITLE)].map(([, title]) => title as string),
  );
  const found = new Set(titles.flatMap((title) => title.match(/\b[A-Z]{2}\d\b/g) ?? []));
  const wanted = Object.entries(COUNTS).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, i) => `${kind}${i + 1}`),
  );
  expect(wanted.filter((number) => !found.has(number))).toEqual([]);
});
