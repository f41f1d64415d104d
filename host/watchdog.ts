// Watchdog for a process with a machine: the guest runs on the event-loop thread, so only another
// thread can notice that it does not return.
import { Worker } from "node:worker_threads";

/** A word for MachineOptions.presence that another thread can read. */
export function createPresence(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4));
}

/**
 * Kills the process with SIGKILL, after a line on stderr, when the guest stays in one entry for
 * longer than `limitMs`. Resolves when it watches, so that it needs nothing more of the system, to
 * what stops it; rejects when the system has no thread for it. `lost` is told should it break off
 * later. Does not keep the process alive.
 */
export function startWatchdog(
  presence: Int32Array,
  limitMs: number,
  lost: (error: Error) => void,
): Promise<() => void> {
  const worker = new Worker(new URL("./watchdog-worker.js", import.meta.url), {
    workerData: { presence, limitMs },
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  });
  return new Promise((resolve, reject) => {
    worker.once("message", () => {
      worker.unref();
      resolve(() => void worker.terminate());
    });
    // Before the message it rejects, behind it the promise is settled.
    worker.on("error", (error: Error) => {
      reject(error);
      lost(error);
    });
  });
}
