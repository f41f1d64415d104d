// The values of options, by where they were set: a stronger source replaces a weaker one, and never
// adds to it.
import { CliError } from "../usage.ts";
import { type HostOptionName, hostOption, type OptionName, variableOf } from "./options.ts";

/** Where a value was set, the strongest first. `platform`: PORT and HOST, which others set. */
export type Source = "flag" | "environment" | "file" | "project" | "platform";

export interface Setting {
  readonly source: Source;
  /** As they would stand on the command line. */
  readonly words: readonly string[];
  /** As it stands in a file; undefined: it does not come from one. */
  readonly json?: unknown;
}

/** The values of one source. */
export type Layer = ReadonlyMap<OptionName, Setting>;

/** All words of one source. */
export function layer(
  source: Source,
  words: Iterable<readonly [OptionName, readonly string[]]>,
): Layer {
  return new Map([...words].map(([name, all]) => [name, { source, words: all }]));
}

export class Values {
  readonly #settings: ReadonlyMap<OptionName, Setting>;
  readonly #file: string | null;

  /** `layers`: the strongest first. `file`: the configuration file, for messages. */
  constructor(layers: readonly Layer[], file: string | null = null) {
    this.#settings = new Map([...layers].reverse().flatMap((one) => [...one]));
    this.#file = file;
  }

  get names(): OptionName[] {
    return [...this.#settings.keys()];
  }

  get(name: OptionName): Setting | undefined {
    return this.#settings.get(name);
  }

  has(name: OptionName): boolean {
    return this.#settings.has(name);
  }

  /** Of a flag. */
  isOn(name: HostOptionName): boolean {
    const word = this.one(name);
    if (word === null) return false;
    if (["", "1", "true", "on", "yes"].includes(word)) return true;
    if (["0", "false", "off", "no"].includes(word)) return false;
    throw new CliError(`${this.label(name)} ${word}: not true or false`);
  }

  all(name: OptionName): readonly string[] {
    return this.#settings.get(name)?.words ?? [];
  }

  /** The last one counts, or the table's preset. null: neither. */
  one(name: OptionName): string | null {
    return this.all(name).at(-1) ?? hostOption(name)?.preset ?? null;
  }

  /** The option, as whoever set it calls it. */
  label(name: OptionName): string {
    const source = this.#settings.get(name)?.source ?? "flag";
    switch (source) {
      case "flag":
        return `--${name}`;
      case "environment":
        return variableOf(name);
      case "file":
        return `${this.#file}: ${name}`;
      case "project":
        return `package.json: torito.${name}`;
      case "platform":
        return name.toUpperCase();
    }
  }

  /** These values, with others for some names. */
  with(more: Layer, without: readonly OptionName[] = []): Values {
    const rest = new Map([...this.#settings].filter(([name]) => !without.includes(name)));
    return new Values([more, rest], this.#file);
  }
}
