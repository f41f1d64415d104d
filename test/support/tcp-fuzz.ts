// Segments that are almost right: a valid one of a conversation, of which one to three things are
// changed, with a checksum that is right again in half of the cases.
import { internetChecksum } from "./frames.ts";
import type { Random } from "./simulation-random.ts";
import { pattern, type Segment, type TcpGuest, type Written, writeSegment } from "./tcp-guest.ts";

const IP = 14;
const TCP = IP + 20;
const [FIN, SYN, RST, PSH, ACK] = [1, 2, 4, 8, 16];
const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
const DISTANCES = [0, 1, -1, 2, 100, 1460, -1460, 65535, -65535, 1 << 20, 0x7fffffff, 0x80000000];

/** A connection of the peer, as far as it follows it: unacknowledged bytes are gone. */
export class Conversation {
  readonly port: number;
  seq: number; // the next of ours that the guest expects
  ack = 0; // the next of the guest's
  hasTimestamps: boolean;
  echo = 0; // the guest's clock
  isOpen = false;

  constructor(port: number, random: Random) {
    this.port = port;
    this.seq = random.below(2 ** 32);
    this.hasTimestamps = random.chance(0.5);
  }

  /** The guest has sent a segment to this port. */
  hear(one: Segment): void {
    if ((one.flags & RST) !== 0) return;
    this.ack = (one.seq + one.payload.length + (one.flags & SYN ? 1 : 0) + (one.flags & FIN)) >>> 0;
    if ((one.flags & ACK) !== 0) this.seq = one.ack;
    if (one.ts) this.echo = one.ts[0];
    this.isOpen = true;
  }

  syn(): Written {
    const ts: [number, number] = [1, 0];
    return {
      ...this.#ends(SYN),
      mss: 1460,
      scale: 7,
      sack: true,
      ...(this.hasTimestamps ? { ts } : {}),
    };
  }

  /** A segment that a peer could send now. */
  next(random: Random): Written {
    const flags = ACK | random.any([0, 0, 0, PSH, FIN, 0]) | (random.chance(0.02) ? RST : 0);
    const bytes = random.any([0, 0, 1, 10, 536, 1460]);
    const written: Written = { ...this.#ends(flags), payload: pattern(this.seq, bytes) };
    if (this.hasTimestamps) written.ts = [2 + random.below(100), this.echo];
    if (random.chance(0.2)) written.blocks = this.#blocks(random);
    if (random.chance(0.2)) written.seq = (this.seq + random.below(20_000)) >>> 0;
    if (random.chance(0.2)) written.ack = (this.ack - random.below(3000)) >>> 0;
    return written;
  }

  #ends(flags: number): Written {
    return { source: this.port, dest: 80, flags, seq: this.seq, ack: this.ack, win: 60_000 };
  }

  #blocks(random: Random): [number, number][] {
    return Array.from({ length: random.between(1, this.hasTimestamps ? 3 : 4) }, () => {
      const from = this.ack - random.below(20_000);
      return [from >>> 0, (from + random.below(3000)) >>> 0] as [number, number];
    });
  }
}

/** A number of 32 bits in the frame, moved by something that is likely to matter. */
function move(bytes: Buffer, at: number, random: Random): void {
  if (at + 4 > bytes.length) return;
  bytes.writeUInt32BE((bytes.readUInt32BE(at) + random.any(DISTANCES)) >>> 0, at);
}

/** One change to a frame; it may get shorter or longer. */
function mutate(frame: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(frame);
  const at = random.between(TCP, bytes.length - 1);
  switch (random.below(9)) {
    case 0: // its numbers
      move(bytes, TCP + random.any([4, 8]), random);
      return bytes;
    case 1: // flags
      bytes[TCP + 13] = random.below(256);
      return bytes;
    case 2: // window, data offset, urgent pointer
      bytes[TCP + random.any([12, 14, 15, 18, 19])] = random.any(EXTREMES);
      return bytes;
    case 3:
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 4:
      bytes[at] = random.any(EXTREMES);
      return bytes;
    case 5:
      return bytes.subarray(0, at);
    case 6: {
      const part = bytes.subarray(at, at + 1 + random.below(24));
      return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
    }
    case 7: // a number within the options
      move(bytes, TCP + 20 + random.below(36), random);
      return bytes;
    default: // of IP
      bytes[IP + random.below(20)] = random.any(EXTREMES);
      return bytes;
  }
}

/** Lengths and checksums as they should be, where the headers are there. */
function repair(frame: Buffer): void {
  if (frame.length < TCP) return;
  frame[IP] = 0x45;
  frame.writeUInt16BE(frame.length - IP, IP + 2);
  frame.writeUInt16BE(0, IP + 10);
  frame.writeUInt16BE(internetChecksum(frame.subarray(IP, TCP)), IP + 10);
  const segment = frame.subarray(TCP);
  if (segment.length < 18) return;
  segment.writeUInt16BE(0, 16);
  const pseudo = Buffer.from([0, 6, segment.length >> 8, segment.length & 255]);
  const sum = internetChecksum(Buffer.concat([frame.subarray(IP + 12, TCP), pseudo, segment]));
  segment.writeUInt16BE(sum, 16);
}

/** A frame with one to three changes. */
export function spoil(written: Written, random: Random): Buffer {
  let bytes = writeSegment(written);
  for (let i = random.below(3); i >= 0; i--) bytes = mutate(bytes, random);
  if (random.chance(0.5)) repair(bytes);
  return bytes.subarray(0, 1514);
}

/** Segments of the guest reach the conversations they were for. Returns them. */
export function hearAll(g: TcpGuest, conversations: ReadonlyMap<number, Conversation>): Segment[] {
  const segments = g.segments();
  for (const one of segments) conversations.get(one.dest)?.hear(one);
  return segments;
}
