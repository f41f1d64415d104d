// Frames to the guest: the receive queue (virtio 5.1.6.3), and frames that wait for buffers in it.
import { NetHdr } from "../../../abi/net.ts";
import { joinBytes } from "../../bytes.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import { type Frame, WholeFrame } from "./frame.ts";
import { RxRing } from "./rx-ring.ts";
import type { NetStats } from "./stats.ts";
import type { FrameTap } from "./tap.ts";

/** Frames that wait while the guest has posted no buffers; a further one is dropped (NB3). */
const WAITING_FRAMES_MAX = 256;
const WAITING_BYTES_MAX = 1024 * 1024;

/** The header of a frame without offloads, in one buffer (NW19, NW21, NW22). */
const HEADER = new Uint8Array(NetHdr.sizeof);
HEADER[NetHdr.num_buffers] = 1;

export class ToGuest {
  /** Sees every frame; set before the driver is ready. */
  tap: FrameTap | null;
  readonly #stats: NetStats;
  readonly #bytesMax: number;
  #ring: RxRing | null = null;
  #waiting: Frame[] = [];
  #waitingBytes = 0;

  /** `bytesMax`: of a frame. */
  constructor(stats: NetStats, bytesMax: number, tap: FrameTap | null) {
    this.#stats = stats;
    this.#bytesMax = bytesMax;
    this.tap = tap;
  }

  /** null: the guest has no driver. */
  get queue(): VirtQueue | null {
    return this.#ring?.queue ?? null;
  }

  /** Frames that wait for buffers. */
  get waiting(): number {
    return this.#waiting.length;
  }

  begin(queue: VirtQueue | null): void {
    this.clear();
    this.#ring = queue === null ? null : new RxRing(queue, this.#stats);
  }

  /** Drops the frames that wait. */
  clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Card.deliver() */
  deliver(frame: Frame): void {
    const { dropped } = this.#stats;
    if (this.#ring === null) dropped.noLink++;
    else if (frame.bytes > this.#bytesMax) dropped.tooLong++;
    else if (this.#waiting.length > 0 || !this.#place(this.#ring, frame)) this.#wait(frame);
  }

  /** Card.offer() */
  offer(frame: Frame): boolean {
    const ring = this.#ring;
    if (ring === null || this.#waiting.length > 0) return false;
    if (frame.bytes > this.#bytesMax) this.#stats.dropped.tooLong++;
    else return this.#place(ring, frame);
    return true;
  }

  /** The guest has posted buffers: frames that wait go first. */
  pump(): void {
    let placed = 0;
    for (const frame of this.#waiting) {
      if (this.#ring === null || !this.#place(this.#ring, frame)) break;
      this.#waitingBytes -= frame.bytes;
      placed++;
    }
    if (placed > 0) this.#waiting.splice(0, placed);
  }

  /** False: it has to wait. A frame that none of the posted buffers holds is dropped (NW26). */
  #place(ring: RxRing, frame: Frame): boolean {
    const chain = ring.take(frame.bytes);
    if (chain !== null) this.#fill(chain, frame);
    else if (ring.mayHold) return false;
    else this.#stats.dropped.noFit++;
    return true;
  }

  /** The one copy of a frame (NB5). */
  #fill(chain: Chain, frame: Frame): void {
    chain.copyTo(0, HEADER);
    let at: number = NetHdr.sizeof;
    for (const part of frame.parts) at += chain.copyTo(at, part);
    this.#stats.framesToGuest++;
    this.#stats.bytesToGuest += frame.bytes;
    this.#stats.copiedToGuest += frame.bytes;
    this.tap?.toGuest(frame);
    chain.release(at);
  }

  #wait(frame: Frame): void {
    const bytes = this.#waitingBytes + frame.bytes;
    if (this.#waiting.length === WAITING_FRAMES_MAX || bytes > WAITING_BYTES_MAX) {
      this.#stats.dropped.queueFull++;
      return;
    }
    this.#stats.copiedToQueue += frame.bytes;
    this.#waitingBytes = bytes;
    this.#waiting.push(new WholeFrame(joinBytes(frame.parts)));
  }
}
