// How a command ends that runs until it is told to: by a signal, or by the user's time limit.
import type { Log } from "../log.ts";
import { type End, EXIT_TIMEOUT } from "./usage.ts";

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof SIGNAL_CODES;

/** Even when told to end at once, readers of the output get this long. */
const HURRY_MS = 1000;

/** Resolves when the time limit of the user has passed. */
export function untilTimeout(timeoutMs: number | null, log: Log): Promise<End> {
  return new Promise((resolve) => {
    if (timeoutMs === null) return;
    setTimeout(() => {
      log("error", "torito", `timeout after ${timeoutMs / 1000} s`);
      resolve({ code: EXIT_TIMEOUT, patienceMs: HURRY_MS });
    }, timeoutMs);
  });
}

/**
 * Keeps the process alive. After SIGINT or SIGTERM it resolves when `drain` has, or `graceMs` have
 * passed; after a second signal at once.
 */
export function untilSignal(
  drain: () => Promise<unknown>,
  graceMs: number,
  log: Log,
): Promise<End> {
  return new Promise((resolve, reject) => {
    const end = (code: number, patienceMs: number) => resolve({ code, patienceMs });
    // A halted guest without sockets or timers is alive too.
    setInterval(() => {}, 0x7fffffff);
    let signals = 0;
    const onSignal = (signal: Signal) => {
      signals++;
      if (signals > 1) return end(SIGNAL_CODES[signal], HURRY_MS);
      log("info", "torito", `${signal}: finishing open connections`);
      drain().then(() => end(0, graceMs), reject);
      setTimeout(() => {
        log("warn", "torito", `connections are still open after ${graceMs / 1000} s`);
        end(SIGNAL_CODES[signal], HURRY_MS);
      }, graceMs);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}
