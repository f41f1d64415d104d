// Faults of threads: the application threw, and the guest goes on (kernel/panic.ts). Each is
// counted and logged, up to a rate, with its place in the application's own files.
import { RunResult } from "../abi/boot.ts";
import { GuestFault } from "./hypercall.ts";
import type { GuestExports } from "./image.ts";
import { type Log, limitLog } from "./log.ts";
import type { Clock } from "./ports/clock.ts";
import { innermost, symbolise } from "./symbols.ts";

const LOGGED_PER_SECOND_MAX = 10;
/** Frames whose file is of asc's library or of the package. */
const NOT_ITS_FILE = /\((~lib|torito)\//;
/** The function of a frame, if it is the application's. */
const FUNCTION = /at (?!~lib\/|torito\/)(\S+) \(/;

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

  /**
   * Where it happened: in the application's file; or in asc's, with the application's function that
   * the optimiser has put it into.
   */
  #describe(fault: GuestFault): string {
    const frames = symbolise(fault.stack ?? "", this.#sourceMap).split("\n");
    const own = innermost(frames.filter((frame) => !NOT_ITS_FILE.test(frame)).join("\n"));
    const { file, line, column } = own ?? fault;
    const name = frames.map((frame) => FUNCTION.exec(frame)?.[1]).find((found) => found);
    const inside = own === null && name !== undefined ? ` in ${name}` : "";
    return `thread fault: ${fault.message} at ${file}:${line}:${column}${inside}`;
  }
}
