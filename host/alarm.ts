// The guest's timer, kept by one of the host's: wakes the machine when the guest asked to be woken,
// and says how late that is.
import type { Clock } from "./ports/clock.ts";
import { type HostTimePage, NO_TIMER } from "./time-page.ts";

export class Alarm {
  readonly #clock: Clock;
  readonly #time: HostTimePage;
  readonly #wake: (lateNs: number) => void;
  #firesNs = NO_TIMER; // by now the guest may want a later time
  #cancel: () => void = () => {};

  constructor(clock: Clock, time: HostTimePage, wake: (lateNs: number) => void) {
    this.#clock = clock;
    this.#time = time;
    this.#wake = wake;
  }

  /** Is the guest's timer due now? If not, sets the host's. */
  isDue(): boolean {
    const wantedNs = this.#time.nextTimerNs;
    // A timer that fires too early costs one check; setting one in every turn would cost more.
    if (wantedNs >= this.#firesNs) return false;
    const nowNs = this.#clock.now();
    if (wantedNs <= nowNs) return true;
    this.#arm(wantedNs, nowNs);
    return false;
  }

  cancel(): void {
    this.#firesNs = NO_TIMER;
    this.#cancel();
    this.#cancel = () => {};
  }

  #arm(wantedNs: number, nowNs: number): void {
    this.#cancel();
    this.#firesNs = wantedNs;
    this.#cancel = this.#clock.after(Math.ceil((wantedNs - nowNs) / 1e6), this.#fired);
  }

  readonly #fired = (): void => {
    this.#firesNs = NO_TIMER;
    this.#cancel = () => {};
    const wantedNs = this.#time.nextTimerNs;
    const nowNs = this.#clock.now();
    if (wantedNs <= nowNs) this.#wake(nowNs - wantedNs);
    else if (wantedNs !== NO_TIMER) this.#arm(wantedNs, nowNs);
  };
}
