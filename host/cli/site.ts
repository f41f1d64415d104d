// The settings of the site that `torito serve` serves.
import type { Log } from "../log.ts";
import { readSite, SiteSource } from "../node/site.ts";
import type { CompiledSite } from "../site/compile.ts";
import type { SiteSettings } from "../site/settings.ts";
import { assertNoNewFault } from "../site/warnings.ts";
import type { Command } from "./arguments.ts";
import { CliError } from "./usage.ts";

/**
 * Reads them, unless they come `compiled`, and says which lines of the rule files have no effect.
 * null: there are none. Throws CliError.
 */
export function openSite(
  command: Command,
  log: Log | null,
  compiled?: CompiledSite,
): SiteSource | null {
  return withSite(command, (directory, site) => {
    const source = new SiteSource(directory, site, compiled);
    if (log !== null) reportWarnings(source, log);
    return source;
  });
}

/**
 * Settings and rule files, for machines elsewhere. As openSite(). `before`: those that hold; null:
 * none do yet.
 */
export function compileSite(
  command: Command,
  log: Log,
  before: CompiledSite | null = null,
): CompiledSite | null {
  return withSite(command, (directory, site) => {
    const compiled = readSite(directory, site);
    if (before !== null) assertNoNewFault(before.warnings, compiled.warnings);
    reportWarnings(compiled, log);
    return compiled;
  });
}

function withSite<Result>(
  { site, volumes }: Command,
  work: (directory: string, site: SiteSettings) => Result,
): Result | null {
  const served = volumes.find(({ tag }) => tag === "site");
  if (site === null || served === undefined) return null;
  try {
    return work(served.directory, site);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** One line each, as compilers do. */
export function reportWarnings({ warnings }: Pick<CompiledSite, "warnings">, log: Log): void {
  for (const { file, line, message } of warnings) {
    log("warn", "torito", `${file}:${line}: ${message}; the line has no effect`);
  }
}
