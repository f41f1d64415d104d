// Ethernet frames as a test writes and reads them. It shares constants with the guest, and no code.
import { createHash } from "node:crypto";
import { ARPOP_REQUEST, ETH_P_ARP, ETH_P_IP, EthernetHdr } from "../../abi/ethernet.ts";
import { ICMP_ECHO, IP_DF, IPPROTO_ICMP } from "../../abi/ip.ts";

export const BROADCAST = "ff:ff:ff:ff:ff:ff";

export const mac = (text: string): Buffer => Buffer.from(text.replaceAll(":", ""), "hex");
export const macOf = (bytes: Uint8Array): string =>
  [...bytes].map((octet) => octet.toString(16).padStart(2, "0")).join(":");
export const ip = (text: string): Buffer => Buffer.from(text.split(".").map(Number));
export const ipNumber = (text: string): number => ip(text).readUInt32BE(0);

/** The address of machine `n` in these tests. */
export const card = (n: number): string => `02:74:6f:00:00:${n.toString(16).padStart(2, "0")}`;

/** Bytes that differ by seed. */
export function noise(bytes: number, seed = 0): Buffer {
  const out = Buffer.alloc(bytes);
  for (let i = 0, state = seed + 1; i < bytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0; // Numerical Recipes, 7.1
    out[i] = state >>> 24;
  }
  return out;
}

/** Of each, for comparison: its length, and a hash. */
export const digests = (frames: readonly Uint8Array[]): string[] =>
  frames.map((bytes) => `${bytes.length} ${createHash("sha1").update(bytes).digest("hex")}`);

export function frame(to: string, from: string, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(EthernetHdr.sizeof);
  mac(to).copy(header, EthernetHdr.h_dest);
  mac(from).copy(header, EthernetHdr.h_source);
  header.writeUInt16BE(type, EthernetHdr.h_proto);
  return Buffer.concat([header, payload]);
}

export interface Arp {
  op: number;
  /** Of the frame; default: broadcast, and the sender's. */
  to?: string;
  senderMac: string;
  sender: string;
  targetMac?: string;
  target: string;
  /** Octets of the fixed part that are not as they should be, by offset. */
  wrong?: Readonly<Record<number, number>>;
}

export function arp(a: Arp): Buffer {
  const fixed = Buffer.from([0, 1, 8, 0, 6, 4, 0, a.op]);
  for (const [at, octet] of Object.entries(a.wrong ?? {})) fixed[Number(at)] = octet;
  const target = mac(a.targetMac ?? "00:00:00:00:00:00");
  const packet = Buffer.concat([fixed, mac(a.senderMac), ip(a.sender), target, ip(a.target)]);
  return frame(a.to ?? BROADCAST, a.senderMac, ETH_P_ARP, packet);
}

export const whoHas = (target: string, sender: string, senderMac: string): Buffer =>
  arp({ op: ARPOP_REQUEST, senderMac, sender, target });

/** RFC 1071, the slow way. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return ~sum & 0xffff;
}

export interface Ip {
  to?: string;
  from?: string;
  source: string;
  destination: string;
  protocol?: number;
  /** Options, a multiple of four bytes. */
  options?: Uint8Array;
  payload?: Uint8Array;
  /** Bytes after the packet, as in a frame that was too short. */
  padding?: Uint8Array;
  fragment?: number;
  /** The header's fields after the checksum was right, by offset; `sum` makes it right again. */
  wrong?: Readonly<Record<number, number>>;
  sum?: boolean;
}

export function ipFrame(p: Ip): Buffer {
  const options = p.options ?? new Uint8Array(0);
  const payload = p.payload ?? new Uint8Array(0);
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(p.fragment ?? IP_DF, 6);
  header[8] = 64;
  header[9] = p.protocol ?? IPPROTO_ICMP;
  ip(p.source).copy(header, 12);
  ip(p.destination).copy(header, 16);
  header.set(options, 20);
  header.writeUInt16BE(internetChecksum(header), 10);
  for (const [at, octet] of Object.entries(p.wrong ?? {})) header[Number(at)] = octet;
  if (p.sum === true) {
    header.writeUInt16BE(0, 10);
    header.writeUInt16BE(internetChecksum(header), 10);
  }
  const packet = Buffer.concat([header, payload, p.padding ?? new Uint8Array(0)]);
  return frame(p.to ?? BROADCAST, p.from ?? card(9), ETH_P_IP, packet);
}

export interface Echo {
  type?: number;
  id?: number;
  sequence?: number;
  data?: Uint8Array;
}

export function echo({ type = ICMP_ECHO, id = 1, sequence = 1, data = noise(8) }: Echo): Buffer {
  const message = Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]), data]);
  message.writeUInt16BE(id, 4);
  message.writeUInt16BE(sequence, 6);
  message.writeUInt16BE(internetChecksum(message), 2);
  return message;
}

/** A frame taken apart, as far as these tests look. */
export function parse(bytes: Uint8Array) {
  const b = Buffer.from(bytes);
  const type = b.readUInt16BE(12);
  const base = { to: macOf(b.subarray(0, 6)), from: macOf(b.subarray(6, 12)), type, bytes: b };
  const dotted = (at: number) => [...b.subarray(at, at + 4)].join(".");
  if (type === ETH_P_ARP) {
    return {
      ...base,
      kind: "arp" as const,
      op: b.readUInt16BE(20),
      senderMac: macOf(b.subarray(22, 28)),
      sender: dotted(28),
      targetMac: macOf(b.subarray(32, 38)),
      target: dotted(38),
    };
  }
  const headerBytes = ((b[14] as number) & 15) * 4;
  return {
    ...base,
    kind: "ip" as const,
    header: b.subarray(14, 14 + headerBytes),
    source: dotted(26),
    destination: dotted(30),
    protocol: b[23] as number,
    payload: b.subarray(14 + headerBytes, 14 + b.readUInt16BE(16)),
  };
}
