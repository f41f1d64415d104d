// The options and the rule files of a site, compiled to the one file of a directory in memory that
// WebServer mounts.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CompiledSite, compileSite, type SiteWarning } from "../site/compile.ts";
import type { SiteSettings } from "../site/settings.ts";
import { assertNoNewFault } from "../site/warnings.ts";
import { FsDevice, MemoryFiles } from "./devices.ts";

/** Rule files may be of this size: the longest that can have an effect are shorter. */
const RULES_BYTES_MAX = 4 * 1024 * 1024;
/** As apps/web-server/rules/site.ts knows them. */
const TAG = "settings";
const FILE = "site";

/** Settings of a WebServer guest, and the device through which it reads them. */
export class SiteSource {
  /** Give it to the machine, together with the device of the served directory. */
  readonly device: FsDevice;
  readonly #files = new MemoryFiles();
  readonly #directory: string;
  #warnings: readonly SiteWarning[] = [];

  /**
   * Rule files are read from `directory`, unless somebody has compiled them already. Throws Error
   * if a file cannot be read or the rules are too many.
   */
  constructor(directory: string, settings: SiteSettings, compiled?: CompiledSite) {
    this.#directory = directory;
    this.take(compiled ?? readSite(directory, settings));
    this.device = new FsDevice({ directory: "/", tag: TAG, files: this.#files, attrTimeoutMs: 0 });
  }

  /** Lines of the rule files that have no effect, as of the last time that they were read. */
  get warnings(): readonly SiteWarning[] {
    return this.#warnings;
  }

  /**
   * Reads the rule files again. The guest takes what they say, and `settings`, when its settings
   * generation changes. Throws Error if a file cannot be read, the rules are too many, or a faulty
   * line is new; then everything stays as it was.
   */
  reload(settings: SiteSettings): void {
    const compiled = readSite(this.#directory, settings);
    assertNoNewFault(this.#warnings, compiled.warnings);
    this.take(compiled);
  }

  /** As reload(), with what readSite() has made of settings and rule files. */
  take({ table, warnings }: CompiledSite): void {
    this.#files.writeFile(FILE, table);
    this.#warnings = warnings;
  }
}

/** Compiles the options and the rule files of a directory. Throws Error. */
export function readSite(directory: string, settings: SiteSettings): CompiledSite {
  const [headers, redirects] = ["_headers", "_redirects"].map((name) => readRules(directory, name));
  return compileSite(settings, headers ?? null, redirects ?? null);
}

function readRules(directory: string, name: string): string | null {
  const path = join(directory, name);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  if (!stat.isFile()) throw new Error(`${path} is not a file`);
  if (stat.size > RULES_BYTES_MAX) {
    throw new Error(`${path} has more than ${RULES_BYTES_MAX} bytes`);
  }
  return readFileSync(path, "utf8");
}
