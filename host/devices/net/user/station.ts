// A guest on a `user` network: its card, its address, and its flows.
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from "../../../../abi/dhcp.ts";
import { ETH_P_ARP } from "../../../../abi/ethernet.ts";
import {
  INADDR_ANY,
  INADDR_BROADCAST,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "../../../../abi/ip.ts";
import type { NetConnection } from "../../../device.ts";
import type { Datagrams } from "../../../ports/datagrams.ts";
import type { Sockets } from "../../../ports/sockets.ts";
import type { Frame } from "../frame.ts";
import { isGroup } from "../mac.ts";
import type { Card, Port } from "../network.ts";
import { GATEWAY, macOfOwn, RESOLVER } from "./address.ts";
import { answerArp } from "./arp.ts";
import { Arrival } from "./arrival.ts";
import { type Datagram, readDatagram } from "./datagram.ts";
import { Departure } from "./departure.ts";
import { answerDhcp } from "./dhcp.ts";
import { answerEcho } from "./icmp.ts";
import type { Local, UserReceive, WhenOut } from "./local.ts";
import type { Policy } from "./policy.ts";
import { Probes } from "./probes.ts";
import type { UserNetworkStats } from "./stats.ts";
import { TcpFlows } from "./tcp/flows.ts";
import { UdpFlows } from "./udp.ts";
import type { Workshop } from "./workshop.ts";

/** Common to all guests of a network. */
export interface Shared {
  readonly sockets: Sockets;
  readonly datagrams: Datagrams;
  readonly policy: Policy;
  readonly workshop: Workshop;
  readonly stats: UserNetworkStats;
  readonly entropy: (into: Uint8Array) => void;
  readonly receive: UserReceive;
  readonly whenOut: WhenOut;
}

export class Station implements Port, Local {
  readonly hasLink = true;
  readonly card: Card;
  readonly address: number;
  readonly stats: UserNetworkStats;
  readonly workshop: Workshop;
  readonly departure: Departure;
  readonly receive: UserReceive;
  readonly whenOut: WhenOut;
  readonly tcp: TcpFlows;
  readonly #udp: UdpFlows;
  readonly #probes: Probes;
  readonly #arrival: Arrival;
  readonly #left: (station: Station) => void;

  /** `left` is called when the card is disposed. */
  constructor(card: Card, address: number, shared: Shared, left: (station: Station) => void) {
    const { workshop, policy } = shared;
    this.card = card;
    this.address = address;
    this.stats = shared.stats;
    this.workshop = workshop;
    this.receive = shared.receive;
    this.whenOut = shared.whenOut;
    this.#left = left;
    this.#arrival = new Arrival(workshop.memory, workshop.inAt);
    this.departure = new Departure(workshop.memory, workshop.outAt);
    this.tcp = new TcpFlows(this, shared);
    this.#udp = new UdpFlows(this, policy, shared.datagrams);
    this.#probes = new Probes(
      (guestPort, done) => this.tcp.probe(guestPort, done),
      (ms, callback) => this.card.after(ms, callback),
    );
  }

  /** Milliseconds of the machine's clock. */
  get nowMs(): number {
    return this.card.now() / 1e6;
  }

  /** Resolves when the guest listens. Rejects when the card has left. */
  probe(guestPort: number): Promise<void> {
    return this.#probes.add(guestPort);
  }

  // ---- Port

  send(frame: Frame): void {
    const { dropped } = this.stats;
    if (frame.source !== this.card.mac) {
      dropped.source++;
      return;
    }
    if (!isForUs(frame.destination)) {
      dropped.foreign++;
      return;
    }
    const arrival = this.#arrival;
    arrival.read(frame);
    if (arrival.type === ETH_P_ARP) this.#receiveArp(arrival);
    else if (arrival.readIp(this.stats)) this.#receiveIp(arrival);
  }

  flush(): void {
    this.tcp.flush();
  }

  posted(): void {
    this.tcp.flush();
  }

  connections(): readonly NetConnection[] {
    return this.tcp.connections();
  }

  forget(): void {
    this.tcp.clear();
    this.#udp.clear();
  }

  leave(): void {
    this.#probes.dispose();
    this.forget();
    this.#left(this);
  }

  // ---- inside

  #receiveArp(arrival: Arrival): void {
    arrival.complete();
    const answer = answerArp(arrival, this.departure, this.card.mac);
    if (answer !== null) this.card.deliver(answer);
  }

  #receiveIp(arrival: Arrival): void {
    if (arrival.protocol === IPPROTO_UDP) {
      this.#receiveUdp(arrival);
      return;
    }
    // NB28: nobody else's address can be lent.
    if (arrival.source !== this.address) this.stats.dropped.source++;
    else if (arrival.protocol === IPPROTO_TCP) this.tcp.receive(arrival);
    else if (arrival.protocol === IPPROTO_ICMP) this.#receiveIcmp(arrival);
    else this.stats.dropped.protocol++;
  }

  #receiveIcmp(arrival: Arrival): void {
    arrival.complete();
    const answer = answerEcho(arrival, this.departure, this.card.mac, this.stats);
    if (answer !== null) this.card.deliver(answer);
  }

  #receiveUdp(arrival: Arrival): void {
    const { source } = arrival;
    if (source !== this.address && source !== INADDR_ANY) {
      this.stats.dropped.source++;
      return;
    }
    arrival.complete();
    const datagram = readDatagram(arrival, this.stats);
    if (datagram === null) return;
    if (isForDhcp(arrival.destination, datagram)) this.#receiveDhcp(datagram);
    else if (source !== this.address) this.stats.dropped.source++;
    else this.#udp.receive(arrival, datagram);
  }

  #receiveDhcp(datagram: Datagram): void {
    const { mac, mtu } = this.card;
    const answer = answerDhcp(datagram, this.departure, { mac, address: this.address, mtu });
    if (answer !== null) this.card.deliver(answer);
  }
}

const OWN_MACS: readonly number[] = [macOfOwn(GATEWAY), macOfOwn(RESOLVER)];

/** The MAC of the gateway or the resolver, or of everybody. */
const isForUs = (mac: number): boolean => OWN_MACS.includes(mac) || isGroup(mac);

function isForDhcp(destination: number, { port, sourcePort }: Datagram): boolean {
  const isServer = destination === INADDR_BROADCAST || destination === GATEWAY;
  return isServer && port === DHCP_SERVER_PORT && sourcePort === DHCP_CLIENT_PORT;
}
