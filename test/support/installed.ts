// The package as npm would publish it, installed into an empty folder.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeFolder } from "./appliance.ts";

let folder: string | undefined;
/** The package as it would be published, installed into a folder of its own, once. */
export function install(): string {
  if (folder !== undefined) return folder;
  const packed = makeFolder();
  const installed = makeFolder();
  const npm = (args: string[], cwd: string) =>
    execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  // Whoever runs the tests has built before.
  npm(["pack", "--ignore-scripts", "--pack-destination", packed], resolve("."));
  const tarball = join(packed, readdirSync(packed)[0] as string);
  writeFileSync(`${installed}/package.json`, '{ "type": "module" }');
  npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], installed);
  folder = installed;
  return installed;
}

/** Errors of a strict compiler in files beside the package, and in declarations of libraries. */
export function checkTypes(module: string, resolution: string, files: readonly string[]): string {
  const cwd = install();
  const types = `${cwd}/node_modules/@types`;
  if (!existsSync(types)) symlinkSync(resolve("node_modules/@types"), types);
  const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022"];
  const kind = ["--module", module, "--moduleResolution", resolution];
  const tsc = resolve("node_modules/.bin/tsc");
  return spawnSync(tsc, [...options, ...kind, ...files], { cwd, encoding: "utf8" }).stdout;
}
