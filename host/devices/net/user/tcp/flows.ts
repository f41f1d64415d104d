// The TCP connections of a guest: which segment belongs to which, and how many there may be (NB27).
import { TH_ACK, TH_RST, TH_SYN } from "../../../../../abi/tcp.ts";
import type { NetConnection } from "../../../../device.ts";
import type { Sockets, StreamSocket, TcpAddress } from "../../../../ports/sockets.ts";
import type { Envelope } from "../../network.ts";
import { formatIp, GATEWAY } from "../address.ts";
import type { Arrival } from "../arrival.ts";
import type { Local } from "../local.ts";
import type { Policy } from "../policy.ts";
import { fold } from "../sum.ts";
import { Flow, type FlowOwner } from "./flow.ts";
import { refusal, Segment, writeSegment } from "./segment.ts";
import { FlowState } from "./state.ts";

export const FLOWS_MAX = 1024;
/** Beyond them SYNs of the guest are dropped, and clients wait. */
const HANDSHAKES_MAX = 128;
/** At FLOWS_MAX the connection that was silent for longest makes room, if for so long at least. */
const IDLE_MS = 10_000;
/** A guest that does not listen yet is asked again. */
const PROBE_MS = 50;
/** How often draining looks whether clients are left. */
const DRAIN_MS = 50;
/** Ports of clients, as the guest sees them (RFC 6335, 6). */
const PORT_FIRST = 49152;
const PORTS = 16384;
const SOUND = 0xffff;

/** Common to all guests of a network. */
export interface FlowParts {
  readonly sockets: Sockets;
  readonly policy: Policy;
  readonly entropy: (into: Uint8Array) => void;
}

export class TcpFlows implements FlowOwner {
  readonly local: Local;
  readonly #parts: FlowParts;
  /** By ports; those with the same ones form a list. */
  readonly #table = new Map<number, Flow>();
  /** In the table, or with a socket that is not closed. */
  readonly #all = new Set<Flow>();
  readonly #handshakes = new Set<Flow>();
  readonly #waiting = new Set<Flow>();
  /** Flows that have something to send. */
  readonly #dirty = new Set<Flow>();
  readonly #probes = new Map<Flow, (accepted: boolean) => void>();
  readonly #segment = new Segment();
  readonly #random = new Uint32Array(1);
  #nextPort: number;

  constructor(local: Local, parts: FlowParts) {
    this.local = local;
    this.#parts = parts;
    this.#nextPort = this.#draw() % PORTS;
  }

  // ---- of the guest

  /** A packet of the guest. */
  receive(arrival: Arrival): void {
    const segment = this.#segment;
    const { dropped } = this.local.stats;
    if (!segment.read(arrival)) {
      dropped.malformed++;
      return;
    }
    const flow = this.#find(arrival.destination, segment.port, segment.sourcePort);
    const isPut = flow?.put(segment, arrival) === true;
    if (!this.#isSound(arrival, segment, isPut ? (flow as Flow).receiving.sum : null)) {
      dropped.checksum++;
      return;
    }
    if (flow === null) {
      this.#receiveNew(arrival, segment);
      return;
    }
    flow.receive(segment, arrival, isPut);
    if (flow.state !== FlowState.Over) this.#dirty.add(flow);
  }

  /** `putSum`: of the payload, where it has been copied to its place. */
  #isSound(arrival: Arrival, segment: Segment, putSum: number | null): boolean {
    if (arrival.needsChecksum) return true;
    if (putSum === null) {
      arrival.complete();
      return arrival.isSound;
    }
    const header = arrival.memory.sum(arrival.dataAt, segment.headerBytes);
    return fold(arrival.pseudoSum + header + putSum) === SOUND;
  }

  #receiveNew(arrival: Arrival, segment: Segment): void {
    const isSyn = (segment.flags & (TH_SYN | TH_ACK | TH_RST)) === TH_SYN;
    const envelope = envelopeOf(arrival, segment);
    if (!isSyn) {
      this.#refuse(envelope, segment);
      return;
    }
    const { stats } = this.local;
    const target = this.#parts.policy.route(arrival.destination, segment.port);
    if (target === null) {
      stats.refused.policy++;
      this.#refuse(envelope, segment);
    } else if (this.#handshakes.size >= HANDSHAKES_MAX) {
      stats.dropped.flows++; // the guest sends it again
    } else if (!this.#makeRoom()) {
      this.#refuse(envelope, segment);
    } else {
      this.#connect(target, envelope, segment, arrival);
    }
  }

  #connect(target: TcpAddress, envelope: Envelope, segment: Segment, arrival: Arrival): void {
    this.local.stats.outbound++;
    const flow = new Flow(this, envelope, this.#draw(), FlowState.Connecting);
    this.#add(flow);
    this.#handshakes.add(flow);
    flow.connect(segment, arrival, (events) => this.#parts.sockets.connect(target, events));
  }

  #refuse(envelope: Envelope, segment: Segment): void {
    const fields = refusal(segment);
    if (fields !== null) this.local.card.deliver(writeSegment(this.local, envelope, fields));
  }

  /** Sends what is due, as far as the guest has posted buffers. */
  flush(): void {
    for (const flow of this.#dirty) {
      this.#dirty.delete(flow);
      if (flow.emit()) continue;
      this.#dirty.add(flow); // last, so that others have their turn first
      return;
    }
  }

  // ---- of the host

  /** A client of a published port. It is read when the guest has accepted. */
  accept(socket: StreamSocket, guestPort: number): void {
    const envelope = this.#makeRoom() ? this.#envelopeTo(guestPort) : null;
    if (envelope === null) {
      this.local.stats.refused.flows++;
      socket.reset();
      return;
    }
    this.local.stats.inbound++;
    const flow = new Flow(this, envelope, this.#draw(), FlowState.Waiting);
    this.#add(flow);
    flow.accept(socket);
    this.#waiting.add(flow);
    this.#invite();
    this.#send();
  }

  /** Asks whether the guest listens. False: not now. `done` is called later. */
  probe(guestPort: number, done: (accepted: boolean) => void): boolean {
    const envelope = this.#makeRoom() ? this.#envelopeTo(guestPort) : null;
    if (envelope === null) return false;
    const flow = new Flow(this, envelope, this.#draw(), FlowState.Waiting);
    this.#add(flow);
    this.#probes.set(flow, done);
    flow.invite(PROBE_MS);
    this.#dirty.add(flow);
    this.#send();
    return true;
  }

  /** Resolves when there are no clients; the guest gets the end of those that are silent. */
  drain(quietMs: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        const clients = this.#clients;
        if (clients.length === 0) {
          resolve();
          return;
        }
        const sinceMs = this.local.nowMs - quietMs;
        for (const flow of clients) if (flow.lastMs <= sinceMs) flow.hangUp();
        this.local.card.after(DRAIN_MS, look);
      };
      look();
    });
  }

  /** Resets them. Returns how many there were. */
  resetClients(): number {
    const clients = this.#clients;
    for (const flow of clients) flow.evict();
    return clients.length;
  }

  /** Connections with the host, probes not included. */
  get count(): number {
    return this.#all.size - this.#probes.size;
  }

  /** The same one by one, the oldest first. */
  connections(): NetConnection[] {
    const flows = [...this.#all].filter((flow) => !this.#probes.has(flow));
    return flows.map(({ envelope, peerAddress, isInbound, bytesToGuest, bytesFromGuest }) => ({
      guestPort: envelope.port,
      peer: `${formatIp(envelope.source)}:${envelope.sourcePort}`,
      peerPort: envelope.sourcePort,
      address: peerAddress,
      ...{ isInbound, bytesToGuest, bytesFromGuest },
    }));
  }

  get #clients(): Flow[] {
    return [...this.#all].filter((flow) => flow.isInbound && !this.#probes.has(flow));
  }

  /** Slabs are short, or are not short any more. */
  regulate(): void {
    for (const flow of this.#all) flow.regulate();
  }

  /** Ends all flows: the guest has no driver any more. */
  clear(): void {
    for (const flow of [...this.#all]) flow.forget();
    this.#dirty.clear();
  }

  // ---- FlowOwner

  stirred(flow: Flow): void {
    if (flow.state !== FlowState.Over) this.#dirty.add(flow);
    this.#send();
  }

  waits(flow: Flow): void {
    this.#dirty.add(flow);
  }

  answered(flow: Flow): void {
    this.#handshakes.delete(flow);
    this.#answerProbe(flow, true);
    this.#invite();
  }

  over(flow: Flow): void {
    this.#handshakes.delete(flow);
    this.#waiting.delete(flow);
    this.#dirty.delete(flow);
    this.#remove(flow);
    this.#answerProbe(flow, false);
    this.#invite();
  }

  left(flow: Flow): void {
    if (this.#all.delete(flow)) this.local.stats.tcpFlows--;
  }

  // ---- inside

  #send(): void {
    this.flush();
    this.local.card.settle();
  }

  /** Clients that wait have their turn. */
  #invite(): void {
    for (const flow of this.#waiting) {
      if (this.#handshakes.size >= HANDSHAKES_MAX) return;
      this.#waiting.delete(flow);
      this.#handshakes.add(flow);
      this.#dirty.add(flow);
      flow.invite();
    }
  }

  #answerProbe(flow: Flow, accepted: boolean): void {
    const done = this.#probes.get(flow);
    this.#probes.delete(flow);
    done?.(accepted);
  }

  /** Is there room for one more? */
  #makeRoom(): boolean {
    if (this.#all.size < FLOWS_MAX) return true;
    let oldest: Flow | null = null;
    for (const flow of this.#all) {
      if (oldest === null || flow.lastMs < oldest.lastMs) oldest = flow;
    }
    if (oldest === null || this.local.nowMs - oldest.lastMs < IDLE_MS) {
      this.local.stats.refused.flows++;
      return false;
    }
    oldest.evict();
    return true;
  }

  /** Addresses of a new connection to the guest, as from its gateway. null: no port is left. */
  #envelopeTo(guestPort: number): Envelope | null {
    for (let i = 0; i < PORTS; i++) {
      const sourcePort = PORT_FIRST + (this.#nextPort++ % PORTS);
      if (this.#find(GATEWAY, sourcePort, guestPort) !== null) continue;
      const destination = this.local.address;
      return { source: GATEWAY, sourcePort, destination, port: guestPort };
    }
    return null;
  }

  /** UserNetwork.peerAddress() */
  peerAddress(clientPort: number, guestPort: number): string {
    return this.#find(GATEWAY, clientPort, guestPort)?.peerAddress ?? "";
  }

  #find(address: number, port: number, guestPort: number): Flow | null {
    let flow = this.#table.get(keyOf(port, guestPort)) ?? null;
    while (flow !== null && flow.envelope.source !== address) flow = flow.next;
    return flow;
  }

  #add(flow: Flow): void {
    const key = keyOf(flow.envelope.sourcePort, flow.envelope.port);
    flow.next = this.#table.get(key) ?? null;
    this.#table.set(key, flow);
    this.#all.add(flow);
    this.local.stats.tcpFlows++;
  }

  #remove(flow: Flow): void {
    const key = keyOf(flow.envelope.sourcePort, flow.envelope.port);
    const first = this.#table.get(key) ?? null;
    if (first === flow) {
      if (flow.next === null) this.#table.delete(key);
      else this.#table.set(key, flow.next);
      return;
    }
    for (let one = first; one !== null; one = one.next) if (one.next === flow) one.next = flow.next;
  }

  /** 32 bits that nobody can guess (RFC 6528). */
  #draw(): number {
    this.#parts.entropy(new Uint8Array(this.#random.buffer));
    return this.#random[0] as number;
  }
}

const keyOf = (port: number, guestPort: number): number => port * 65536 + guestPort;

function envelopeOf(arrival: Arrival, segment: Segment): Envelope {
  return {
    source: arrival.destination,
    sourcePort: segment.port,
    destination: arrival.source,
    port: segment.sourcePort,
  };
}
