// Parses the command line of torito.
import { parseArgs } from "node:util";
import { LOG_LEVELS, type LogFormat, type LogLevel } from "../log.ts";
import { PAGE_BYTES } from "../memory.ts";
import { CliError, nearest } from "./usage.ts";

export interface Publish {
  readonly host: string;
  readonly port: number;
  readonly guestPort: number;
}

export interface Volume {
  readonly directory: string;
  readonly tag: string;
  readonly readOnly: boolean;
}

export interface Command {
  readonly kind: "run";
  /** A folder's name or the path of an image. */
  readonly app: string;
  readonly publish: readonly Publish[];
  readonly volumes: readonly Volume[];
  readonly connect: ReadonlyMap<number, { readonly host: string; readonly port: number }>;
  /** null: none. */
  readonly vsockPath: string | null;
  readonly seqpacket: readonly number[];
  /** null: none. */
  readonly pcapPath: string | null;
  /** null: none. */
  readonly tracePath: string | null;
  readonly stats: boolean;
  readonly memoryBytes: number;
  /** Of each volume; 0: none. */
  readonly windowBytes: number;
  readonly cid: number;
  /** null: none. */
  readonly timeoutMs: number | null;
  readonly graceMs: number;
  /** null: none. */
  readonly watchdogMs: number | null;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
  readonly parameters: string;
}

export type Invocation = Command | { readonly kind: "help" } | { readonly kind: "version" };

const OPTIONS = {
  publish: { type: "string", short: "p", multiple: true },
  volume: { type: "string", short: "v", multiple: true },
  memory: { type: "string", short: "m" },
  "fs-window": { type: "string" },
  cid: { type: "string" },
  connect: { type: "string", multiple: true },
  "vsock-uds": { type: "string" },
  seqpacket: { type: "string" },
  pcap: { type: "string" },
  trace: { type: "string" },
  stats: { type: "boolean" },
  timeout: { type: "string" },
  grace: { type: "string" },
  watchdog: { type: "string" },
  "log-format": { type: "string" },
  "log-level": { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;

const VERBS = ["serve", "run"] as const;
const WINDOW_BYTES_DEFAULT = 16 * 1024 * 1024;
const LOCALHOST = "127.0.0.1";
const SECONDS_MAX = 2147483;
const PORT_MAX = 65535;
const GUEST_PORT_MAX = 0xfffffffe;
const CID_MIN = 3;
const CID_MAX = 0xfffffffe;
const TAG_BYTES_MAX = 36;

/** Throws CliError with code 2 for invalid arguments. */
export function parseCommandLine(words: readonly string[]): Invocation {
  const { values, positionals, parameters } = split(words);
  if (values.has("help")) return { kind: "help" };
  if (values.has("version")) return { kind: "version" };
  const [verb, target, ...others] = positionals;
  if (verb === undefined) throw new CliError("no command: try `torito serve DIR` or --help");
  if (verb !== "serve" && verb !== "run") {
    throw new CliError(`unknown command "${verb}"${didYouMean(verb, VERBS)}`);
  }
  if (target === undefined) throw new CliError(`${verb}: ${USAGE[verb]}`);
  if (others.length > 0) throw new CliError(`${verb}: "${others[0]}" is one argument too many`);
  const one = (name: OptionName) => values.get(name)?.at(-1);
  const publish = (values.get("publish") ?? []).map(parsePublish);
  const volumes = (values.get("volume") ?? []).map(parseVolume);
  const serve = verb === "serve";
  if (serve) volumes.unshift({ directory: target, tag: "site", readOnly: true });
  if (serve && publish.length === 0) publish.push({ host: LOCALHOST, port: 4000, guestPort: 80 });
  checkUnique(volumes);
  const memoryBytes = parseSize("--memory", one("memory") ?? "64M", PAGE_BYTES);
  // 4 GiB of RAM leave no room for a window.
  const fits = memoryBytes + volumes.length * WINDOW_BYTES_DEFAULT <= 65536 * PAGE_BYTES;
  const preset = serve && fits ? WINDOW_BYTES_DEFAULT : 0;
  const windowBytes = parseSize("--fs-window", one("fs-window") ?? `${preset}`, 0);
  return {
    kind: "run",
    app: serve ? "web-server" : target,
    publish,
    volumes,
    connect: new Map((values.get("connect") ?? []).map(parseConnect)),
    vsockPath: one("vsock-uds") ?? null,
    seqpacket: (values.get("seqpacket") ?? []).map((port) =>
      parseInteger("--seqpacket", port, 1, GUEST_PORT_MAX),
    ),
    pcapPath: one("pcap") ?? null,
    tracePath: one("trace") ?? null,
    stats: values.has("stats"),
    memoryBytes,
    windowBytes,
    cid: parseInteger("--cid", one("cid") ?? "3", CID_MIN, CID_MAX),
    timeoutMs: parseSeconds("--timeout", one("timeout") ?? "0"),
    graceMs: parseSeconds("--grace", one("grace") ?? "10") ?? 0,
    watchdogMs: parseSeconds("--watchdog", one("watchdog") ?? "10"),
    logFormat: parseWord("--log-format", one("log-format") ?? "pretty", ["pretty", "json"]),
    logLevel: parseWord("--log-level", one("log-level") ?? "info", LOG_LEVELS),
    parameters: parameters.join(" "),
  };
}

const USAGE = {
  serve: "which directory? As in `torito serve ./site`",
  run: "which application? As in `torito run apps/web-server` or `torito run image.wasm`",
};

/** Options, arguments, and what comes after `--`. */
function split(words: readonly string[]) {
  const end = words.indexOf("--");
  const own = end < 0 ? words : words.slice(0, end);
  const parameters = end < 0 ? [] : words.slice(end + 1);
  const { tokens } = parseArgs({ args: [...own], options: OPTIONS, strict: false, tokens: true });
  const values = new Map<OptionName, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    if (!Object.hasOwn(OPTIONS, token.name)) {
      const known = Object.keys(OPTIONS).map((name) => `--${name}`);
      throw new CliError(`unknown option ${token.rawName}${didYouMean(token.rawName, known)}`);
    }
    const name = token.name as OptionName;
    const flag = OPTIONS[name].type === "boolean";
    if (flag && token.value !== undefined) throw new CliError(`--${name} takes no value`);
    if (!flag && (token.value === undefined || token.value === "")) {
      throw new CliError(`${token.rawName} needs a value`);
    }
    values.set(name, [...(values.get(name) ?? []), token.value ?? ""]);
  }
  return { values, positionals, parameters };
}

function didYouMean(word: string, known: readonly string[]): string {
  const guess = nearest(word, known);
  return guess === null ? "" : `; did you mean ${guess}?`;
}

/** [HOST:]PORT:GUESTPORT, where HOST may be an IPv6 address in brackets. */
function parsePublish(text: string): Publish {
  const found = /^(?:(.+):)?(\d+):(\d+)$/.exec(text);
  if (found === null) throw new CliError(`--publish ${text}: not [HOST:]PORT:GUESTPORT`);
  const [, host = LOCALHOST, port, guestPort] = found;
  return {
    host: unbracket(host),
    port: parseInteger("--publish port", port as string, 0, PORT_MAX),
    guestPort: parseInteger("--publish guest port", guestPort as string, 1, GUEST_PORT_MAX),
  };
}

/** PORT:[HOST:]TCPPORT */
function parseConnect(text: string): [number, { host: string; port: number }] {
  const found = /^(\d+):(?:(.+):)?(\d+)$/.exec(text);
  if (found === null) throw new CliError(`--connect ${text}: not PORT:[HOST:]TCPPORT`);
  const [, guestSide, host = LOCALHOST, port] = found;
  return [
    parseInteger("--connect port", guestSide as string, 1, GUEST_PORT_MAX),
    {
      host: unbracket(host),
      port: parseInteger("--connect TCP port", port as string, 1, PORT_MAX),
    },
  ];
}

function unbracket(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** HOSTDIR:TAG[:ro|rw]; the directory may contain colons. */
function parseVolume(text: string): Volume {
  const found = /^(.+?):([^:]+?)(?::(ro|rw))?$/.exec(text);
  if (found === null) throw new CliError(`--volume ${text}: not HOSTDIR:TAG[:ro|rw]`);
  const [, directory, tag, mode = "ro"] = found as unknown as [string, string, string, string?];
  if (new TextEncoder().encode(tag).length > TAG_BYTES_MAX) {
    throw new CliError(`--volume ${text}: the tag is longer than ${TAG_BYTES_MAX} bytes`);
  }
  return { directory, tag, readOnly: mode === "ro" };
}

function checkUnique(volumes: readonly Volume[]): void {
  const tags = new Set<string>();
  for (const { tag } of volumes) {
    if (tags.has(tag)) throw new CliError(`--volume: two directories have the tag "${tag}"`);
    tags.add(tag);
  }
}

function parseSize(name: string, text: string, least: number): number {
  const found = /^(\d+)(?:([KMG])i?)?B?$/i.exec(text);
  if (found === null) throw new CliError(`${name} ${text}: not a size as in 64M or 1Gi`);
  const [, digits, unit = ""] = found;
  const bytes = Number(digits) * 1024 ** ["", "K", "M", "G"].indexOf(unit.toUpperCase());
  if (bytes < least || bytes > 65536 * PAGE_BYTES || bytes % PAGE_BYTES !== 0) {
    throw new CliError(`${name} ${text}: a multiple of 64K is needed, 4G at most`);
  }
  return bytes;
}

/** null for 0. */
function parseSeconds(name: string, text: string): number | null {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds <= SECONDS_MAX)) throw new CliError(`${name} ${text}: not a number of seconds`);
  return seconds === 0 ? null : seconds * 1000;
}

function parseInteger(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new CliError(`${name} ${text}: not a number from ${least} to ${most}`);
  }
  return value;
}

function parseWord<Word extends string>(name: string, text: string, known: readonly Word[]): Word {
  const word = known.find((one) => one === text);
  if (word !== undefined) return word;
  throw new CliError(`${name} ${text}: not one of ${known.join(", ")}`);
}
