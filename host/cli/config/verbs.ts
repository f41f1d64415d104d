// The commands that take options, and which.
import { isSiteOption, OPTION_NAMES, type OptionName } from "./options.ts";

const MACHINE: readonly OptionName[] = [
  ...(["memory", "volume", "device", "watchdog", "log-format", "log-level"] as const),
];
const NETWORK: readonly OptionName[] = ["publish", "connect", "seqpacket", "cid", "fs-window"];
const CARD: readonly OptionName[] = ["net", "net-mac", "net-mtu"];
const CONFIG: readonly OptionName[] = ["config", "print-config", "check"];
const SERVICE: readonly OptionName[] = [
  ...CARD,
  ...(["connections", "sockets", "vsock-uds"] as const),
  ...(["stats", "timeout", "trace", "trace-names"] as const),
  ...(["pcap", "pcap-net", "pcap-format", "pcap-port"] as const),
  ...(["pcap-snaplen", "pcap-size", "pcap-files"] as const),
  ...(["lame-duck", "grace", "restore", "restart", "replicas", "ready-fd"] as const),
];
const ACCESS: readonly OptionName[] = [
  ...(["access-log", "access-log-format", "access-log-anonymize", "trusted-proxies"] as const),
  "proxy-protocol",
  ...(["admin", "admin-insecure", "admin-names", "admin-snapshot"] as const),
  ...(["inspect", "inspect-names"] as const),
];
/** They belong to one machine, which a machine for each connection is not. */
export const NOT_FRESH: readonly OptionName[] = [
  ...(["pcap", "pcap-net", "trace", "stats", "vsock-uds", "restart", "replicas", "net"] as const),
  ...(["admin", "inspect", "access-log"] as const),
];
const SITE = OPTION_NAMES.filter(isSiteOption);
/** Not an option: on the command line it follows `--`. */
export const PARAMETERS = "parameters";

/** Options of each command. */
export const VERBS: Readonly<Record<string, readonly OptionName[]>> = {
  new: ["template", "force"],
  dev: [...MACHINE, ...NETWORK, ...CARD],
  build: ["output", "log-format"],
  test: [...MACHINE, "filter", "watch", "coverage"],
  run: [...MACHINE, ...NETWORK, ...SERVICE, ...CONFIG, ...ACCESS],
  serve: [
    ...[...MACHINE, ...NETWORK, ...SERVICE, ...CONFIG, ...ACCESS, ...SITE],
    ...(["root", "port", "host", "fresh", "machines"] as const),
  ],
  snapshot: [...MACHINE, ...NETWORK, "timeout", "output", "after"],
  inspect: [],
  precompress: [],
  check: [],
  top: [],
};

/** Does the command have the option? */
export function takes(verb: string, name: OptionName): boolean {
  return VERBS[verb]?.includes(name) === true || name === PARAMETERS;
}
