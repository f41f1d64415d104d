// Is every numbered statement about the vsock device named by a test that runs on all kinds of
// ring? V: the specification and what everybody expects beside it; K: guests that break the rules;
// H: programs of the host that do.
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const numbers = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${letter}${from + i}`);

const STATEMENTS = [
  ...numbers("V", 1, 24),
  ...numbers("V", 30, 39),
  ...numbers("K", 1, 20),
  ...numbers("H", 1, 8),
];

/** The part of a title before its colon: one number or more. */
const TITLE = /["`]((?:[A-Z]\d+, )*[A-Z]\d+): /g;

/** Numbers in titles of tests inside of describe.each(RING_KINDS). */
function named(source: string): string[] {
  const blocks = source.split(/^(?=\S)(?!\}|\))/m);
  const onAllRings = blocks.filter((block) => block.startsWith("describe.each(RING_KINDS)("));
  return onAllRings.flatMap((block) =>
    [...block.matchAll(TITLE)].flatMap(([, list]) => (list as string).split(", ")),
  );
}

test("every statement has a test whose title begins with its number, on every kind of ring", () => {
  const found = new Set([...testSources("test/devices/vsock").values()].flatMap(named));
  expect(STATEMENTS.filter((number) => !found.has(number))).toEqual([]);
});

test("does not count a title elsewhere, or a number that is only mentioned", () => {
  const each =
    'describe.each(RING_KINDS)("x ($name)", (rings) => {\n  test("V1, K20: y", z);\n});\n';
  const once = 'describe("x", () => {\n  test("V2: y", z);\n});\n';
  const mentions = each.replace("V1, K20: y", "y (V3)");
  expect(named(each + once + mentions)).toEqual(["V1", "K20"]);
});
