// A capture of a network device that Wireshark reads: a pcap stream of Ethernet frames, with time
// stamps in nanoseconds.
import { NET_FRAME_BYTES_MAX } from "../../../abi/net.ts";
import { putBytes } from "../../bytes.ts";
import { type CaptureOptions, PcapRecord, PcapWriter } from "../../pcap.ts";
import type { Clock } from "../../ports/clock.ts";
import type { Frame } from "./frame.ts";
import type { FrameTap } from "./tap.ts";

const LINKTYPE_ETHERNET = 1;
/** Writes one record per frame. Its copies are not counted: they are not part of the data path. */
export class FrameCapture implements FrameTap {
  readonly #pcap: PcapWriter;
  readonly #record = new Uint8Array(PcapRecord.sizeof + NET_FRAME_BYTES_MAX);
  readonly #view = new DataView(this.#record.buffer);

  /**
   * `write` is given the file header at once, and one whole record per call from then on. It must
   * copy the bytes before it returns, and must not throw.
   */
  constructor(
    write: (bytes: Uint8Array) => void,
    clock: Clock,
    { snaplen = NET_FRAME_BYTES_MAX }: Pick<CaptureOptions, "snaplen"> = {},
  ) {
    this.#pcap = new PcapWriter(write, clock, LINKTYPE_ETHERNET, snaplen, 1);
  }

  fromGuest(frame: Frame): void {
    this.#write(frame);
  }

  toGuest(frame: Frame): void {
    this.#write(frame);
  }

  #write({ parts, bytes }: Frame): void {
    putBytes(this.#record, PcapRecord.sizeof, parts);
    this.#pcap.record(this.#record, this.#view, bytes, bytes);
  }
}
