// A project: the folder of an application that its author has written. Its package.json may set
// options of `torito run` and `torito dev` under the name "torito".
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { PAGE_BYTES } from "../../memory.ts";
import { CliError, nearest } from "../usage.ts";
import { parsePublish, parseSize, parseVolume } from "../values.ts";

const ENTRY = "src/main.ts";

export interface Project {
  /** Absolute. */
  readonly folder: string;
  /** The application's main file, relative to the folder. */
  readonly entry: string;
  readonly settings: Settings;
}

/** Defaults for options, by name, as they would stand on the command line. */
export interface Settings {
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly parameters: readonly string[];
}

export const NO_SETTINGS: Settings = { options: new Map(), parameters: [] };

const KEYS = ["entry", "memory", "publish", "volumes", "devices", "parameters"];

/**
 * The project that a folder or a file of it is named by. Throws CliError if there is none, or its
 * package.json cannot be used.
 */
export function findProject(target = "."): Project {
  const path = resolve(target);
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? /\.ts$/.test(path);
  const start = isFile ? dirname(path) : path;
  const manifest = nearestManifest(start);
  const folder = manifest ?? start;
  if (manifest === null && !isFile && !existsSync(join(folder, ENTRY))) {
    throw new CliError(`${target}: no project here; torito new DIR makes one`);
  }
  const { entry = ENTRY, ...settings } = readSettings(folder);
  if (isFile) return { folder, entry: relative(folder, path), settings };
  const inside = join(path, "main.ts"); // of one application among several of a project
  const isOne = path !== folder && existsSync(inside);
  return { folder, entry: isOne ? relative(folder, inside) : entry, settings };
}

/** Is this the folder of a project with an application, and no image? */
export function isProject(target: string): boolean {
  if (!statSync(target, { throwIfNoEntry: false })?.isDirectory()) return false;
  return existsSync(join(target, ENTRY)) || readSettings(resolve(target)).entry !== undefined;
}

/** Where the image of the project is kept. */
export function imageOf({ folder, entry }: Project): string {
  const file = basename(entry, ".ts");
  const around = basename(dirname(entry));
  const name = file !== "main" || around === "src" || around === "." ? file : around;
  return join(folder, "build", `${name}.wasm`);
}

function nearestManifest(start: string): string | null {
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (dirname(folder) === folder) return null;
  }
}

function readSettings(folder: string): Settings & { readonly entry?: string } {
  const path = join(folder, "package.json");
  if (!existsSync(path)) return NO_SETTINGS;
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CliError(`${path}: ${(error as Error).message}`);
  }
  const ours = (manifest as { torito?: unknown } | null)?.torito ?? {};
  if (typeof ours !== "object" || Array.isArray(ours)) {
    throw new CliError(`${path}: "torito" is not an object`);
  }
  for (const key of Object.keys(ours)) {
    if (KEYS.includes(key)) continue;
    const guess = nearest(key, KEYS);
    const hint = guess === null ? "" : `; did you mean ${guess}?`;
    throw new CliError(`${path}: there is no setting torito.${key}${hint}`);
  }
  const words = (key: string) => strings(path, key, (ours as Record<string, unknown>)[key]);
  const options = new Map([
    ["memory", words("memory")],
    ["publish", words("publish")],
    ["volume", words("volumes").map((volume) => inFolder(folder, volume))],
    ["device", words("devices").map((device) => resolve(folder, device))],
  ]);
  const [entry] = words("entry");
  check(path, options);
  const settings = { options, parameters: words("parameters") };
  return entry === undefined ? settings : { ...settings, entry };
}

/** Values that no option would take are errors of package.json, not of the command line. */
function check(path: string, options: Settings["options"]): void {
  try {
    for (const size of options.get("memory") ?? []) parseSize("memory", size, PAGE_BYTES);
    for (const port of options.get("publish") ?? []) parsePublish(port);
    for (const volume of options.get("volume") ?? []) parseVolume(volume);
  } catch (error) {
    throw new CliError(`${path}: ${(error as Error).message}`);
  }
}

/** A string, or several. */
function strings(path: string, key: string, value: unknown): string[] {
  if (value === undefined) return [];
  const list = Array.isArray(value) ? value : [value];
  if (list.every((one) => typeof one === "string")) return list;
  throw new CliError(`${path}: torito.${key} is neither a string nor a list of strings`);
}

/** HOSTDIR:TAG with the directory relative to the project, from wherever the command is called. */
function inFolder(folder: string, volume: string): string {
  const [, directory = volume, rest = ""] = /^(.+?)(:[^:]+(?::r[ow])?)$/.exec(volume) ?? [];
  return `${resolve(folder, directory)}${rest}`;
}
