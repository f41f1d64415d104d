// Listening ports that outlive machines. They stand between the network and the device of the
// present machine: while there is none, or its guest does not listen yet, clients wait, so that
// they see a slow answer and not a refused connection.
import {
  type Acceptor,
  addressText,
  type Listener,
  NOBODY,
  type SocketAddress,
  type SocketEvents,
  type Sockets,
  type StreamSocket,
} from "../ports/sockets.ts";

/** Clients of a port that may wait; later ones are reset. */
const WAITING_MAX = 256;
const BACKLOG = 1024;

/** Clients that come now are handed on, kept, or reset. */
export type Door = "open" | "waiting" | "closed";

class Port {
  readonly #waiting = new Set<StreamSocket>();
  listener: Listener | null = null;
  acceptor: Acceptor | null = null;
  #door: Door = "waiting";

  readonly outside: Acceptor = {
    accepted: (socket) => {
      if (this.#door === "open" && this.acceptor !== null) this.acceptor.accepted(socket);
      else if (this.#door === "closed" || this.#waiting.size >= WAITING_MAX) socket.reset();
      else this.#hold(socket);
    },
    refused: (error) => this.acceptor?.refused(error),
  };

  set door(door: Door) {
    this.#door = door;
    if (door === "waiting") return;
    for (const socket of this.#waiting) {
      this.#waiting.delete(socket);
      socket.events = NOBODY;
      if (door === "closed" || this.acceptor === null) {
        socket.reset();
        continue;
      }
      this.acceptor.accepted(socket);
      socket.resume();
    }
  }

  close(): void {
    this.door = "closed";
    this.listener?.close();
  }

  /** Nothing is read, so that the bytes of the client wait in the kernel. */
  #hold(socket: StreamSocket): void {
    socket.pause();
    this.#waiting.add(socket);
    socket.events = { ...NOBODY, closed: () => void this.#waiting.delete(socket) };
  }
}

export class StandingPorts implements Sockets {
  readonly #sockets: Sockets;
  readonly #ports = new Map<string, Port>();
  readonly unacknowledged?: (sockets: readonly StreamSocket[]) => Promise<readonly number[]>;

  constructor(sockets: Sockets) {
    this.#sockets = sockets;
    if (sockets.unacknowledged !== undefined) {
      this.unacknowledged = sockets.unacknowledged.bind(sockets);
    }
  }

  /** Binds a port for good, or until keep() drops it. Resolves with the bound address. */
  async bind(address: SocketAddress): Promise<SocketAddress> {
    const port = new Port();
    port.listener = await this.#sockets.listen(address, BACKLOG, port.outside);
    this.#ports.set(addressText(port.listener.address), port);
    return port.listener.address;
  }

  /** Closes all ports but those at these addresses. */
  keep(addresses: readonly SocketAddress[]): void {
    const kept = new Set(addresses.map(addressText));
    for (const [name, port] of this.#ports) {
      if (kept.has(name)) continue;
      this.#ports.delete(name);
      port.close();
    }
  }

  /** Accepts the clients that have connected by now, for up to that long; closes all ports. */
  async finish(patienceMs: number): Promise<void> {
    const ports = [...this.#ports.values()];
    this.#ports.clear();
    await Promise.all(ports.map((port) => port.listener?.finish?.(patienceMs)));
    for (const port of ports) port.close();
  }

  /** For clients that come from now on, and for those that wait. No address: for all ports. */
  set(door: Door, address?: SocketAddress): void {
    for (const [name, port] of this.#ports) {
      if (address === undefined || name === addressText(address)) port.door = door;
    }
  }

  // ---- the network, as the device of a machine sees it

  /** Of a bound port: its clients. Closing gives back the clients, not the port. */
  async listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    const port = this.#ports.get(addressText(address));
    if (port === undefined) return this.#sockets.listen(address, backlog, acceptor);
    port.acceptor = acceptor;
    const close = () => {
      if (port.acceptor === acceptor) port.acceptor = null;
    };
    return { address, close };
  }

  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    return this.#sockets.connect(target, events);
  }
}
