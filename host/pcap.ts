// A pcap stream: a header, and a record for each packet, by times of the wall clock.
import type { Clock } from "./ports/clock.ts";
import { WallClock } from "./wall-clock.ts";

/** The magic says in what the fraction of a second is counted: nanoseconds for each of it. */
const PCAP_MAGIC = { 1000: 0xa1b2c3d4, 1: 0xa1b23c4d } as const;
/** Of one unit of the records' time stamps. */
export type PcapUnitNs = keyof typeof PCAP_MAGIC;
const NS_PER_S = 1_000_000_000n;
const PCAP_VERSION_MAJOR = 2;
const PCAP_VERSION_MINOR = 4;

/** The file header. Byte offsets; numbers are little-endian, as the magic shows. */
const enum PcapFile {
  magic = 0,
  version_major = 4, // u16
  version_minor = 6, // u16
  snaplen = 16,
  linktype = 20,
  sizeof = 24,
}

/** The header of each record. Byte offsets. */
export const enum PcapRecord {
  ts_sec = 0,
  ts_frac = 4, // in the unit that the magic tells
  incl_len = 8,
  orig_len = 12,
  sizeof = 16,
}

/** Limits of a capture. */
export interface CaptureOptions {
  /** The most bytes of a packet that are kept, headers included. Its length is kept anyway. */
  readonly snaplen?: number;
  /** Only packets from or to this port. */
  readonly port?: number | null;
}

/** Takes packets as records. `write` gets the file header at once, then one record per call. */
export class PcapWriter {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #clock: Clock;
  readonly #wall: WallClock;
  readonly #snaplen: number;
  readonly #unitNs: PcapUnitNs;
  // Of the clock, since 1970. The sum of both in nanoseconds would not be exact.
  #originSeconds = 0;
  #originNs = 0;

  /** `snaplen` covers what follows the record's header. */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock,
    linktype: number,
    snaplen: number,
    unitNs: PcapUnitNs = 1000,
  ) {
    this.#write = write;
    this.#clock = clock;
    this.#wall = new WallClock(clock);
    this.#snaplen = snaplen;
    this.#unitNs = unitNs;
    write(pcapHeader(linktype, snaplen, unitNs));
  }

  /**
   * Writes a packet of `bytes` bytes, of which `kept` are in the record, after room for its header.
   */
  record(record: Uint8Array, view: DataView, kept: number, bytes: number): void {
    const now = this.#clock.now();
    if (this.#wall.look(now)) {
      this.#originSeconds = Number(this.#wall.offsetNs / NS_PER_S);
      this.#originNs = Number(this.#wall.offsetNs % NS_PER_S);
    }
    const ns = this.#originNs + Math.floor(now);
    const seconds = Math.floor(ns / 1e9);
    const included = Math.min(kept, this.#snaplen);
    view.setUint32(PcapRecord.ts_sec, this.#originSeconds + seconds, true);
    const fraction = Math.floor((ns - seconds * 1e9) / this.#unitNs);
    view.setUint32(PcapRecord.ts_frac, fraction, true);
    view.setUint32(PcapRecord.incl_len, included, true);
    view.setUint32(PcapRecord.orig_len, bytes, true);
    this.#write(record.subarray(0, PcapRecord.sizeof + included));
  }
}

/** The header of a file, which may be repeated at the beginning of another. */
function pcapHeader(linktype: number, snaplen: number, unitNs: PcapUnitNs): Uint8Array {
  const bytes = new Uint8Array(PcapFile.sizeof);
  const view = new DataView(bytes.buffer);
  view.setUint32(PcapFile.magic, PCAP_MAGIC[unitNs], true);
  view.setUint16(PcapFile.version_major, PCAP_VERSION_MAJOR, true);
  view.setUint16(PcapFile.version_minor, PCAP_VERSION_MINOR, true);
  view.setUint32(PcapFile.snaplen, snaplen, true);
  view.setUint32(PcapFile.linktype, linktype, true);
  return bytes;
}
