// Frames of TCP over IPv4, complete or with work left to a card, as a test writes and reads them.
import { NetHdr } from "../../abi/net.ts";
import { card, internetChecksum, ip, ipFrame, noise } from "./frames.ts";

export interface TcpFrame {
  to?: string;
  from?: string;
  payload?: Uint8Array;
  options?: Uint8Array;
  ipOptions?: Uint8Array;
  flags?: number;
  seq?: number;
  id?: number;
  /** Is the checksum left to the card? Then it is the sum of the pseudo header. */
  isPartial?: boolean;
}

const [SOURCE, DESTINATION] = ["10.0.0.1", "10.0.0.2"];

/** A checksum of TCP or UDP covers this beside its packet. */
export function pseudoHeader(protocol: number, bytes: number, addresses?: Uint8Array): Buffer {
  const tail = Buffer.from([0, protocol, bytes >> 8, bytes & 0xff]);
  return Buffer.concat([addresses ?? Buffer.concat([ip(SOURCE), ip(DESTINATION)]), tail]);
}

export function tcpFrame(t: TcpFrame = {}): Buffer {
  const { options = new Uint8Array(0), payload = noise(100) } = t;
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(40000, 0);
  header.writeUInt16BE(80, 2);
  header.writeUInt32BE(t.seq ?? 1000, 4);
  header.writeUInt32BE(77, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = t.flags ?? 0x10;
  header.writeUInt16BE(8192, 14);
  header.set(options, 20);
  const segment = Buffer.concat([header, payload]);
  const pseudo = pseudoHeader(6, segment.length);
  const covered = t.isPartial === true ? pseudo : Buffer.concat([pseudo, segment]);
  const sum = internetChecksum(covered);
  segment.writeUInt16BE(t.isPartial === true ? ~sum & 0xffff : sum, 16);
  return ipFrame({
    to: t.to ?? card(2),
    from: t.from ?? card(1),
    source: SOURCE,
    destination: DESTINATION,
    protocol: 6,
    payload: segment,
    wrong: { 4: (t.id ?? 0) >> 8, 5: (t.id ?? 0) & 0xff },
    sum: true,
    ...(t.ipOptions === undefined ? {} : { options: t.ipOptions }),
  });
}

/** A frame of TCP taken apart; `isGood`: both its checksums are right, and its lengths. */
export function parseTcp(frame: Uint8Array) {
  const b = Buffer.from(frame);
  const tcp = 14 + ((b[14] as number) & 15) * 4;
  const payloadAt = tcp + ((b[tcp + 12] as number) >> 4) * 4;
  const segment = b.subarray(tcp);
  const pseudo = pseudoHeader(6, segment.length, b.subarray(26, 34));
  const sums = [
    internetChecksum(b.subarray(14, tcp)),
    internetChecksum(Buffer.concat([pseudo, segment])),
  ];
  return {
    isGood: sums.every((sum) => sum === 0) && b.readUInt16BE(16) === b.length - 14,
    id: b.readUInt16BE(18),
    seq: b.readUInt32BE(tcp + 4),
    flags: b[tcp + 13] as number,
    options: b.subarray(tcp + 20, payloadAt),
    payload: b.subarray(payloadAt),
  };
}

export interface Work {
  /** 0: no checksum is asked for. */
  flags?: number;
  type?: number;
  hint?: number;
  size?: number;
  start?: number;
  offset?: number;
}

/** The header of virtio-net that asks for work: a checksum of TCP, unless it says otherwise. */
export function workHeader(work: Work = {}): Buffer {
  const header = Buffer.alloc(NetHdr.sizeof);
  header[NetHdr.flags] = work.flags ?? 1;
  header[NetHdr.gso_type] = work.type ?? 0;
  header.writeUInt16LE(work.hint ?? 0, NetHdr.hdr_len);
  header.writeUInt16LE(work.size ?? 0, NetHdr.gso_size);
  header.writeUInt16LE(work.start ?? 34, NetHdr.csum_start);
  header.writeUInt16LE(work.offset ?? 16, NetHdr.csum_offset);
  return header;
}

/** The same, read. */
export function readWork(header: Uint8Array): Required<Work> & { buffers: number } {
  const b = Buffer.from(header);
  return {
    flags: b[NetHdr.flags] as number,
    type: b[NetHdr.gso_type] as number,
    hint: b.readUInt16LE(NetHdr.hdr_len),
    size: b.readUInt16LE(NetHdr.gso_size),
    start: b.readUInt16LE(NetHdr.csum_start),
    offset: b.readUInt16LE(NetHdr.csum_offset),
    buffers: b.readUInt16LE(NetHdr.num_buffers),
  };
}
