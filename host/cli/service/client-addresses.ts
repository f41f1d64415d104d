// Addresses of clients as the log shows them: of the socket, or as a trusted proxy says; whole, or
// without what names somebody. Looked up once for all requests that have the same.

import { BlockList, isIP } from "node:net";
import type { Sockets } from "../../ports/sockets.ts";
import { ProxiedSockets } from "../../service/proxied-sockets.ts";

/** At this many addresses all are forgotten, and found out again. */
const KNOWN_MAX = 4096;

export interface AddressSettings {
  /** Are addresses shortened, so that they name nobody? */
  readonly anonymize: boolean;
  /** Whose X-Forwarded-For is believed: addresses and subnets. */
  readonly proxies: readonly string[];
}

export class ClientAddresses {
  readonly #settings: AddressSettings;
  readonly #proxies: BlockList;
  readonly #known = new Map<string, string>();
  #lastKey: string | null = null;
  #lastShown = "";

  /** Throws an Error if one of the proxies is no address. */
  constructor(settings: AddressSettings) {
    this.#settings = settings;
    this.#proxies = addressSet(settings.proxies);
  }

  /** Does it matter what a request was forwarded for? */
  get areForwarded(): boolean {
    return this.#settings.proxies.length > 0;
  }

  /** Of a client that a socket has this address of, and whose request says `forwarded`. */
  shown(address: string, forwarded: string): string {
    const key = forwarded === "" ? address : `${address} ${forwarded}`;
    if (key === this.#lastKey) return this.#lastShown;
    this.#lastShown = this.#known.get(key) ?? this.#find(key, address, forwarded);
    this.#lastKey = key;
    return this.#lastShown;
  }

  #find(key: string, address: string, forwarded: string): string {
    const client = this.#clientOf(plainAddress(address), forwarded);
    const shown = this.#settings.anonymize ? anonymous(client) : client;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, shown);
    return shown;
  }

  /** The last address that no proxy of ours has, if one of ours has brought the request. */
  #clientOf(address: string, forwarded: string): string {
    if (!this.areForwarded || !hasAddress(this.#proxies, address)) return address;
    const client = forwarded
      .split(",")
      .map((one) => plainAddress(one.trim()))
      .findLast((one) => !hasAddress(this.#proxies, one));
    return client !== undefined && isIP(client) !== 0 ? client : address;
  }
}

/** A set of addresses. Throws an Error that says which of them is none. */
export function addressSet(list: readonly string[]): BlockList {
  const set = new BlockList();
  for (const one of list) {
    const [address = "", bits] = one.split("/");
    const version = isIP(address);
    const prefix = bits === undefined ? (version === 4 ? 32 : 128) : Number(bits);
    if (version === 0 || !/^\d+$/.test(`${prefix}`) || prefix > (version === 4 ? 32 : 128)) {
      throw new Error(`"${one}" is not an address or a subnet as in 10.0.0.0/8`);
    }
    set.addSubnet(address, prefix, version === 4 ? "ipv4" : "ipv6");
  }
  return set;
}

export const hasAddress = (set: BlockList, address: string): boolean =>
  isIP(address) !== 0 && set.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");

/** An IPv4 address as such. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Without the last octet; of IPv6 only the first 48 bits. */
export function anonymous(address: string): string {
  if (isIP(address) === 4) return address.replace(/\d+$/, "0");
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const first = head.split(":").filter((group) => group !== "");
  const zeros = tail === undefined ? [] : new Array(8).fill("0");
  return `${[...first, ...zeros].slice(0, 3).join(":")}::`;
}

/** Sockets whose clients are named by the PROXY headers of these proxies. */
export function proxied(sockets: Sockets, proxies: readonly string[]): ProxiedSockets {
  const trusted = addressSet(proxies);
  return new ProxiedSockets(sockets, {
    isTrusted: (address) => hasAddress(trusted, plainAddress(address)),
    after: (ms, callback) => {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  });
}
