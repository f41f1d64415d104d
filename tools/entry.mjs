// The file that the compiler begins with. Nobody writes it: it joins the author's file with the
// kernel, and exports what the host calls (host/image.ts).

/** No file of a project can have this name, because it is not one of a path. */
export const ENTRY = "torito:entry";

/**
 * @typedef {object} EntryOptions
 * @property {string} from what to import the author's file from
 * @property {boolean} application does it have a main(), the application?
 * @property {boolean} exports does the image export what the file does?
 * @property {boolean} tests does the image export what a test runner asks?
 * @property {boolean} coverage does it count the statements that ran?
 */

/** @param {EntryOptions} options */
export function entryText({ from, application, exports, tests, coverage }) {
  const lines = [
    'import { kernelMain } from "torito/kernel/main";',
    'export { fault, interrupt, run } from "torito/kernel/main";',
    application ? `import { main } from ${JSON.stringify(from)};` : "",
    exports ? `export * from ${JSON.stringify(from)};` : "",
    tests ? 'export { threadCount as unfinished } from "torito/kernel/thread";' : "",
    coverage ? 'export { coverage } from "torito/kernel/rt/coverage";' : "",
    "export function boot(bootInfo: usize): void {",
    `  kernelMain(bootInfo, ${application ? "main" : "null"});`,
    "}",
  ];
  return lines.join("\n");
}
