// The settings of the site that `torito serve` serves.
import type { Log } from "../log.ts";
import { SiteSource } from "../node/site.ts";
import type { Command } from "./arguments.ts";
import { CliError } from "./usage.ts";

/** Reads them, and says which lines of the rule files have no effect; null: there are none. */
export function openSite({ site, volumes }: Command, log: Log | null): SiteSource | null {
  const served = volumes.find(({ tag }) => tag === "site");
  if (site === null || served === undefined) return null;
  try {
    const source = new SiteSource(served.directory, site);
    if (log !== null) reportWarnings(source, log);
    return source;
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** One line each, as compilers do. */
export function reportWarnings({ warnings }: SiteSource, log: Log): void {
  for (const { file, line, message } of warnings) {
    log("warn", "torito", `${file}:${line}: ${message}; the line has no effect`);
  }
}
