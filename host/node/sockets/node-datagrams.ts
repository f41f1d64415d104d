// Datagram sockets by node:dgram, each connected to its target: the kernel drops what others send.
import dgram from "node:dgram";
import { isIPv6 } from "node:net";
import type { DatagramEvents, DatagramSocket, Datagrams } from "../../ports/datagrams.ts";
import type { TcpAddress } from "../../ports/sockets.ts";

/** Datagrams that the kernel has not taken; a further one is dropped. */
const IN_FLIGHT_MAX = 64;

class NodeDatagramSocket implements DatagramSocket {
  readonly #socket: dgram.Socket;
  #isConnected = false;
  #isClosed = false;
  /** Those that came before the socket was connected. */
  #early: Buffer[] = [];
  #inFlight = 0;

  constructor({ host, port }: TcpAddress, { received, failed }: DatagramEvents) {
    const socket = dgram.createSocket(isIPv6(host) ? "udp6" : "udp4");
    this.#socket = socket;
    socket.on("error", (error) => {
      if (this.#isClosed) return;
      this.close();
      failed(error);
    });
    socket.on("message", (bytes) => {
      if (!this.#isClosed) received(bytes);
    });
    socket.connect(port, host, () => this.#connected());
  }

  send(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#inFlight >= IN_FLIGHT_MAX) return false;
    this.#inFlight++;
    const copy = Buffer.from(bytes);
    if (this.#isConnected) this.#send(copy);
    else this.#early.push(copy);
    return true;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#early = [];
    this.#socket.close();
  }

  #connected(): void {
    if (this.#isClosed) return;
    this.#isConnected = true;
    for (const bytes of this.#early.splice(0)) this.#send(bytes);
  }

  /** An error of one datagram is no error of the flow: the next message of the target tells. */
  #send(bytes: Buffer): void {
    this.#socket.send(bytes, () => {
      this.#inFlight--;
    });
  }
}

/** Node's datagram sockets as the devices see them. */
export class NodeDatagrams implements Datagrams {
  connect(target: TcpAddress, events: DatagramEvents): DatagramSocket {
    return new NodeDatagramSocket(target, events);
  }
}
