// Is every numbered statement about the network device named by a test that runs on all kinds of
// ring? NW: the specification; NG: guests that break the rules; NB: the switch, and from 20 on the
// `user` network.
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const STATEMENTS = [
  ...[1, 2, 3, 4, 5, 8, 9, 14, 15, 16, 19, 20, 21, 22, 23].map((n) => `NW${n}`),
  ...[26, 27, 28, 29, 30, 31, 32, 34].map((n) => `NW${n}`),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((n) => `NG${n}`),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `NB${n}`),
  ...[20, 21, 22, 23, 24, 25, 26, 27, 28, 29].map((n) => `NB${n}`),
];
const TITLE = /["`]((?:[A-Z]+\d+, )*[A-Z]+\d+): /g;

test("every statement has a test whose title begins with its number, on every kind of ring", () => {
  const sources = [...testSources("test/devices/net").values()];
  const blocks = sources.flatMap((source) => source.split(/^(?=\S)(?!\}|\))/m));
  const onAllRings = blocks.filter((block) => block.startsWith("describe.each(RING_KINDS)("));
  const found = onAllRings.flatMap((block) =>
    [...block.matchAll(TITLE)].flatMap(([, list]) => (list as string).split(", ")),
  );
  expect(STATEMENTS.filter((number) => !found.includes(number))).toEqual([]);
});
