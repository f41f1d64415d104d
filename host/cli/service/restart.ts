// `--restart`: a machine that panics is replaced, while its ports stay open and its clients wait.
import { setTimeout } from "node:timers/promises";
import type { Exit } from "../../exit.ts";
import type { Log } from "../../log.ts";
import type { Machine } from "../../node/machine.ts";
import { exitCode } from "../parts.ts";
import type { Service } from "./service.ts";

/** Before the first replacement; each panic that follows soon doubles it. */
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 30_000;
/** A machine that has lived for so long had no fault of its own from the start. */
const SOUND_MS = 60_000;

/** Doubles while machines do not live long. */
export class BackOff {
  #pauseMs = PAUSE_MS;

  /** The pause after a machine that has lived for `livedMs`. */
  after(livedMs: number): number {
    if (livedMs >= SOUND_MS) this.#pauseMs = PAUSE_MS;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX);
    return pauseMs;
  }
}

/**
 * Resolves with the end of the last machine: one that did not panic, or whose service ends. Without
 * `restarts` the first one is the last. Rejects as Machine.exited and Service.start() do.
 */
export async function lastExit(
  service: Service,
  first: Machine,
  restarts: boolean,
  log: Log,
): Promise<Exit> {
  const backOff = new BackOff();
  let begun = performance.now();
  for (let machine = first; ; machine = await service.start()) {
    const exit = await machine.exited;
    if (exit.kind !== "panic" || !restarts || service.isEnding) return exit;
    exitCode(exit, log);
    const pauseMs = backOff.after(performance.now() - begun);
    log("warn", "torito", `a new machine in ${pauseMs / 1000} s`);
    service.lost();
    await setTimeout(pauseMs);
    if (service.isEnding) return exit;
    begun = performance.now();
  }
}
