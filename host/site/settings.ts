// The options of a site. Flags, environment variables and keys of the configuration file are made
// from this one table; compile.ts turns the values into what WebServer reads.

/** One of a few words. */
interface Choice<Word extends string> {
  readonly kind: "choice";
  readonly words: readonly Word[];
  readonly preset: Word;
  readonly text: string;
}

/** On or off. */
interface Flag {
  readonly kind: "flag";
  readonly preset: boolean;
  readonly text: string;
}

/** A path of the site that begins with a slash; null: none. */
interface Path {
  readonly kind: "path";
  readonly preset: string | null;
  readonly text: string;
}

/** Several words, in one value separated by commas or in several. */
interface List {
  readonly kind: "list";
  readonly preset: readonly string[];
  readonly text: string;
}

/** Names and their values: NAME=VALUE as words, an object in JSON. */
interface Pairs {
  readonly kind: "pairs";
  readonly preset: Readonly<Record<string, string>>;
  readonly text: string;
}

/** The description of an option: its kind, its default, and one line about it. */
export type SiteOption = Choice<string> | Flag | Path | List | Pairs;

const choice = <const Word extends string>(
  words: readonly Word[],
  preset: NoInfer<Word>,
  text: string,
): Choice<Word> => ({ kind: "choice", words, preset, text });
const flag = (preset: boolean, text: string): Flag => ({ kind: "flag", preset, text });
const path = (text: string): Path => ({ kind: "path", preset: null, text });
const list = (text: string): List => ({ kind: "list", preset: [], text });
const pairs = (text: string): Pairs => ({ kind: "pairs", preset: {}, text });

/** Every option of a site, by its name. */
export const SITE_OPTIONS = {
  dotfiles: choice(["hide", "serve"], "hide", "files and folders whose names begin with a dot"),
  etag: choice(["mtime", "content"], "mtime", "what the validators of files are made from"),
  precompressed: flag(true, "serve FILE.br, FILE.zst and FILE.gz in place of FILE"),
  immutable: choice(["off", "hashed"], "off", "let clients keep files with a hash in their name"),
  fallback: path("the page of a single-page application, as /index.html"),
  "clean-urls": flag(false, "serve /about.html as /about, and redirect the former"),
  listing: flag(false, "list directories without index.html"),
  "security-headers": flag(false, "Referrer-Policy, X-Frame-Options, Cross-Origin-Opener-Policy"),
  cors: list("origins whose scripts may read the site, or *"),
  strict: flag(false, "refuse requests whose lines end in a bare LF"),
  types: pairs("content types of more extensions, as in ts=text/plain"),
} as const satisfies Readonly<Record<string, SiteOption>>;

/** The name of an option. */
export type SiteOptionName = keyof typeof SITE_OPTIONS;

type ValueOf<Option> =
  Option extends Choice<infer Word>
    ? Word
    : Option extends Flag
      ? boolean
      : Option extends Path
        ? string | null
        : Option extends List
          ? readonly string[]
          : Readonly<Record<string, string>>;

/** The value of every option. */
export type SiteSettings = {
  readonly [Name in SiteOptionName]: ValueOf<(typeof SITE_OPTIONS)[Name]>;
};

/** The names of all options, in the order of their table. */
export const SITE_OPTION_NAMES = Object.keys(SITE_OPTIONS) as SiteOptionName[];

/** The value of every option that is not set. */
export const SITE_PRESETS = Object.fromEntries(
  SITE_OPTION_NAMES.map((name) => [name, SITE_OPTIONS[name].preset]),
) as unknown as SiteSettings;

const ORIGINS_MAX = 64;
const TYPES_MAX = 256;
const PATH_CHARACTERS_MAX = 1000;
const EXTENSION = /^[0-9a-z_+-]{1,16}$/;
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@,"]{1,255}$/;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?: *; *${TOKEN}=(?:${TOKEN}|"[ !#-~]*"))*$`);
const MEDIA_TYPE_CHARACTERS_MAX = 127;

/**
 * The value of an option as words have it: those of a flag that was given once or more often, or of
 * an environment variable. Throws Error with what is wrong, without the option's name.
 */
export function settingOfWords<Name extends SiteOptionName>(
  name: Name,
  words: readonly string[],
): SiteSettings[Name] {
  const option: SiteOption = SITE_OPTIONS[name];
  const last = words.at(-1) ?? "";
  switch (option.kind) {
    case "flag":
      return settingOfJson(name, booleanOf(last));
    case "list":
      return settingOfJson(name, words.flatMap(listed));
    case "pairs":
      return settingOfJson(name, Object.fromEntries(words.flatMap(listed).map(pairOf)));
    default:
      return settingOfJson(name, last);
  }
}

const listed = (word: string): string[] =>
  word
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");

/** A flag of the command line stands without a value. */
function booleanOf(word: string): boolean {
  if (["", "1", "true", "on", "yes"].includes(word)) return true;
  if (["0", "false", "off", "no"].includes(word)) return false;
  throw new Error(`"${word}" is not one of true, false`);
}

function pairOf(word: string): [string, string] {
  const at = word.indexOf("=");
  if (at < 0) throw new Error(`"${word}" is not NAME=VALUE`);
  return [word.slice(0, at), word.slice(at + 1)];
}

/**
 * The value of an option as JSON has it, checked. Throws Error with what is wrong, without the
 * option's name.
 */
export function settingOfJson<Name extends SiteOptionName>(
  name: Name,
  value: unknown,
): SiteSettings[Name] {
  return checked(SITE_OPTIONS[name], value) as SiteSettings[Name];
}

function checked(option: SiteOption, value: unknown): unknown {
  switch (option.kind) {
    case "choice":
      return checkChoice(option.words, value);
    case "flag":
      if (typeof value !== "boolean") throw new Error(`${shown(value)} is not true or false`);
      return value;
    case "path":
      return value === null ? null : checkPath(value);
    case "list":
      return checkOrigins(value);
    case "pairs":
      return checkTypes(value);
  }
}

const shown = (value: unknown): string => JSON.stringify(value) ?? "nothing";

function checkChoice(words: readonly string[], value: unknown): string {
  const word = words.find((one) => one === value);
  if (word === undefined) throw new Error(`${shown(value)} is not one of ${words.join(", ")}`);
  return word;
}

function checkPath(value: unknown): string {
  if (typeof value !== "string" || !/^\/[^\0]*[^\0/]$/.test(value)) {
    throw new Error(`${shown(value)} is not the path of a page, as in /index.html`);
  }
  if (value.length > PATH_CHARACTERS_MAX) {
    throw new Error(`a path of more than ${PATH_CHARACTERS_MAX} characters`);
  }
  const hidden = value.split("/").find((segment) => segment.startsWith("."));
  if (hidden !== undefined) throw new Error(`"${hidden}" in ${shown(value)} is not served`);
  return value;
}

function checkOrigins(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw new Error(`${shown(value)} is not a list`);
  if (value.length > ORIGINS_MAX) throw new Error(`more than ${ORIGINS_MAX} origins`);
  for (const one of value) {
    if (typeof one !== "string" || !(one === "*" || ORIGIN.test(one))) {
      throw new Error(`${shown(one)} is not an origin, as in https://example.com, or *`);
    }
    if (one === "*" && value.length > 1) throw new Error("* allows all: it stands alone");
  }
  return value;
}

function checkTypes(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`${shown(value)} is not an object of extensions and content types`);
  }
  const types = Object.entries(value);
  if (types.length > TYPES_MAX) throw new Error(`more than ${TYPES_MAX} extensions`);
  for (const [extension, type] of types) {
    if (!EXTENSION.test(extension)) {
      throw new Error(`"${extension}" is not an extension in lower case without a dot`);
    }
    const valid = typeof type === "string" && type.length <= MEDIA_TYPE_CHARACTERS_MAX;
    if (!valid || !MEDIA_TYPE.test(type)) throw new Error(`${shown(type)} is not a content type`);
  }
  return value as Readonly<Record<string, string>>;
}
