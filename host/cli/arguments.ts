// Parses the command line of torito, and the settings that stand elsewhere.
import { parseArgs } from "node:util";
import { limitsFor } from "../devices/vsock/limits.ts";
import { LOG_LEVELS, type LogFormat } from "../log.ts";
import { PAGE_BYTES } from "../memory.ts";
import type { Command, Invocation, MachineCommand, TestCommand } from "./commands.ts";
import { captureOf, netCaptureOf, traceOf } from "./config/capture.ts";
import { effectiveOf, siteOf } from "./config/effective.ts";
import { accessLogOf, adminOf, isProxied, withInspectAddress } from "./config/listening.ts";
import {
  hostOption,
  isFlag,
  isSiteOption,
  OPTION_NAMES,
  type OptionName,
  optionLike,
  SETTING_NAMES,
} from "./config/options.ts";
import { publishOf, publishText } from "./config/publish.ts";
import { replicasOf } from "./config/replicas.ts";
import {
  type Environment,
  findConfig,
  fromEnvironment,
  fromFile,
  fromPlatform,
} from "./config/sources.ts";
import { type Layer, layer, Values } from "./config/values.ts";
import { NOT_FRESH, PARAMETERS, takes, VERBS } from "./config/verbs.ts";
import { netOf, withNetPreset } from "./net/settings.ts";
import type { Settings } from "./project/project.ts";
import { CliError, didYouMean } from "./usage.ts";
import {
  checkUnique,
  connectionsIn,
  GUEST_PORT_MAX,
  lameDuckPreset,
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

export * from "./commands.ts";

const SOCKETS = ["auto", "handles", "net"] as const;

const WINDOW_BYTES_DEFAULT = 16 * 1024 * 1024;
const MACHINES_MAX = 4096;
const CONNECTIONS_MAX = 1_000_000;
const FD_MAX = 1_000_000;
const CID_MIN = 3;
const CID_MAX = 0xfffffffe;

/** Finds the settings of the project that a command is about; null: there are none. */
export type SettingsOf = (target: string | null, verb: string) => Settings | null;

/** Throws CliError with code 2 for invalid arguments and settings. */
export function parseCommandLine(
  words: readonly string[],
  settingsOf: SettingsOf = () => null,
  env: Environment = {},
): Invocation {
  const { given, positionals } = split(words);
  const [verb, target = null, ...others] = positionals;
  if (given.has("help")) return { kind: "help", verb: verb ?? null };
  if (given.has("version")) return { kind: "version" };
  if (verb === "help" && (target === null || Object.hasOwn(VERBS, target))) {
    return { kind: "help", verb: target };
  }
  if (verb === undefined) throw new CliError("no command: try `torito serve DIR` or --help");
  if (!Object.hasOwn(VERBS, verb)) {
    const wanted = verb === "help" && target !== null ? target : verb;
    throw new CliError(`unknown command "${wanted}"${didYouMean(wanted, Object.keys(VERBS))}`);
  }
  for (const name of given.keys()) {
    if (!takes(verb, name)) throw new CliError(`${verb} has no option --${name}`);
  }
  const own = new Values([given]);
  if (verb === "test") {
    return testCommand(
      positionals.slice(1),
      new Values([given, project(settingsOf(target, verb))]),
    );
  }
  if (others.length > 0) throw new CliError(`${verb}: "${others[0]}" is one argument too many`);
  if (verb === "build") {
    const output = own.one("output");
    return { kind: "build", target, output, logFormat: logFormat(own) };
  }
  if (verb === "dev") {
    const all = new Values([given, project(settingsOf(target, verb)), DEV_LAYER]);
    const publish = all.all("publish").map((text) => parsePublish(text, all.label("publish")));
    return { kind: "dev", target, publish, net: netOf(all, publish), ...machine(all, 0) };
  }
  if (verb in ONE_ARGUMENT) {
    if (target === null) throw new CliError(`${verb}: ${MISSING[verb as keyof typeof MISSING]}`);
    return ONE_ARGUMENT[verb as keyof typeof ONE_ARGUMENT](target, own);
  }
  const values = layered(verb, target, given, settingsOf, env);
  const app = verb === "serve" ? values.one("root") : target;
  if (app === null) throw new CliError(`${verb}: ${MISSING[verb as keyof typeof MISSING]}`);
  checkSnapshots(verb, values);
  return runCommand(verb, app, values);
}

/** The settings of run, serve or snapshot from all sources. */
function layered(
  verb: string,
  target: string | null,
  flags: Layer,
  settingsOf: SettingsOf,
  env: Environment,
): Values {
  const serve = verb === "serve";
  if (verb === "snapshot") return new Values([flags, project(settingsOf(target, verb))]);
  if (serve && target !== null && flags.has("root")) {
    throw new CliError(`--root: the site is ${target} already`);
  }
  const given: Layer =
    serve && target !== null ? new Map([...flags, ...layer("flag", [["root", [target]]])]) : flags;
  const variables = only(verb, fromEnvironment(env));
  const strong = new Values([given, variables]);
  const named = strong.one("config");
  const path = serve || named !== null ? findConfig(named, strong.one("root")) : null;
  const file: Layer = path === null ? new Map() : fromFile(path);
  for (const name of file.keys()) {
    if (!takes(verb, name)) throw new CliError(`${path}: ${verb} has no option "${name}"`);
  }
  const weak = serve ? fromPlatform(env) : project(settingsOf(target, verb));
  return new Values([given, variables, file, weak], path);
}

/** The environment is that of other commands too. */
function only(verb: string, all: Layer): Layer {
  return new Map([...all].filter(([name]) => takes(verb, name)));
}

/** Options of package.json. */
function project(settings: Settings | null): Layer {
  const options = [...(settings?.options ?? [])] as [OptionName, readonly string[]][];
  const parameters = settings?.parameters ?? [];
  const all = [...options, [PARAMETERS, parameters] as const];
  return layer(
    "project",
    all.filter(([, words]) => words.length > 0),
  );
}

/** Options that do not go together: one machine has them, or the snapshot has the answer. */
function checkSnapshots(verb: string, values: Values): void {
  const isFresh = values.isOn("fresh");
  if (verb === "snapshot" && !values.has("output")) {
    throw new CliError("snapshot: which file? As in -o warm.torito");
  }
  if (values.has("machines") && !isFresh) {
    throw new CliError(`${values.label("machines")} goes with --fresh`);
  }
  for (const name of NOT_FRESH) {
    if (isFresh && values.has(name)) {
      throw new CliError(`${values.label(name)} does not go with --fresh`);
    }
  }
  if (!values.has("restore")) return;
  if (values.has(PARAMETERS)) {
    throw new CliError(`${values.label("restore")}: the guest has its parameters already`);
  }
  for (const name of ["memory", "fs-window"] as const) {
    if (values.has(name)) {
      throw new CliError(`${values.label(name)} is the snapshot's with --restore`);
    }
  }
}

/** The application that `torito serve` runs, under the name that `run` and `snapshot` know. */
const OWN_SERVER = /^(?:\.\/)?apps\/web-server\/?$/;

const DEV_LAYER = layer("project", [["publish", ["4000:80"]]]);

/** Commands that take one argument, and no settings. */
const ONE_ARGUMENT = {
  inspect: (path: string): Invocation => ({ kind: "inspect", path }),
  precompress: (directory: string): Invocation => ({ kind: "precompress", directory }),
  check: (url: string): Invocation => ({ kind: "check", url }),
  top: (url: string): Invocation => ({ kind: "top", url }),
  new: (directory: string, own: Values): Invocation => {
    const template = own.one("template") ?? "hello";
    return { kind: "new", directory, template, force: own.isOn("force") };
  },
};

const MISSING = {
  new: "which directory? As in `torito new my-api -t http`",
  serve: "which directory? As in `torito serve ./site`",
  snapshot: "which application? As in `torito snapshot apps/web-server -o warm.torito`",
  precompress: "which directory? As in `torito precompress ./site`",
  check: "which URL? As in `torito check http://127.0.0.1:9090/readyz`",
  top: "which URL? As in `torito top http://127.0.0.1:9090/`",
  inspect: "which snapshot? As in `torito inspect warm.torito`",
  run: "which application? As in `torito run apps/web-server` or `torito run image.wasm`",
};

/** `verb`: run, serve or snapshot. */
function runCommand(verb: string, target: string, values: Values): Command {
  const serve = verb === "serve";
  const isFresh = values.isOn("fresh");
  const one = (name: OptionName) => values.one(name);
  const volumes: Volume[] = serve ? [{ directory: target, tag: "site", readOnly: true }] : [];
  const site = serve || OWN_SERVER.test(target) ? siteOf(values) : null;
  // A window is read in again whenever a machine goes back.
  const parts = machine(values, serve && !isFresh ? WINDOW_BYTES_DEFAULT : 0, volumes);
  const machines = one("machines") ?? "8";
  const { memoryBytes } = parts;
  const preset = serve ? connectionsIn(memoryBytes) : limitsFor(memoryBytes).connections;
  const connections = one("connections") ?? `${preset}`;
  const publish = publishOf(values, serve);
  const readyFd = one("ready-fd");
  const names = SETTING_NAMES.filter((name) => takes(verb, name));
  return {
    kind: "run",
    app: serve ? "web-server" : target,
    publish,
    ...parts,
    connections: parseInteger(values.label("connections"), connections, 1, CONNECTIONS_MAX),
    sockets: parseWord(values.label("sockets"), one("sockets") ?? "", SOCKETS),
    vsockPath: one("vsock-uds"),
    net: netOf(values, publish),
    capture: captureOf(values),
    netCapture: netCaptureOf(values),
    trace: traceOf(values),
    stats: values.isOn("stats"),
    restorePath: one("restore"),
    save:
      verb === "snapshot"
        ? { path: one("output") ?? "", after: values.all("after").map(parseRequest) }
        : null,
    machines: isFresh ? parseInteger(values.label("machines"), machines, 1, MACHINES_MAX) : null,
    timeoutMs: duration(values, "timeout"),
    lameDuckMs: duration(values, "lame-duck", lameDuckPreset()) ?? 0,
    graceMs: duration(values, "grace") ?? 0,
    isProxied: isProxied(values),
    ...replicasOf(values, publish.length),
    restarts: values.isOn("restart"),
    readyFd: readyFd === null ? null : parseInteger(values.label("ready-fd"), readyFd, 1, FD_MAX),
    accessLog: accessLogOf(values),
    admin: adminOf(values),
    site,
    act: values.isOn("print-config") ? "print" : values.isOn("check") ? "check" : "run",
    settings: effectiveOf(values, names, site, {
      publish: publish.map(publishText),
      connections: Number(connections),
      "lame-duck": values.one("lame-duck") ?? lameDuckPreset(),
    }),
  };
}

/** Flags had seconds before durations had units, and still may; other settings never had. */
function duration(values: Values, name: OptionName, preset = "0s"): number | null {
  const label = values.label(name);
  const word = values.one(name) ?? preset;
  const isSeconds = label.startsWith("--") && /^\d+(?:\.\d{1,3})?$/.test(word);
  return parseDuration(label, isSeconds ? `${Math.round(Number(word) * 1000)}ms` : word);
}

function testCommand(names: readonly string[], values: Values): TestCommand {
  return {
    kind: "test",
    names,
    filter: values.one("filter"),
    watch: values.isOn("watch"),
    coverage: values.isOn("coverage"),
    publish: [], // no test has clients
    ...machine(values, 0),
  };
}

/** `windowPreset`: of a volume, unless the memory leaves no room for it. */
function machine(
  values: Values,
  windowPreset: number,
  more: readonly Volume[] = [],
): Omit<MachineCommand, "publish"> {
  const label = (name: OptionName) => values.label(name);
  const one = (name: OptionName) => values.one(name) ?? "";
  const given = values.all("volume").map((text) => parseVolume(text, label("volume")));
  const volumes = [...more, ...given];
  checkUnique(volumes, label("volume"));
  const memoryBytes = parseSize(label("memory"), one("memory"), PAGE_BYTES);
  // 4 GiB of RAM leave no room for a window.
  const fits = memoryBytes + volumes.length * WINDOW_BYTES_DEFAULT <= 65536 * PAGE_BYTES;
  const preset = fits ? windowPreset : 0;
  const window = values.one("fs-window") ?? `${preset}`;
  return {
    volumes,
    devices: values.all("device"),
    connect: new Map(values.all("connect").map((text) => parseConnect(text, label("connect")))),
    seqpacket: values
      .all("seqpacket")
      .map((port) => parseInteger(label("seqpacket"), port, 1, GUEST_PORT_MAX)),
    memoryBytes,
    windowBytes: parseSize(label("fs-window"), window, 0),
    cid: parseInteger(label("cid"), one("cid"), CID_MIN, CID_MAX),
    watchdogMs: duration(values, "watchdog"),
    logFormat: logFormat(values),
    logLevel: parseWord(label("log-level"), one("log-level"), LOG_LEVELS),
    parameters: values.all(PARAMETERS).join(" "),
  };
}

function logFormat(values: Values): LogFormat {
  const word = values.one("log-format") ?? "";
  return parseWord(values.label("log-format"), word, ["pretty", "json"]);
}

const COMMAND_LINE = OPTION_NAMES.filter((name) => name !== PARAMETERS);
const SHAPES = Object.fromEntries(
  COMMAND_LINE.map((name) => {
    const short = hostOption(name)?.short;
    const type = isFlag(name) ? ("boolean" as const) : ("string" as const);
    return [name, short === undefined ? { type } : { type, short }];
  }),
);

/** Options with what comes after `--`, and arguments. */
function split(words: readonly string[]): { given: Layer; positionals: string[] } {
  const end = words.indexOf("--");
  const own = withNetPreset(withInspectAddress(end < 0 ? words : words.slice(0, end)));
  const parameters = end < 0 ? [] : words.slice(end + 1);
  const { tokens } = parseArgs({ args: [...own], options: SHAPES, strict: false, tokens: true });
  const values = new Map<OptionName, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const name = COMMAND_LINE.find((one) => one === token.name);
    if (name === undefined) {
      throw new CliError(
        `unknown option ${token.rawName}${optionLike(token.rawName, COMMAND_LINE)}`,
      );
    }
    // Flags of the site are on by default, some of them: --listing=false.
    const isBare = isFlag(name) && !isSiteOption(name);
    if (isBare && token.value !== undefined) throw new CliError(`--${name} takes no value`);
    if (!isFlag(name) && (token.value === undefined || token.value === "")) {
      throw new CliError(`${token.rawName} needs a value`);
    }
    values.set(name, [...(values.get(name) ?? []), token.value ?? ""]);
  }
  if (parameters.length > 0) values.set(PARAMETERS, [...parameters]);
  return { given: layer("flag", values), positionals };
}
