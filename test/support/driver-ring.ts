// Driver half of one queue, played by the test: chains in rings of any kind, kicks only where the
// device asked for them, and a look at each interrupt, whether it was due.
import {
  needEvent,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VirtqAvail,
  VirtqDesc,
  VirtqUsed,
  VirtqUsedElem,
} from "../../abi/virtio.ts";
import type { GuestMemory } from "../../host/memory.ts";
import { VirtQueue } from "../../host/virtqueue.ts";
import type { RingKind } from "./ring-kinds.ts";

/** A piece of a buffer: bytes that the device reads, or a number of bytes that it may write. */
export type Piece = Uint8Array | number;

export interface UsedBuffer {
  readonly head: number;
  readonly len: number;
  /** Copy of all pieces. */
  readonly bytes: Uint8Array;
}

const SIZE_MAX = 2048;
const AVAIL = SIZE_MAX * VirtqDesc.sizeof;
const USED = AVAIL + 0x2000;
const ARENA = 0x10000;
const END = 0x400000;

/** Its rings stand at `base`. Buffers are taken from an arena after them that wraps around. */
export class DriverRing {
  readonly queue: VirtQueue;
  interrupts = 0;
  kicks = 0;
  readonly faults: string[] = [];
  readonly #memory: GuestMemory;
  readonly #kind: RingKind;
  readonly #base: number;
  readonly #free: number[] = [];
  readonly #chains = new Map<number, { indexes: number[]; pieces: Uint8Array[] }>();
  #next: number;
  #availIdx = 0;
  #kickedIdx = 0;
  #usedIdx = 0;
  #interruptsSeen = 0;
  #wanted = true;
  #detached = false;

  constructor(memory: GuestMemory, name: string, base: number, size: number, kind: RingKind) {
    if (size > SIZE_MAX) throw new Error("the test's ring is too large");
    this.#memory = memory;
    this.#kind = kind;
    this.#base = base;
    this.#next = base + ARENA;
    for (let i = 0; i < size; i++) this.#free.push(i);
    memory.bytes(base, ARENA).fill(0);
    this.queue = new VirtQueue(memory, {
      name,
      size,
      desc: base,
      avail: base + AVAIL,
      used: base + USED,
      indirect: kind.indirect,
      eventIdx: kind.eventIdx,
      interrupt: () => this.interrupts++,
      rejected: (error) => this.faults.push(error.message),
      broken: (error) => this.faults.push(error.message),
    });
  }

  /** Descriptors that the driver may use. */
  get free(): number {
    return this.#free.length;
  }

  /** Makes a buffer available; returns its head. */
  add(pieces: readonly Piece[]): number {
    const views = pieces.map((piece) => this.#place(piece));
    const count = this.#kind.indirect ? 1 : pieces.length;
    if (this.#free.length < count) throw new Error("the test's ring is full");
    const indexes = this.#free.splice(0, count);
    const head = indexes[0] as number;
    if (this.#kind.indirect) {
      const table = this.#take(pieces.length * VirtqDesc.sizeof);
      this.#describe(this.#base, head, table, VIRTQ_DESC_F_INDIRECT, 0);
      const order = pieces.map((_, i) => i);
      this.#chain(table.byteOffset, order, pieces, views);
    } else {
      this.#chain(this.#base, indexes, pieces, views);
    }
    this.#chains.set(head, { indexes, pieces: views });
    const { view } = this.#memory;
    const slot = (this.#availIdx % this.queue.size) * 2;
    view.setUint16(this.#avail + VirtqAvail.ring + slot, head, true);
    this.#availIdx = (this.#availIdx + 1) & 0xffff;
    view.setUint16(this.#avail + VirtqAvail.idx, this.#availIdx, true);
    return head;
  }

  /** Is a kick due for what was added since the last call? (S13: flags or avail_event) */
  kick(): boolean {
    const { view } = this.#memory;
    const event = this.#used + VirtqUsed.ring + this.queue.size * VirtqUsedElem.sizeof;
    const flags = view.getUint16(this.#used + VirtqUsed.flags, true);
    if (this.#kind.eventIdx && flags !== 0) throw new Error("flags are set beside EVENT_IDX");
    const old = this.#kickedIdx;
    this.#kickedIdx = this.#availIdx;
    const due = this.#kind.eventIdx
      ? needEvent(view.getUint16(event, true), this.#availIdx, old)
      : this.#availIdx !== old && (flags & 1) === 0;
    if (due) this.kicks++;
    return Boolean(due);
  }

  /** Does the driver want to hear of used buffers? Where EVENT_IDX decides, the flag says no. */
  set wantsInterrupts(wanted: boolean) {
    this.#wanted = wanted;
    const flag = wanted || this.#kind.eventIdx ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT;
    this.#memory.view.setUint16(this.#avail, flag, true);
    this.#publishUsedEvent();
  }

  /** The device is reset: nothing of the ring may change any more. */
  detach(): void {
    this.queue.detach();
    this.#detached = true;
  }

  /** Takes back what the device has used since the last call, and asks for the next interrupt. */
  used(): UsedBuffer[] {
    const { view } = this.#memory;
    const out: UsedBuffer[] = [];
    while (this.#usedIdx !== view.getUint16(this.#used + VirtqUsed.idx, true)) {
      const slot = (this.#usedIdx % this.queue.size) * VirtqUsedElem.sizeof;
      const head = view.getUint32(this.#used + VirtqUsed.ring + slot + VirtqUsedElem.id, true);
      const len = view.getUint32(this.#used + VirtqUsed.ring + slot + VirtqUsedElem.len, true);
      const chain = this.#chains.get(head);
      if (chain === undefined) throw new Error(`head ${head} was used twice`);
      this.#chains.delete(head);
      this.#free.push(...chain.indexes);
      this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
      out.push({ head, len, bytes: Uint8Array.from(Buffer.concat(chain.pieces)) });
    }
    this.#checkInterrupts(out.length);
    this.#publishUsedEvent();
    return out;
  }

  /** S11, S12: as many as the driver asked for, by flag or by used_event. */
  #checkInterrupts(used: number): void {
    const seen = this.interrupts - this.#interruptsSeen;
    this.#interruptsSeen = this.interrupts;
    if (this.#detached) return;
    const least = used > 0 && this.#wanted ? 1 : 0;
    const most = least === 0 || this.#kind.eventIdx ? least : used;
    if (seen >= least && seen <= most) return;
    throw new Error(`${seen} interrupts for ${used} buffers, due were ${least} to ${most}`);
  }

  /** The next buffer that is used, or one that never is before the next call of used(). */
  #publishUsedEvent(): void {
    const event = this.#wanted ? this.#usedIdx : this.#usedIdx + 0x8000;
    const at = this.#avail + VirtqAvail.ring + this.queue.size * 2;
    if (this.#kind.eventIdx) this.#memory.view.setUint16(at, event & 0xffff, true);
  }

  get #avail(): number {
    return this.#base + AVAIL;
  }

  get #used(): number {
    return this.#base + USED;
  }

  #take(bytes: number): Uint8Array {
    if (this.#next + bytes > this.#base + END) this.#next = this.#base + ARENA;
    const taken = this.#memory.bytes(this.#next, bytes);
    this.#next += bytes;
    return taken;
  }

  #place(piece: Piece): Uint8Array {
    const target = this.#take(typeof piece === "number" ? piece : piece.length);
    if (typeof piece !== "number") target.set(piece);
    return target;
  }

  #chain(
    table: number,
    indexes: readonly number[],
    pieces: readonly Piece[],
    views: readonly Uint8Array[],
  ): void {
    pieces.forEach((piece, i) => {
      const last = i === pieces.length - 1;
      const flags =
        (last ? 0 : VIRTQ_DESC_F_NEXT) | (typeof piece === "number" ? VIRTQ_DESC_F_WRITE : 0);
      const next = last ? 0 : (indexes[i + 1] as number);
      this.#describe(table, indexes[i] as number, views[i] as Uint8Array, flags, next);
    });
  }

  #describe(table: number, index: number, buffer: Uint8Array, flags: number, next: number): void {
    const { view } = this.#memory;
    const at = table + index * VirtqDesc.sizeof;
    view.setBigUint64(at + VirtqDesc.addr, BigInt(buffer.byteOffset), true);
    view.setUint32(at + VirtqDesc.len, buffer.length, true);
    view.setUint16(at + VirtqDesc.flags, flags, true);
    view.setUint16(at + VirtqDesc.next, next, true);
  }
}
