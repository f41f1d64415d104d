// A pair of queues of a network device (virtio 5.1.2): frames to the guest, and from it.
import type { VirtQueue } from "../../virtqueue.ts";
import type { Frame } from "./frame.ts";
import { type Budget, FromGuest } from "./from-guest.ts";
import { MergeRing } from "./merge-ring.ts";
import { NO_RIGHTS, type OffloadRights } from "./offload/offload.ts";
import { RxRing } from "./rx-ring.ts";
import type { NetStats } from "./stats.ts";
import { ToGuest } from "./to-guest.ts";

/** As the driver has negotiated, and the owner of the device has chosen. */
export interface PairRules {
  readonly toGuest: OffloadRights;
  readonly fromGuest: OffloadRights;
  readonly isMerging: boolean;
  readonly picksBest: boolean;
}

export class Pair {
  readonly toGuest: ToGuest;
  readonly #fromGuest: FromGuest;
  readonly #stats: NetStats;

  /** `bytesMax`: of a frame that is one. `handle` is given each frame of the guest. */
  constructor(stats: NetStats, bytesMax: number, handle: (frame: Frame) => void) {
    this.#stats = stats;
    this.toGuest = new ToGuest(stats, bytesMax);
    this.#fromGuest = new FromGuest(stats, bytesMax, handle);
  }

  /** Has the driver a queue for frames of the guest? */
  get isSending(): boolean {
    return this.#fromGuest.queue !== null;
  }

  /** The driver is ready; null: it does not use that queue. */
  begin(rx: VirtQueue | null, tx: VirtQueue | null, rules: PairRules): void {
    this.#fromGuest.queue = tx;
    this.#fromGuest.rights = rules.fromGuest;
    if (rx === null) {
      this.stopReceiving();
    } else if (rules.isMerging) {
      this.toGuest.begin(new MergeRing(rx, this.#stats), rules.toGuest);
    } else {
      this.toGuest.begin(new RxRing(rx, this.#stats, rules.picksBest), rules.toGuest);
    }
  }

  stopReceiving(): void {
    this.toGuest.begin(null, NO_RIGHTS);
  }

  stopSending(): void {
    this.#fromGuest.queue = null;
  }

  /** Moves frames of the guest. True: the budget is spent, and there may be more. */
  take(budget: Budget): boolean {
    return this.#fromGuest.take(budget);
  }

  /** Interrupts the guest for what was used. */
  signal(): void {
    this.toGuest.queue?.signal();
    this.#fromGuest.queue?.signal();
  }
}
