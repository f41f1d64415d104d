// Signals to the process, from its first moment on: they wait until somebody asks for them. The
// process may be the first of a container, which gets no signal that it has no handler for.
import type { Log } from "../../log.ts";
import { EXIT_SIGINT, EXIT_SIGTERM } from "../usage.ts";

/** The exit code of a process that a signal has ended at once. */
export const SIGNAL_CODES = { SIGINT: EXIT_SIGINT, SIGTERM: EXIT_SIGTERM } as const;

/** A signal that ends the process. */
export type Ending = keyof typeof SIGNAL_CODES;

export class Signals {
  readonly #come: Ending[] = [];
  readonly #waiting: ((signal: Ending) => void)[] = [];
  #reload: () => unknown = () => {};

  constructor() {
    for (const signal of Object.keys(SIGNAL_CODES) as Ending[]) {
      process.on(signal, () => this.#end(signal));
    }
    process.on("SIGHUP", () => void this.#reload());
    // Without a listener Node would open its debugger to all users of this host.
    process.on("SIGUSR1", () => {});
  }

  /** Resolves with the next signal that ends the process; it may have come already. */
  next(): Promise<Ending> {
    const come = this.#come.shift();
    if (come !== undefined) return Promise.resolve(come);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Called for each SIGHUP from now on. */
  onReload(reload: () => unknown): void {
    this.#reload = reload;
  }

  #end(signal: Ending): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#come.push(signal);
    else waiting(signal);
  }
}

/** Says that SIGHUP has nothing to reload here. */
export function ignoreReloads(signals: Signals, log: Log): void {
  signals.onReload(() => log("warn", "torito", "SIGHUP: there is nothing to reload"));
}
