// The end of a machine: cleaning up, and the promise that reports it. Failures of the host on the
// way are collected, since each part has to be cleaned up whatever became of the others.
import { type Exit, endWithFaults } from "./exit.ts";
import type { RegisterFile } from "./mmio.ts";

export class Ending {
  /** Resolves by clean(). Rejects if host code has failed. */
  readonly exited: Promise<Exit>;
  readonly #faults: unknown[] = []; // of the host
  #resolve: (exit: Exit) => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor() {
    this.exited = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.exited.catch(() => {}); // an unhandled rejection would end other machines as well
  }

  /** Host code has failed. */
  fault(error: unknown): void {
    this.#faults.push(error);
  }

  /** Runs `work`; a failure of it is a fault, and the result is null. */
  attempt<Result>(work: () => Result): Result | null {
    try {
      return work();
    } catch (error) {
      this.fault(error);
      return null;
    }
  }

  /**
   * Disposes of the devices. `exited` settles when `printing` has, which is the rest of the
   * console; null: there is none. A null `exit` is a fault, reported before.
   */
  clean(exit: Exit | null, devices: readonly RegisterFile[], printing: Promise<void> | null): void {
    if (exit?.kind === "power-off") {
      // Buffers that the guest had handed over are still sent.
      for (const registers of devices) {
        this.attempt(() => {
          registers.begin();
          registers.halted();
        });
      }
    }
    for (const { device } of devices) this.attempt(() => device.dispose());
    const settle = () => {
      if (this.#faults.length > 0) this.#reject(endWithFaults(exit, this.#faults));
      else this.#resolve(exit as Exit);
    };
    if (printing === null) settle();
    else printing.then(settle, settle);
  }
}
