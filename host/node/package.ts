// The package that this file is part of, installed or a clone.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

function find(): string {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("package.json", folder))) folder = new URL("..", folder);
  return fileURLToPath(folder);
}

/** Its folder, with a separator at the end. */
export const PACKAGE_FOLDER = find();

interface Manifest {
  readonly version: string;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

function manifest(): Manifest {
  return JSON.parse(readFileSync(`${PACKAGE_FOLDER}package.json`, "utf8"));
}

/** Its version. */
export function packageVersion(): string {
  return manifest().version;
}

/** The version of a package that it works with. */
export function peerVersion(name: string): string {
  return manifest().peerDependencies[name] ?? "*";
}
