// Two guests on one switch, in virtual time, with a network between them that a seed makes bad:
// each runs the scripts of its ends of connections until nothing is left to do, and then nothing
// may be left over.

import { type FrameCapture, Machine, NetDevice, NetSwitch } from "../../host/index.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { FaultyNetwork } from "./faulty-network.ts";
import { card } from "./frames.ts";
import { collectHits, type GuestImage } from "./guest.ts";
import { Random } from "./simulation-random.ts";

/** Calls of test/guest/sockets.ts. */
const OPS = {
  accept: 0,
  connect: 1,
  recv: 2,
  peek: 3,
  send: 4,
  shutdown: 6,
  close: 7,
  loan: 8,
  sendVector: 9,
  completion: 10,
} as const;
export type Op = keyof typeof OPS;

/** As in kernel/net/link/pool.ts. */
const POOL_SIZES = 8;
const ROUNDS_MAX = 100_000;

/** These must be the same before and after. */
export interface Books {
  heap: number;
  blocks: number;
  buffers: number;
  queued: number;
  sockets: number;
  loans: number;
  timers: number;
}

export class Twin {
  readonly machine: Machine;
  readonly net: NetDevice;
  readonly address: string;
  readonly #image: GuestImage;
  readonly #settle: () => void;

  constructor(machine: Machine, net: NetDevice, n: number, image: GuestImage, settle: () => void) {
    this.machine = machine;
    this.net = net;
    this.address = `10.0.0.${n}`;
    this.#image = image;
    this.#settle = settle;
  }

  /** A call that does not yield. */
  call(name: string, ...args: number[]): number {
    const result = Number(this.machine.call(name, ...args) ?? 0);
    this.#settle();
    return result;
  }

  /** A call in a thread of its own; asks for its result, undefined while there is none. */
  start(op: Op, ...args: number[]): () => number | undefined {
    const [a = 0, b = 0, c = 0, d = 0] = args;
    const at = this.call("start", OPS[op], a, b, c, d) >>> 0;
    const { view } = this.machine.memory;
    return () => (view.getUint32(at, true) === 0 ? undefined : view.getInt32(at + 4, true));
  }

  allocate(bytes: number): number {
    const at = this.call("ToroGetMem", bytes) >>> 0;
    if (at === 0) throw new Error(`${this.address} has no memory for a script`);
    return at;
  }

  free(at: number): void {
    this.call("ToroFreeMem", at);
  }

  bytes(at: number, length: number): Uint8Array {
    return this.machine.memory.bytes(at, length);
  }

  books(): Books {
    const pools = Array.from({ length: POOL_SIZES }, (_, i) => this.call("buffersInFlight", i));
    return {
      heap: this.call("inUse"),
      blocks: this.call("heapBlocks"),
      buffers: pools.reduce((a, b) => a + b),
      queued: this.call("sendQueuesBytes"),
      sockets: this.call("liveSockets"),
      loans: this.call("loanCount"),
      timers: this.call("isTimerRunning"),
    };
  }

  /** Rules of the device that the guest broke. */
  faults(): number {
    return this.machine.registers.reduce(
      (sum, one) => sum + one.illegalAccesses + one.rejectedChains + one.brokenQueues,
      this.net.stats.rejected,
    );
  }

  dispose(): void {
    collectHits(this.#image, this.machine);
    this.machine.dispose();
  }
}

export interface TwinOptions {
  mtu?: number;
  /** Features that the devices do not offer. */
  withheld?: bigint;
  parameters?: string;
  memoryBytes?: number;
  capture?: (clock: ManualClock) => FrameCapture;
}

export class Twins {
  readonly clock = new ManualClock();
  readonly random: Random;
  readonly network: FaultyNetwork;
  readonly guests: Twin[] = [];

  constructor(seed: number) {
    this.random = new Random(seed);
    this.network = new FaultyNetwork(new NetSwitch(), new Random(seed ^ 0x5eed));
  }

  async boot(image: GuestImage, options: TwinOptions = {}): Promise<[Twin, Twin]> {
    const capture = options.capture?.(this.clock);
    for (const n of [1, 2]) {
      const net = new NetDevice({
        network: this.network,
        mac: card(n),
        mtu: options.mtu ?? 1500,
        ...(capture === undefined || n === 2 ? {} : { capture }),
      });
      const machine = await Machine.create({
        image: image.module,
        sourceMap: image.map,
        memoryBytes: options.memoryBytes ?? 16 * 1024 * 1024,
        clock: this.clock,
        devices: [net],
        withheldFeatures: options.withheld ?? 0n,
        entropy: (into) => this.random.fill(into),
        parameters: `net.address=10.0.0.${n}/24 ${options.parameters ?? ""}`,
      });
      this.guests.push(new Twin(machine, net, n, image, () => this.settle()));
      machine.boot();
      this.settle();
    }
    return this.guests as [Twin, Twin];
  }

  /** Everything happens that needs no time. */
  settle(): void {
    for (let rounds = 0; this.clock.settle() > 0; rounds++) {
      if (rounds > ROUNDS_MAX) throw new Error("the guests never come to rest");
    }
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  /** Time passes until no guest waits for anything, at most `ms`. */
  rest(ms: number): void {
    for (let passed = 0; passed < ms; passed += 1000) {
      if (this.guests.every((one) => one.call("isTimerRunning") === 0)) return;
      this.advance(1000);
    }
  }

  dispose(): void {
    for (const guest of this.guests.splice(0)) guest.dispose();
  }
}
