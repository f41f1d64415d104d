// How a command ends that has run for as long as the user wants it to.
import type { Log } from "../log.ts";
import { type End, EXIT_TIMEOUT } from "./usage.ts";

/** Readers of the output get this long. */
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
