// A DHCP server in tests, which says what the test wants (RFC 2131).
import { ARPOP_REPLY } from "../../abi/ethernet.ts";
import { arp, BROADCAST, card, ip, mac, macOf } from "./frames.ts";
import type { NetGuest } from "./net-guest.ts";
import { parseUdp, udpFrame } from "./udp.ts";

export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST = 3;
export const DECLINE = 4;
export const ACK = 5;
export const NAK = 6;

/** The server of these tests, which is machine 2, and what it gives away. */
export const SERVER = "10.0.2.2";
export const GIVEN = "10.0.2.15";

const COOKIE = Buffer.from([0x63, 0x82, 0x53, 0x63]);
const dotted = (bytes: Uint8Array, at: number) => [...bytes.subarray(at, at + 4)].join(".");

/** A message of the client; throws if it is no request of a client at all. */
export function parseDhcp(sent: Parameters<typeof parseUdp>[0]) {
  const datagram = parseUdp(sent);
  const { data } = datagram;
  if (datagram.from !== 68 || datagram.port !== 67) throw new Error("not of a client");
  if (data.length < 300 || !data.subarray(236, 240).equals(COOKIE)) throw new Error("not DHCP");
  if (data[0] !== 1 || data[1] !== 1 || data[2] !== 6) throw new Error("no request by Ethernet");
  const options = new Map<number, Buffer>();
  for (let at = 240; data[at] !== 255; at += 2 + (data[at + 1] as number)) {
    const [option, bytes] = [data[at] as number, data[at + 1] as number];
    if (option === 0 || at + 2 + bytes >= data.length) throw new Error("options without an end");
    options.set(option, data.subarray(at + 2, at + 2 + bytes));
  }
  const address = (option: number) => {
    const value = options.get(option);
    return value === undefined ? undefined : dotted(value, 0);
  };
  return {
    frameTo: datagram.to,
    source: datagram.source,
    destination: datagram.destination,
    type: options.get(53)?.[0],
    xid: data.readUInt32BE(4),
    secs: data.readUInt16BE(8),
    flags: data.readUInt16BE(10),
    ciaddr: dotted(data, 12),
    chaddr: macOf(data.subarray(28, 34)),
    requested: address(50),
    server: address(54),
    options,
  };
}

export type Asked = ReturnType<typeof parseDhcp>;

/** Messages of the guest to servers, since the last time that anybody looked. */
export const asked = (g: NetGuest): Asked[] =>
  g.sentIp().flatMap((one) => (one.protocol === 17 ? [parseDhcp(one)] : []));

export const words = (...numbers: number[]): Buffer => {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, i * 4);
  return bytes;
};

export type Options = readonly (readonly [number, Uint8Array])[];

export interface Answer {
  readonly type: number;
  readonly xid: number;
  readonly address?: string;
  /** Default: those of a good lease of an hour; they are what `extra` does not name. */
  readonly options?: Options;
  readonly extra?: Options;
  /** Default: the guest's. */
  readonly chaddr?: string;
  /** To everybody, not to the address that it gives. */
  readonly broadcast?: boolean;
  /** Octets of the message that are not as they should be, by offset. */
  readonly wrong?: Readonly<Record<number, number>>;
  /** Follows the options in place of their end. */
  readonly tail?: Uint8Array;
  readonly from?: string;
  readonly port?: number;
}

/** Options of a lease of 10.0.2.15/24 for an hour. */
export const LEASE: Options = [
  [54, ip(SERVER)],
  [51, words(3600)],
  [1, ip("255.255.255.0")],
  [3, ip(SERVER)],
  [6, ip("10.0.2.3")],
];

export function message(a: Answer): Buffer {
  const header = Buffer.alloc(236);
  header.set([2, 1, 6, 0]);
  header.writeUInt32BE(a.xid, 4);
  ip(a.address ?? GIVEN).copy(header, 16);
  mac(a.chaddr ?? card(1)).copy(header, 28);
  const extra = a.extra ?? [];
  const named = new Set(extra.map(([option]) => option));
  const options = [...(a.options ?? LEASE).filter(([option]) => !named.has(option)), ...extra];
  const parts = options.map(([option, value]) =>
    Buffer.concat([Buffer.from([option, value.length]), value]),
  );
  const type = Buffer.from([53, 1, a.type]);
  const tail = a.tail ?? Buffer.from([255]);
  const bytes = Buffer.concat([header, COOKIE, type, ...parts, tail]);
  for (const [at, octet] of Object.entries(a.wrong ?? {})) bytes[Number(at)] = octet;
  return bytes;
}

/** The frame of a server's bytes, to everybody. */
export const answerOf = (data: Uint8Array): Buffer =>
  udpFrame({
    to: 68,
    from: 67,
    data,
    ip: { source: SERVER, destination: "255.255.255.255", to: BROADCAST, from: card(2) },
  });

/** The frame of an answer. */
export function answer(a: Answer): Buffer {
  const destination = a.broadcast === true ? "255.255.255.255" : (a.address ?? GIVEN);
  const to = a.broadcast === true ? BROADCAST : card(1);
  const fields = { source: a.from ?? SERVER, destination, to, from: card(2) };
  return udpFrame({ to: 68, from: a.port ?? 67, data: message(a), ip: fields });
}

/** The probe's time passes, in which nobody claims the address. */
export const PROBE_MS = 200;

/** The guest, which looks for a server, gets a lease with these options beside the usual ones. */
export function lease(g: NetGuest, extra: Options = [], address = GIVEN): void {
  const discover = asked(g).find(({ type }) => type === DISCOVER);
  if (discover === undefined) throw new Error("the guest has asked for no address");
  g.inject(answer({ type: OFFER, xid: discover.xid, extra, address }));
  const request = asked(g).find(({ type }) => type === REQUEST);
  if (request === undefined) throw new Error("the guest has taken no offer");
  g.inject(answer({ type: ACK, xid: request.xid, extra, address }));
  g.advance(PROBE_MS);
}

/** Machine `n` has the address `sender`, and says so to the guest. */
export const claims = (sender: string, n = 9): Buffer =>
  arp({ op: ARPOP_REPLY, to: card(1), senderMac: card(n), sender, target: "0.0.0.0" });

/** Where the guest's address stands: what it has of a lease. */
export function held(g: NetGuest) {
  const address = (name: string, ...args: number[]) => {
    const number = g.call(name, ...args) >>> 0;
    return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
  };
  return {
    address: address("ownAddress"),
    gateway: address("gateway"),
    mtu: g.call("localMtu"),
    names: [0, 1, 2, 3].map((i) => address("nameServer", i)),
  };
}
