// TCP segments and UDP datagrams as a test writes and reads them, by the slow checksum of
// frames.ts.
import { IPPROTO_TCP, IPPROTO_UDP } from "../../abi/ip.ts";
import { TH_ACK, TH_FIN, TH_PUSH, TH_RST, TH_SYN } from "../../abi/tcp.ts";
import { internetChecksum, ip, parse } from "./frames.ts";

const NOTHING = new Uint8Array(0);

export interface TcpFields {
  sourcePort: number;
  port: number;
  seq?: number;
  ack?: number;
  flags: number;
  window?: number;
  /** A multiple of four bytes. */
  options?: Uint8Array;
  payload?: Uint8Array;
  /** Octets of the header that are not as they should be, by offset; the sum is right with them. */
  wrong?: Readonly<Record<number, number>>;
}

/** The pseudo header that a checksum covers beside the segment or datagram. */
function pseudo(source: string, destination: string, protocol: number, bytes: number): Buffer {
  const rest = Buffer.from([0, protocol, bytes >>> 8, bytes & 255]);
  return Buffer.concat([ip(source), ip(destination), rest]);
}

export function tcpSegment(source: string, destination: string, t: TcpFields): Buffer {
  const { options = NOTHING, payload = NOTHING } = t;
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(t.sourcePort, 0);
  header.writeUInt16BE(t.port, 2);
  header.writeUInt32BE((t.seq ?? 0) >>> 0, 4);
  header.writeUInt32BE((t.ack ?? 0) >>> 0, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = t.flags;
  header.writeUInt16BE(t.window ?? 65535, 14);
  header.set(options, 20);
  for (const [at, octet] of Object.entries(t.wrong ?? {})) header[Number(at)] = octet;
  const segment = Buffer.concat([header, payload]);
  const front = pseudo(source, destination, IPPROTO_TCP, segment.length);
  segment.writeUInt16BE(internetChecksum(Buffer.concat([front, segment])), 16);
  return segment;
}

/** Options of a SYN. */
export function synOptions(mss: number, shift: number | null = null): Uint8Array {
  const scale = shift === null ? [] : [1, 3, 3, shift];
  return Uint8Array.from([2, 4, mss >>> 8, mss & 255, ...scale]);
}

/**
 * A TCP segment that has arrived, with its address. `isSound`: its checksum is right; `isPartial`:
 * it is that of the pseudo header alone.
 */
export function parseTcp(bytes: Uint8Array) {
  const packet = parse(bytes);
  if (packet.kind !== "ip" || packet.protocol !== IPPROTO_TCP) return null;
  const b = packet.payload;
  const headerBytes = ((b[12] as number) >>> 4) * 4;
  const front = pseudo(packet.source, packet.destination, IPPROTO_TCP, b.length);
  return {
    source: packet.source,
    destination: packet.destination,
    sourcePort: b.readUInt16BE(0),
    port: b.readUInt16BE(2),
    seq: b.readUInt32BE(4),
    ack: b.readUInt32BE(8),
    flags: b[13] as number,
    window: b.readUInt16BE(14),
    options: b.subarray(20, headerBytes),
    payload: b.subarray(headerBytes),
    isSound:
      internetChecksum(Buffer.concat([front, b])) === 0 && internetChecksum(packet.header) === 0,
    isPartial:
      (internetChecksum(front) ^ b.readUInt16BE(16)) === 0xffff &&
      internetChecksum(packet.header) === 0,
  };
}

export type TcpArrival = NonNullable<ReturnType<typeof parseTcp>>;

const NAMES = [
  ["SYN", TH_SYN],
  ["FIN", TH_FIN],
  ["RST", TH_RST],
  ["PSH", TH_PUSH],
  ["ACK", TH_ACK],
] as const;

/** As in "SYN ACK", and the length of its payload if it has one. */
export function segmentText({ flags, payload }: TcpArrival): string {
  const names = NAMES.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name);
  return [...names, ...(payload.length > 0 ? [`${payload.length}`] : [])].join(" ");
}

export interface UdpFields {
  sourcePort: number;
  port: number;
  payload?: Uint8Array;
  /** Of the header; by default the right ones. */
  length?: number;
  sum?: number;
}

export function udpDatagram(source: string, destination: string, u: UdpFields): Buffer {
  const { payload = NOTHING } = u;
  const datagram = Buffer.concat([Buffer.alloc(8), payload]);
  datagram.writeUInt16BE(u.sourcePort, 0);
  datagram.writeUInt16BE(u.port, 2);
  datagram.writeUInt16BE(u.length ?? datagram.length, 4);
  const front = pseudo(source, destination, IPPROTO_UDP, datagram.length);
  const sum = internetChecksum(Buffer.concat([front, datagram])) || 0xffff;
  datagram.writeUInt16BE(u.sum ?? sum, 6);
  return datagram;
}

/** A datagram that has arrived. */
export function parseUdp(bytes: Uint8Array) {
  const packet = parse(bytes);
  if (packet.kind !== "ip" || packet.protocol !== IPPROTO_UDP) return null;
  const b = packet.payload;
  const front = pseudo(packet.source, packet.destination, IPPROTO_UDP, b.length);
  return {
    source: packet.source,
    destination: packet.destination,
    sourcePort: b.readUInt16BE(0),
    port: b.readUInt16BE(2),
    payload: b.subarray(8, b.readUInt16BE(4)),
    isSound: b.readUInt16BE(6) !== 0 && internetChecksum(Buffer.concat([front, b])) === 0,
  };
}
