// A clock that is cranked by hand, whose time of day can be set; it goes on from there.
import { ManualClock } from "../../host/manual-clock.ts";

export class SetClock extends ManualClock {
  #offsetNs = 0n;

  override realtime(): bigint {
    return super.realtime() + this.#offsetNs;
  }

  setRealtime(ns: bigint): void {
    this.#offsetNs = ns - super.realtime();
  }
}
