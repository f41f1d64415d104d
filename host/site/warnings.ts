// Faults of a rule file with their places: such lines are left out, and never in silence.

/** A line of a rule file that is not followed, or not to the letter. */
export interface SiteWarning {
  readonly file: "_headers" | "_redirects";
  /** From 1 on. */
  readonly line: number;
  readonly message: string;
}

/** More lines than this are only counted. */
const WARNINGS_MAX = 100;

/** Collects the warnings of one file. */
export class Warnings {
  readonly #file: SiteWarning["file"];
  readonly #found: SiteWarning[] = [];
  #more = 0;

  constructor(file: SiteWarning["file"]) {
    this.#file = file;
  }

  /** Notes what is wrong with a line, and that it has no effect. */
  add(line: number, message: string): void {
    if (this.#found.length === WARNINGS_MAX) this.#more++;
    else this.#found.push({ file: this.#file, line, message });
  }

  /** All of them, in the order in which they were found. */
  get all(): readonly SiteWarning[] {
    const last = this.#found.at(-1);
    if (this.#more === 0 || last === undefined) return this.#found;
    return [...this.#found, { ...last, message: `and ${this.#more} more warnings after this one` }];
  }
}

/**
 * Throws Error, which names the line, if `after` has a warning that `before` has not: files that
 * are read again may keep their old faults, on any line, and have no new ones.
 */
export function assertNoNewFault(
  before: readonly SiteWarning[],
  after: readonly SiteWarning[],
): void {
  const known = before.map(textOf);
  for (const one of after) {
    const at = known.indexOf(textOf(one));
    if (at < 0) throw new Error(`${one.file}:${one.line}: ${one.message}`);
    known.splice(at, 1);
  }
}

const textOf = ({ file, message }: SiteWarning): string => `${file}: ${message}`;
