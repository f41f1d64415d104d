// Frames from the guest: the transmit queue (virtio 5.1.6.2).
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NET_FRAME_BYTES_MAX, NetHdr } from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import { type Frame, wireBytesOf } from "./frame.ts";
import { readMac } from "./mac.ts";
import {
  asksForWork,
  HEADERS_BYTES_MAX,
  NO_RIGHTS,
  type Offload,
  type OffloadRights,
  readOffload,
} from "./offload/offload.ts";
import type { NetStats } from "./stats.ts";

/** The guest's frames that are moved before other events of the host have their turn (NG8). */
const FRAMES_PER_TURN = 64;
const BYTES_PER_TURN = 256 * 1024;

/** The rest of a turn's work, over all queues. */
export interface Budget {
  frames: number;
  bytes: number;
}

export function turnBudget(): Budget {
  return { frames: FRAMES_PER_TURN, bytes: BYTES_PER_TURN };
}

/** Bytes of every chain that are copied, so that they are read once (NG11). */
const FRONT_BYTES = NetHdr.sizeof + EthernetHdr.sizeof;

/** The frame of a chain. One object serves all: its fields are valid until the next read(). */
class GuestFrame implements Frame {
  bytes = 0;
  destination = 0;
  source = 0;
  offload: Offload | null = null;
  readonly parts: Uint8Array[] = [];
  readonly #front = new Uint8Array(FRONT_BYTES);
  readonly #view = new DataView(this.#front.buffer);
  readonly #ethernet = this.#front.subarray(NetHdr.sizeof);
  /** Of a frame with work: all its headers, which are copied at once. */
  readonly #headers = new Uint8Array(HEADERS_BYTES_MAX);
  readonly #headersView = new DataView(this.#headers.buffer);

  /** False: the chain holds no frame (NG1, NG3). */
  read(chain: Chain): boolean {
    if (chain.readableBytes < FRONT_BYTES || chain.writableBytes > 0) return false;
    chain.copyFrom(0, this.#front);
    this.offload = null;
    this.bytes = chain.readableBytes - NetHdr.sizeof;
    this.destination = readMac(this.#view, NetHdr.sizeof + EthernetHdr.h_dest);
    this.source = readMac(this.#view, NetHdr.sizeof + EthernetHdr.h_source);
    this.parts.length = 0;
    this.parts.push(this.#ethernet);
    chain.readable(FRONT_BYTES, this.bytes - EthernetHdr.sizeof, this.parts);
    return true;
  }

  /** False: it asks for work that was not negotiated, or cannot be done. */
  readOffload(chain: Chain, rights: OffloadRights): boolean {
    if (!asksForWork(this.#view)) return true;
    const headerBytes = Math.min(this.bytes, HEADERS_BYTES_MAX);
    const headers = this.#headers.subarray(0, headerBytes);
    chain.copyFrom(NetHdr.sizeof, headers);
    const offload = readOffload(this.#view, this.#headersView, this.bytes, rights);
    if (offload === "wrong") return false;
    this.offload = offload;
    this.destination = readMac(this.#headersView, EthernetHdr.h_dest);
    this.source = readMac(this.#headersView, EthernetHdr.h_source);
    this.parts.length = 0;
    this.parts.push(headers);
    chain.readable(NetHdr.sizeof + headerBytes, this.bytes - headerBytes, this.parts);
    return true;
  }
}

export class FromGuest {
  /** null while the guest has no driver. */
  queue: VirtQueue | null = null;
  /** The guest may ask for this. */
  rights = NO_RIGHTS;
  readonly #stats: NetStats;
  readonly #bytesMax: number;
  readonly #handle: (frame: Frame) => void;
  readonly #frame = new GuestFrame();

  /** `bytesMax`: of a frame that is one. `handle` is given each that is valid. */
  constructor(stats: NetStats, bytesMax: number, handle: (frame: Frame) => void) {
    this.#stats = stats;
    this.#bytesMax = bytesMax;
    this.#handle = handle;
  }

  /** Moves frames until there are none (false) or the budget is spent (true). */
  take(budget: Budget): boolean {
    const { queue } = this;
    for (; budget.frames > 0 && budget.bytes > 0; budget.frames--) {
      const chain = queue?.pop() ?? null;
      if (chain === null) return false;
      budget.bytes -= chain.readableBytes;
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
    } else if (frame.bytes > NET_FRAME_BYTES_MAX) {
      stats.dropped.tooLong++;
    } else if (!frame.readOffload(chain, this.rights)) {
      stats.dropped.offload++;
    } else if (wireBytesOf(frame) > this.#bytesMax) {
      stats.dropped.tooLong++;
    } else {
      stats.framesFromGuest++;
      stats.bytesFromGuest += frame.bytes;
      this.#handle(frame);
    }
  }
}
