// Turns: the visits to a guest, from its first to its last. A turn is rounds of "deliver
// interrupts, run threads, let devices handle their queues", until nothing is left to do or it is
// time to look at the host's other events.
import { RunResult } from "../abi/boot.ts";
import { Alarm } from "./alarm.ts";
import { BUS_IRQ_FIRST, type Bus } from "./bus.ts";
import type { Entries } from "./entry.ts";
import type { ThreadFaults } from "./faults.ts";
import type { GuestExports } from "./image.ts";
import type { RegisterFile } from "./mmio.ts";
import type { Clock } from "./ports/clock.ts";
import type { Presence } from "./presence.ts";
import type { HostTimePage } from "./time-page.ts";

/** Rounds of one turn; then the host looks at its sockets first. */
const ROUNDS_PER_TURN_MAX = 64;
/** A timer that fires this late was held up by the host. */
const STALLED_NS = 100_000_000;

export interface TurnOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly time: HostTimePage;
  readonly entries: Entries;
  readonly presence: Presence;
  readonly faults: ThreadFaults;
  /** Thread switches of one round, at first. */
  readonly budget: number;
  /** Has the guest printed so much that it should get no turns? */
  readonly isStuffed: () => boolean;
  /** An exception has ended an entry. */
  readonly failed: (error: unknown) => void;
  /** leave() was called in a turn, which is over. */
  readonly left: () => void;
}

export class Turns {
  /** Set before the first turn. */
  guest: GuestExports | null = null;
  registers: readonly RegisterFile[] = [];
  #budget = 0;
  readonly #options: TurnOptions;
  readonly #alarm: Alarm;
  #isRunning = false; // from start() to stop()
  #again = false; // turn() was called inside
  #isIdle = false; // nothing is left to do in this turn
  #stalled = false; // a device held up the guest: look at sockets before its timers
  #leaving = false;
  #deferred = false;

  constructor(options: TurnOptions) {
    this.#options = options;
    this.budget = null;
    this.#alarm = new Alarm(options.clock, options.time, this.#onAlarm);
  }

  /** Thread switches of one round from now on; null: as at first. Throws on what is no count. */
  set budget(wanted: number | null) {
    const budget = wanted ?? this.#options.budget;
    if (!(Number.isInteger(budget) && budget > 0)) throw new Error(`budget: ${budget} switches`);
    this.#budget = budget;
  }

  /** The guest has booted, or goes on from a snapshot: from now on it gets turns. */
  start(): void {
    this.#isRunning = true;
  }

  /** It gets no more. */
  stop(): void {
    this.#isRunning = false;
    this.#alarm.cancel();
  }

  /** The guest's timer is another one by now. */
  cancelAlarm(): void {
    this.#alarm.cancel();
  }

  /** The turn that is going on is the last. */
  leave(): void {
    this.#leaving = true;
  }

  /**
   * Gives the guest one turn: delivers interrupts and lets it run until it halts, or until its
   * budget is spent, in which case it continues after the host's other events. Inside a turn: one
   * more round. After the end: nothing.
   */
  turn(): void {
    const { bus, entries, isStuffed, failed, left } = this.#options;
    if (entries.inside) {
      this.#again = true;
      return;
    }
    if (!this.#isRunning) return;
    if (isStuffed() && !this.#leaving) return;
    // A line that is still up without acknowledgement is delivered once a turn, not in every round.
    bus.pending |= bus.asserted;
    this.#isIdle = this.#stalled = false;
    entries.visit(this.#rounds, failed);
    if (this.#leaving) left();
    else if (!this.#isIdle) this.defer();
  }

  /** Before each entry into the guest. */
  prepare(): void {
    this.#options.presence.enter();
    this.#options.time.write();
  }

  /** There is a turn after the host events that are ready. */
  defer(): void {
    if (this.#deferred || !this.#isRunning) return;
    this.#deferred = true;
    this.#options.clock.defer(this.#onDeferred);
  }

  /** A device held up the guest. */
  readonly late = (): void => {
    this.#options.time.write();
    this.#stalled = true;
  };

  /**
   * A device has something for the guest. Unless `atOnce`, the turn comes after the other sockets
   * that are ready: one entry serves them all, and their system calls do not evict the guest's code
   * from the caches in between.
   */
  readonly onDevice = (atOnce = false): void => {
    const { bus, entries } = this.#options;
    if (bus.pending === 0 || entries.inside) return;
    if (atOnce && this.#options.clock.paused !== true) this.turn();
    else this.defer();
  };

  readonly #rounds = (): void => {
    const { bus } = this.#options;
    const { registers } = this;
    for (let i = 0; i < registers.length; i++) (registers[i] as RegisterFile).begin();
    for (let round = 0; round < ROUNDS_PER_TURN_MAX && !this.#isIdle; round++) {
      if (this.#leaving || this.#stalled) return;
      this.#again = false;
      const result = this.#enter();
      for (let i = 0; i < registers.length; i++) (registers[i] as RegisterFile).halted();
      if (result !== RunResult.Halted) return;
      const isDone = bus.pending === 0 && !this.#again && !this.#stalled;
      this.#isIdle = isDone && !this.#alarm.isDue();
    }
  };

  /** One round of the guest: pending interrupts, then threads. */
  #enter(): number {
    const { bus, entries, faults } = this.#options;
    const guest = this.guest as GuestExports;
    this.prepare();
    while (bus.pending !== 0) {
      const slot = 31 - Math.clz32(bus.pending & -bus.pending);
      bus.pending &= ~(1 << slot);
      guest.interrupt(BUS_IRQ_FIRST + slot);
    }
    const result = faults.run(guest, this.#budget);
    entries.returned();
    return result;
  }

  /**
   * After a stall of the host, its sockets may hold what the guest waits for. They come first, or
   * the guest would report a timeout.
   */
  readonly #onAlarm = (lateNs: number): void => {
    if (lateNs >= STALLED_NS) this.defer();
    else this.turn();
  };

  readonly #onDeferred = (): void => {
    this.#deferred = false;
    this.turn();
  };
}
