// Frames from the guest: the transmit queue (virtio 5.1.6.2).
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NetHdr, VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE } from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import type { Frame } from "./frame.ts";
import { readMac } from "./mac.ts";
import type { NetStats } from "./stats.ts";

/** The guest's frames that are moved before other events of the host have their turn (NG8). */
const FRAMES_PER_TURN = 64;
const BYTES_PER_TURN = 256 * 1024;

/** Bytes in front of a frame's payload: they are copied, so that they are read once (NG11). */
const FRONT_BYTES = NetHdr.sizeof + EthernetHdr.sizeof;

/** The frame of a chain. One object serves all: its fields are valid until the next read(). */
class GuestFrame implements Frame {
  bytes = 0;
  destination = 0;
  source = 0;
  readonly parts: Uint8Array[] = [];
  readonly #front = new Uint8Array(FRONT_BYTES);
  readonly #view = new DataView(this.#front.buffer);
  readonly #header = this.#front.subarray(NetHdr.sizeof);

  /** False: the chain holds no frame (NG1, NG3). */
  read(chain: Chain): boolean {
    if (chain.readableBytes < FRONT_BYTES || chain.writableBytes > 0) return false;
    chain.copyFrom(0, this.#front);
    this.bytes = chain.readableBytes - NetHdr.sizeof;
    this.destination = readMac(this.#view, NetHdr.sizeof + EthernetHdr.h_dest);
    this.source = readMac(this.#view, NetHdr.sizeof + EthernetHdr.h_source);
    this.parts.length = 0;
    this.parts.push(this.#header);
    chain.readable(FRONT_BYTES, this.bytes - EthernetHdr.sizeof, this.parts);
    return true;
  }

  /** Does it ask for work that no feature promises? Other bits and fields say nothing (NW14). */
  get wantsOffload(): boolean {
    const flags = this.#view.getUint8(NetHdr.flags);
    const gso = this.#view.getUint8(NetHdr.gso_type);
    return (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0 || gso !== VIRTIO_NET_HDR_GSO_NONE;
  }
}

export class FromGuest {
  /** null while the guest has no driver. */
  queue: VirtQueue | null = null;
  readonly #stats: NetStats;
  readonly #bytesMax: number;
  readonly #handle: (frame: Frame) => void;
  readonly #frame = new GuestFrame();

  /** `bytesMax`: of a frame. `handle` is given each that is valid. */
  constructor(stats: NetStats, bytesMax: number, handle: (frame: Frame) => void) {
    this.#stats = stats;
    this.#bytesMax = bytesMax;
    this.#handle = handle;
  }

  /** Moves frames until there are none (false) or a turn's worth of them has been moved (true). */
  take(): boolean {
    const { queue } = this;
    let bytes = 0;
    for (let frames = 0; frames < FRAMES_PER_TURN && bytes < BYTES_PER_TURN; frames++) {
      const chain = queue?.pop() ?? null;
      if (chain === null) return false;
      bytes += chain.readableBytes;
      this.#receive(chain);
      chain.release(0); // NW16
    }
    return true;
  }

  #receive(chain: Chain): void {
    const stats = this.#stats;
    const frame = this.#frame;
    if (!frame.read(chain)) {
      stats.rejected++;
    } else if (frame.wantsOffload) {
      stats.dropped.offload++;
    } else if (frame.bytes > this.#bytesMax) {
      stats.dropped.tooLong++;
    } else {
      stats.framesFromGuest++;
      stats.bytesFromGuest += frame.bytes;
      this.#handle(frame);
    }
  }
}
