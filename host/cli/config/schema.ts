// The JSON schema of torito.json, made from the table of options. The package ships it for editors.
import { SITE_OPTIONS } from "../../site/settings.ts";
import {
  hostOption,
  isSiteOption,
  type OptionName,
  type OptionSpec,
  SETTING_NAMES,
} from "./options.ts";
import { SCHEMA_KEY } from "./sources.ts";

/** A description of what a key may hold, for its schema. */
function schemaOf(name: OptionName): Record<string, unknown> {
  if (!isSiteOption(name)) return schemaOfHost(hostOption(name) as OptionSpec);
  const option = SITE_OPTIONS[name];
  const common = { description: option.text, default: option.preset };
  switch (option.kind) {
    case "choice":
      return { ...common, enum: option.words };
    case "flag":
      return { ...common, type: "boolean" };
    case "path":
      return { ...common, type: ["string", "null"], pattern: "^/" };
    case "list":
      return { ...common, type: "array", items: { type: "string" } };
    case "pairs":
      return { ...common, type: "object", additionalProperties: { type: "string" } };
  }
}

const PATTERNS: Readonly<Record<string, string>> = {
  duration: "^(0|\\d+(ms|s|m))$",
  size: "^\\d+[KMG]?$",
};

function schemaOfHost({ kind, text, preset, words }: OptionSpec): Record<string, unknown> {
  const isNumber = kind === "number";
  const common = {
    description: text,
    ...(preset === undefined ? {} : { default: isNumber ? Number(preset) : preset }),
  };
  if (kind === "flag") return { ...common, type: "boolean" };
  if (isNumber) return { ...common, type: "integer", minimum: 0 };
  if (kind === "list") return { ...common, type: "array", items: { type: ["string", "integer"] } };
  if (kind === "choice") return { ...common, enum: words };
  const pattern = PATTERNS[kind];
  return { ...common, type: "string", ...(pattern === undefined ? { minLength: 1 } : { pattern }) };
}

/** The schema of torito.json, which the package ships. */
export function configSchema(): Record<string, unknown> {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Configuration of torito serve and torito run",
    type: "object",
    additionalProperties: false,
    properties: {
      [SCHEMA_KEY]: { type: "string", description: "this schema, for editors" },
      ...Object.fromEntries(SETTING_NAMES.map((name) => [name, schemaOf(name)])),
    },
  };
}
