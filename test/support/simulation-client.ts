// One client of the simulated appliance: what it will send, how, and what it must receive.

import type { SimulatedFile } from "./simulation-files.ts";
import { checkResponses, type Expected, makeExchange, plain } from "./simulation-http.ts";
import type { Random } from "./simulation-random.ts";
import type { SimulatedSocket } from "./simulation-socket.ts";

/** How a client ends. */
export const enum End {
  HalfClose, // after its last request
  Wait, // says nothing more: the server ends the connection
  Partial, // in the middle of a head: 408
  Reset, // at any time
}

/** Fragments of a head, on average; it takes as many pauses. */
const FRAGMENTS_MAX = 4;
/** Longest pause of a client that the server waits for. */
const PAUSE_MS_MAX = 400;
/** And of one that reads slowly; the server gives up after 30 s in which nothing was read. */
const SLOW_READ_MS_MAX = 20_000;

/** Bytes that a client sends, the number of heads, and the answer it is due. */
export interface Plan {
  readonly bytes: Buffer;
  readonly heads: number;
  readonly due: readonly Expected[];
  readonly end: End;
}

/** A client that keeps to HTTP. */
export function makePlan(random: Random, site: ReadonlyMap<string, SimulatedFile>): Plan {
  const end = random.any([End.HalfClose, End.HalfClose, End.Wait, End.Partial, End.Reset]);
  const count = random.below(8);
  const exchanges = Array.from({ length: count }, (_, i) =>
    makeExchange(random, site, i === count - 1 && end !== End.Partial),
  );
  const due = exchanges.map(({ expected }) => expected);
  let text = exchanges.map(({ request }) => request).join("");
  if (end === End.Partial) {
    text += "GET /index.html HTTP/1.1\r\nHo";
    due.push(plain({ method: "GET", keepAlive: false }, 408));
  }
  return { bytes: Buffer.from(text), heads: count + 1, due, end };
}

/** Requests with bytes changed, removed, doubled and put in anywhere. */
export function makeNonsense(random: Random): Plan {
  const heads = random.between(1, 4);
  const lines = ["Range: bytes=0-9", "Connection: keep-alive", 'If-None-Match: "x"', "Host: a"];
  const head = () =>
    `GET /file-${random.below(9)}.html HTTP/1.1\r\nHost: x\r\n${random.any(lines)}\r\n\r\n`;
  const bytes = [...Buffer.from(Array.from({ length: heads }, head).join(""))];
  const any = () => random.any([random.below(256), 0, 10, 13, 32, 37, 46, 47, 58, 255]);
  for (let left = random.below(12); left > 0; left--) {
    const at = random.below(bytes.length + 1);
    const kind = random.below(4);
    if (kind === 0) bytes[at] = any();
    else if (kind === 1) bytes.splice(at, random.below(20));
    else if (kind === 2) bytes.splice(at, 0, ...bytes.slice(at, at + random.below(40)));
    else bytes.splice(at, 0, ...Array.from({ length: random.below(30) }, any));
  }
  if (random.chance(0.1)) bytes.splice(0, 0, ...new Array(random.any([4096, 9000])).fill(65));
  return { bytes: Buffer.from(bytes), heads, due: [], end: End.HalfClose };
}

export class Client {
  readonly plan: Plan;
  readonly #random: Random;
  readonly #fragments: Buffer[];
  readonly #resetAfter: number;
  readonly #readMsMax: number;
  readonly #connect: () => SimulatedSocket;
  #socket: SimulatedSocket | null = null;
  #steps = 0;
  #urgentMs = Number.POSITIVE_INFINITY;
  #endSaid = false;

  /** Calls `connect` when it acts for the first time. */
  constructor(random: Random, plan: Plan, connect: (takes: () => boolean) => SimulatedSocket) {
    this.#random = random;
    this.plan = plan;
    this.#resetAfter = plan.end === End.Reset ? random.below(60) : Number.POSITIVE_INFINITY;
    this.#fragments = this.#cut(plan.bytes, plan.heads);
    this.#readMsMax = random.chance(0.2) ? SLOW_READ_MS_MAX : PAUSE_MS_MAX;
    const taking = random.next();
    this.#connect = () => connect(() => random.chance(taking));
  }

  get done(): boolean {
    return this.#socket?.gone ?? false;
  }

  get received(): readonly Buffer[] {
    return this.#socket?.received ?? [];
  }

  /** It acts before this time, in milliseconds, so that the server need not give up. */
  urgentMs(nowMs: number): number {
    const socket = this.#socket;
    if (socket === null) return Number.POSITIVE_INFINITY;
    const owes = this.#fragments.length > 0 || this.#owesEnd || socket.readable;
    const readMs = socket.sending ? this.#readMsMax : Number.POSITIVE_INFINITY;
    this.#urgentMs = Math.min(this.#urgentMs, nowMs + (owes ? PAUSE_MS_MAX : readMs));
    return this.#urgentMs;
  }

  /** Something happens on its socket; which, is chance. */
  act(): string {
    this.#urgentMs = Number.POSITIVE_INFINITY;
    if (this.#socket === null) {
      this.#socket = this.#connect();
      return "connect";
    }
    const socket = this.#socket;
    this.#steps++;
    if (this.#steps > this.#resetAfter) {
      socket.fail();
      return "reset";
    }
    const wishes: (() => string)[] = [];
    if (this.#fragments.length > 0 || this.#owesEnd) wishes.push(() => this.#say(socket));
    if (socket.readable) wishes.push(() => `deliver ${socket.deliver()}`);
    if (socket.sending) wishes.push(() => `take ${socket.take()}`);
    if (socket.closing) wishes.push(() => this.#close(socket));
    const happened = wishes.length === 0 ? "nothing" : this.#random.any(wishes)();
    return happened;
  }

  /** Throws unless it received what it must. */
  check(): void {
    const whole = this.plan.end !== End.Reset;
    checkResponses(Buffer.concat(this.received), this.plan.due, whole);
    if (whole) this.checkEnd();
  }

  /** Throws unless the server ended the connection in good order. */
  checkEnd(): void {
    if (this.#socket?.broken) throw new Error("the server reset the connection");
    if (!this.#socket?.ended) throw new Error("the server did not end the connection");
  }

  get #owesEnd(): boolean {
    return this.plan.end === End.HalfClose && !this.#endSaid && this.#fragments.length === 0;
  }

  #say(socket: SimulatedSocket): string {
    const fragment = this.#fragments.shift();
    if (fragment !== undefined) {
      socket.write(fragment);
      return `write ${fragment.length}`;
    }
    this.#endSaid = true;
    socket.finish();
    return "finish";
  }

  #close(socket: SimulatedSocket): string {
    socket.tellClosed();
    return "closed";
  }

  /** Cuts the stream anywhere, into few enough pieces that no head takes too long. */
  #cut(bytes: Buffer, heads: number): Buffer[] {
    const cuts = Array.from({ length: this.#random.below(heads * FRAGMENTS_MAX) }, () =>
      this.#random.between(0, bytes.length),
    );
    const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
    const pieces = edges.slice(1).map((edge, i) => bytes.subarray(edges[i], edge));
    return pieces.filter((piece) => piece.length > 0);
  }
}
