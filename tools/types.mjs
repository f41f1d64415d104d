// Declarations of the guest's sources, for the editors of authors: node tools/types.mjs. tsc knows
// AssemblyScript only in part, so the sources have errors for it, which say nothing; what it emits
// for names, parameters and comments is right. Applications are compiled from the sources.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./names.mjs";

const output = join(root, "dist/types");
const index = join(output, "guest/index.d.ts");
const tsc = join(root, "node_modules/typescript/bin/tsc");

rmSync(output, { recursive: true, force: true });
const { stdout } = spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.types.json")]);
if (!existsSync(index)) throw new Error(`tsc has emitted no declarations: ${stdout}`);
for (const file of [index, join(output, "kernel/api.d.ts")]) {
  const text = readFileSync(file, "utf8");
  writeFileSync(file, `/// <reference path="../../../editor.d.ts" />\n${text}`);
}
