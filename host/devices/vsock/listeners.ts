// Published addresses: every client of one becomes a connection to its port of the guest.
import type { Listener, SocketAddress, Sockets, StreamSocket } from "../../sockets.ts";

const BACKLOG = 1024;

export interface PublishedPort {
  /** 127.0.0.1 by default. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
  readonly guestPort: number;
}

export interface Clients {
  accepted(socket: StreamSocket, guestPort: number): void;
  /** One was lost before it became a socket. */
  lost(): void;
}

export class Listeners {
  readonly #sockets: Sockets;
  readonly #clients: Clients;
  readonly #open = new Set<Listener>();
  #closed = false;

  constructor(sockets: Sockets, clients: Clients) {
    this.#sockets = sockets;
    this.#clients = clients;
  }

  /** Resolves with the bound address. Rejects with the address and the reason in the message. */
  async add({ host = "127.0.0.1", port, guestPort }: PublishedPort): Promise<SocketAddress> {
    const listener = await this.#sockets.listen({ host, port }, BACKLOG, {
      accepted: (socket) => this.#clients.accepted(socket, guestPort),
      refused: () => this.#clients.lost(),
    });
    if (this.#closed) listener.close();
    else this.#open.add(listener);
    return listener.address;
  }

  /** For good: also what is still being opened. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#open) listener.close();
    this.#open.clear();
  }
}
