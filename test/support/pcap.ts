// Captures as a reader of them sees them: taken apart, and put together for comparison.

import { ManualClock } from "../../host/manual-clock.ts";
import { PacketCapture } from "../../host/node/devices.ts";

export const FRONT_BYTES = 24;
const RECORD_BYTES = 16;
const MON_BYTES = 32;

export interface CapturedPacket {
  readonly us: number;
  /** Bytes that it had when it was cut, the header in front of it included. */
  readonly fullBytes: number;
  readonly monOp: number;
  readonly packet: Buffer;
}

/** A capture into memory, on a clock that the test turns. */
export class Captured {
  readonly clock = new ManualClock();
  readonly writes: Buffer[] = [];
  readonly capture = new PacketCapture(
    (bytes) => void this.writes.push(Buffer.from(bytes)),
    this.clock,
  );
  #seen = 1; // the front of the stream

  /** Records since the last call. */
  take(): Buffer[] {
    const fresh = this.writes.slice(this.#seen);
    this.#seen = this.writes.length;
    return fresh;
  }

  get file(): Buffer {
    return Buffer.concat(this.writes);
  }
}

/** The record of a whole packet, header and payload in one. */
export function record(us: number, monOp: number, packet: Uint8Array): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES + MON_BYTES);
  bytes.writeUInt32LE(Math.floor(us / 1e6), 0);
  bytes.writeUInt32LE(us % 1e6, 4);
  bytes.writeUInt32LE(MON_BYTES + packet.length, 8);
  bytes.writeUInt32LE(MON_BYTES + packet.length, 12);
  bytes.set(packet.subarray(0, 24), RECORD_BYTES); // both CIDs, both ports
  bytes.writeUInt16LE(monOp, RECORD_BYTES + 24);
  bytes.writeUInt16LE(2, RECORD_BYTES + 26);
  bytes.writeUInt16LE(44, RECORD_BYTES + 28);
  return Buffer.concat([bytes, packet]);
}

/** The packets of a whole file. Throws if it does not end with the end of one. */
export function parseCapture(file: Buffer): CapturedPacket[] {
  const packets: CapturedPacket[] = [];
  for (let at = FRONT_BYTES; at < file.length; ) {
    const bytes = file.readUInt32LE(at + 8);
    const end = at + RECORD_BYTES + bytes;
    if (end > file.length) throw new Error(`the record at ${at} is cut off`);
    packets.push({
      us: file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4),
      fullBytes: file.readUInt32LE(at + 12),
      monOp: file.readUInt16LE(at + RECORD_BYTES + 24),
      packet: file.subarray(at + RECORD_BYTES + MON_BYTES, end),
    });
    at = end;
  }
  return packets;
}
