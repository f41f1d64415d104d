// A small TCP at a card's interface, in virtual time: it is honest, acknowledges once for each
// batch, and shares no code with the one that it talks to. What it must not do in a test, the test
// tells it.
import { TH_ACK, TH_FIN, TH_PUSH, TH_RST, TH_SYN } from "../../abi/tcp.ts";
import { synOptions, type TcpArrival } from "./transport-frames.ts";
import { GATEWAY, type UserLab } from "./user-lab.ts";

export interface TcpPeerOptions {
  readonly port?: number;
  readonly remotePort?: number;
  readonly remote?: string;
  readonly mss?: number;
  /** null: it does not scale. */
  readonly shift?: number | null;
  /** Its receive buffer. */
  readonly buffer?: number;
  readonly iss?: number;
}

export class TcpPeer {
  readonly port: number;
  remotePort: number;
  received = Buffer.alloc(0);
  /** Does its application read? Otherwise the window closes. */
  isReading = true;
  isOpen = false;
  hasEnded = false; // the other side has
  isReset = false;
  /** Segments that it has got, and their texts. */
  readonly segments: TcpArrival[] = [];
  next: number; // to be sent
  una: number;
  expected = 0; // to be received
  peerWindow = 0;
  peerMss = 536;
  peerShift: number | null = null;
  readonly #lab: UserLab;
  readonly #o: Required<TcpPeerOptions>;
  #queue = Buffer.alloc(0); // to be sent, from `next` on
  #finQueued = false;
  #finSent = false;
  #unread = 0;
  #ackDue = false;

  constructor(lab: UserLab, options: TcpPeerOptions = {}) {
    this.#lab = lab;
    const defaults = { port: 50000, remotePort: 5001, remote: GATEWAY, mss: 65480, shift: 4 };
    this.#o = { ...defaults, buffer: 1 << 20, iss: 0xfffffff0, ...options };
    this.port = this.#o.port;
    this.remotePort = this.#o.remotePort;
    this.next = this.una = this.#o.iss;
  }

  get isScaling(): boolean {
    return this.#o.shift !== null && this.peerShift !== null;
  }

  /** Its window in bytes. */
  get window(): number {
    const room = Math.max(0, this.#o.buffer - this.#unread);
    return this.isScaling ? room : Math.min(room, 65535);
  }

  connect(): void {
    this.#transmit(TH_SYN, { options: synOptions(this.#o.mss, this.#o.shift) });
    this.next = (this.next + 1) >>> 0;
  }

  send(bytes: Uint8Array): void {
    this.#queue = Buffer.concat([this.#queue, bytes]);
    this.flush();
  }

  end(): void {
    this.#finQueued = true;
    this.flush();
  }

  reset(): void {
    this.#transmit(TH_RST | TH_ACK);
    this.isReset = true;
  }

  /** Its application reads again, and the other side hears of it. */
  read(): void {
    this.isReading = true;
    this.#unread = 0;
    this.acknowledge();
  }

  acknowledge(): void {
    this.#ackDue = false;
    this.#transmit(TH_ACK);
  }

  /** Sends what the other side's window allows. */
  flush(): void {
    if (!this.isOpen) return;
    for (;;) {
      const inFlight = (this.next - this.una) >>> 0;
      const room = this.peerWindow - inFlight;
      const payload = this.#queue.subarray(0, Math.min(this.peerMss, room, this.#queue.length));
      if (payload.length === 0) break;
      this.#transmit(TH_ACK | TH_PUSH, { payload });
      this.#queue = this.#queue.subarray(payload.length);
      this.next = (this.next + payload.length) >>> 0;
    }
    if (!this.#finQueued || this.#finSent || this.#queue.length > 0) return;
    this.#finSent = true;
    this.#transmit(TH_ACK | TH_FIN);
    this.next = (this.next + 1) >>> 0;
  }

  /** A segment for this connection. */
  handle(segment: TcpArrival): void {
    this.segments.push(segment);
    if ((segment.flags & TH_RST) !== 0) {
      this.isReset = true;
    } else if ((segment.flags & TH_SYN) !== 0) {
      this.#greet(segment);
    } else {
      this.#take(segment);
    }
  }

  /** After a batch of segments. */
  finish(): void {
    if (this.isReset) return;
    if (this.#ackDue) this.acknowledge();
    this.flush();
  }

  #greet(segment: TcpArrival): void {
    this.expected = (segment.seq + 1) >>> 0;
    this.#readOptions(segment.options);
    this.peerWindow = segment.window;
    if ((segment.flags & TH_ACK) !== 0) {
      this.una = segment.ack;
      this.isOpen = true;
      this.#ackDue = true;
      return;
    }
    this.remotePort = segment.sourcePort;
    this.#transmit(TH_SYN | TH_ACK, { options: synOptions(this.#o.mss, this.#o.shift) });
    this.next = (this.next + 1) >>> 0;
  }

  #take(segment: TcpArrival): void {
    const acked = (segment.ack - this.una) >>> 0;
    if (acked <= (this.next - this.una) >>> 0) {
      this.una = segment.ack;
      this.peerWindow = segment.window << (this.isScaling ? (this.peerShift as number) : 0);
      this.isOpen = true;
    }
    const hasFin = (segment.flags & TH_FIN) !== 0;
    if (segment.payload.length === 0 && !hasFin) {
      this.#ackDue ||= segment.seq !== this.expected;
      return;
    }
    this.#ackDue = true;
    if (segment.seq !== this.expected || segment.payload.length > this.window) return;
    this.received = Buffer.concat([this.received, segment.payload]);
    if (!this.isReading) this.#unread += segment.payload.length;
    this.expected = (this.expected + segment.payload.length + (hasFin ? 1 : 0)) >>> 0;
    this.hasEnded ||= hasFin;
  }

  #readOptions(options: Uint8Array): void {
    for (
      let at = 0;
      at < options.length;
      at += options[at] === 1 ? 1 : (options[at + 1] as number)
    ) {
      if (options[at] === 2)
        this.peerMss = ((options[at + 2] as number) << 8) | (options[at + 3] as number);
      if (options[at] === 3) this.peerShift = options[at + 2] as number;
    }
  }

  #transmit(flags: number, more: { options?: Uint8Array; payload?: Uint8Array } = {}): void {
    const isSyn = (flags & TH_SYN) !== 0;
    const window =
      this.isScaling && !isSyn ? this.window >>> (this.#o.shift as number) : this.window;
    this.#lab.tcp(
      {
        ...{ sourcePort: this.port, port: this.remotePort, flags, ...more },
        ...{ seq: this.next, ack: this.expected, window: Math.min(window, 65535) },
      },
      { destination: this.#o.remote },
    );
  }
}

/**
 * Segments of both sides travel until there are none. `isLost`: which of those to the guest are.
 */
export function exchange(
  lab: UserLab,
  peers: readonly TcpPeer[],
  isLost: (segment: TcpArrival) => boolean = () => false,
): void {
  for (let round = 0; ; round++) {
    if (round > 10_000) throw new Error("the two sides never come to rest");
    const segments = lab.segments();
    if (segments.length === 0) return;
    for (const segment of segments) {
      if (isLost(segment)) continue;
      const peer = peers.find(({ port }) => port === segment.port);
      if (peer === undefined) throw new Error(`a segment for port ${segment.port}`);
      peer.handle(segment);
    }
    for (const peer of peers) peer.finish();
  }
}

/** A connection of the guest to port 5001 of the gateway, which the policy allows. */
export function connectPeer(lab: UserLab, options: TcpPeerOptions = {}) {
  const peer = new TcpPeer(lab, options);
  const before = lab.sockets.connects.length;
  peer.connect();
  const { socket, target } = lab.sockets.connects[before] as (typeof lab.sockets.connects)[number];
  socket.events.connected();
  exchange(lab, [peer]);
  return { peer, socket, target };
}
