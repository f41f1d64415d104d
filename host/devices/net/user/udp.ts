// UDP of a guest, over datagram sockets of the host: one for each pair of a guest's port and a
// remote address, so that nobody else reaches the guest through it (NB27).

import { IpHdr } from "../../../../abi/ip.ts";
import { UdpHdr } from "../../../../abi/udp.ts";
import type { DatagramSocket, Datagrams } from "../../../ports/datagrams.ts";
import type { Envelope } from "../network.ts";
import { RESOLVER } from "./address.ts";
import type { Arrival } from "./arrival.ts";
import { type Datagram, payloadAt, writeDatagram } from "./datagram.ts";
import { refuseQuery } from "./dns.ts";
import type { Local } from "./local.ts";
import type { Policy } from "./policy.ts";

/** A further flow takes the place of the one that has been silent for longest. */
const FLOWS_MAX = 256;
const SILENT_MS = 60_000;
const DNS_PORT = 53;

interface UdpFlow {
  readonly key: string;
  readonly socket: DatagramSocket;
  readonly envelope: Envelope;
  /** Milliseconds of the machine's clock. */
  lastMs: number;
}

export class UdpFlows {
  readonly #local: Local;
  readonly #policy: Policy;
  readonly #datagrams: Datagrams;
  /** The one that has been silent for longest in front. */
  readonly #flows = new Map<string, UdpFlow>();
  #cancel: (() => void) | null = null;

  constructor(local: Local, policy: Policy, datagrams: Datagrams) {
    this.#local = local;
    this.#policy = policy;
    this.#datagrams = datagrams;
  }

  /** A datagram of the guest. */
  receive({ source, destination, view, memory }: Arrival, datagram: Datagram): void {
    const { stats } = this.#local;
    const { sourcePort, port, at, bytes } = datagram;
    const envelope = {
      source: destination,
      sourcePort: port,
      destination: source,
      port: sourcePort,
    };
    const target = this.#policy.route(destination, port);
    if (target === null) {
      stats.dropped.closed++;
      const refused = destination === RESOLVER && port === DNS_PORT && refuseQuery(view, at, bytes);
      if (refused) this.#deliver(envelope, memory.u8.subarray(at, at + refused));
      return;
    }
    const flow = this.#find(envelope) ?? this.#open(target, envelope);
    this.#touch(flow);
    if (flow.socket.send(memory.u8.subarray(at, at + bytes))) stats.datagramsSent++;
    else stats.dropped.busy++;
  }

  /** Ends all flows. */
  clear(): void {
    for (const flow of [...this.#flows.values()]) this.#end(flow);
    this.#cancel?.();
    this.#cancel = null;
  }

  #find({ source, sourcePort, port }: Envelope): UdpFlow | undefined {
    return this.#flows.get(`${port} ${source} ${sourcePort}`);
  }

  #open(target: { host: string; port: number }, envelope: Envelope): UdpFlow {
    const { source, sourcePort, port } = envelope;
    if (this.#flows.size === FLOWS_MAX) {
      const [oldest] = this.#flows.values();
      this.#local.stats.dropped.flows++;
      this.#end(oldest as UdpFlow);
    }
    const socket = this.#datagrams.connect(target, {
      received: (bytes) => this.#received(flow, bytes),
      failed: () => this.#end(flow),
    });
    const flow: UdpFlow = { key: `${port} ${source} ${sourcePort}`, socket, envelope, lastMs: 0 };
    this.#flows.set(flow.key, flow);
    this.#local.stats.udpFlows++;
    return flow;
  }

  #received(flow: UdpFlow, bytes: Uint8Array): void {
    if (this.#flows.get(flow.key) !== flow) return;
    this.#touch(flow);
    this.#local.stats.datagramsReceived++;
    this.#deliver(flow.envelope, bytes);
    this.#local.card.settle();
    const { source, sourcePort } = flow.envelope;
    if (source === RESOLVER && sourcePort === DNS_PORT) this.#end(flow);
  }

  #deliver(envelope: Envelope, bytes: Uint8Array): void {
    const { card, departure, stats } = this.#local;
    if (IpHdr.sizeof + UdpHdr.sizeof + bytes.length > card.mtu) {
      stats.tooLong++;
      return;
    }
    departure.memory.u8.set(bytes, payloadAt(departure));
    card.deliver(writeDatagram(departure, card.mac, envelope, bytes.length));
  }

  #touch(flow: UdpFlow): void {
    flow.lastMs = this.#local.nowMs;
    this.#flows.delete(flow.key);
    this.#flows.set(flow.key, flow);
    this.#arm();
  }

  #end(flow: UdpFlow): void {
    if (this.#flows.get(flow.key) !== flow) return;
    this.#flows.delete(flow.key);
    this.#local.stats.udpFlows--;
    flow.socket.close();
  }

  /** A timer for the oldest flow; none without flows. */
  #arm(): void {
    const [oldest] = this.#flows.values();
    if (this.#cancel !== null || oldest === undefined) return;
    const dueMs = oldest.lastMs + SILENT_MS - this.#local.nowMs;
    this.#cancel = this.#local.card.after(Math.max(1, dueMs), () => {
      this.#cancel = null;
      const sinceMs = this.#local.nowMs - SILENT_MS;
      for (const flow of [...this.#flows.values()]) if (flow.lastMs <= sinceMs) this.#end(flow);
      this.#arm();
    });
  }
}
