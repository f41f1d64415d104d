// An Ethernet switch between the cards of machines in this process. It learns which port leads to
// which address, and sends what it does not know to all ports but the sender's. A frame is copied
// once, from one guest's memory into the other's.
import type { Frame } from "./frame.ts";
import { formatMac, isGroup } from "./mac.ts";
import type { Card, Network, Port } from "./network.ts";

/** Addresses that it knows, in all and of one port; the one that was learned first leaves. */
const ADDRESSES_MAX = 1024;
const ADDRESSES_PER_PORT_MAX = 64;
/** A broadcast is copied to all of them. */
const PORTS_MAX = 256;

/** How a switch treats its cards. */
export interface NetSwitchOptions {
  /** May a card only send from its own MAC? Default: true. */
  readonly antiSpoof?: boolean;
}

/** Counters of a switch. */
export interface NetSwitchStats {
  /** Frames to one port, and to all others. */
  forwarded: number;
  flooded: number;
  /** Frames dropped: from no card's address, or from an address that is not the sender's. */
  badSource: number;
  spoofed: number;
}

class SwitchPort implements Port {
  readonly hasLink = true;
  readonly card: Card;
  /** Has it frames that its card does not know of yet? */
  isStirred = false;
  /** Addresses that lead here. */
  addresses = 0;
  readonly #network: NetSwitch;

  constructor(network: NetSwitch, card: Card) {
    this.#network = network;
    this.card = card;
  }

  send(frame: Frame): void {
    this.#network.forward(this, frame);
  }

  flush(): void {
    this.#network.flush();
  }

  forget(): void {
    this.#network.forget(this);
  }

  leave(): void {
    this.#network.leave(this);
  }
}

/** Joins the network devices of machines in one process. Pass it to each as `network`. */
export class NetSwitch implements Network {
  readonly carriesOffloads = true;
  readonly stats: NetSwitchStats = { forwarded: 0, flooded: 0, badSource: 0, spoofed: 0 };
  readonly #antiSpoof: boolean;
  /** In the order in which they joined, which is that of every flood (NB10). */
  #ports: SwitchPort[] = [];
  /** Ports by address, the one that was learned first in front. */
  readonly #table = new Map<number, SwitchPort>();

  constructor({ antiSpoof = true }: NetSwitchOptions = {}) {
    this.#antiSpoof = antiSpoof;
  }

  /** Addresses of the cards, in the order in which they joined. */
  get macs(): string[] {
    return this.#ports.map(({ card }) => formatMac(card.mac));
  }

  /** Addresses that it has learned. */
  get known(): number {
    return this.#table.size;
  }

  join(card: Card): Port {
    if (this.#ports.some((port) => port.card.mac === card.mac)) {
      throw new Error(`net: MAC ${formatMac(card.mac)} is taken in this switch`);
    }
    if (this.#ports.length === PORTS_MAX) throw new Error(`net: a switch has ${PORTS_MAX} ports`);
    const port = new SwitchPort(this, card);
    this.#ports.push(port);
    return port;
  }

  /** Port.send() */
  forward(from: SwitchPort, frame: Frame): void {
    const { source, destination } = frame;
    if (source === 0 || isGroup(source)) {
      this.stats.badSource++;
    } else if (this.#antiSpoof && source !== from.card.mac) {
      this.stats.spoofed++;
    } else {
      this.#learn(from, source);
      const to = isGroup(destination) ? undefined : this.#table.get(destination);
      if (to === undefined) this.#flood(from, frame);
      else if (to !== from) this.#deliver(to, frame);
    }
  }

  /** Port.flush(): the guests that have got frames hear of them, in the order of their ports. */
  flush(): void {
    for (const port of [...this.#ports]) {
      if (!port.isStirred) continue;
      port.isStirred = false;
      port.card.settle();
    }
  }

  /** Port.forget() */
  forget(port: SwitchPort): void {
    for (const [mac, to] of this.#table) if (to === port) this.#unlearn(mac, to);
    port.isStirred = false;
  }

  /** Port.leave() */
  leave(port: SwitchPort): void {
    this.forget(port);
    this.#ports = this.#ports.filter((other) => other !== port);
  }

  #flood(from: SwitchPort, frame: Frame): void {
    this.stats.flooded++;
    for (const port of this.#ports) if (port !== from) this.#put(port, frame);
  }

  #deliver(to: SwitchPort, frame: Frame): void {
    this.stats.forwarded++;
    this.#put(to, frame);
  }

  #put(port: SwitchPort, frame: Frame): void {
    port.card.deliver(frame);
    port.isStirred = true;
  }

  #learn(port: SwitchPort, mac: number): void {
    const known = this.#table.get(mac);
    if (known === port) return;
    if (known !== undefined) this.#unlearn(mac, known);
    if (port.addresses === ADDRESSES_PER_PORT_MAX) this.#evict(port);
    else if (this.#table.size === ADDRESSES_MAX) this.#evict(null);
    this.#table.set(mac, port);
    port.addresses++;
  }

  /** The oldest address of a port, or of all. */
  #evict(of: SwitchPort | null): void {
    for (const [mac, port] of this.#table) {
      if (of !== null && port !== of) continue;
      this.#unlearn(mac, port);
      return;
    }
  }

  #unlearn(mac: number, port: SwitchPort): void {
    this.#table.delete(mac);
    port.addresses--;
  }
}
