// One end of a connection between twins: it sends and receives by a plan, and knows what it must
// receive. Whatever happens on the way, that is a beginning of what was sent, and all of it at the
// end of the stream.
import type { Random } from "./simulation-random.ts";
import type { Twin } from "./twins.ts";

const DONTWAIT = 0x40;
const MORE = 0x8000;
const ZEROCOPY = 0x4000000;
const SO_NONBLOCK = 0x800;
const SO_SENDMODE = 0x801;
const SO_RCVLOAN = 0x802;
const SO_ZEROCOPY = 60;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const TCP_KEEPIDLE = 0x604;
const SO_KEEPALIVE = 0x609;
const KEEP_IDLE_MS = 60_000;
const SHUTDOWN_SEND = 1;
const EAGAIN = -11;
const ENOBUFS = -105;
const ENOMEM = -12;
/** The errors of a connection that was not closed in order. */
const ENDS = [-104, -103, -32, -107, -110, -9, -111]; // RESET, ABORTED, PIPE, NOTCONN, ...
/** Sends with MSG_ZEROCOPY that an end has in flight. */
const SLOTS = 4;
const LOANS = 8;

/** Where a script's lists are: a vector, a completion, loans, and one to be given back. */
const COMPLETION_AT = 128;
const LOANS_AT = 144;
const RELEASE_AT = 208;
const LISTS_BYTES = 256;

/** Bytes of which no stretch is like another: a stream is a part of them. */
const BYTES_MAX = 1 << 20;
const noise = Buffer.alloc(2 * BYTES_MAX);
for (let i = 0, x = 1; i < noise.length; i++) {
  x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  noise[i] = x >>> 24;
}

export interface EndPlan {
  /** Bytes that it sends in all. */
  total: number;
  chunkMax: number;
  readMax: number;
  /** How it gives its bytes over: SendMode of the kernel, or with completions. */
  mode: "two-copy" | "one-copy" | "zero-copy" | "completions";
  usesVector: boolean;
  usesMore: boolean;
  isNonBlocking: boolean;
  usesLoans: boolean;
  sendBuffer: number;
  receiveBuffer: number;
  /** Chance that it does nothing in a round, although it could. */
  laziness: number;
  /** Closes when it has sent or received that many bytes; null: when all is over. */
  closesAt: number | null;
  /** Closes by a reset then. */
  resets: boolean;
}

/** Bounds the time that a script takes. */
const CALLS_MAX = 100;

/** It sends a little, and ends in order. */
export const PLAIN_PLAN: EndPlan = {
  total: 20_000,
  chunkMax: 5000,
  readMax: 5000,
  mode: "completions",
  usesVector: true,
  usesMore: false,
  isNonBlocking: false,
  usesLoans: true,
  sendBuffer: 0,
  receiveBuffer: 0,
  laziness: 0,
  closesAt: null,
  resets: false,
};

export function makePlan(random: Random): EndPlan {
  const chunkMax = random.any([1, 100, 1448, 5000, 70_000, 250_000]);
  const wanted = random.chance(0.2) ? 0 : random.below(random.any([10, 3000, 60_000, 250_000]));
  const isEarly = random.chance(0.2);
  return {
    total: Math.min(wanted, chunkMax * CALLS_MAX),
    chunkMax,
    readMax: random.any([1000, 5000, 65_536]),
    mode: random.any(["two-copy", "one-copy", "zero-copy", "completions"]),
    usesVector: random.chance(0.3),
    usesMore: random.chance(0.2),
    isNonBlocking: random.chance(0.3),
    usesLoans: random.chance(0.4),
    sendBuffer: random.any([0, 0, 4096, 30_000, 500_000]),
    receiveBuffer: random.any([0, 0, 4096, 20_000, 1 << 20]),
    laziness: random.any([0, 0, 0.5, 0.95]),
    closesAt: isEarly ? random.below(100_000) : null,
    resets: random.chance(0.3),
  };
}

type Pending = (() => number | undefined) | null;

export class TwinEnd {
  readonly plan: EndPlan;
  sent = 0; // bytes that the kernel has taken over
  received = 0;
  /** The last result of each direction that was no number of bytes. */
  sendEnd: number | null = null;
  receiveEnd: number | null = null;
  isClosed = false;
  /** It has closed before both directions were over, or reset. */
  isEarly = false;
  peer!: TwinEnd;
  readonly #guest: Twin;
  readonly #random: Random;
  readonly #socket: number;
  readonly #salt: number;
  readonly #slots: { at: number; busy: number | null }[];
  readonly #slotBytes: number;
  readonly #into: number;
  readonly #lists: number;
  readonly #loans: number[] = [];
  #calls = 0; // with MSG_ZEROCOPY that sent something
  #sending: Pending = null;
  #slot = 0;
  #asked = 0;
  #completing: Pending = null;
  #shutting: Pending = null;
  #receiving: { result: () => number | undefined; kind: "recv" | "peek" | "loan" } | null = null;
  #closing: Pending = null;

  constructor(guest: Twin, socket: number, plan: EndPlan, random: Random, salt: number) {
    this.#guest = guest;
    this.#socket = socket;
    this.plan = plan;
    this.#random = random;
    this.#salt = salt;
    this.#slotBytes = Math.min(plan.chunkMax, Math.max(plan.total, 1));
    this.#slots = Array.from({ length: plan.mode === "completions" ? SLOTS : 1 }, () => ({
      at: guest.allocate(this.#slotBytes),
      busy: null,
    }));
    this.#into = guest.allocate(plan.readMax);
    this.#lists = guest.allocate(LISTS_BYTES);
    const set = (option: number, value: number) =>
      guest.call("SysSocketSetOption", socket, option, value);
    const modes = ["two-copy", "one-copy", "zero-copy"];
    // An RST can be lost, and then only a question tells that the other side is gone.
    guest.call("SysTcpSetOption", socket, TCP_KEEPIDLE, KEEP_IDLE_MS);
    guest.call("SysTcpSetOption", socket, SO_KEEPALIVE, 1);
    if (plan.mode === "completions") set(SO_ZEROCOPY, 1);
    else set(SO_SENDMODE, modes.indexOf(plan.mode));
    if (plan.isNonBlocking) set(SO_NONBLOCK, 1);
    if (plan.usesLoans) set(SO_RCVLOAN, 1);
    if (plan.sendBuffer > 0) set(SO_SNDBUF, plan.sendBuffer);
    if (plan.receiveBuffer > 0) set(SO_RCVBUF, plan.receiveBuffer);
  }

  get isDone(): boolean {
    return (
      this.isClosed &&
      this.#sending === null &&
      this.#receiving === null &&
      this.#completing === null &&
      this.#shutting === null &&
      this.#closing === null &&
      this.#loans.length === 0
    );
  }

  /** Where it is, for the message of a script that stops. */
  show(): string {
    const waits = [this.#sending, this.#receiving, this.#completing, this.#shutting, this.#closing]
      .map((call, i) =>
        call === null ? "" : ["send", "receive", "completion", "shutdown", "close"][i],
      )
      .filter((name) => name !== "");
    const done = `${this.sent} of ${this.plan.total} sent, ${this.received} received`;
    const ends = `ends ${this.sendEnd} ${this.receiveEnd}`;
    const lent = `${this.#loans.length} lent`;
    return `${this.#guest.address}: ${done}, ${ends}, in ${waits.join(" ")}, ${lent}`;
  }

  /** One round. Returns whether anything happened. */
  step(): boolean {
    const worked = [this.#collect(), this.#finish()];
    if (this.isClosed) return worked.includes(true);
    if (this.#random.chance(this.plan.laziness)) return worked.includes(true);
    if (this.#mustClose()) {
      this.#close();
      return true;
    }
    worked.push(this.#complete(), this.#send(), this.#receive());
    return worked.includes(true);
  }

  /** Frees the memory of the script. Its calls have returned. */
  free(): void {
    for (const { at } of this.#slots) this.#guest.free(at);
    this.#guest.free(this.#into);
    this.#guest.free(this.#lists);
  }

  #mustClose(): boolean {
    const { closesAt } = this.plan;
    if (closesAt !== null && this.sent + this.received >= closesAt) return true;
    const isOver = this.sendEnd !== null && this.receiveEnd !== null;
    return isOver && this.#shutting === null && this.#sending === null && !this.#isBusy();
  }

  #isBusy(): boolean {
    return this.#completing !== null || this.#slots.some(({ busy }) => busy !== null);
  }

  #close(): void {
    this.isEarly = this.sendEnd !== 0 || this.receiveEnd !== 0;
    this.isClosed = true;
    const resets = this.isEarly && this.plan.resets;
    if (resets) this.#guest.call("SysSocketReset", this.#socket);
    this.#closing = this.#guest.start("close", this.#socket);
  }

  /** Takes the results of calls that have returned. */
  #collect(): boolean {
    const { length } = [this.#sent(), this.#got(), this.#completed(), this.#ended()].filter(
      Boolean,
    );
    return length > 0;
  }

  #finish(): boolean {
    if (this.#loans.length === 0) return false;
    const lazy = !this.isClosed && this.#loans.length < LOANS && this.receiveEnd === null;
    if (lazy && this.#random.chance(0.7)) return false;
    const count = this.isClosed ? this.#loans.length : this.#random.between(1, this.#loans.length);
    const { view } = this.#guest.machine.memory;
    for (let i = 0; i < count; i++) {
      const [token] = this.#loans.splice(this.#random.below(this.#loans.length), 1);
      const at = this.#lists + RELEASE_AT;
      view.setUint32(at, token as number, true);
      this.#expect(this.#guest.call("SysSocketRelease", this.#socket, at, 1) === 1, "release");
    }
    return true;
  }

  #ended(): boolean {
    let happened = false;
    if (this.#shutting?.() !== undefined) {
      this.#shutting = null;
      happened = true;
    }
    if (this.#closing?.() !== undefined) {
      this.#closing = null;
      happened = true;
    }
    return happened;
  }

  // Sending.

  #send(): boolean {
    if (this.#sending !== null || this.sendEnd !== null) return false;
    if (this.sent === this.plan.total) {
      this.sendEnd = 0;
      this.#shutting = this.#guest.start("shutdown", this.#socket, SHUTDOWN_SEND);
      return true;
    }
    this.#slot = this.#slots.findIndex(({ busy }) => busy === null);
    const slot = this.#slots[this.#slot];
    if (slot === undefined) return false;
    const most = Math.min(this.#slotBytes, this.plan.total - this.sent);
    this.#asked = this.#random.between(1, most);
    this.#guest.bytes(slot.at, this.#asked).set(this.#part(this.sent, this.#asked));
    const isLast = this.sent + this.#asked === this.plan.total;
    let flags = this.plan.usesMore && !isLast && this.#random.chance(0.5) ? MORE : 0;
    if (this.plan.mode === "completions") flags |= ZEROCOPY;
    this.#sending = this.plan.usesVector
      ? this.#sendVector(slot.at, flags)
      : this.#guest.start("send", this.#socket, slot.at, this.#asked, flags);
    this.#sent();
    return true;
  }

  #sendVector(at: number, flags: number): Pending {
    const count = Math.min(this.#asked, this.#random.between(1, 16));
    const { view } = this.#guest.machine.memory;
    for (let i = 0, done = 0; i < count; i++) {
      const rest = this.#asked - done;
      const bytes = i === count - 1 ? rest : Math.floor(rest / (count - i));
      view.setUint32(this.#lists + i * 8, at + done, true);
      view.setUint32(this.#lists + i * 8 + 4, bytes, true);
      done += bytes;
    }
    return this.#guest.start("sendVector", this.#socket, this.#lists, count, flags);
  }

  #sent(): boolean {
    const result = this.#sending?.();
    if (result === undefined) return false;
    this.#sending = null;
    const slot = this.#slots[this.#slot] as { at: number; busy: number | null };
    if (result > 0) {
      this.#expect(result <= this.#asked, "more was sent than asked for");
      this.sent += result;
      if (this.plan.mode === "completions") slot.busy = this.#calls++;
      else this.#spoil(slot.at);
    } else if (![EAGAIN, ENOBUFS, ENOMEM].includes(result)) {
      this.#expect(ENDS.includes(result), `send: ${result}`);
      this.sendEnd = result;
    } else {
      return false;
    }
    return true;
  }

  /** The buffer is ours again: whoever reads it now gets nonsense. */
  #spoil(at: number): void {
    this.#guest.bytes(at, this.#slotBytes).fill(0xdb);
  }

  #complete(): boolean {
    const isBusy = this.#slots.some(({ busy }) => busy !== null);
    if (this.#completing !== null || !isBusy) return false;
    const mustWait = this.#slots.every(({ busy }) => busy !== null) || this.sendEnd !== null;
    const flags = mustWait ? 0 : DONTWAIT;
    this.#completing = this.#guest.start(
      "completion",
      this.#socket,
      this.#lists + COMPLETION_AT,
      flags,
    );
    return this.#completed();
  }

  #completed(): boolean {
    const result = this.#completing?.();
    if (result === undefined) return false;
    this.#completing = null;
    if (result !== 1) {
      this.#expect([EAGAIN, -9, 0].includes(result), `completion: ${result}`);
      if (result !== EAGAIN) for (const slot of this.#slots) slot.busy = null;
      return result !== EAGAIN;
    }
    const { view } = this.#guest.machine.memory;
    const [first, last] = [0, 4].map((at) =>
      view.getUint32(this.#lists + COMPLETION_AT + at, true),
    );
    for (const slot of this.#slots) {
      if (slot.busy === null || slot.busy < (first as number) || slot.busy > (last as number))
        continue;
      slot.busy = null;
      this.#spoil(slot.at);
    }
    return true;
  }

  // Receiving.

  #receive(): boolean {
    if (this.#receiving !== null || this.receiveEnd !== null) return false;
    const kind =
      this.plan.usesLoans && this.#loans.length < LOANS
        ? "loan"
        : this.#random.chance(0.1)
          ? "peek"
          : "recv";
    const result =
      kind === "loan"
        ? this.#guest.start(
            "loan",
            this.#socket,
            this.#lists + LOANS_AT,
            this.#random.between(1, 4),
            0,
          )
        : this.#guest.start(kind, this.#socket, this.#into, this.plan.readMax, 0);
    this.#receiving = { result, kind };
    return this.#got();
  }

  #got(): boolean {
    const result = this.#receiving?.result();
    if (result === undefined) return false;
    const { kind } = this.#receiving as { kind: string };
    this.#receiving = null;
    if (result > 0) this.#take(kind, result);
    else if (result === 0) this.#end();
    else if (result !== EAGAIN && result !== ENOBUFS) {
      this.#expect(ENDS.includes(result), `${kind}: ${result}`);
      this.receiveEnd = result;
    } else return false;
    return true;
  }

  #take(kind: string, result: number): void {
    if (kind !== "loan") {
      this.#compare(this.#into, result);
      if (kind === "recv") this.received += result;
      return;
    }
    const { view } = this.#guest.machine.memory;
    for (let i = 0; i < result; i++) {
      const at = this.#lists + LOANS_AT + i * 16;
      const bytes = view.getUint32(at + 8, true);
      this.#compare(view.getUint32(at + 4, true), bytes);
      this.received += bytes;
      this.#loans.push(view.getUint32(at, true));
    }
  }

  /** The end of the stream: the peer has said so. Nothing is missing that its calls have sent. */
  #end(): void {
    this.receiveEnd = 0;
    this.#expect(this.received >= this.peer.sent, this.#cut());
  }

  #cut(): string {
    return `the stream ends after ${this.received} of ${this.peer.sent} bytes`;
  }

  /** When all calls have returned: a stream that has ended is all of what they have sent. */
  checkEnd(): void {
    if (this.receiveEnd === 0) this.#expect(this.received === this.peer.sent, this.#cut());
  }

  #compare(at: number, bytes: number): void {
    const wanted = this.peer.#part(this.received, bytes);
    const isSame = Buffer.compare(this.#guest.bytes(at, bytes), wanted) === 0;
    this.#expect(isSame, `bytes ${this.received} to ${this.received + bytes} are others`);
  }

  #part(from: number, bytes: number): Buffer {
    return noise.subarray(this.#salt + from, this.#salt + from + bytes);
  }

  #expect(isTrue: boolean, what: string): void {
    if (!isTrue) throw new Error(`${this.#guest.address}: ${what} (${JSON.stringify(this.plan)})`);
  }
}
