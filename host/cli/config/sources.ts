// Settings from the environment and from torito.json. A name that is not known is an error: a
// misspelt limit that is ignored would be worse than no start.
import { existsSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CliError, didYouMean } from "../usage.ts";
import {
  hostOption,
  isSiteOption,
  type OptionName,
  type OptionSpec,
  SETTING_NAMES,
  variableOf,
} from "./options.ts";
import { type Layer, layer, type Setting } from "./values.ts";

export const CONFIG_NAME = "torito.json";
/** For editors; it sets nothing. */
export const SCHEMA_KEY = "$schema";
/** Variables of this project's own tests and benchmarks. */
const OTHER_VARIABLES = ["TORITO_TEST", "TORITO_BENCH_NAMESPACE"];

export type Environment = Readonly<Record<string, string | undefined>>;

/** TORITO_*. An empty variable is not set. */
export function fromEnvironment(env: Environment): Layer {
  const names = new Map(SETTING_NAMES.map((name) => [variableOf(name), name]));
  const found: [OptionName, string[]][] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("TORITO_") || !value || OTHER_VARIABLES.includes(variable)) continue;
    const name = names.get(variable);
    if (name === undefined) {
      throw new CliError(`unknown variable ${variable}${didYouMean(variable, [...names.keys()])}`);
    }
    found.push([name, wordsOfVariable(name, value)]);
  }
  return layer("environment", found);
}

function wordsOfVariable(name: OptionName, value: string): string[] {
  if (name === "parameters") return value.split(/\s+/).filter((word) => word !== "");
  if (hostOption(name)?.kind !== "list") return [value];
  return value
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

/** PORT and HOST, which platforms set for every program. */
export function fromPlatform(env: Environment): Layer {
  const found: [OptionName, string[]][] = [];
  if (env.PORT) found.push(["port", [env.PORT]]);
  if (env.HOST) found.push(["host", [env.HOST]]);
  return layer("platform", found);
}

/**
 * The configuration file: the one that is named, or torito.json beside the site, if it is there.
 * null: none.
 */
export function findConfig(named: string | null, root: string | null): string | null {
  if (named !== null) return named;
  const beside = resolve(root === null ? "." : dirname(resolve(root)), CONFIG_NAME);
  return existsSync(beside) ? beside : null;
}

/** Throws CliError with the name of the key that is wrong. */
export function fromFile(path: string): Layer {
  const keys = parse(path);
  const settings = new Map<OptionName, Setting>();
  for (const [key, json] of Object.entries(keys)) {
    if (key === SCHEMA_KEY) continue;
    const name = SETTING_NAMES.find((one) => one === key);
    if (name === undefined) {
      throw new CliError(`${path}: unknown key "${key}"${didYouMean(key, SETTING_NAMES)}`);
    }
    const words = wordsOfJson(`${path}: ${key}`, name, json);
    const isPath = hostOption(name)?.isPath === true;
    const place = (word: string) => (word === "-" ? word : resolve(dirname(path), word));
    const placed = isPath ? words.map(place) : words;
    settings.set(name, { source: "file", words: placed, json });
  }
  return settings;
}

function parse(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError(`${path}: ${(error as Error).message}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${path}: not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new CliError(`${path}: not an object`);
  }
  assertOnce(path, text);
  return value as Record<string, unknown>;
}

/** Of a key that stands twice JSON takes the second, which nobody can have meant. */
function assertOnce(path: string, text: string): void {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, key] of text.matchAll(/"((?:[^"\\]|\\.)*)"(?=\s*:)|"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === "{") depth++;
    else if (token === "}") depth--;
    else if (key !== undefined && depth === 1) {
      if (seen.has(key)) throw new CliError(`${path}: the key "${key}" stands there twice`);
      seen.add(key);
    }
  }
}

/** The words of a key of the host; options of the site are read as JSON. */
function wordsOfJson(label: string, name: OptionName, json: unknown): string[] {
  if (isSiteOption(name)) return [JSON.stringify(json)];
  const { kind } = hostOption(name) as OptionSpec;
  switch (kind) {
    case "flag":
      if (typeof json === "boolean") return [`${json}`];
      throw wrong(label, json, "true or false");
    case "number":
      if (typeof json === "number") return [`${json}`];
      throw wrong(label, json, "a number");
    case "list":
      if (Array.isArray(json) && json.every(isWord)) return json.map((word) => `${word}`);
      throw wrong(label, json, "a list of strings");
    default:
      if (typeof json === "string" && json !== "") return [json];
      throw wrong(label, json, "a string");
  }
}

const isWord = (json: unknown): boolean => typeof json === "string" || typeof json === "number";

function wrong(label: string, json: unknown, wanted: string): CliError {
  return new CliError(`${label}: ${JSON.stringify(json)} is not ${wanted}`);
}
