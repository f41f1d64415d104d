// The command ends although a call of its thread pool hangs, which Node would wait for.
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { buildCommand } from "../../support/command.ts";

const HOST = fileURLToPath(new URL("../../../dist/host", import.meta.url));
const module = (path: string) => JSON.stringify(pathToFileURL(join(HOST, path)).href);

beforeAll(buildCommand);
afterEach(removeFolders);

/** A process that ends with that code while it opens a FIFO that nobody writes to. */
function endWith(code: number) {
  const fifo = join(makeFolder(), "fifo");
  execFileSync("mkfifo", [fifo]);
  const script = `
    import { open } from "node:fs";
    import { exit } from ${module("cli/streams.js")};
    import { Threads } from ${module("node/files/threads.js")};
    new Threads().run((end) => open(${JSON.stringify(fifo)}, "r", end));
    process.stdout.write("ends");
    await exit(${code}, Infinity);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script]);
  const exited = new Promise<unknown[]>((resolve) => {
    child.on("exit", (...how) => resolve(how));
  });
  const begun = new Promise((resolve) => child.stdout.once("data", resolve));
  return { child, begun, exited };
}

test("ends on a late signal", async () => {
  expect(await endWith(143).exited).toEqual([null, "SIGTERM"]);
  expect(await endWith(130).exited).toEqual([null, "SIGINT"]);
});

test("ends on a signal while it waits for the disk", async () => {
  const { child, begun, exited } = endWith(0);
  await begun;
  child.kill("SIGTERM");
  expect(await exited).toEqual([null, "SIGTERM"]);
});
