// Exit codes and errors of the command line.

/** Errors in the sources, or a test that failed. */
export const EXIT_ERRORS = 1;
export const EXIT_USAGE = 2;
export const EXIT_UNAVAILABLE = 69;
export const EXIT_SOFTWARE = 70;
export const EXIT_TIMEOUT = 124;
/** Ended by a signal, as a shell reports it. */
export const EXIT_SIGINT = 130;
export const EXIT_SIGTERM = 143;
/** A parent sees only the low byte of an exit code, where a failure must not become 0. */
export const EXIT_MAX = 255;

/** How the process ends, and for how long readers of its output may delay that. */
export interface End {
  readonly code: number;
  readonly patienceMs: number;
}

export function asLongAsItTakes(code: number): End {
  return { code, patienceMs: Number.POSITIVE_INFINITY };
}

/**
 * An error on the command line, or a resource that is not available: one line, and an exit code.
 */
export class CliError extends Error {
  override name = "CliError";
  readonly code: number;

  constructor(message: string, code: number = EXIT_USAGE) {
    super(message);
    this.code = code;
  }
}

/** The known word that a mistyped one begins, or the nearest one, if it is near enough. */
export function nearest(word: string, known: readonly string[]): string | null {
  const [longer, ...others] = known.filter((one) => one.startsWith(word));
  if (longer !== undefined && others.length === 0) return longer;
  let best: string | null = null;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** The rest of a message about a mistyped word. */
export function didYouMean(word: string, known: readonly string[]): string {
  const guess = nearest(word, known);
  return guess === null ? "" : `; did you mean ${guess}?`;
}

/** Letters to add, leave out, replace, or swap with their neighbours. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(substitute, (row[j] as number) + 1, (next[j - 1] as number) + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) least = Math.min(least, (before[j - 2] as number) + 1);
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[b.length] as number;
}
