// Reads the configuration again, on SIGHUP or on request: all of it takes effect, or nothing does.
import type { Log, LogLevel } from "../../log.ts";
import type { Command } from "../commands.ts";
import type { Effective } from "../config/effective.ts";
import { mayReload } from "../config/options.ts";

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
        (name) => !mayReload(name),
      );
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

/** Names of the settings that differ. */
function changed(before: readonly Effective[], after: readonly Effective[]): Effective["name"][] {
  const values = new Map(before.map(({ name, value }) => [name, JSON.stringify(value)]));
  return after
    .filter(({ name, value }) => values.get(name) !== JSON.stringify(value))
    .map(({ name }) => name);
}

/** The settings that hold after a reload. */
export function reloaded(command: Command, next: Command): Command {
  const { site, lameDuckMs, graceMs, accessLog } = next;
  const settings = next.settings.map((one) =>
    mayReload(one.name) ? one : (command.settings.find(({ name }) => name === one.name) ?? one),
  );
  return { ...command, site, lameDuckMs, graceMs, accessLog, settings };
}
