// Reads the configuration again, on SIGHUP or on request: all of it takes effect, or nothing does.
import type { Log, LogLevel } from "../../log.ts";
import type { Command } from "../commands.ts";
import type { Effective } from "../config/effective.ts";
import type { Service } from "./service.ts";

/** Makes the command once more, from what the sources of settings say by now. */
export type Reread = () => Command;

export interface ReloadState {
  readonly successful: boolean;
  /** When settings last took effect, in milliseconds since 1970. */
  readonly successMs: number;
  /** Names of settings that have changed, and need a restart. */
  readonly waiting: readonly string[];
}

export class Reloader {
  readonly #service: Service;
  readonly #reread: Reread;
  readonly #setLevel: (level: LogLevel) => void;
  readonly #log: Log;
  state: ReloadState = { successful: true, successMs: Date.now(), waiting: [] };

  constructor(service: Service, reread: Reread, setLevel: (level: LogLevel) => void, log: Log) {
    this.#service = service;
    this.#reread = reread;
    this.#setLevel = setLevel;
    this.#log = log;
  }

  /** `why` names who wants it, for the log. Returns the error if nothing has changed. */
  reload(why: string): Error | null {
    try {
      const next = this.#reread();
      const waiting = changed(this.#service.command.settings, next.settings).filter(
        (name) => !this.#service.mayReload(name),
      );
      this.#service.reload(next);
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
