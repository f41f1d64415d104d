// A machine that is killed while it writes: acknowledged writes are there, followed by whole
// records in their order.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test } from "vitest";
import { CLI, makeFolder, removeFolders } from "../support/appliance.ts";
import { compileOnce } from "../support/compiled.ts";
import { Random } from "../support/simulation-random.ts";

const RECORD_BYTES = 4096;
let image: Uint8Array;

beforeAll(async () => {
  image = (await compileOnce("test/guest/files-crash.ts", "release")).wasm;
});
afterEach(removeFolders);

test.each([1, 2, 3, 4, 5, 6])(
  "after SIGKILL at any moment the file has all that WRITE and FSYNC have answered: %i",
  async (seed) => {
    const [folder, directory] = [makeFolder(), makeFolder()];
    const path = join(folder, "crash.wasm");
    writeFileSync(path, image);
    const args = [CLI, "run", path, "-v", `${directory}:dir:rw`];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
    const exited = once(child, "exit");
    const lines = new Random(seed).between(8, 360);
    let said = "";
    for await (const chunk of child.stdout) {
      said += chunk;
      if (said.split("\n").length > lines) child.kill("SIGKILL");
    }
    await exited;
    expect(child.signalCode).toBe("SIGKILL");
    const told = [...said.matchAll(/^(?:written|synced) (\d+)\n/gm)].map((line) => Number(line[1]));
    const least = Math.max(...told);
    expect(told.length).toBeGreaterThan(0);
    expect(readdirSync(directory)).toEqual(["log"]);
    const log = readFileSync(join(directory, "log"));
    expect(log.length).toBeGreaterThanOrEqual(least * RECORD_BYTES);
    for (let at = 0; at + 4 <= log.length; at += 4) {
      if (log.readUInt32LE(at) !== Math.floor(at / RECORD_BYTES)) {
        expect([at, log.readUInt32LE(at)]).toEqual([at, Math.floor(at / RECORD_BYTES)]);
      }
    }
  },
);
