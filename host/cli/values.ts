// Values of options, as they stand on the command line. Throws CliError for those that are none.
import { PAGE_BYTES } from "../memory.ts";
import { CliError } from "./usage.ts";

export interface Publish {
  readonly host: string;
  readonly port: number;
  readonly guestPort: number;
  /** Of the guest's TCP? Missing: of vsock. */
  readonly isNet?: true;
}

export interface Volume {
  readonly directory: string;
  readonly tag: string;
  readonly readOnly: boolean;
}

export const LOCALHOST = "127.0.0.1";
export const GUEST_PORT_MAX = 0xfffffffe;
/** The longest that a timer of Node can wait. */
const DURATION_MS_MAX = 0x7fffffff;
export const PORT_MAX = 65535;
const TAG_BYTES_MAX = 36;

/** [HOST:]PORT:GUESTPORT[/net], where HOST may be an IPv6 address in brackets. */
export function parsePublish(text: string, name = "--publish"): Publish {
  const found = /^(?:(.+):)?(\d+):(\d+)(\/net)?$/.exec(text);
  if (found === null) throw new CliError(`${name} ${text}: not [HOST:]PORT:GUESTPORT[/net]`);
  const [, host = LOCALHOST, port, guestPort, net] = found;
  const most = net === undefined ? GUEST_PORT_MAX : PORT_MAX;
  return {
    host: unbracket(host),
    port: parseInteger(`${name} port`, port as string, 0, PORT_MAX),
    guestPort: parseInteger(`${name} guest port`, guestPort as string, 1, most),
    ...(net === undefined ? {} : { isNet: true }),
  };
}

/** PORT:[HOST:]TCPPORT */
export function parseConnect(
  text: string,
  name = "--connect",
): [number, { host: string; port: number }] {
  const found = /^(\d+):(?:(.+):)?(\d+)$/.exec(text);
  if (found === null) throw new CliError(`${name} ${text}: not PORT:[HOST:]TCPPORT`);
  const [, guestSide, host = LOCALHOST, port] = found;
  return [
    parseInteger(`${name} port`, guestSide as string, 1, GUEST_PORT_MAX),
    {
      host: unbracket(host),
      port: parseInteger(`${name} TCP port`, port as string, 1, PORT_MAX),
    },
  ];
}

function unbracket(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** HOSTDIR:TAG[:ro|rw]; the directory may contain colons. */
export function parseVolume(text: string, name = "--volume"): Volume {
  const found = /^(.+?):([^:]+?)(?::(ro|rw))?$/.exec(text);
  if (found === null) throw new CliError(`${name} ${text}: not HOSTDIR:TAG[:ro|rw]`);
  const [, directory, tag, mode = "ro"] = found as unknown as [string, string, string, string?];
  if (new TextEncoder().encode(tag).length > TAG_BYTES_MAX) {
    throw new CliError(`${name} ${text}: the tag is longer than ${TAG_BYTES_MAX} bytes`);
  }
  return { directory, tag, readOnly: mode === "ro" };
}

export function checkUnique(volumes: readonly Volume[], name = "--volume"): void {
  const tags = new Set<string>();
  for (const { tag } of volumes) {
    if (tags.has(tag)) throw new CliError(`${name}: two directories have the tag "${tag}"`);
    tags.add(tag);
  }
}

/** `step`: the size is a multiple of it. */
export function parseSize(
  name: string,
  text: string,
  least: number,
  step: number = PAGE_BYTES,
): number {
  const found = /^(\d+)([KMG]?)$/.exec(text);
  if (found === null) throw new CliError(`${name} ${text}: not a size as in 64K, 64M or 1G`);
  const [, digits, unit = ""] = found;
  const bytes = Number(digits) * 1024 ** ["", "K", "M", "G"].indexOf(unit);
  if (bytes < least || bytes > 65536 * PAGE_BYTES || bytes % step !== 0) {
    const needed = step === 1 ? `at least ${least / 1024}K is` : "a multiple of 64K is";
    throw new CliError(`${name} ${text}: ${needed} needed, 4G at most`);
  }
  return bytes;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** Milliseconds; null for 0, which needs no unit. */
export function parseDuration(name: string, text: string): number | null {
  if (text === "0") return null;
  const [, digits, unit = ""] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(digits) * (UNITS_MS[unit] ?? Number.NaN);
  if (!(ms <= DURATION_MS_MAX)) {
    throw new CliError(`${name} ${text}: not a duration as in 500ms, 10s or 2m`);
  }
  return ms === 0 ? null : ms;
}

export function parseInteger(name: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new CliError(`${name} ${text}: not a number from ${least} to ${most}`);
  }
  return value;
}

export function parseWord<Word extends string>(
  name: string,
  text: string,
  known: readonly Word[],
): Word {
  const word = known.find((one) => one === text);
  if (word !== undefined) return word;
  throw new CliError(`${name} ${text}: not one of ${known.join(", ")}`);
}

/** METHOD PATH */
export function parseRequest(text: string): { readonly method: string; readonly path: string } {
  const [, method, path] = /^([A-Z]+) (\/\S*)$/.exec(text) ?? [];
  if (method !== undefined && path !== undefined) return { method, path };
  throw new CliError(`--after ${text}: not a request as in "GET /"`);
}

/**
 * How long a service goes on by default after it was told to end: as long as balancers take to find
 * out, if something else than a person ends it.
 */
export function lameDuckPreset(
  env: NodeJS.ProcessEnv = process.env,
  pid = process.pid,
  isTerminal = process.stdin.isTTY,
): string {
  if (isTerminal) return "0s";
  const isManaged = env.NOTIFY_SOCKET !== undefined || env.KUBERNETES_SERVICE_HOST !== undefined;
  // The first process of a container.
  return isManaged || pid === 1 ? "5s" : "0s";
}

/** The least that an idle connection takes of the guest's memory. */
const CONNECTION_BYTES = 16 * 1024;

/** Connections that a WebServer with so much memory can hold. */
export function connectionsIn(memoryBytes: number): number {
  return Math.max(1, Math.floor(memoryBytes / CONNECTION_BYTES));
}
