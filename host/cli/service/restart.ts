// Whatever dies is replaced: with `--restart` a machine that panics, while its ports stay open and
// its clients wait; and every replica.
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

/** One life after the other. */
export interface Lives<Death> {
  /** Begins one, and resolves when it has ended. */
  live(): Promise<Death>;
  /** Does no other follow, by now? */
  isLast(death: Death): boolean;
  /** Another one follows after the pause. */
  lost(death: Death, pauseMs: number): void;
}

/** Resolves with the last death. Rejects as live() does. */
export async function lastDeath<Death>(lives: Lives<Death>): Promise<Death> {
  const backOff = new BackOff();
  for (;;) {
    const begun = performance.now();
    const death = await lives.live();
    if (lives.isLast(death)) return death;
    const pauseMs = backOff.after(performance.now() - begun);
    lives.lost(death, pauseMs);
    await setTimeout(pauseMs);
    if (lives.isLast(death)) return death;
  }
}

/**
 * Resolves with the end of the last machine: one that did not panic, or whose service ends. Without
 * `restarts` the first one is the last. Rejects as Machine.exited and Service.start() do.
 */
export function lastExit(
  service: Service,
  first: Machine,
  restarts: boolean,
  log: Log,
): Promise<Exit> {
  let begun: Machine | null = first;
  return lastDeath<Exit>({
    live: async () => {
      const machine = begun ?? (await service.start());
      begun = null;
      return machine.exited;
    },
    isLast: (exit) => exit.kind !== "panic" || !restarts || service.isEnding,
    lost: (exit, pauseMs) => {
      exitCode(exit, log);
      log("warn", "torito", nextText(pauseMs));
      service.lost();
    },
  });
}

/** For the log. */
export const nextText = (pauseMs: number): string => `a new machine in ${pauseMs / 1000} s`;
