// How often something may happen in a second of the clock, so that no peer can make us send more.
import { nowNs, NS_PER_S } from "../../clock";

/** Zeroed has allowed nothing yet. */
@unmanaged
export class Rate {
  second: u64;
  used: u32; // in that second
}

/** May it happen once more, of `most` times in a second? Counts it. */
export function allows(rate: Rate, most: u32): bool {
  const now = nowNs() / NS_PER_S;
  if (now != rate.second) {
    rate.second = now;
    rate.used = 0;
  }
  if (rate.used == most) return false;
  rate.used++;
  return true;
}
