// Is every numbered rule about virtio-fs named by the title of a test? U: what FUSE servers do; F:
// the specification; W: guests that break the rules.
import { expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

const numbers = (letter: string, to: number) =>
  Array.from({ length: to }, (_, i) => `${letter}${i + 1}`);
const RULES = [...numbers("U", 25), ...numbers("F", 18), ...numbers("W", 19)];

/** Numbers in front of the colon of a title, or in parentheses after it. */
function named(source: string): string[] {
  const titles = [...source.matchAll(/^\s*(?:\]\)\(|test(?:\.\w+)*\()?"([^"]+)", (?:async )?\(/gm)];
  return titles.flatMap(([, title]) => (title as string).match(/\b[UFW]\d+\b/g) ?? []);
}

test("every rule has a test", () => {
  const sources = testSources(
    "test/devices/fs",
    "test/drivers/fs",
    "test/kernel/files",
    "test/host",
  );
  const found = new Set([...sources.values()].flatMap(named));
  expect(RULES.filter((rule) => !found.has(rule))).toEqual([]);
});

test("does not count a number outside a title", () => {
  const source = 'test("U1, F2: x", () => {\n  // W3\n  expect("U4").toBe(1);\n});\n';
  expect(named(source)).toEqual(["U1", "F2"]);
});
