// Faults of threads: the application threw, the guest goes on (kernel/panic.ts). Counted, and
// logged with the place in the application's own files, so many a second at most.
import { RunResult } from "../abi/boot.ts";
import { GuestFault } from "./hypercall.ts";
import type { GuestExports } from "./image.ts";
import { type Log, limitLog } from "./log.ts";
import type { Clock } from "./ports/clock.ts";
import { innermost, symbolise } from "./symbols.ts";

const LOGGED_PER_SECOND_MAX = 10;
/** Frames of asc's library, of the kernel and of what applications share. */
const NOT_THE_APPLICATION = /\((~lib|kernel|drivers|guest)\//;

export class ThreadFaults {
  /** Since boot. */
  count = 0;
  readonly #log: (message: string) => void;
  readonly #sourceMap: string | undefined;

  constructor(log: Log, clock: Clock, sourceMap: string | undefined) {
    const error = (message: string) => log("error", "guest", message);
    this.#log = limitLog(error, () => clock.now(), LOGGED_PER_SECOND_MAX);
    this.#sourceMap = sourceMap;
  }

  /** Runs threads. One that faults starts again after the host's other events. */
  run(guest: GuestExports, budget: number): number {
    try {
      return guest.run(budget);
    } catch (error) {
      if (!(error instanceof GuestFault) || guest.fault === null) throw error;
      this.count++;
      this.#log(this.#describe(error));
      guest.fault();
      return RunResult.BudgetSpent;
    }
  }

  #describe(fault: GuestFault): string {
    const frames = symbolise(fault.stack ?? "", this.#sourceMap).split("\n");
    const own = frames.filter((frame) => !NOT_THE_APPLICATION.test(frame));
    const { file, line, column } = innermost(own.join("\n")) ?? fault;
    return `thread fault: ${fault.message} at ${file}:${line}:${column}`;
  }
}
