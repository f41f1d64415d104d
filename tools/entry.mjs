// The file that the compiler begins with. Nobody writes it: it joins the author's file with the
// kernel, and exports what the host calls (host/image.ts).

/** No file of a project can have this name, because it is not one of a path. */
export const ENTRY = "torito:entry";

/**
 * How an image is entered. application: the file has a main(). calls: the host calls what the file
 * exports. both: that, and it has a main(). tests: the host calls the file's functions test_* and
 * panics_*, each of which runs as a thread.
 * @typedef {"application" | "calls" | "both" | "tests"} Kind
 */

/** Errors of files that do not fit the entry of their kind. */
export const WANTED = {
  application: "an application exports `main(): i32`",
  calls: "it cannot be exported",
  both: "an application exports `main(): i32`",
  tests: "a test takes no arguments",
};

/**
 * @param {Kind} kind
 * @param {string} from what to import the author's file from
 * @param {string} source its text
 * @param {boolean} coverage does it count the statements that ran?
 */
export function entryText(kind, from, source, coverage) {
  const name = JSON.stringify(from);
  const hasMain = kind === "application" || kind === "both";
  const lines = [
    'import { kernelMain } from "torito/kernel/main";',
    'export { fault, interrupt, run } from "torito/kernel/main";',
    'export * from "torito/kernel/layout";',
    "export function boot(bootInfo: usize): void {",
    `  kernelMain(bootInfo, ${hasMain ? "main" : "null"});`,
    "}",
  ];
  if (hasMain) lines.unshift(`import { main } from ${name};`);
  if (kind === "calls" || kind === "both") lines.push(`export * from ${name};`);
  if (kind === "tests") lines.push(...threads(name, source));
  if (kind !== "application") {
    lines.push('export { threadCount as unfinished } from "torito/kernel/thread";');
  }
  if (coverage) lines.push('export { coverage } from "torito/kernel/rt/coverage";');
  return lines.join("\n");
}

const TEST = /^export function ((?:test|panics)_\w+)/gm;

/** Objects belong to threads, so a test is one: its export begins it. */
function threads(name, source) {
  const tests = [...source.matchAll(TEST)].map(([, test]) => test);
  return [
    'import { BeginThread } from "torito/kernel/thread-calls";',
    `import * as tests from ${name};`, // a file without tests is compiled too
    ...tests.flatMap((test) => [
      `export function ${test}(): void {`,
      `  assert(BeginThread((_: usize): void => { tests.${test}(); }, 0, 0) > 0, "no thread");`,
      "}",
    ]),
  ];
}
