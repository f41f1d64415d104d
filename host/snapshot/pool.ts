// A pool of machines that are all as one snapshot: each user gets a machine of its own, which goes
// back to the snapshot when it is given back. What costs is creating a machine, so that happens
// once for each place in the pool.
import type { Machine } from "../machine.ts";
import type { RestoreOptions } from "./restore.ts";
import type { Snapshot } from "./snapshot.ts";

const WAITING_MAX = 1024;

/** Options of a MachinePool. */
export interface PoolOptions<Made extends RestoreOptions> {
  /** The most machines at a time, 1 or more. They are created when they are first needed. */
  readonly size: number;
  /** Called for each machine that is created: its options, with devices of its own. */
  readonly make: () => Made | Promise<Made>;
  /** Called with each machine that was created, for instance to learn how it ends. */
  readonly created?: (machine: Machine) => void;
  /** How many may wait for a machine when all are taken; others are refused. Default 1024. */
  readonly waitingMax?: number;
}

/** A machine with the options that it was made with. */
interface Place<Made> {
  readonly machine: Machine;
  readonly made: Made;
}

/** A machine of a pool, until it is given back: by release(), or by `await using`. */
export class PooledMachine<Made extends RestoreOptions = RestoreOptions> {
  /** release(), for `await using`. */
  declare [Symbol.asyncDispose]: () => Promise<void>;
  readonly #place: Place<Made>;
  #giveBack: (() => void) | null;

  constructor(place: Place<Made>, giveBack: () => void) {
    this.#place = place;
    this.#giveBack = giveBack;
  }

  /** The machine, as from the snapshot. Throws when it has been given back. */
  get machine(): Machine {
    this.#assertTaken();
    return this.#place.machine;
  }

  /** The result of PoolOptions.make() for this machine. Throws when it has been given back. */
  get made(): Made {
    this.#assertTaken();
    return this.#place.made;
  }

  /** Gives the machine back, which forgets everything at once. Calling it again does nothing. */
  release(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = null;
    giveBack?.();
  }

  #assertTaken(): void {
    if (this.#giveBack === null) throw new Error("pool: the machine was given back");
  }
}

// Not every engine has the symbol yet.
if (Symbol.asyncDispose !== undefined) {
  PooledMachine.prototype[Symbol.asyncDispose] = async function (this: PooledMachine) {
    this.release();
  };
}

interface Waiting<Made extends RestoreOptions> {
  readonly resolve: (taken: PooledMachine<Made>) => void;
  readonly reject: (error: Error) => void;
}

/** Machines from one snapshot, of which each taker has one to itself. */
export class MachinePool<Made extends RestoreOptions = RestoreOptions> {
  readonly #snapshot: Snapshot;
  readonly #options: PoolOptions<Made>;
  readonly #restore: (snapshot: Snapshot, options: RestoreOptions) => Promise<Machine>;
  readonly #idle: Place<Made>[] = []; // the last one that was given back is taken first
  readonly #waiting: Waiting<Made>[] = [];
  #places = 0; // that have a machine, or are getting one
  #isClosed = false;

  /** `restore` is Machine.restore(). */
  constructor(
    snapshot: Snapshot,
    options: PoolOptions<Made>,
    restore: (snapshot: Snapshot, options: RestoreOptions) => Promise<Machine>,
  ) {
    const { size } = options;
    if (!(Number.isInteger(size) && size > 0)) throw new Error(`pool: ${size} machines`);
    this.#snapshot = snapshot;
    this.#options = options;
    this.#restore = restore;
  }

  /** Machines that are idle now. */
  get idle(): number {
    return this.#idle.length;
  }

  /** Machines that somebody has now, or that are being created for somebody. */
  get taken(): number {
    return this.#places - this.#idle.length;
  }

  /** Takers that wait for a machine. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /**
   * A machine as from the snapshot, for this taker alone. Waits while all are taken. Rejects if too
   * many wait, if the pool is closed, or if a machine cannot be created.
   */
  async take(): Promise<PooledMachine<Made>> {
    if (this.#isClosed) throw closed();
    for (let place = this.#idle.pop(); place !== undefined; place = this.#idle.pop()) {
      if (!place.machine.ended) return this.#lend(place);
      this.#places--; // it has ended while nobody had it
    }
    if (this.#places < this.#options.size) return this.#create();
    const { size, waitingMax = WAITING_MAX } = this.#options;
    if (this.#waiting.length >= waitingMax) {
      throw new Error(`pool: all ${size} machines are taken, and ${waitingMax} wait for one`);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Creates all machines now, so that nobody waits for it later. Rejects as take() does. */
  async fill(): Promise<void> {
    const missing = this.#options.size - this.#places;
    const created = await Promise.allSettled(Array.from({ length: missing }, () => this.#create()));
    for (const one of created) if (one.status === "fulfilled") one.value.release();
    for (const one of created) if (one.status === "rejected") throw one.reason;
  }

  /** Ends idle machines now, the others when they are given back. Who waits is refused. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(closed());
    for (const place of this.#idle.splice(0)) this.#end(place);
  }

  async #create(): Promise<PooledMachine<Made>> {
    this.#places++;
    try {
      const made = await this.#options.make();
      const place = { machine: await this.#restore(this.#snapshot, made), made };
      this.#options.created?.(place.machine);
      if (!this.#isClosed) return this.#lend(place);
      this.#end(place);
    } catch (error) {
      this.#places--;
      throw error;
    }
    throw closed();
  }

  #lend(place: Place<Made>): PooledMachine<Made> {
    return new PooledMachine(place, () => this.#giveBack(place));
  }

  #giveBack(place: Place<Made>): void {
    if (this.#isClosed || !this.#isFresh(place.machine)) {
      this.#end(place);
      this.#replace();
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(place);
    else next.resolve(this.#lend(place));
  }

  /** Takes the machine back to the snapshot. One that has ended, or cannot go back, is not. */
  #isFresh(machine: Machine): boolean {
    if (machine.ended) return false;
    try {
      machine.rewind(this.#snapshot);
      return !machine.ended;
    } catch {
      return false; // it is replaced; a fault of the host is reported by `exited`
    }
  }

  #end({ machine }: Place<Made>): void {
    this.#places--;
    machine.dispose();
  }

  /** A place is free: who waits longest gets a new machine. */
  #replace(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) this.#create().then(next.resolve, next.reject);
  }
}

function closed(): Error {
  return new Error("pool: it is closed");
}
