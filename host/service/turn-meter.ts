// How long a guest runs when it is entered.
import type { GuestExports } from "../image.ts";
import type { Clock } from "../ports/clock.ts";

/** Upper bounds of the histogram, in seconds. */
export const TURNS_S: readonly number[] = [
  ...[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1],
];

/** Durations of entries into guests. */
export class TurnMeter {
  readonly counts: number[] = TURNS_S.map(() => 0);
  above = 0;
  sum = 0;

  count(seconds: number): void {
    this.sum += seconds;
    const bucket = TURNS_S.findIndex((most) => seconds <= most);
    if (bucket < 0) this.above++;
    else this.counts[bucket] = (this.counts[bucket] as number) + 1;
  }

  /** The guest, whose entries are timed. */
  guest(guest: GuestExports, clock: Pick<Clock, "now">): GuestExports {
    return {
      ...guest,
      run: (budget) => {
        const begun = clock.now();
        const result = guest.run(budget);
        this.count((clock.now() - begun) / 1e9);
        return result;
      },
    };
  }
}
