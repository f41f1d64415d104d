// Firecracker's hybrid vsock: a client of the path names the guest port it wants, and from then on
// has a stream to it.
//
//   client: CONNECT <port>\n      device, once the guest accepted: OK <hostport>\n
//
// If anything goes wrong the client is closed.

import { joinBytes } from "../../../bytes.ts";
import type { SocketEvents, StreamSocket } from "../../../ports/sockets.ts";
import { NOBODY } from "../../../ports/sockets.ts";
import type { Refusal } from "../stats.ts";

/** The command with its newline. */
const COMMAND_BYTES_MAX = 32;
/** Time for a client to send its command. */
const COMMAND_MS = 2000;
/** Clients that have not sent it yet; further ones are closed at once. */
const HANDSHAKES_MAX = 256;
const PORT_MAX = 0xfffffffe;
const NEWLINE = 10;

export interface HybridClients {
  /** `rest` followed the command, and belongs to the stream. */
  requested(socket: StreamSocket, guestPort: number, rest: Uint8Array): void;
  /** A client left, or was turned away, before it had asked for a port. */
  refused(reason: Refusal): void;
  after(ms: number, callback: () => void): () => void;
}

export class Handshakes {
  readonly #clients: HybridClients;
  readonly #open = new Set<Handshake>();
  #closed = false;

  constructor(clients: HybridClients) {
    this.#clients = clients;
  }

  accepted(socket: StreamSocket): void {
    if (this.#closed || this.#open.size === HANDSHAKES_MAX) {
      this.#clients.refused("handshake");
      socket.close();
      return;
    }
    this.#open.add(new Handshake(socket, this.#clients, (one) => this.#open.delete(one)));
  }

  /** For good. Handshakes under way fail. */
  close(): void {
    this.#closed = true;
    for (const handshake of this.#open) handshake.fail();
  }
}

class Handshake implements SocketEvents {
  readonly #socket: StreamSocket;
  readonly #clients: HybridClients;
  readonly #done: (handshake: Handshake) => void;
  readonly #cancel: () => void;
  #said = new Uint8Array(0);

  constructor(socket: StreamSocket, clients: HybridClients, done: (handshake: Handshake) => void) {
    this.#socket = socket;
    this.#clients = clients;
    this.#done = done;
    this.#cancel = clients.after(COMMAND_MS, () => this.fail());
    socket.events = this;
  }

  data(chunk: Uint8Array): void {
    const said = joinBytes([this.#said, chunk]);
    const end = said.indexOf(NEWLINE);
    if (end < 0 && said.length < COMMAND_BYTES_MAX) {
      this.#said = said;
      return;
    }
    const whole = end >= 0 && end < COMMAND_BYTES_MAX;
    const guestPort = whole ? requestedPort(String.fromCharCode(...said.subarray(0, end))) : -1;
    if (guestPort < 0) {
      this.fail();
      return;
    }
    this.#leave();
    this.#clients.requested(this.#socket, guestPort, said.subarray(end + 1));
  }

  end(): void {
    this.fail();
  }

  closed(): void {
    this.#leave();
    this.#clients.refused("handshake");
  }

  fail(): void {
    this.#leave();
    this.#clients.refused("handshake");
    this.#socket.close();
  }

  connected(): void {}
  sent(): void {}
  failed(): void {}

  #leave(): void {
    this.#cancel();
    this.#socket.events = NOBODY;
    this.#done(this);
  }
}

/** As Firecracker parses it: further words are ignored. -1: not a request. */
function requestedPort(line: string): number {
  const found = /^[\t-\r ]*connect[\t-\r ]+\+?(\d+)(?:[\t-\r ]|$)/i.exec(line);
  const port = found === null ? -1 : Number(found[1]);
  return port <= PORT_MAX ? port : -1;
}

/** The answer to a client once the guest has accepted. */
export function okLine(hostPort: number): Uint8Array {
  return new TextEncoder().encode(`OK ${hostPort}\n`);
}
