// A server played by the test, in place of a guest: it sees every byte of a request, and may answer
// any.
import type { VirtioDevice } from "../../host/device.ts";
import { HttpClient } from "../../host/http/client.ts";
import type { SocketEvents, StreamSocket } from "../../host/ports/sockets.ts";
import { PairLoop, type PairSocket } from "../../host/sockets/pair.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

/** The server's end of one connection. */
export class HttpPeer implements SocketEvents {
  /** Everything received, as latin1. */
  received = "";
  readonly port: number;
  readonly socket: PairSocket;
  /** Events besides data. */
  readonly events: string[] = [];
  readonly #answer: (peer: HttpPeer) => void;

  constructor(socket: PairSocket, port: number, answer: (peer: HttpPeer) => void) {
    this.socket = socket;
    this.port = port;
    this.#answer = answer;
    socket.events = this;
  }

  /** Of small texts, each of which becomes a chunk of its own at the client. */
  send(text: string): void {
    if (!this.socket.send([latin1(text)])) throw new Error("a send is in flight");
  }

  connected(): void {}
  data(chunk: Uint8Array): void {
    this.received += Buffer.from(chunk).toString("latin1");
    this.#answer(this);
  }
  end(): void {
    this.events.push("end");
    this.socket.end();
  }
  sent(): void {}
  failed(): void {
    this.events.push("failed");
  }
  closed(): void {
    this.events.push("closed");
  }
}

/** A device whose ports the test serves. */
export class HttpPeers {
  readonly peers: HttpPeer[] = [];
  /** Called whenever bytes came. */
  answer: (peer: HttpPeer) => void = () => {};
  accepts = true;
  readonly client: HttpClient;
  readonly #loop = new PairLoop({ defer: setImmediate });

  constructor() {
    const dial = (port: number, events: SocketEvents) => this.#dial(port, events);
    const device = { dial } as unknown as VirtioDevice;
    this.client = new HttpClient([device], { defer: setImmediate });
  }

  #dial(port: number, events: SocketEvents): StreamSocket {
    const [near, far] = this.#loop.pair();
    near.events = events;
    if (!this.accepts) {
      far.reset();
      return near;
    }
    this.peers.push(new HttpPeer(far, port, (peer) => this.answer(peer)));
    far.answered(true);
    return near;
  }
}

/** Turns of the event loop, enough for everything under way to arrive. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Answers each complete request without a body. */
export function answering(response: string): (peer: HttpPeer) => void {
  return (peer) => {
    if (peer.received.endsWith("\r\n\r\n")) peer.send(response);
  };
}
