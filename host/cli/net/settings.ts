// `--net`: the network that the guest's card is plugged into.

import { formatMac, parseMac } from "../../devices/net/mac.ts";
import { checkMtu, MAC_DEFAULT } from "../../devices/net/options.ts";
import { OUTBOUND_KINDS, type Outbound, parseAllowed } from "../../devices/net/user/policy.ts";
import type { Values } from "../config/values.ts";
import { CliError, didYouMean, nearest } from "../usage.ts";
import { type Publish, parseInteger, parseWord } from "../values.ts";

/** Where the card leads. */
export type NetLink =
  | {
      readonly kind: "user";
      readonly outbound: Outbound;
      readonly allow: readonly string[];
      /** Missing: as `outbound` says. */
      readonly dns?: boolean;
    }
  | { readonly kind: "stream"; readonly path: string; readonly listen: boolean }
  | { readonly kind: "passt" };

export interface NetSettings {
  readonly link: NetLink;
  readonly mac: string;
  readonly mtu: number;
}

const KINDS = ["user", "stream", "passt"] as const;
/** A stream's other end may be anything; the others take packets of 64 KiB. */
const MTU_PRESET = { user: 65520, stream: 1500, passt: 65520 } as const;

/** `--net` alone is `--net=user`: only flags have no value. */
export function withNetPreset(words: readonly string[]): readonly string[] {
  const at = words.indexOf("--net");
  if (at < 0) return words;
  const next = words[at + 1] ?? "-";
  const kind = next.split(/[,:]/)[0] as string;
  const isValue = !next.startsWith("-") && nearest(kind, KINDS) !== null;
  return isValue ? words : [...words.slice(0, at), "--net=user", ...words.slice(at + 1)];
}

/** null: there is no card. Throws CliError with the name of the option that is wrong. */
export function netOf(values: Values, publish: readonly Publish[]): NetSettings | null {
  const text = values.one("net");
  if (text === null) {
    for (const name of ["net-mac", "net-mtu"] as const) {
      if (values.has(name)) throw new CliError(`${values.label(name)} needs --net`);
    }
    assertReachable(publish, null, values);
    return null;
  }
  const label = values.label("net");
  const { link, mtu } = parseNet(label, text);
  assertReachable(publish, link, values);
  return { link, mac: macOf(values), mtu: mtuOf(values, mtu) ?? MTU_PRESET[link.kind] };
}

function assertReachable(publish: readonly Publish[], link: NetLink | null, values: Values): void {
  if (link?.kind === "user" || !publish.some(({ isNet }) => isNet === true)) return;
  throw new CliError(`${values.label("publish")}: GUESTPORT/net needs --net user`);
}

/** KIND[:PATH][,WORD]... */
function parseNet(label: string, text: string): { link: NetLink; mtu: number | null } {
  const [first = "", ...words] = text.split(",");
  const [, kind = "", path = null] = /^([^:]*)(?::(.*))?$/.exec(first) ?? [];
  if (!KINDS.some((one) => one === kind)) {
    throw new CliError(
      `${label} ${text}: not one of ${KINDS.join(", ")}${didYouMean(kind, KINDS)}`,
    );
  }
  if (kind === "stream") {
    if (!path) throw new CliError(`${label} ${text}: which path? As in stream:/run/net.sock`);
    const listen = words.includes("listen");
    assertKnown(label, words, ["listen"]);
    return { link: { kind, path, listen }, mtu: null };
  }
  if (path !== null) throw new CliError(`${label} ${text}: ${kind} has no path`);
  if (kind === "passt") {
    assertKnown(label, words, ["mtu="]);
    const mtu = words.map((word) => word.slice("mtu=".length)).at(-1);
    const link = { kind } as const;
    return { link, mtu: mtu === undefined ? null : parseMtu(`${label} mtu`, mtu) };
  }
  return { link: parseUser(label, words), mtu: null };
}

function parseUser(label: string, words: readonly string[]): NetLink {
  assertKnown(label, words, ["outbound=", "allow=", "dns="]);
  const all = (name: string) =>
    words.filter((word) => word.startsWith(name)).map((word) => word.slice(name.length));
  const allow = all("allow=");
  for (const one of allow) {
    try {
      parseAllowed(one);
    } catch (error) {
      throw new CliError(`${label}: ${(error as Error).message}`);
    }
  }
  const preset = allow.length > 0 ? "host" : "none";
  const word = all("outbound=").at(-1) ?? preset;
  const outbound = parseWord(`${label} outbound`, word, OUTBOUND_KINDS);
  if (outbound === "none" && allow.length > 0) {
    throw new CliError(`${label}: outbound=none and allow= contradict each other`);
  }
  if (outbound === "host" && allow.length === 0) {
    throw new CliError(`${label}: outbound=host needs ports, as in allow=5001`);
  }
  const dns = all("dns=").at(-1);
  if (dns === undefined) return { kind: "user", outbound, allow };
  return {
    ...{ kind: "user", outbound, allow },
    dns: parseWord(`${label} dns`, dns, ["on", "off"]) === "on",
  };
}

/** Names with a value end in "=". */
function assertKnown(label: string, words: readonly string[], known: readonly string[]): void {
  for (const word of words) {
    const name = word.replace(/=.*/s, "=");
    if (!known.includes(name)) {
      throw new CliError(`${label}: unknown word "${word}"${didYouMean(name, known)}`);
    }
  }
}

function macOf(values: Values): string {
  const text = values.one("net-mac") ?? MAC_DEFAULT;
  try {
    return formatMac(parseMac(text));
  } catch {
    throw new CliError(`${values.label("net-mac")} ${text}: not a MAC as in ${MAC_DEFAULT}`);
  }
}

function mtuOf(values: Values, own: number | null): number | null {
  const text = values.one("net-mtu");
  return text === null ? own : parseMtu(values.label("net-mtu"), text);
}

function parseMtu(label: string, text: string): number {
  const mtu = parseInteger(label, text, 0, 65535);
  try {
    return checkMtu(mtu);
  } catch (error) {
    throw new CliError(`${label} ${text}: ${(error as Error).message.replace(/^.*, it/, "it")}`);
  }
}
