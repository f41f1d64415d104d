// Coverage of guest code: lines that ran, by source file.
import type { Point } from "../../node/builder.ts";

/** Adds up images that have sources in common. */
export class Coverage {
  readonly #files = new Map<string, Map<number, boolean>>();

  /** `hits`: by statement; 1: it ran. */
  add(points: readonly Point[], hits: ArrayLike<number>): void {
    points.forEach(({ file, line }, i) => {
      const lines = this.#files.get(file) ?? new Map<number, boolean>();
      lines.set(line, (lines.get(line) ?? false) || hits[i] === 1);
      this.#files.set(file, lines);
    });
  }

  /** A line per file, and one for all of them. */
  lines(): string[] {
    let [total, ran] = [0, 0];
    const files = [...this.#files].sort(([a], [b]) => a.localeCompare(b));
    const text = files.map(([file, lines]) => {
      const missed = [...lines].filter(([, hit]) => !hit).map(([line]) => line);
      total += lines.size;
      ran += lines.size - missed.length;
      const share = `${lines.size - missed.length}/${lines.size}`.padStart(9);
      return `${share}  ${file}${missed.length > 0 ? `  not ${ranges(missed)}` : ""}`;
    });
    const percent = total === 0 ? "100.0" : ((100 * ran) / total).toFixed(1);
    return [...text, `${`${ran}/${total}`.padStart(9)}  ${percent} %`];
  }
}

/** `3 5-9 12` */
function ranges(lines: number[]): string {
  const parts: string[] = [];
  lines.sort((a, b) => a - b);
  for (let i = 0; i < lines.length; ) {
    let end = i;
    while ((lines[end + 1] as number) - (lines[end] as number) <= 1) end++;
    parts.push(end === i ? `${lines[i]}` : `${lines[i]}-${lines[end]}`);
    i = end + 1;
  }
  return parts.join(" ");
}
