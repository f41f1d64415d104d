// Parses the command line of torito.
import { parseArgs } from "node:util";
import { LOG_LEVELS, type LogFormat, type LogLevel } from "../log.ts";
import { PAGE_BYTES } from "../memory.ts";
import { SITE_PRESETS, type SiteSettings } from "../site/settings.ts";
import type { Settings } from "./project/project.ts";
import { CliError, nearest } from "./usage.ts";
import {
  checkUnique,
  GUEST_PORT_MAX,
  LOCALHOST,
  lameDuckPreset,
  type Publish,
  parseConnect,
  parseDuration,
  parseInteger,
  parsePublish,
  parseRequest,
  parseSize,
  parseVolume,
  parseWord,
  type Volume,
} from "./values.ts";

export type { Publish, Volume } from "./values.ts";

/** Options of a machine. */
export interface MachineCommand {
  readonly publish: readonly Publish[];
  readonly volumes: readonly Volume[];
  /** Paths of modules that make devices of one's own. */
  readonly devices: readonly string[];
  readonly connect: ReadonlyMap<number, { readonly host: string; readonly port: number }>;
  readonly seqpacket: readonly number[];
  readonly memoryBytes: number;
  /** Of each volume; 0: none. */
  readonly windowBytes: number;
  readonly cid: number;
  /** null: none. */
  readonly watchdogMs: number | null;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
  readonly parameters: string;
}

/** The work of `torito snapshot`. */
export interface Save {
  readonly path: string;
  /** Requests that warm the guest up before. */
  readonly after: readonly { readonly method: string; readonly path: string }[];
}

export interface Command extends MachineCommand {
  readonly kind: "run";
  /** A folder's name or the path of an image. */
  readonly app: string;
  /** null: none. */
  readonly vsockPath: string | null;
  /** null: none. */
  readonly pcapPath: string | null;
  /** null: none. */
  readonly tracePath: string | null;
  readonly stats: boolean;
  /** The machine goes on from this snapshot; null: it boots. */
  readonly restorePath: string | null;
  /** The machine is saved, and that is all; null: it runs. */
  readonly save: Save | null;
  /** Machines of a pool that has one for each connection; null: one machine for all. */
  readonly machines: number | null;
  /** null: none. */
  readonly timeoutMs: number | null;
  /** How long a service goes on after a signal, and how long its clients may take then. */
  readonly lameDuckMs: number;
  readonly graceMs: number;
  /** Of WebServer; null: the application is another one, or gets none. */
  readonly site: SiteSettings | null;
}

export interface DevCommand extends MachineCommand {
  readonly kind: "dev";
  /** null: the project around the working directory. */
  readonly target: string | null;
}

export interface BuildCommand {
  readonly kind: "build";
  readonly target: string | null;
  /** null: in build/ of the project. */
  readonly output: string | null;
  readonly logFormat: LogFormat;
}

export interface TestCommand extends MachineCommand {
  readonly kind: "test";
  /** Files and folders of tests; none: all of the project. */
  readonly names: readonly string[];
  /** Only tests whose names contain it; null: all. */
  readonly filter: string | null;
  readonly watch: boolean;
  readonly coverage: boolean;
}

export interface NewCommand {
  readonly kind: "new";
  readonly directory: string;
  readonly template: string;
  readonly force: boolean;
}

export interface InspectCommand {
  readonly kind: "inspect" | "precompress";
  readonly path: string;
}

export interface HelpCommand {
  readonly kind: "help";
  /** null: of all commands. */
  readonly verb: string | null;
}

export type Invocation =
  | Command
  | DevCommand
  | BuildCommand
  | TestCommand
  | NewCommand
  | InspectCommand
  | HelpCommand
  | { readonly kind: "version" };

const OPTIONS = {
  publish: { type: "string", short: "p" },
  volume: { type: "string", short: "v" },
  device: { type: "string" },
  memory: { type: "string", short: "m" },
  "fs-window": { type: "string" },
  cid: { type: "string" },
  connect: { type: "string" },
  "vsock-uds": { type: "string" },
  seqpacket: { type: "string" },
  pcap: { type: "string" },
  trace: { type: "string" },
  stats: { type: "boolean" },
  restore: { type: "string" },
  fresh: { type: "boolean" },
  machines: { type: "string" },
  after: { type: "string" },
  timeout: { type: "string" },
  "lame-duck": { type: "string" },
  grace: { type: "string" },
  watchdog: { type: "string" },
  "log-format": { type: "string" },
  "log-level": { type: "string" },
  output: { type: "string", short: "o" },
  filter: { type: "string", short: "f" },
  watch: { type: "boolean", short: "w" },
  coverage: { type: "boolean" },
  template: { type: "string", short: "t" },
  force: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;
const ALL = Object.keys(OPTIONS) as OptionName[];

const MACHINE: readonly OptionName[] = [
  "memory",
  "volume",
  "device",
  "watchdog",
  "log-format",
  "log-level",
];
const NETWORK: readonly OptionName[] = ["publish", "connect", "seqpacket", "cid", "fs-window"];
const ONE_MACHINE: readonly OptionName[] = [
  ...["vsock-uds", "pcap", "trace", "stats", "timeout", "lame-duck", "grace"],
] as OptionName[];

/** Options of each command. */
const VERBS: Readonly<Record<string, readonly OptionName[]>> = {
  new: ["template", "force"],
  dev: [...MACHINE, ...NETWORK],
  build: ["output", "log-format"],
  test: [...MACHINE, "filter", "watch", "coverage"],
  run: [...MACHINE, ...NETWORK, ...ONE_MACHINE, "restore"],
  serve: [...MACHINE, ...NETWORK, ...ONE_MACHINE, "restore", "fresh", "machines"],
  snapshot: [...MACHINE, ...NETWORK, "timeout", "output", "after"],
  inspect: [],
  precompress: [],
};

const WINDOW_BYTES_DEFAULT = 16 * 1024 * 1024;
const MACHINES_MAX = 4096;
const CID_MIN = 3;
const CID_MAX = 0xfffffffe;

type Values = ReadonlyMap<OptionName, readonly string[]>;

/** Finds the settings of the project that a command is about; null: there are none. */
export type SettingsOf = (target: string | null, verb: string) => Settings | null;

/** Throws CliError with code 2 for invalid arguments. */
export function parseCommandLine(
  words: readonly string[],
  settingsOf: SettingsOf = () => null,
): Invocation {
  const { values, positionals, parameters } = split(words);
  const [verb, target = null, ...others] = positionals;
  if (values.has("help")) return { kind: "help", verb: verb ?? null };
  if (values.has("version")) return { kind: "version" };
  if (verb === undefined) throw new CliError("no command: try `torito serve DIR` or --help");
  if (!Object.hasOwn(VERBS, verb)) {
    throw new CliError(`unknown command "${verb}"${didYouMean(verb, Object.keys(VERBS))}`);
  }
  for (const name of values.keys()) {
    if (!VERBS[verb]?.includes(name)) throw new CliError(`${verb} has no option --${name}`);
  }
  if (verb === "test") {
    const settings = settingsOf(target, verb);
    const all = merged(values, settings);
    return testCommand(positionals.slice(1), all, joined(parameters, settings));
  }
  if (others.length > 0) throw new CliError(`${verb}: "${others[0]}" is one argument too many`);
  const one = (name: OptionName) => values.get(name)?.at(-1) ?? null;
  if (verb === "build") {
    return { kind: "build", target, output: one("output"), logFormat: logFormat(values) };
  }
  if (verb === "dev") {
    const settings = settingsOf(target, verb);
    const all = merged(values, settings);
    const publish = all.has("publish") ? all : new Map([...all, ["publish", [DEV_PORT]] as const]);
    return { kind: "dev", target, ...machine(publish, 0, joined(parameters, settings)) };
  }
  if (target === null) throw new CliError(`${verb}: ${MISSING[verb as keyof typeof MISSING]}`);
  if (verb === "new") {
    const template = one("template") ?? "hello";
    return { kind: "new", directory: target, template, force: values.has("force") };
  }
  if (verb === "inspect" || verb === "precompress") return { kind: verb, path: target };
  checkSnapshots(verb, values, parameters);
  const settings = verb === "serve" ? null : settingsOf(target, verb);
  return runCommand(verb, target, merged(values, settings), joined(parameters, settings));
}

/** Options that do not go together: one machine has them, or the snapshot has the answer. */
function checkSnapshots(verb: string, values: Values, parameters: readonly string[]): void {
  const isFresh = values.has("fresh");
  if (verb === "snapshot" && !values.has("output")) {
    throw new CliError("snapshot: which file? As in -o warm.torito");
  }
  if (values.has("machines") && !isFresh) throw new CliError("--machines goes with --fresh");
  for (const name of ["pcap", "trace", "stats", "vsock-uds"] as const) {
    if (isFresh && values.has(name)) throw new CliError(`--${name} does not go with --fresh`);
  }
  if (!values.has("restore")) return;
  if (parameters.length > 0) throw new CliError("--restore: the guest has its parameters already");
  for (const name of ["memory", "fs-window"] as const) {
    if (values.has(name)) throw new CliError(`--${name} is the snapshot's with --restore`);
  }
}

const DEV_PORT = "4000:80";
/** The application that `torito serve` runs, under the name that `run` and `snapshot` know. */
const OWN_SERVER = /^(?:\.\/)?apps\/web-server\/?$/;

const MISSING = {
  new: "which directory? As in `torito new my-api -t http`",
  serve: "which directory? As in `torito serve ./site`",
  snapshot: "which application? As in `torito snapshot apps/web-server -o warm.torito`",
  precompress: "which directory? As in `torito precompress ./site`",
  inspect: "which snapshot? As in `torito inspect warm.torito`",
  run: "which application? As in `torito run apps/web-server` or `torito run image.wasm`",
};

/** The command line's values, and where it leaves an option open, the project's. */
function merged(values: Values, settings: Settings | null): Values {
  const set = [...(settings?.options ?? [])].filter(([, words]) => words.length > 0);
  return new Map([...(set as [OptionName, readonly string[]][]), ...values]);
}

/** Parameters of the project come first: for most of them the first value counts. */
function joined(parameters: readonly string[], settings: Settings | null): string {
  return (parameters.length > 0 ? parameters : (settings?.parameters ?? [])).join(" ");
}

/** `verb`: run, serve or snapshot. */
function runCommand(verb: string, target: string, values: Values, parameters: string): Command {
  const serve = verb === "serve";
  const isFresh = values.has("fresh");
  const one = (name: OptionName) => values.get(name)?.at(-1) ?? null;
  const given = new Map(values);
  if (serve && !given.has("publish")) given.set("publish", [`${LOCALHOST}:4000:80`]);
  const site: Volume[] = serve ? [{ directory: target, tag: "site", readOnly: true }] : [];
  return {
    kind: "run",
    app: serve ? "web-server" : target,
    // A window is read in again whenever a machine goes back.
    ...machine(given, serve && !isFresh ? WINDOW_BYTES_DEFAULT : 0, parameters, site),
    vsockPath: one("vsock-uds"),
    pcapPath: one("pcap"),
    tracePath: one("trace"),
    stats: values.has("stats"),
    restorePath: one("restore"),
    save: verb === "snapshot" ? { path: one("output") ?? "", after: requests(values) } : null,
    machines: isFresh ? parseInteger("--machines", one("machines") ?? "8", 1, MACHINES_MAX) : null,
    timeoutMs: parseDuration("--timeout", one("timeout") ?? "0s"),
    lameDuckMs: parseDuration("--lame-duck", one("lame-duck") ?? lameDuckPreset()) ?? 0,
    graceMs: parseDuration("--grace", one("grace") ?? "20s") ?? 0,
    site: serve || OWN_SERVER.test(target) ? SITE_PRESETS : null,
  };
}

function requests(values: Values) {
  return (values.get("after") ?? []).map(parseRequest);
}

function testCommand(names: readonly string[], values: Values, parameters: string): TestCommand {
  const given = new Map(values);
  given.delete("publish"); // no test has clients
  return {
    kind: "test",
    names,
    filter: values.get("filter")?.at(-1) ?? null,
    watch: values.has("watch"),
    coverage: values.has("coverage"),
    ...machine(given, 0, parameters),
  };
}

/** `windowPreset`: of a volume, unless the memory leaves no room for it. */
function machine(
  values: Values,
  windowPreset: number,
  parameters: string,
  more: readonly Volume[] = [],
): MachineCommand {
  const one = (name: OptionName) => values.get(name)?.at(-1);
  const volumes = [...more, ...(values.get("volume") ?? []).map(parseVolume)];
  checkUnique(volumes);
  const memoryBytes = parseSize("--memory", one("memory") ?? "64M", PAGE_BYTES);
  // 4 GiB of RAM leave no room for a window.
  const fits = memoryBytes + volumes.length * WINDOW_BYTES_DEFAULT <= 65536 * PAGE_BYTES;
  const preset = fits ? windowPreset : 0;
  const windowBytes = parseSize("--fs-window", one("fs-window") ?? `${preset}`, 0);
  return {
    publish: (values.get("publish") ?? []).map(parsePublish),
    volumes,
    devices: values.get("device") ?? [],
    connect: new Map((values.get("connect") ?? []).map(parseConnect)),
    seqpacket: (values.get("seqpacket") ?? []).map((port) =>
      parseInteger("--seqpacket", port, 1, GUEST_PORT_MAX),
    ),
    memoryBytes,
    windowBytes,
    cid: parseInteger("--cid", one("cid") ?? "3", CID_MIN, CID_MAX),
    watchdogMs: parseDuration("--watchdog", one("watchdog") ?? "10s"),
    logFormat: logFormat(values),
    logLevel: parseWord("--log-level", one("log-level") ?? "info", LOG_LEVELS),
    parameters,
  };
}

function logFormat(values: Values): LogFormat {
  const word = values.get("log-format")?.at(-1) ?? "pretty";
  return parseWord("--log-format", word, ["pretty", "json"]);
}

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
      const known = ALL.map((name) => `--${name}`);
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
