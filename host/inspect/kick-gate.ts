// Stops a machine inside a kick: its thread waits at a word that it shares with the thread of those
// who look at it. That blocks all that the thread does, so only a thread of its own may: a Worker
// of an isolated page, or one of Node.

/** Go on; the same, but stop at the next kick; or pause at the end of the turn. */
export type GateOrder = "run" | "kick" | "turn";

// The word. The machine's thread opens and closes the gate; another one puts an order in.
const OPEN = 0;
const CLOSED = 1;
const RELEASED = 2; // for good
const ORDER_FIRST = 3;
const ORDERS: readonly GateOrder[] = ["run", "kick", "turn"];

/** The word that both threads share: one of them waits, the other one lets it go on. */
export class KickGate {
  /** For the other thread's KickGate. */
  readonly shared: SharedArrayBuffer;
  readonly #word: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.shared = shared;
    this.#word = new Int32Array(shared);
  }

  /** From now on an order can be given. wait() follows. */
  close(): void {
    Atomics.compareExchange(this.#word, 0, OPEN, CLOSED);
  }

  /** Blocks this thread until another one gives an order, or has released it. */
  wait(): GateOrder {
    const word = this.#word;
    while (Atomics.load(word, 0) === CLOSED) Atomics.wait(word, 0, CLOSED);
    const order = Atomics.load(word, 0);
    if (order === RELEASED) return "run";
    Atomics.compareExchange(word, 0, order, OPEN);
    const given = ORDERS[order - ORDER_FIRST];
    if (given === undefined) throw new Error("kick gate: the word is no order");
    return given;
  }

  /** Lets the thread go on that waits, or is about to. False: none does. */
  give(order: GateOrder): boolean {
    const word = ORDER_FIRST + ORDERS.indexOf(order);
    if (Atomics.compareExchange(this.#word, 0, CLOSED, word) !== CLOSED) return false;
    Atomics.notify(this.#word, 0);
    return true;
  }

  /** From now on the thread waits for nothing: the machine is about to end. */
  release(): void {
    Atomics.store(this.#word, 0, RELEASED);
    Atomics.notify(this.#word, 0);
  }
}
