// Watchdog for a process with a machine: the guest runs on the event-loop thread, so only another
// thread can notice that it does not return.
import { Worker } from "node:worker_threads";

/** A word for MachineOptions.presence that another thread can read. */
export function createPresence(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4));
}

/**
 * Kills the process with SIGKILL, after a line on stderr, when the guest stays in one entry for
 * longer than `limitMs`. Does not keep the process alive. Returns what stops it.
 */
export function startWatchdog(presence: Int32Array, limitMs: number): () => void {
  const worker = new Worker(new URL("./watchdog-worker.js", import.meta.url), {
    workerData: { presence, limitMs },
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  });
  worker.unref();
  return () => void worker.terminate();
}
