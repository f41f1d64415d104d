// Reads the configuration again, on SIGHUP or on request: all of it takes effect, or nothing does.
import type { Log, LogLevel } from "../../log.ts";
import type { Command } from "../commands.ts";
import type { Effective } from "../config/effective.ts";
import { mayReload, type OptionName } from "../config/options.ts";
import { assertPrivate } from "../config/private-files.ts";

/** Makes the command once more, from what the sources of settings say by now. */
export type Reread = () => Command;

export interface ReloadState {
  readonly successful: boolean;
  /** When settings last took effect, in milliseconds since 1970. */
  readonly successMs: number;
  /** Names of settings that have changed, and need a restart. */
  readonly waiting: readonly string[];
}

/** Something that has settings. */
export interface Reloadable {
  /** The settings that hold. */
  readonly command: Command;
  /** Does a setting take effect without a restart? */
  mayReload(name: OptionName): boolean;
  /** Takes all of them that need no restart, or none: then it throws, or rejects. */
  reload(next: Command): void | Promise<void>;
}

export class Reloader {
  readonly #service: Reloadable;
  readonly #reread: Reread;
  readonly #setLevel: (level: LogLevel) => void;
  readonly #log: Log;
  #last: Promise<unknown> = Promise.resolve();
  state: ReloadState = { successful: true, successMs: Date.now(), waiting: [] };

  constructor(service: Reloadable, reread: Reread, setLevel: (level: LogLevel) => void, log: Log) {
    this.#service = service;
    this.#reread = reread;
    this.#setLevel = setLevel;
    this.#log = log;
  }

  /**
   * `why` names who wants it, for the log. Resolves with the error if nothing has changed. One at a
   * time.
   */
  reload(why: string): Promise<Error | null> {
    const reloaded = this.#last.then(() => this.#reload(why));
    this.#last = reloaded;
    return reloaded;
  }

  async #reload(why: string): Promise<Error | null> {
    try {
      const next = this.#reread();
      const waiting = changed(this.#service.command.settings, next.settings).filter(
        (name) => !this.#service.mayReload(name),
      );
      assertPrivate(reloaded(this.#service, next));
      await this.#service.reload(next);
      this.state = { successful: true, successMs: Date.now(), waiting };
      this.#log("info", "torito", `${why}: reloaded`);
      for (const name of waiting) {
        this.#log("warn", "torito", `${name} has changed, which needs a restart`);
      }
      this.#setLevel(next.logLevel);
      return null;
    } catch (error) {
      const { message } = error as Error;
      this.state = { ...this.state, successful: false };
      this.#log("error", "torito", `${why}: nothing has changed: ${message}`);
      return error as Error;
    }
  }
}

/** Names of the settings that somebody has set to something else. Defaults only follow others. */
function changed(before: readonly Effective[], after: readonly Effective[]): Effective["name"][] {
  const known = new Map(before.map((one) => [one.name, one]));
  return after
    .filter(({ name, value, source }) => {
      const old = known.get(name);
      if (old?.source === "default" && source === "default") return false;
      return JSON.stringify(old?.value) !== JSON.stringify(value);
    })
    .map(({ name }) => name);
}

/** Are guests asked to note their requests? What holds when they begin stays. */
export const noteRequests = ({ accessLog, admin }: Command): boolean =>
  accessLog.path !== null || admin !== null;

/** As Reloadable.mayReload(), of guests that note their requests or do not. */
export const mayReloadWith = (areNoted: boolean, name: OptionName): boolean =>
  mayReload(name) && (areNoted || name !== "access-log");

/** The settings of `service` that hold after a reload. */
export function reloaded(service: Reloadable, next: Command): Command {
  const { command } = service;
  const { site, lameDuckMs, graceMs } = next;
  const { path } = (service.mayReload("access-log") ? next : command).accessLog;
  const accessLog = { ...next.accessLog, path };
  const settings = next.settings.map((one) =>
    service.mayReload(one.name)
      ? one
      : (command.settings.find(({ name }) => name === one.name) ?? one),
  );
  return { ...command, site, lameDuckMs, graceMs, accessLog, settings };
}
