// Watchdog for a process with a machine: the guest runs on the event-loop thread, so only another
// thread can notice that it does not return.
import { Worker } from "node:worker_threads";

/**
 * Kills the process with SIGKILL, after a line on stderr, when the guest stays in one entry for
 * longer than `limitMs`. Does not keep the process alive.
 */
export class Watchdog {
  /** For MachineOptions.presence: a word that another thread can read. */
  readonly presence = new Int32Array(new SharedArrayBuffer(4));
  /**
   * Resolves when it watches: it needs nothing more of the system then. Rejects when the system has
   * no thread for it.
   */
  readonly watching: Promise<void>;
  /** It has broken off, which it never should. */
  lost: (error: Error) => void = () => {};

  constructor(limitMs: number) {
    const worker = new Worker(new URL("./watchdog-worker.js", import.meta.url), {
      workerData: { presence: this.presence, limitMs },
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
    });
    this.watching = new Promise((resolve, reject) => {
      let watches = false;
      worker.once("message", () => {
        watches = true;
        worker.unref();
        resolve();
      });
      worker.on("error", (error: Error) => {
        if (watches) this.lost(error);
        else reject(error);
      });
    });
    this.watching.catch(() => {}); // whoever waits for it is told
  }
}
