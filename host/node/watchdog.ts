// Watchdog for a process with a machine. The guest runs on the event-loop thread, so only another
// thread can notice that it does not return.
import { Worker } from "node:worker_threads";
import { PACKAGE_FOLDER } from "./package.ts";

const WORKER = `${PACKAGE_FOLDER}dist/host/node/watchdog-worker.js`;

/**
 * Kills the process with SIGKILL, after a line on stderr, when the guest stays in one entry for
 * longer than `limitMs`. Does not keep the process alive.
 */
export class Watchdog {
  /** For MachineOptions.presence: a word that another thread can read. */
  readonly presence = new Int32Array(new SharedArrayBuffer(4));
  /**
   * Resolves when it is running, and has all system resources that it needs. Rejects if no thread
   * can be started.
   */
  readonly watching: Promise<void>;
  /** Called if its thread fails, which it never should. */
  lost: (error: Error) => void = () => {};

  constructor(limitMs: number, code = WORKER) {
    const worker = new Worker(code, {
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
    this.watching.catch(() => {}); // reported to whoever awaits it
  }
}
