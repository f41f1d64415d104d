// A seed makes a network for twins, its faults, and connections between them, with the check that
// nothing is left over in the end.
import { Errno } from "../../abi/errno.ts";
import { type Faults, NO_FAULTS } from "./faulty-network.ts";
import { ipNumber } from "./frames.ts";
import type { GuestImage } from "./guest.ts";
import type { Random } from "./simulation-random.ts";
import { type EndPlan, makePlan, PLAIN_PLAN, TwinEnd } from "./twin-end.ts";
import { type Books, type Twin, type TwinOptions, Twins } from "./twins.ts";

const PORT = 5001;
const CONNECTIONS_MAX = 3;
const [SOCK_STREAM, AF_INET] = [1, 2];
/** CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4 and MRG_RXBUF. */
const OFFLOADS = [0, 1, 7, 11, 15].reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
const HEAP_BYTES = 256;
/** Of virtual time: after that a script is stuck. */
const SCRIPT_MS = 4 * 3600_000;
/** While nothing happens, a script looks again after this time. */
const IDLE_MS = 2000;
const LAZY_MS = 20;
/** 15 retransmissions take this long, and TIME-WAIT a minute. */
const REST_MS = 3600_000;
/** Attempts to connect, each of which may meet a network that is away. */
const CONNECTS_MAX = 20;
const MAY_FAIL = [Errno.ETIMEDOUT, Errno.ECONNREFUSED, Errno.ECONNRESET, Errno.EHOSTUNREACH];

function makeFaults(random: Random, isPlain: boolean): Faults {
  if (isPlain) return { ...NO_FAULTS, delayMs: random.any([0, 5, 100]) };
  const maybe = (rates: readonly number[]) => (random.chance(0.5) ? random.any(rates) : 0);
  return {
    loss: maybe([0.002, 0.01, 0.05, 0.15]),
    duplication: maybe([0.01, 0.1]),
    corruption: maybe([0.01, 0.05]),
    lateness: maybe([0.01, 0.1, 0.5]),
    lateMs: random.any([1, 20, 500, 5000]),
    delayMs: random.any([0, 0, 1, 20, 150]),
    pathMtu: random.chance(0.1) ? random.any([576, 1000, 1400]) : 0,
  };
}

function makeOptions(random: Random): TwinOptions {
  const mode = random.any(["net.rx_buffers=mergeable", "net.rx_buffers=small", ""]);
  const copybreak = random.any(["vsock.tx_copybreak=0", "vsock.tx_copybreak=1000", ""]);
  return {
    mtu: random.any([1500, 1500, 9000, 65_520, 1280]),
    withheld: random.any([0n, OFFLOADS, OFFLOADS & ~3n]),
    parameters: `${mode} ${copybreak}`,
    memoryBytes: random.any([16, 16, 32]) * 1024 * 1024,
  };
}

/** A guest that sends, or the cable, stands still for a while. */
class Trouble {
  readonly #twins: Twins;
  readonly #random: Random;
  readonly #isPlain: boolean;
  #chance = 0;
  #untilMs = 0;
  #stalled: Twin | null = null;

  constructor(twins: Twins, random: Random, isPlain: boolean) {
    this.#twins = twins;
    this.#random = random;
    this.#isPlain = isPlain;
  }

  start(): void {
    this.#chance = this.#isPlain ? 0 : this.#random.any([0, 0, 0.001, 0.01]);
  }

  /** The guest whose script does nothing now. */
  get stalled(): Twin | null {
    return this.#stalled;
  }

  step(nowMs: number): void {
    if (this.#untilMs > 0 && nowMs >= this.#untilMs) this.end();
    if (this.#untilMs > 0 || !this.#random.chance(this.#chance)) return;
    this.#untilMs = nowMs + this.#random.any([1, 50, 3000]);
    if (this.#random.chance(0.5)) this.#twins.network.hasLink = false;
    else this.#stalled = this.#random.any(this.#twins.guests);
  }

  end(): void {
    this.#untilMs = 0;
    this.#stalled = null;
    this.#twins.network.hasLink = true;
  }
}

/** Things that a script has seen, for those who want to know that it does something. */
export interface ScriptReport {
  bytes: number;
  connections: number;
  inOrder: number;
  faults: Twins["network"]["counts"];
}

/** Runs the script of a seed. Throws if anything is not as it must be. */
export async function runTwins(
  image: GuestImage,
  seed: number,
  { isPlain = false, ...more }: TwinOptions & { isPlain?: boolean } = {},
): Promise<ScriptReport> {
  const twins = new Twins(seed);
  try {
    const [client, server] = await twins.boot(image, { ...makeOptions(twins.random), ...more });
    return await new Script(twins, client, server, isPlain).run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
  } finally {
    twins.dispose();
  }
}

class Script {
  readonly #twins: Twins;
  readonly #client: Twin;
  readonly #server: Twin;
  readonly #random: Random;
  readonly #trouble: Trouble;
  readonly #isPlain: boolean;

  constructor(twins: Twins, client: Twin, server: Twin, isPlain: boolean) {
    this.#twins = twins;
    this.#client = client;
    this.#server = server;
    this.#random = twins.random;
    this.#isPlain = isPlain;
    this.#trouble = new Trouble(twins, this.#random, isPlain);
  }

  async run(): Promise<ScriptReport> {
    // Tables grow when they are first used, and stay.
    this.#converse(CONNECTIONS_MAX, () => ({ ...PLAIN_PLAN }));
    const before = this.#books();
    this.#twins.network.faults = makeFaults(this.#random, this.#isPlain);
    this.#trouble.start();
    const count = this.#random.between(1, CONNECTIONS_MAX);
    const ends = this.#converse(count, () => makePlan(this.#random));
    this.#expectSame(before, this.#books());
    return this.#report(ends);
  }

  /** Connections from their start to the time when nobody remembers them. */
  #converse(count: number, plan: () => EndPlan): TwinEnd[] {
    const listener = this.#server.call("SysSocket", SOCK_STREAM, AF_INET);
    this.#server.call("SysSocketBind", listener, PORT);
    this.#server.call("SysSocketListen", listener, 8);
    const ends: TwinEnd[] = [];
    for (let i = 0; i < count; i++) ends.push(...this.#connect(listener, i, plan));
    this.#play(ends);
    this.#trouble.end();
    this.#server.call("SysSocketClose", listener);
    this.#twins.rest(REST_MS);
    for (const end of ends) end.checkEnd();
    for (const end of ends) end.free();
    return ends;
  }

  /** Two ends of a new connection. */
  #connect(listener: number, i: number, plan: () => EndPlan): [TwinEnd, TwinEnd] {
    for (let tries = 0; tries < CONNECTS_MAX; tries++) {
      const near = this.#client.call("SysSocket", SOCK_STREAM, AF_INET);
      const address = ipNumber(this.#server.address) | 0;
      const connected = this.#client.start("connect", near, address, PORT);
      const accepted = this.#server.start("accept", listener);
      for (let ms = 0; ms < 300_000 && connected() === undefined; ms += 20) this.#twins.advance(20);
      for (let ms = 0; ms < 20_000 && accepted() === undefined; ms += 20) this.#twins.advance(20);
      const far = accepted() ?? -1;
      if (connected() === 0 && far > 0) return this.#ends(near, far, i, plan);
      // The last acknowledgement of a handshake can be lost, and so can its repetitions.
      const result = connected() ?? 0;
      if (result !== 0 && !MAY_FAIL.includes(-result)) throw new Error(`connect: ${result}`);
      this.#client.call("SysSocketClose", near);
      if (far > 0) this.#server.call("SysSocketClose", far);
      else this.#withdraw(accepted);
    }
    throw new Error("no connection came about");
  }

  /** A call of accept that waits gets a connection that is closed at once. */
  #withdraw(accepted: () => number | undefined): void {
    for (let tries = 0; tries < CONNECTS_MAX && accepted() === undefined; tries++) {
      const near = this.#client.call("SysSocket", SOCK_STREAM, AF_INET);
      this.#client.start("connect", near, ipNumber(this.#server.address) | 0, PORT);
      this.#twins.advance(300_000);
      this.#client.call("SysSocketClose", near);
    }
    this.#server.call("SysSocketClose", accepted() ?? -1);
  }

  #ends(near: number, far: number, i: number, plan: () => EndPlan): [TwinEnd, TwinEnd] {
    const left = new TwinEnd(this.#client, near, plan(), this.#random, i * 1000);
    const right = new TwinEnd(this.#server, far, plan(), this.#random, i * 1000 + 500);
    [left.peer, right.peer] = [right, left];
    return [left, right];
  }

  #play(ends: readonly TwinEnd[]): void {
    const { clock } = this.#twins;
    const untilNs = clock.now() + SCRIPT_MS * 1e6;
    const isLazy = ends.some(({ plan }) => plan.laziness > 0);
    let idleMs = 1;
    while (ends.some((one) => !one.isDone)) {
      if (clock.now() > untilNs)
        throw new Error(`the script is stuck: ${ends.map((one) => one.show()).join("; ")}`);
      this.#trouble.step(clock.now() / 1e6);
      const worked = ends.map((one, i) => {
        const guest = i % 2 === 0 ? this.#client : this.#server;
        return guest !== this.#trouble.stalled && one.step();
      });
      idleMs = worked.includes(true) ? 1 : Math.min(idleMs * 2, isLazy ? LAZY_MS : IDLE_MS);
      this.#twins.advance(idleMs);
    }
  }

  #books() {
    return this.#twins.guests.map((one) => one.books());
  }

  /** Blocks that were given back and taken again may be a few bytes larger than asked for. */
  #expectSame(before: readonly Books[], after: readonly Books[]): void {
    const isSame = before.every((one, i) => {
      const { heap, ...other } = after[i] as Books;
      const { heap: heapBefore, ...others } = one;
      const same = JSON.stringify(other) === JSON.stringify(others);
      return same && Math.abs(heap - heapBefore) < HEAP_BYTES;
    });
    const texts = [before, after].map((one) => JSON.stringify(one));
    if (!isSame) throw new Error(`something is left over\nbefore ${texts.join("\nafter  ")}`);
    for (const guest of this.#twins.guests) {
      if (guest.faults() > 0) throw new Error(`${guest.address} broke ${guest.faults()} rules`);
    }
  }

  #report(ends: readonly TwinEnd[]): ScriptReport {
    return {
      bytes: ends.reduce((sum, one) => sum + one.received, 0),
      connections: ends.length / 2,
      inOrder: ends.filter((one) => !one.isEarly && !one.peer.isEarly).length / 2,
      faults: this.#twins.network.counts,
    };
  }
}
