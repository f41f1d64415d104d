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
/** A machine that does not answer for this long is gone. */
export const SILENCE_MS = 1200;
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
  #askedNs = 0; // the oldest question without an answer; 0: none
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
      const cancel = this.#clock.after(SILENCE_MS, () => this.#lost());
      this.#asking.push(() => {
        cancel();
        resolve();
      });
      this.#ping();
    });
    return this.#presence;
  }

  /** Breaks all connections off. */
  close(): void {
    this.#lost();
  }

  #ping(): void {
    if (this.#askedNs === 0) this.#askedNs = this.#clock.now();
    this.#board.postMessage(PING);
  }

  #heard({ ended, isHeld }: BoardState): void {
    if (this.#presence.kind === "gone") return;
    this.#heardNs = this.#clock.now();
    this.#askedNs = 0;
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

  /** Asks while there are connections: an answer that has begun must not hang either. */
  #watch(): void {
    if (this.#cancelTimer !== null || this.#presence.kind !== "there") return;
    this.#cancelTimer = this.#clock.after(PERIOD_MS, () => {
      this.#cancelTimer = null;
      if (this.#sockets.size === 0) return;
      if (this.#isHeld) this.#askedNs = 0; // it hears the question when it goes on
      const silentMs = this.#askedNs === 0 ? 0 : (this.#clock.now() - this.#askedNs) / 1e6;
      if (silentMs >= SILENCE_MS) {
        this.#lost();
        return;
      }
      this.#ping();
      this.#watch();
    });
  }
}
