// The package as npm would publish it, installed into an empty folder.
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
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
