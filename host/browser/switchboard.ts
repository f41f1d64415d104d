// The machine's end of a switchboard: a MessagePort whose holder, such as a Service Worker, asks
// for connections to the guest, and whether the machine still runs. Holders are not trusted.

/** Switchboards of a machine; a new one beyond closes the oldest. */
const BOARDS_MAX = 64;

/** Asks for a connection; its other end comes as the message's port. */
export interface ConnectRequest {
  readonly connect: number;
}

/** Asks whether the machine is there: it answers with BoardState. */
export const PING = "ping";

export interface BoardState {
  /** Why, for people; null: the machine has not ended. */
  readonly ended: string | null;
  /** It is stopped inside a kick, and hears no question until it goes on. */
  readonly isHeld: boolean;
}

export class Switchboards {
  readonly #connect: (port: number, client: MessagePort) => void;
  readonly #boards = new Set<MessagePort>();
  #ended: string | null = null;
  #isHeld = false;

  /** `connect`: somebody connects to that port of the guest. */
  constructor(connect: (port: number, client: MessagePort) => void) {
    this.#connect = connect;
  }

  /** Serves whoever has the other end. */
  add(board: MessagePort): void {
    if (this.#boards.size >= BOARDS_MAX) {
      for (const oldest of this.#boards) {
        this.#remove(oldest);
        break;
      }
    }
    this.#boards.add(board);
    board.onmessage = (event) => this.#asked(board, event);
    board.addEventListener("close", () => this.#remove(board));
    this.#tell(board);
  }

  /** The machine has ended, and why. */
  end(reason: string): void {
    this.#ended = reason;
    for (const board of this.#boards) this.#tell(board);
  }

  /** The machine's thread is about to block, or goes on. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    for (const board of this.#boards) this.#tell(board);
  }

  #asked(board: MessagePort, { data, ports }: MessageEvent): void {
    const [client] = ports;
    if (data === PING) {
      this.#tell(board);
    } else if (client !== undefined) {
      const port: unknown = data?.connect;
      if (typeof port === "number" && this.#ended === null) {
        this.#connect(port, client);
        return;
      }
      client.postMessage("reset");
      client.close();
    }
  }

  #tell(board: MessagePort): void {
    board.postMessage({ ended: this.#ended, isHeld: this.#isHeld } satisfies BoardState);
  }

  #remove(board: MessagePort): void {
    this.#boards.delete(board);
    board.close();
  }
}
