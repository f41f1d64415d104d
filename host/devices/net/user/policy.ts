// Where the guest's packets may go (net.md's policy: nothing leaves but what the user names).
import type { TcpAddress } from "../../../ports/sockets.ts";
import { formatIp, GATEWAY, isIn, isOnSubnet, parseIp, RESOLVER } from "./address.ts";

/**
 * `none`: nothing. `host`: the named ports of the gateway lead to the host's 127.0.0.1. `any`:
 * those, and all addresses that are not closed.
 */
export type Outbound = "none" | "host" | "any";

export const OUTBOUND_KINDS: readonly Outbound[] = ["none", "host", "any"];

export interface PolicyOptions {
  /** Default: `none`; with `allow`: `host`. */
  readonly outbound?: Outbound;
  /** PORT of the gateway, or ADDRESS:PORT, which is open even if the address is closed. */
  readonly allow?: readonly (string | number)[];
  /** Are queries to 10.0.2.3 relayed? They carry data out. Default: with `any`. */
  readonly dns?: boolean;
  /** IPv4 addresses of the host, asked for at each connection. */
  readonly ownAddresses: () => readonly string[];
  /** Addresses of the host's resolvers; the first one is asked. */
  readonly resolvers: () => readonly string[];
}

const LOCALHOST = "127.0.0.1";
const DNS_PORT = 53;
const PORT_MAX = 65535;

/**
 * Blocks that stay closed: this host, loopback, link-local with the metadata of clouds, multicast,
 * reserved with broadcast.
 */
const CLOSED: readonly (readonly [address: number, bits: number])[] = [
  [0x00000000, 8],
  [0x7f000000, 8],
  [0xa9fe0000, 16],
  [0xe0000000, 4],
  [0xf0000000, 4],
];

export class Policy {
  readonly outbound: Outbound;
  readonly relaysDns: boolean;
  readonly #options: PolicyOptions;
  /** ADDRESS:PORT */
  readonly #named: ReadonlySet<string>;

  /** Throws RangeError on what is no port, and if `allow` and `outbound` contradict each other. */
  constructor(options: PolicyOptions) {
    const { allow = [], outbound = allow.length > 0 ? "host" : "none" } = options;
    if (!OUTBOUND_KINDS.includes(outbound)) throw new RangeError(`net: outbound ${outbound}`);
    if (outbound === "none" && allow.length > 0) {
      throw new RangeError("net: outbound none, and ports that are allowed");
    }
    this.#options = options;
    this.outbound = outbound;
    this.relaysDns = options.dns ?? outbound === "any";
    this.#named = new Set(allow.map(parseAllowed));
  }

  /** Where a connection or a datagram of the guest goes; null: nowhere. */
  route(address: number, port: number): TcpAddress | null {
    if (address === RESOLVER) return port === DNS_PORT ? this.#resolver() : null;
    const isNamed = this.#named.has(`${formatIp(address)}:${port}`);
    if (address === GATEWAY) return isNamed ? { host: LOCALHOST, port } : null;
    if (port === 0 || isOnSubnet(address)) return null;
    const host = formatIp(address);
    return isNamed || (this.outbound === "any" && !this.#isClosed(address)) ? { host, port } : null;
  }

  #isClosed(address: number): boolean {
    if (CLOSED.some(([block, bits]) => isIn(address, block, bits))) return true;
    return this.#options.ownAddresses().some((own) => parseIp(own) === address);
  }

  #resolver(): TcpAddress | null {
    if (!this.relaysDns) return null;
    const [first] = this.#options.resolvers();
    return first === undefined ? null : parseResolver(first);
  }
}

/** ADDRESS:PORT of PORT, or of itself. Throws RangeError if it is neither. */
export function parseAllowed(word: string | number): string {
  const [, address, digits = ""] = /^(?:(.*):)?(\d+)$/.exec(`${word}`) ?? [];
  const ip = address === undefined ? GATEWAY : parseIp(address);
  const port = Number(digits);
  if (digits === "" || ip === null || port < 1 || port > PORT_MAX) {
    throw new RangeError(`net: allow ${word}: neither PORT nor ADDRESS:PORT`);
  }
  return `${formatIp(ip)}:${port}`;
}

/** As Node names them: an address, or one with a port. */
function parseResolver(text: string): TcpAddress {
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|([\d.]+)):(\d+)$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  return host === undefined ? { host: text, port: DNS_PORT } : { host, port: Number(port) };
}
