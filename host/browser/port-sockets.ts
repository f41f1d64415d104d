// The network of a machine in a tab: clients are MessagePorts that somebody in the browser hands
// over, and the machine reaches what the page answers for, and nothing else.
import type {
  Acceptor,
  Listener,
  SocketAddress,
  SocketEvents,
  Sockets,
  StreamSocket,
} from "../ports/sockets.ts";
import { addressText } from "../ports/sockets.ts";
import { PortSocket } from "./port-socket.ts";

/** Clients of all ports together; further ones are reset. */
const CONNECTIONS_MAX = 1024;
/** Closed connections whose peer has not said its last word; the oldest is reset. */
const LINGERING_MAX = 64;

/** Answers for a port of the host: takes the other end of a connection, or returns false. */
export type Reach = (port: number, client: MessagePort) => boolean;

export class PortSockets implements Sockets {
  readonly #acceptors = new Map<number, Acceptor>();
  readonly #clients = new Set<PortSocket>();
  readonly #reach: Reach;

  /** Default: the machine reaches nothing. */
  constructor(reach: Reach = () => false) {
    this.#reach = reach;
  }

  /** Ports are numbers of this object; the host's name means nothing. */
  async listen(address: SocketAddress, _backlog: number, acceptor: Acceptor): Promise<Listener> {
    if ("path" in address) throw new Error(`${address.path}: there are no paths in a browser`);
    const { port } = address;
    if (this.#acceptors.has(port)) throw new Error(`${addressText(address)}: in use`);
    this.#acceptors.set(port, acceptor);
    return { address, close: () => void this.#acceptors.delete(port) };
  }

  /** Connects to whatever answers for that port. */
  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    const { port1, port2 } = new MessageChannel();
    if (!("port" in target) || !this.#reach(target.port, port2)) {
      port2.postMessage("reset");
      port2.close();
      return new PortSocket(port1, events);
    }
    return PortSocket.dial(port1, events);
  }

  /** Somebody in the browser connects: `client` is the other end of the port that they hold. */
  accept(port: number, client: MessagePort): void {
    const acceptor = this.#acceptors.get(port);
    this.#forgetOldest();
    if (acceptor === undefined || this.#clients.size >= CONNECTIONS_MAX) {
      client.postMessage("reset");
      client.close();
      if (acceptor !== undefined) acceptor.refused(new Error(`${CONNECTIONS_MAX} connections`));
      return;
    }
    const socket = new PortSocket(client, undefined, (one) => this.#clients.delete(one));
    this.#clients.add(socket);
    acceptor.accepted(socket);
  }

  /** Connections that hold a port. */
  get connections(): number {
    return this.#clients.size;
  }

  #forgetOldest(): void {
    if (this.#clients.size < LINGERING_MAX) return;
    const lingering = [...this.#clients].filter((one) => one.isLingering);
    for (const one of lingering.slice(0, -LINGERING_MAX)) one.reset();
  }
}
