// Published addresses: each client becomes a connection to a port of the guest.
import type {
  Listener,
  SocketAddress,
  Sockets,
  StreamSocket,
  TcpAddress,
} from "../../../ports/sockets.ts";
import type { Refusal } from "../stats.ts";
import { GONE } from "./probes.ts";

const BACKLOG = 1024;

/** A TCP address of the host that leads to a port of the guest. Port 0 picks a free one. */
export interface PublishedPort {
  /** 127.0.0.1 by default. */
  readonly host?: string;
  /** 0: any free port. */
  readonly port: number;
  readonly guestPort: number;
}

export interface Clients {
  accepted(socket: StreamSocket, guestPort: number): void;
  /** A client was lost before it became a socket. */
  refused(reason: Refusal, error?: Error): void;
}

export class Listeners {
  readonly #sockets: Sockets;
  readonly #clients: Clients;
  readonly #open = new Set<Listener>();
  #closed = false;
  #gone = false;

  constructor(sockets: Sockets, clients: Clients) {
    this.#sockets = sockets;
    this.#clients = clients;
  }

  /**
   * Resolves with the bound address. Rejects with the address and the reason in the message, or
   * when the machine is gone.
   */
  async add({ host = "127.0.0.1", port, guestPort }: PublishedPort): Promise<TcpAddress> {
    return (await this.addAddress({ host, port }, guestPort)) as TcpAddress;
  }

  /** The same for an address of any kind. */
  addAddress(address: SocketAddress, guestPort: number): Promise<SocketAddress> {
    return this.#listen(address, (socket) => this.#clients.accepted(socket, guestPort));
  }

  /** The same for a path; its clients go to `accepted`. */
  async addPath(path: string, accepted: (socket: StreamSocket) => void): Promise<void> {
    await this.#listen({ path }, accepted);
  }

  /** The machine is gone. */
  dispose(): void {
    this.#gone = true;
    this.close();
  }

  /** For good. Listeners that are still being opened are closed too. */
  close(): void {
    this.#closed = true;
    for (const listener of this.#open) listener.close();
    this.#open.clear();
  }

  async #listen(
    address: SocketAddress,
    accepted: (socket: StreamSocket) => void,
  ): Promise<SocketAddress> {
    this.#assertThere();
    const refused = (error: Error) => this.#clients.refused("descriptors", error);
    const listener = await this.#sockets.listen(address, BACKLOG, { accepted, refused });
    if (this.#closed) listener.close();
    else this.#open.add(listener);
    this.#assertThere();
    return listener.address;
  }

  #assertThere(): void {
    if (this.#gone) throw new Error(GONE);
  }
}
