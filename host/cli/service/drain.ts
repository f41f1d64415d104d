// The order in which a service ends, so that no client is lost: it says that it will, and goes on;
// then nobody new is let in; then the clients that it has end, each when it is done.
import { setTimeout } from "node:timers/promises";
import type { Log } from "../../log.ts";
import type { End } from "../usage.ts";
import { SIGNAL_CODES, type Signals } from "./signals.ts";

/** Even when told to end at once, readers of the output get this long. */
const HURRY_MS = 1000;
/** Time for turns of the guest after its clients were reset. */
const ENDING_MS = 50;

/** Parts of an end, as a service carries them out. */
export interface Drainable {
  /** Do clients of this service rely on it by now? */
  readonly isReady: boolean;
  /**
   * The service is not ready any more, which balancers find out, and each answer ends its
   * connection. Everything else goes on.
   */
  retire(): void;
  /** Lets nobody in any more. Resolves when the last client is done. */
  drain(): Promise<void>;
  /** Resets the clients that are left, and returns how many. */
  reset(): number | Promise<number>;
}

export interface Patience {
  /** How long a ready service goes on after it was told to end. */
  readonly lameDuckMs: number;
  /** How long clients may take after that. */
  readonly graceMs: number;
}

/**
 * Resolves when a signal has ended the service: the first drains it, the second ends it at once.
 */
export async function untilSignal(
  signals: Signals,
  service: Drainable,
  patience: () => Patience,
  log: Log,
): Promise<End> {
  // A halted guest without sockets or timers is alive too.
  setInterval(() => {}, 0x7fffffff);
  const first = await signals.next();
  log("info", "torito", `${first}: finishing open connections`);
  const second = signals
    .next()
    .then((signal) => ({ code: SIGNAL_CODES[signal], patienceMs: HURRY_MS }));
  return Promise.race([second, drained(service, patience(), log)]);
}

async function drained(
  service: Drainable,
  { lameDuckMs, graceMs }: Patience,
  log: Log,
): Promise<End> {
  const wasReady = service.isReady;
  service.retire();
  if (wasReady) await setTimeout(lameDuckMs);
  await Promise.race([service.drain(), setTimeout(graceMs)]);
  const left = await service.reset();
  if (left > 0) {
    await setTimeout(ENDING_MS); // the guest notes how their requests have ended
    const clients = left === 1 ? "1 client was" : `${left} clients were`;
    log("warn", "torito", `${clients} reset: not done after ${graceMs / 1000} s`);
  }
  return { code: 0, patienceMs: Math.max(graceMs, HURRY_MS) };
}
