// Listening ports that outlive machines. They stand between the network and the device of the
// present machine: while there is none, or its guest does not listen yet, clients wait, so that
// they see a slow answer and not a refused connection.
import {
  type Acceptor,
  addressText,
  type ListenAddress,
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
  readonly #left: () => void;
  listener: Listener | null = null;
  acceptor: Acceptor | null = null;
  /** Clients that were reset, because too many waited or the door was closed. */
  turnedAway = 0;
  #door: Door = "waiting";

  /** `left` is called whenever clients wait no longer. */
  constructor(left: () => void) {
    this.#left = left;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  readonly outside: Acceptor = {
    accepted: (socket) => {
      if (this.#door === "open" && this.acceptor !== null) this.acceptor.accepted(socket);
      else if (this.#door === "closed" || this.#waiting.size >= WAITING_MAX) this.#reset(socket);
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
        this.#reset(socket);
        continue;
      }
      this.acceptor.accepted(socket);
      socket.resume();
    }
    this.#left();
  }

  close(): void {
    this.door = "closed";
    this.listener?.close();
  }

  /** Nothing is read, so that the bytes of the client wait in the kernel. */
  #hold(socket: StreamSocket): void {
    socket.pause();
    this.#waiting.add(socket);
    const closed = () => {
      this.#waiting.delete(socket);
      this.#left();
    };
    socket.events = { ...NOBODY, closed };
  }

  #reset(socket: StreamSocket): void {
    this.turnedAway++;
    socket.reset();
  }
}

export class StandingPorts implements Sockets {
  readonly #sockets: Sockets;
  readonly #ports = new Map<string, Port>();
  #emptied: (() => void)[] = [];
  readonly unacknowledged?: (sockets: readonly StreamSocket[]) => Promise<readonly number[]>;

  constructor(sockets: Sockets) {
    this.#sockets = sockets;
    if (sockets.unacknowledged !== undefined) {
      this.unacknowledged = sockets.unacknowledged.bind(sockets);
    }
  }

  /** Binds a port for good, or until keep() drops it. Resolves with the bound address. */
  async bind(address: ListenAddress): Promise<SocketAddress> {
    const port = new Port(this.#left);
    const listening =
      "fd" in address
        ? this.#sockets.adopt?.(address, BACKLOG, port.outside)
        : this.#sockets.listen(address, BACKLOG, port.outside);
    if (listening === undefined) throw new Error("this host has no sockets that others have bound");
    port.listener = await listening;
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

  /** Clients that wait. */
  get waiting(): number {
    return this.#sum((port) => port.waiting);
  }

  /** Clients of the present ports that were reset, because nobody was there or too many waited. */
  get turnedAway(): number {
    return this.#sum((port) => port.turnedAway);
  }

  /**
   * Accepts the clients that have connected by now, for up to that long, and then no more. Those
   * that wait still do.
   */
  async finish(patienceMs: number): Promise<void> {
    const listeners = [...this.#ports.values()].map(({ listener }) => listener);
    await Promise.all(listeners.map((one) => one?.finish?.(patienceMs) ?? one?.close()));
  }

  /** Resolves when no client waits. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#emptied.push(resolve);
      this.#left();
    });
  }

  /** For clients that come from now on, and for those that wait. No address: for all ports. */
  set(door: Door, address?: SocketAddress): void {
    for (const [name, port] of this.#ports) {
      if (address === undefined || name === addressText(address)) port.door = door;
    }
  }

  readonly #left = (): void => {
    if (this.waiting === 0) for (const resolve of this.#emptied.splice(0)) resolve();
  };

  #sum(of: (port: Port) => number): number {
    return [...this.#ports.values()].reduce((sum, port) => sum + of(port), 0);
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
