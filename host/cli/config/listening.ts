// Settings of the access log and of the admin listener.
import type { AdminSettings } from "../commands.ts";
import type { AccessLogSettings } from "../service/access-log.ts";
import { parseAdmin } from "../service/admin-address.ts";
import { addressSet } from "../service/client-addresses.ts";
import { CliError } from "../usage.ts";
import { parseWord } from "../values.ts";
import type { Values } from "./values.ts";

/** Throws CliError with the name of the option that is wrong. */
export function accessLogOf(values: Values): AccessLogSettings {
  const proxies = values.all("trusted-proxies");
  try {
    addressSet(proxies);
  } catch (error) {
    throw new CliError(`${values.label("trusted-proxies")}: ${(error as Error).message}`);
  }
  const format = values.one("access-log-format") ?? "";
  return {
    path: values.one("access-log"),
    format: parseWord(values.label("access-log-format"), format, ["combined", "json"]),
    anonymize: values.isOn("access-log-anonymize"),
    proxies,
  };
}

/** For a listener that nobody has given an address. */
const ANY_PORT = "127.0.0.1:0";

/** null: no listener. Throws CliError as accessLogOf(). */
export function adminOf(values: Values): AdminSettings | null {
  const inspects = values.isOn("inspect");
  const showsNames = values.isOn("inspect-names");
  if (showsNames && !inspects)
    throw new CliError(`${values.label("inspect-names")} needs --inspect`);
  const text = values.one("admin") ?? (inspects ? ANY_PORT : null);
  if (text === null) return null;
  return {
    ...{ inspects, showsNames },
    address: parseAdmin(values.label("admin"), text, values.isOn("admin-insecure")),
    names: values.all("admin-names"),
    snapshotPath: values.one("admin-snapshot"),
  };
}

/** Throws CliError if it is required and nobody may send the header. */
export function isProxied(values: Values): boolean {
  const label = values.label("proxy-protocol");
  const word = parseWord(label, values.one("proxy-protocol") ?? "", ["off", "required"]);
  if (word === "off") return false;
  if (values.all("trusted-proxies").length === 0) {
    throw new CliError(`${label}: trusted-proxies names nobody who may send the header`);
  }
  if (values.has("vsock-uds")) {
    throw new CliError(`${label} does not go with ${values.label("vsock-uds")}`);
  }
  return true;
}

/** `--inspect [HOST:]PORT` is `--inspect --admin [HOST:]PORT`: only flags have no value. */
export function withInspectAddress(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => word === "--inspect" || word.startsWith("--inspect="));
  if (at < 0) return words;
  const [, joined] = (words[at] as string).split(/=(.*)/s);
  const next = joined ?? words[at + 1] ?? "";
  const isAddress = joined !== undefined || /^(?:\S+:)?\d+$/.test(next);
  if (!isAddress) return words;
  const rest = words.slice(at + (joined === undefined ? 2 : 1));
  if ([...words.slice(0, at), ...rest].some((word) => /^--admin(?:=|$)/.test(word))) {
    throw new CliError(`--inspect ${next}: the inspector is on --admin, which has an address`);
  }
  return [...words.slice(0, at), "--inspect", "--admin", next, ...rest];
}
