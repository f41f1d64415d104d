// A client's end of a switchboard: dials ports of the guest, and finds out whether the machine is
// still there. A Worker that is terminated, or whose page was closed, says nothing.
import { HttpClient } from "../http/client.ts";
import type { Clock } from "../ports/clock.ts";
import type { SocketEvents, StreamSocket } from "../ports/sockets.ts";
import { PortSocket } from "./port-socket.ts";
import { type BoardState, type ConnectRequest, PING } from "./switchboard.ts";

/** A machine that has said nothing for this long is asked again before it is used. */
const FRESH_MS = 250;
/** While there are connections, the machine is asked this often. */
const PERIOD_MS = 400;
/**
 * A machine that answers none of this many questions is gone. Time alone does not tell: the answer
 * may have arrived, and wait for a loop that was busy, or a computer that slept.
 */
const QUESTIONS_MAX = 3;
/** A machine that does not answer is gone after this long. */
export const SILENCE_MS = QUESTIONS_MAX * PERIOD_MS;
/** A machine that is stopped inside a kick for longer than this is asked all the same. */
const HELD_MS_MAX = 600_000;

/** A machine is there, is gone, or has ended for a reason. */
export type Presence = { readonly kind: "there" | "gone" } | { kind: "ended"; reason: string };

export class Dialler {
  /** HTTP/1.1 to the guest, with connections that are kept. */
  readonly http: HttpClient;
  readonly #board: MessagePort;
  readonly #clock: Clock;
  readonly #sockets = new Set<PortSocket>();
  #asking: (() => void)[] = []; // for the machine's next word
  #heardNs: number | null = null;
  #unanswered = 0; // questions since its last word
  #heldNs: number | null = null; // since when it is stopped inside a kick
  #presence: Presence = { kind: "there" };
  #cancelTimer: (() => void) | null = null;

  /** Owns the port. */
  constructor(board: MessagePort, clock: Clock) {
    this.#board = board;
    this.#clock = clock;
    this.http = new HttpClient([{ dial: (port, events) => this.dial(port, events) }], clock);
    board.onmessage = ({ data }) => this.#heard(data as BoardState);
    board.addEventListener("close", () => this.#lost());
  }

  /** As VirtioDevice.dial(). Throws an Error if the machine is gone. */
  dial(port: number, events: SocketEvents): StreamSocket {
    const client = this.connect(port);
    const socket = PortSocket.dial(client, events, (one) => this.#sockets.delete(one));
    this.#sockets.add(socket);
    this.#watch();
    return socket;
  }

  /** The other end of a new connection, for whoever speaks another protocol. Throws as dial(). */
  connect(port: number): MessagePort {
    if (this.#presence.kind === "gone") throw new Error("the machine is gone");
    const { port1, port2 } = new MessageChannel();
    this.#board.postMessage({ connect: port } satisfies ConnectRequest, [port2]);
    return port1;
  }

  /** Is the machine there? Resolves within SILENCE_MS; at once if it spoke a moment ago. */
  async presence(): Promise<Presence> {
    const age = this.#heardNs === null ? FRESH_MS : (this.#clock.now() - this.#heardNs) / 1e6;
    if (this.#presence.kind !== "there" || age < FRESH_MS) return this.#presence;
    return this.ask();
  }

  /** The same, and never from memory. */
  async ask(): Promise<Presence> {
    if (this.#presence.kind === "gone" || this.#isHeld) return this.#presence;
    await new Promise<void>((resolve) => {
      this.#asking.push(resolve);
      this.#board.postMessage(PING);
      this.#watch();
    });
    return this.#presence;
  }

  /** Breaks all connections off. */
  close(): void {
    this.#lost();
  }

  #heard({ ended, isHeld }: BoardState): void {
    if (this.#presence.kind === "gone") return;
    this.#heardNs = this.#clock.now();
    this.#unanswered = 0;
    this.#heldNs = isHeld ? this.#heardNs : null;
    if (ended !== null) this.#presence = { kind: "ended", reason: ended };
    this.#answer();
  }

  /** Is it there, but cannot answer? */
  get #isHeld(): boolean {
    return this.#heldNs !== null && (this.#clock.now() - this.#heldNs) / 1e6 < HELD_MS_MAX;
  }

  #answer(): void {
    const asking = this.#asking;
    this.#asking = [];
    for (const answered of asking) answered();
  }

  #lost(): void {
    if (this.#presence.kind === "there") this.#presence = { kind: "gone" };
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#board.close();
    for (const socket of this.#sockets) socket.breakOff(new Error("the machine is gone"));
    this.#answer();
  }

  /** Asks while somebody waits for its word, or for the rest of an answer that has begun. */
  #watch(): void {
    if (this.#cancelTimer !== null || this.#presence.kind === "gone") return;
    this.#cancelTimer = this.#clock.after(PERIOD_MS, () => {
      this.#cancelTimer = null;
      if (this.#sockets.size === 0 && this.#asking.length === 0) return;
      if (this.#isHeld) this.#unanswered = 0; // it hears the questions when it goes on
      if (this.#unanswered === QUESTIONS_MAX - 1) {
        this.#lost();
        return;
      }
      this.#unanswered++;
      this.#board.postMessage(PING);
      this.#watch();
    });
  }
}
