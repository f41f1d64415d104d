// The host's real network, by Node: TCP and AF_UNIX.
import net from "node:net";
import {
  type Acceptor,
  addressText,
  type Listener,
  NOBODY,
  type SocketAddress,
  type SocketEvents,
  type Sockets,
  type StreamSocket,
} from "../../ports/sockets.ts";
import { unacknowledged } from "./acknowledged.ts";
import { backlogAccepted } from "./backlog.ts";
import { Descriptors } from "./descriptors.ts";
import { canRewrap } from "./rewrap.ts";
import { NodeStream } from "./stream.ts";
import { pathFault, removeStale } from "./unix.ts";

const FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "no such address on this host",
  ENOTFOUND: "unknown host name",
  ENOENT: "no such directory",
};

/** Node's TCP and AF_UNIX sockets as the devices see them. */
export class NodeSockets implements Sockets {
  readonly #canRewrap: (socket: net.Socket) => boolean;
  readonly #descriptors: Descriptors;

  /**
   * `inPlace`: can this socket read into buffers of ours now? `descriptors`: the limit of the
   * process. Both are found out by default.
   */
  constructor(inPlace: (socket: net.Socket) => boolean = canRewrap, descriptors?: number) {
    this.#canRewrap = inPlace;
    this.#descriptors = new Descriptors(descriptors);
  }

  async listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    try {
      return await this.#bind(address, backlog, acceptor);
    } catch (error) {
      const reason = await this.#retriable(address, error as NodeJS.ErrnoException);
      if (reason === "") return this.#bind(address, backlog, acceptor);
      throw new Error(`cannot listen on ${addressText(address)}: ${reason}`, { cause: error });
    }
  }

  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    const options = { allowHalfOpen: true, noDelay: true };
    const tcp = "port" in target;
    const fault = tcp ? "" : pathFault(target.path);
    const socket = fault === "" ? net.connect({ ...target, ...options }) : new net.Socket(options);
    // Before the stream's own listener: a socket short of descriptors never counts as connected.
    socket.once("connect", () => {
      const error = this.#descriptors.shortage(socket);
      if (error !== null) socket.destroy(error);
    });
    const stream = new NodeStream(socket, events, tcp, this.#canRewrap);
    if (fault !== "") socket.destroy(new Error(`${addressText(target)}: ${fault}`));
    return stream;
  }

  unacknowledged(sockets: readonly StreamSocket[]): Promise<readonly number[]> {
    return unacknowledged(sockets.map((one) => (one instanceof NodeStream ? one.key : null)));
  }

  #bind(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    const tcp = "port" in address;
    let clients = 0;
    const server = net.createServer({ allowHalfOpen: true, noDelay: tcp }, (socket) => {
      clients++;
      const error = this.#descriptors.shortage(socket);
      if (error === null) {
        acceptor.accepted(new NodeStream(socket, NOBODY, tcp, this.#canRewrap));
        return;
      }
      socket.destroy();
      acceptor.refused(error);
    });
    return new Promise((resolve, reject) => {
      const fault = tcp ? "" : pathFault(address.path);
      if (fault !== "") {
        reject(new Error(fault));
        return;
      }
      server.once("error", reject);
      server.listen({ ...address, backlog }, () => {
        server.removeAllListeners("error");
        server.on("error", (error) => acceptor.refused(error));
        const bound = server.address() as net.AddressInfo | string;
        resolve({
          address:
            typeof bound === "string" ? { path: bound } : { host: bound.address, port: bound.port },
          close: () => void server.close(),
          finish: async (patienceMs) => {
            await backlogAccepted(() => clients, patienceMs);
            server.close();
          },
        });
      });
    });
  }

  /** Why another attempt would fail too, or "". */
  async #retriable(address: SocketAddress, error: NodeJS.ErrnoException): Promise<string> {
    if ("path" in address && error.code === "EADDRINUSE") return removeStale(address.path);
    return FAULTS[error.code ?? ""] ?? error.message;
  }
}
