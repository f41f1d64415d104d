// The test files of a room, for tests that check which numbered rules have a test.
import { readdirSync, readFileSync } from "node:fs";

/** Sources of all test files below `rooms`, by path from the root of the project. */
export function testSources(...rooms: readonly string[]): Map<string, string> {
  const paths = rooms.flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: "utf8" }).map((name) => `${room}/${name}`),
  );
  const tests = paths.filter((path) => path.endsWith(".test.ts")).sort();
  return new Map(tests.map((path) => [path, readFileSync(path, "utf8")]));
}
