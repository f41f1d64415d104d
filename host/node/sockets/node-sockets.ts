// The host's real network, by Node: TCP and AF_UNIX. On handles of libuv where this engine has
// them, since net.Socket alone is half of what a connection costs; else by net.Socket.
import net from "node:net";
import type {
  Acceptor,
  InheritedSocket,
  ListenAddress,
  Listener,
  SocketAddress,
  SocketEvents,
  Sockets,
  StreamSocket,
} from "../../ports/sockets.ts";
import { unacknowledged } from "./acknowledged.ts";
import { backlogAccepted } from "./backlog.ts";
import { addressOf, bind } from "./bind.ts";
import { Descriptors } from "./descriptors.ts";
import { HandleStream } from "./handle-stream.ts";
import { acceptHandles, connectHandle, isDirect } from "./handle-streams.ts";
import { handlesFault, knownFault } from "./handle-test.ts";
import { NetStream } from "./net-stream.ts";
import { acceptSockets, connectSocket } from "./net-streams.ts";

/** Streams are handles of libuv, or sockets of node:net. */
export type SocketKind = "handles" | "net";

export interface NodeSocketsOptions {
  /** "auto" by default: handles, if a test at first use finds nothing against them. */
  readonly kind?: SocketKind | "auto";
  /** Descriptors that the process may have open; by default its limit. */
  readonly descriptors?: number;
}

/** Node's TCP and AF_UNIX sockets as the devices see them. */
export class NodeSockets implements Sockets {
  readonly #wanted: SocketKind | "auto";
  readonly #descriptors: Descriptors;

  constructor({ kind = "auto", descriptors }: NodeSocketsOptions = {}) {
    this.#wanted = kind;
    this.#descriptors = new Descriptors(descriptors);
  }

  /** null: not known before the first listen() or prepare() of the process has settled. */
  get kind(): SocketKind | null {
    const fault = this.#wanted === "net" ? "not wanted" : knownFault();
    if (fault === null) return null;
    return fault === "" ? "handles" : "net";
  }

  /**
   * Finds out the kind, as listen() does first; connect() takes net.Socket until then. Takes some
   * milliseconds once in a process. Rejects with the reason if only handles are
   * wanted, and cannot be used.
   */
  async prepare(): Promise<SocketKind> {
    if (this.#wanted === "net") return this.#wanted;
    const fault = await handlesFault();
    if (fault === "") return "handles";
    if (this.#wanted === "auto") return "net";
    throw new Error(`sockets cannot be handles of libuv here: ${fault}`);
  }

  listen(address: SocketAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    return this.#listen(address, backlog, acceptor);
  }

  adopt(socket: InheritedSocket, backlog: number, acceptor: Acceptor): Promise<Listener> {
    return this.#listen(socket, backlog, acceptor);
  }

  async #listen(address: ListenAddress, backlog: number, acceptor: Acceptor): Promise<Listener> {
    const begin = (await this.prepare()) === "handles" ? acceptHandles : acceptSockets;
    const create = () => net.createServer({ allowHalfOpen: true });
    let clients = 0;
    const accepted = (socket: StreamSocket) => {
      clients++;
      acceptor.accepted(socket);
    };
    const refused = (error: Error) => {
      clients++;
      acceptor.refused(error);
    };
    const server = await bind(address, backlog, create, (one) => {
      one.on("error", refused);
      begin(one, "port" in addressOf(one, address), this.#descriptors, { accepted, refused });
    });
    return {
      address: addressOf(server, address),
      close: () => void server.close(),
      finish: async (patienceMs) => {
        await backlogAccepted(() => clients, patienceMs);
        server.close();
      },
    };
  }

  connect(target: SocketAddress, events: SocketEvents): StreamSocket {
    const { kind } = this;
    if (kind === null) void handlesFault(); // for the next one
    const connect = kind === "handles" && isDirect(target) ? connectHandle : connectSocket;
    return connect(target, this.#descriptors, events);
  }

  unacknowledged(sockets: readonly StreamSocket[]): Promise<readonly number[]> {
    return unacknowledged(
      sockets.map((one) =>
        one instanceof HandleStream || one instanceof NetStream ? one.key : null,
      ),
    );
  }
}
