// The settings that hold, and whence, for people and programs that ask.
import {
  SITE_OPTIONS,
  type SiteSettings,
  settingOfJson,
  settingOfWords,
} from "../../site/settings.ts";
import { CliError } from "../usage.ts";
import { hostOption, isSiteOption, type OptionName } from "./options.ts";
import type { Values } from "./values.ts";

/** One setting. */
export interface Effective {
  readonly name: OptionName;
  /** As in torito.json; null: nothing. */
  readonly value: unknown;
  /** The flag, variable or file that set it; "default". */
  readonly source: string;
}

/** The settings of these names. `derived`: values that follow from more than one setting. */
export function effectiveOf(
  values: Values,
  names: readonly OptionName[],
  site: SiteSettings | null,
  derived: Readonly<Partial<Record<OptionName, unknown>>>,
): Effective[] {
  return names.map((name) => ({
    name,
    value: isSiteOption(name) ? (site?.[name] ?? null) : (derived[name] ?? hostValue(values, name)),
    source: sourceOf(values, name),
  }));
}

/** Of `publish`: `port` and `host` are part of it. */
function sourceOf(values: Values, name: OptionName): string {
  const names: OptionName[] = name === "publish" ? ["publish", "host", "port"] : [name];
  const labels = names.filter((one) => values.has(one)).map((one) => values.label(one));
  return labels.length === 0 ? "default" : labels.join(", ");
}

function hostValue(values: Values, name: OptionName): unknown {
  const kind = hostOption(name)?.kind;
  if (kind === "list") return values.all(name);
  const word = values.one(name);
  if (kind === "flag") return word !== null && !["0", "false", "off", "no"].includes(word);
  return kind === "number" && word !== null ? Number(word) : word;
}

/** A line for each setting. */
export function effectiveText(settings: readonly Effective[]): string {
  const width = Math.max(...settings.map(({ name }) => name.length));
  return settings
    .map(({ name, value, source }) => {
      const json = JSON.stringify(value);
      return `${name.padEnd(width)} = ${json}${source === "default" ? "" : `  (${source})`}\n`;
    })
    .join("");
}

/** Throws CliError with the name of the option that is wrong. */
export function siteOf(values: Values): SiteSettings {
  const names = Object.keys(SITE_OPTIONS).filter(isSiteOption);
  return Object.fromEntries(
    names.map((name) => [name, siteValue(values, name)]),
  ) as unknown as SiteSettings;
}

function siteValue(values: Values, name: keyof SiteSettings): unknown {
  const setting = values.get(name);
  if (setting === undefined) return SITE_OPTIONS[name].preset;
  try {
    const { json, words } = setting;
    return json === undefined ? settingOfWords(name, words) : settingOfJson(name, json);
  } catch (error) {
    throw new CliError(`${values.label(name)}: ${(error as Error).message}`);
  }
}
