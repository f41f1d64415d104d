// The `user` network: ARP, DHCP, DNS, ICMP, UDP and TCP of guests, ended on sockets of the host. It
// needs no privileges and no other program. Nothing leaves but what its options name.
import type { Datagrams } from "../../ports/datagrams.ts";
import type { Listener, SocketAddress, Sockets, TcpAddress } from "../../ports/sockets.ts";
import { formatMac } from "./mac.ts";
import type { Card, Network, Port } from "./network.ts";
import { FIRST_GUEST, formatIp, LAST_GUEST } from "./user/address.ts";
import type { UserReceive, WhenOut } from "./user/local.ts";
import { Policy, type PolicyOptions } from "./user/policy.ts";
import { type Shared, Station } from "./user/station.ts";
import { createUserStats, type UserNetworkStats } from "./user/stats.ts";
import { FLOWS_MAX } from "./user/tcp/flows.ts";
import { Workshop } from "./user/workshop.ts";

const BACKLOG = 511;
const LOCALHOST = "127.0.0.1";
/** 64 KiB frames: big segments travel without offload. */
const MTU = 65520;

export interface UserNetworkOptions extends PolicyOptions {
  readonly sockets: Sockets;
  readonly datagrams: Datagrams;
  /** Fills `into` with bytes that nobody can guess. */
  readonly entropy: (into: Uint8Array) => void;
  /** Its memory. Default: 64 MiB, of which the system lends what is used. */
  readonly workshop?: Workshop;
  /** Default: "in-place", for streams and guests that can. */
  readonly receive?: UserReceive;
  /** Default: "stop", and nothing is lost. "drop" is for measurements. */
  readonly whenOut?: WhenOut;
}

/** A port of the host that leads to one of a guest. */
export interface UserPublish {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** 0: any. */
  readonly port: number;
  readonly guestPort: number;
  /** The card. Default: the first one. */
  readonly mac?: string;
}

export class UserNetwork implements Network {
  readonly mtu = MTU;
  /** Segments end here: nobody needs their checksums, nor that they are short. */
  readonly carriesOffloads = true;
  readonly stats: UserNetworkStats = createUserStats();
  readonly #shared: Shared;
  #stations: Station[] = [];
  /** Addresses by MAC; a card that comes back has the same. */
  readonly #leases = new Map<number, number>();
  readonly #listeners = new Set<Listener>();

  /** Throws RangeError on an option that cannot be. */
  constructor(options: UserNetworkOptions) {
    const { sockets, datagrams, entropy, workshop = new Workshop() } = options;
    const policy = new Policy(options);
    workshop.toGuest.onChange = () => {
      for (const station of this.#stations) station.tcp.regulate();
    };
    const { receive = "in-place", whenOut = "stop" } = options;
    const { stats } = this;
    this.#shared = { sockets, datagrams, entropy, policy, workshop, stats, receive, whenOut };
  }

  /** The IPv4 address of a card. null: it is not in this network. */
  addressOf(mac: string): string | null {
    const station = this.#find(mac);
    return station === undefined ? null : formatIp(station.address);
  }

  join(card: Card): Port {
    const taken = this.#stations.some((station) => station.card.mac === card.mac);
    if (taken) throw new Error(`net: MAC ${formatMac(card.mac)} is taken in this network`);
    const station = new Station(card, this.#lease(card.mac), this.#shared, (one) => {
      this.#stations = this.#stations.filter((other) => other !== one);
      if (this.#stations.length === 0) this.close();
    });
    this.#stations.push(station);
    return station;
  }

  /**
   * Clients of a TCP port of the host reach one of the guest. Resolves with the bound address.
   * Rejects with the address and the reason.
   */
  async publish({ host = LOCALHOST, port, guestPort, mac }: UserPublish): Promise<TcpAddress> {
    return (await this.publishAt({ host, port }, guestPort, mac)) as TcpAddress;
  }

  /** The same for an address of any kind. */
  async publishAt(address: SocketAddress, guestPort: number, mac?: string): Promise<SocketAddress> {
    const listener = await this.#shared.sockets.listen(address, BACKLOG, {
      accepted: (socket) => {
        const station = this.#find(mac);
        if (station === undefined) socket.reset();
        else station.tcp.accept(socket, guestPort);
      },
      refused: () => void this.stats.refused.host++,
    });
    this.#listeners.add(listener);
    return listener.address;
  }

  /** Resolves when the first guest listens on a port. Rejects when its card has left. */
  probe(guestPort: number): Promise<void> {
    const [station] = this.#stations;
    if (station === undefined) return Promise.reject(new Error("net: there is no card"));
    return station.probe(guestPort);
  }

  /**
   * Asks once; `answered` is called later. False: there is no card, or no room for a connection.
   */
  probeOnce(guestPort: number, answered: (accepted: boolean) => void): boolean {
    return this.#stations[0]?.tcp.probe(guestPort, answered) ?? false;
  }

  /**
   * The address of the client of a published port whose connection the guest's first card sees from
   * the gateway's port `clientPort`; "": there is none, or it has no address.
   */
  peerAddress(clientPort: number, guestPort: number): string {
    return this.#stations[0]?.tcp.peerAddress(clientPort, guestPort) ?? "";
  }

  /** Connections that guests have now, and as many as one guest may have. */
  get connectionCount(): number {
    return this.#stations.reduce((sum, { tcp }) => sum + tcp.count, 0);
  }

  /** Of one guest; at the bound one that was idle makes room. */
  get connectionsMax(): number {
    return FLOWS_MAX;
  }

  /** Resolves when no client is left; those that are silent for `quietMs` get an end. */
  async drain(quietMs: number): Promise<void> {
    await Promise.all(this.#stations.map((station) => station.tcp.drain(quietMs)));
  }

  /** Resets all clients. Returns how many there were. */
  resetClients(): number {
    return this.#stations.reduce((sum, { tcp }) => sum + tcp.resetClients(), 0);
  }

  /** Listens no more; it does so itself when the last card has left. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    this.#listeners.clear();
  }

  /** No MAC: the first card's. */
  #find(mac?: string): Station | undefined {
    if (mac === undefined) return this.#stations[0];
    const wanted = mac.toLowerCase();
    return this.#stations.find(({ card }) => formatMac(card.mac) === wanted);
  }

  /** The address that the card had, or one that nobody had, or that of a card that has left. */
  #lease(mac: number): number {
    const known = this.#leases.get(mac);
    if (known !== undefined) return known;
    for (let address = FIRST_GUEST; address <= LAST_GUEST; address++) {
      if ([...this.#leases.values()].includes(address)) continue;
      this.#leases.set(mac, address);
      return address;
    }
    for (const [old, address] of this.#leases) {
      if (this.#stations.some(({ card }) => card.mac === old)) continue;
      this.#leases.delete(old);
      this.#leases.set(mac, address);
      return address;
    }
    throw new Error(`net: a user network has ${LAST_GUEST - FIRST_GUEST + 1} guests`);
  }
}
