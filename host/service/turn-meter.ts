// How long a guest runs when it is entered.
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import type { GuestExports } from "../image.ts";
import type { GuestMemory } from "../memory.ts";
import type { Clock } from "../ports/clock.ts";

/** Upper bounds of the histogram, in seconds. */
export const TURNS_S: readonly number[] = [
  ...[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1],
];

const TWO_32 = 4294967296;

/** Durations of entries into guests. */
export class TurnMeter {
  readonly counts: number[] = TURNS_S.map(() => 0);
  above = 0;
  sum = 0;

  count(seconds: number): void {
    this.sum += seconds;
    for (let i = 0; i < TURNS_S.length; i++) {
      if (seconds > (TURNS_S[i] as number)) continue;
      this.counts[i] = (this.counts[i] as number) + 1;
      return;
    }
    this.above++;
  }

  /** The guest, whose entries are timed: from when its time page was written. */
  guest(guest: GuestExports, { view }: GuestMemory, clock: Pick<Clock, "now">): GuestExports {
    const at = TIME_PAGE_ADDRESS + TimePage.monotonicNs;
    return {
      ...guest,
      run: (budget) => {
        const begun = view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
        const result = guest.run(budget);
        this.count((clock.now() - begun) / 1e9);
        return result;
      },
    };
  }
}
