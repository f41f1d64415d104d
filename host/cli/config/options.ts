// Every option of the command line, in one table. Those that a service may be configured with are
// also variables of the environment and keys of torito.json, whose schema is made from this table.
import { SITE_OPTIONS, type SiteOptionName } from "../../site/settings.ts";
import { didYouMean } from "../usage.ts";

/** How the words of an option are read. */
export type OptionKind = "flag" | "text" | "list" | "number" | "duration" | "size" | "choice";

/** One option of the host. */
export interface OptionSpec {
  readonly kind: OptionKind;
  /** Its letter on the command line. */
  readonly short?: string;
  /** Of a choice. */
  readonly words?: readonly string[];
  /** The default, as a word; missing: none, or it depends. */
  readonly preset?: string;
  /** One line about it. */
  readonly text: string;
  /** May a service be configured with it by the environment and by a file? */
  readonly isSetting?: true;
  /** Relative to the file that it stands in. */
  readonly isPath?: true;
  /** Takes effect when the configuration is read again; otherwise a restart is needed. */
  readonly reloads?: true;
}

const setting = (spec: OptionSpec): OptionSpec => ({ ...spec, isSetting: true });

const HOST_OPTIONS = {
  config: { kind: "text", text: "the configuration file; torito.json beside the site by default" },
  "print-config": { kind: "flag", text: "print each setting with its source" },
  check: { kind: "flag", text: "test the configuration, and end as a start would" },
  root: setting({ kind: "text", isPath: true, text: "the directory of the site" }),
  publish: setting({
    kind: "list",
    short: "p",
    text: "[HOST:]PORT:GUESTPORT[/net], a TCP port that leads to one of the guest",
  }),
  port: setting({ kind: "number", text: "the TCP port of the site" }),
  host: setting({ kind: "text", text: "the address of the site" }),
  volume: setting({
    kind: "list",
    short: "v",
    isPath: true,
    text: "HOSTDIR:TAG[:ro|rw], a directory that the guest mounts by its tag",
  }),
  device: setting({
    kind: "list",
    isPath: true,
    text: "a module whose default export is the class of a device",
  }),
  memory: setting({ kind: "size", short: "m", preset: "64M", text: "RAM of the guest" }),
  "fs-window": setting({ kind: "size", text: "memory into which the guest maps files" }),
  cid: setting({ kind: "number", preset: "3", text: "the guest's address on vsock" }),
  connect: setting({
    kind: "list",
    text: "PORT:[HOST:]TCPPORT, a host port that the guest reaches",
  }),
  connections: setting({ kind: "number", text: "connections at a time; as the memory allows" }),
  sockets: setting({
    kind: "choice",
    words: ["auto", "handles", "net"],
    preset: "auto",
    text: "streams of the host: libuv's handles, or sockets of node:net",
  }),
  net: setting({
    kind: "text",
    text: "an Ethernet card: user[,outbound=none|host|any][,allow=PORT]..., stream:PATH, passt",
  }),
  "net-mac": setting({ kind: "text", text: "the address of the card" }),
  "net-mtu": setting({ kind: "number", text: "bytes of a packet, 1280 to 65520" }),
  "vsock-uds": setting({ kind: "text", isPath: true, text: "hybrid vsock at a path" }),
  seqpacket: setting({ kind: "list", text: "a port whose connections carry messages" }),
  pcap: { kind: "text", text: "every packet of the vsock device, for Wireshark; -: to stdout" },
  "pcap-net": { kind: "text", text: "every frame of the card, for Wireshark; -: to stdout" },
  "pcap-format": {
    kind: "choice",
    words: ["vsock", "tcp"],
    preset: "vsock",
    text: "packets as they are, or in the form of TCP, which more tools read",
  },
  "pcap-snaplen": { kind: "number", text: "bytes of each packet that are kept" },
  "pcap-port": { kind: "number", text: "only packets of vsock from or to this port" },
  "pcap-size": { kind: "size", text: "begin another file after this many bytes" },
  "pcap-files": { kind: "number", text: "keep the last files of them" },
  trace: { kind: "text", text: "a trace for Perfetto" },
  "trace-names": { kind: "flag", text: "paths of requests and names of files in the trace" },
  stats: { kind: "flag", text: "at exit: bytes over vsock, and copies of each" },
  restore: setting({ kind: "text", isPath: true, text: "go on from a snapshot" }),
  restart: setting({ kind: "flag", text: "replace a machine that panics; its ports stay open" }),
  replicas: setting({
    kind: "number",
    preset: "1",
    text: "machines that share the ports, each in a thread of its own",
  }),
  fresh: setting({ kind: "flag", text: "a machine for each connection" }),
  machines: setting({ kind: "number", text: "machines of --fresh" }),
  after: { kind: "list", text: "a request that warms the guest up" },
  timeout: { kind: "duration", preset: "0s", text: "give up after this time" },
  "lame-duck": setting({
    kind: "duration",
    reloads: true,
    text: "how long the service goes on after it was told to end",
  }),
  grace: setting({
    kind: "duration",
    preset: "20s",
    reloads: true,
    text: "how long clients may take after that",
  }),
  watchdog: setting({
    kind: "duration",
    preset: "10s",
    text: "kill a guest that does not return for this long; 0s: never",
  }),
  "log-format": setting({
    kind: "choice",
    words: ["pretty", "json"],
    preset: "pretty",
    text: "the format of log lines",
  }),
  "log-level": setting({
    kind: "choice",
    words: ["error", "warn", "info", "debug"],
    preset: "info",
    reloads: true,
    text: "the least grave log lines that are written",
  }),
  "access-log": setting({
    kind: "text",
    isPath: true,
    reloads: true,
    text: "a line for each request, to a file or to stdout (-)",
  }),
  "access-log-format": setting({
    kind: "choice",
    words: ["combined", "json"],
    preset: "combined",
    reloads: true,
    text: "the format of these lines",
  }),
  "access-log-anonymize": setting({
    kind: "flag",
    reloads: true,
    text: "shorten addresses in these lines",
  }),
  "trusted-proxies": setting({
    kind: "list",
    reloads: true,
    text: "addresses and subnets of proxies that may say who a client is",
  }),
  admin: setting({ kind: "text", text: "[HOST:]PORT or a path: health, metrics and actions" }),
  "admin-insecure": setting({ kind: "flag", text: "let other hosts reach the admin listener" }),
  "admin-names": setting({ kind: "list", text: "host names that the admin listener answers to" }),
  "admin-snapshot": setting({
    kind: "text",
    isPath: true,
    text: "the file that POST /snapshot saves the machine to",
  }),
  inspect: setting({ kind: "flag", text: "show the machine, on the admin listener" }),
  "inspect-names": setting({
    kind: "flag",
    text: "paths and names of files in traces of the inspector that ask for them",
  }),
  "ready-fd": setting({ kind: "number", text: "the descriptor that gets a line at ready" }),
  "proxy-protocol": setting({
    kind: "choice",
    words: ["off", "required"],
    preset: "off",
    text: "trusted proxies name their clients in a PROXY header",
  }),
  parameters: setting({ kind: "list", text: "parameters of the kernel and the application" }),
  output: { kind: "text", short: "o", text: "the file that is written" },
  filter: { kind: "text", short: "f", text: "only tests whose names contain it" },
  watch: { kind: "flag", short: "w", text: "again after every change" },
  coverage: { kind: "flag", text: "lines that ran" },
  template: { kind: "text", short: "t", text: "what the project begins with" },
  force: { kind: "flag", text: "add to a folder that is not empty" },
  help: { kind: "flag", short: "h", text: "this help" },
  version: { kind: "flag", text: "the version" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** An option of the host. */
export type HostOptionName = keyof typeof HOST_OPTIONS;
/** Any option. */
export type OptionName = HostOptionName | SiteOptionName;

export function isSiteOption(name: string): name is SiteOptionName {
  return Object.hasOwn(SITE_OPTIONS, name);
}

/** null: it is an option of the site, or there is none of this name. */
export function hostOption(name: string): OptionSpec | null {
  return Object.hasOwn(HOST_OPTIONS, name) ? HOST_OPTIONS[name as HostOptionName] : null;
}

export const OPTION_NAMES = [
  ...Object.keys(HOST_OPTIONS),
  ...Object.keys(SITE_OPTIONS),
] as OptionName[];

/** Options that the environment and a file may set. */
export const SETTING_NAMES = OPTION_NAMES.filter(
  (name) => isSiteOption(name) || hostOption(name)?.isSetting === true,
);

/** Does it stand on the command line without a value? */
export function isFlag(name: OptionName): boolean {
  const { kind } = isSiteOption(name) ? SITE_OPTIONS[name] : (hostOption(name) as OptionSpec);
  return kind === "flag";
}

/** The variable of the environment. */
export function variableOf(name: OptionName): string {
  return `TORITO_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** Does it take effect when the configuration is read again? */
export function mayReload(name: OptionName): boolean {
  return isSiteOption(name) || hostOption(name)?.reloads === true;
}

/** The rest of a message about an option that is not among `known`. */
export function optionLike(word: string, known: readonly OptionName[]): string {
  const flag = known.find((name) => isSiteOption(name) && isFlag(name) && word === `--no-${name}`);
  if (flag !== undefined) return `; --${flag}=off turns it off`;
  return didYouMean(
    word,
    known.map((one) => `--${one}`),
  );
}
