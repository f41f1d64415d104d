// The virtqueues of a device as the driver and the device see them (virtio 2.7), read where the
// device reads them. A guest that lies about its rings harms its picture only.
import {
  Status,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VirtqAvail,
  VirtqDesc,
  VirtqUsed,
  VirtqUsedElem,
} from "../../abi/virtio.ts";
import type { GuestMemory } from "../memory.ts";
import type { RegisterFile } from "../mmio.ts";
import type { QueueState, RingState } from "../snapshot/register-state.ts";
import { GuestReader } from "./guest-reader.ts";

/** Cells of a picture; in a larger queue a cell stands for several descriptors. */
const CELLS_MAX = 512;
const CHAINS_MAX = 32;
const BUFFERS_MAX = 16;
const USED_SHOWN = 16;
const HEAD_BYTES = 64;

/** Whose a descriptor is; the letter of its cell. */
export const enum Owner {
  Driver = "d",
  Available = "a", // in the available ring, not taken
  Device = "h", // held: taken, not used
  Used = "u", // the driver's, lately used
}

const PRECEDENCE = [Owner.Driver, Owner.Used, Owner.Available, Owner.Device];

export interface BufferView {
  readonly address: number;
  readonly length: number;
  /** By the device. */
  readonly isWritten: boolean;
}

export interface ChainView {
  readonly head: number;
  readonly isIndirect: boolean;
  readonly buffers: readonly BufferView[];
  /** Its request, in a few words; "": nothing is known. */
  readonly what: string;
}

export interface QueueView {
  readonly number: number;
  readonly name: string;
  readonly size: number;
  readonly kicks: number;
  /** null: the driver does not use the queue, or it is not ready. */
  readonly ring: RingView | null;
}

export interface RingView {
  /** Where the parts are in guest memory. */
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  /** Running indices of 16 bits: the driver's, what the device has taken, what it has used. */
  readonly availIdx: number;
  readonly takenIdx: number;
  readonly usedIdx: number;
  /** used_event and avail_event (2.7.7, 2.7.10); null: EVENT_IDX was not negotiated. */
  readonly usedEvent: number | null;
  readonly availEvent: number | null;
  /** The rings are inconsistent: the device takes nothing more. */
  readonly isBroken: boolean;
  /** An Owner for each cell, in the order of the descriptor table. */
  readonly cells: string;
  readonly descriptorsPerCell: number;
  /** Heads in the available ring that the device has not taken, oldest first. */
  readonly available: readonly number[];
  /** The last entries of the used ring, newest last. */
  readonly usedLately: readonly { readonly head: number; readonly bytes: number }[];
  readonly heldCount: number;
  readonly held: readonly ChainView[];
}

export interface DeviceView {
  readonly name: string;
  readonly identity: string;
  readonly status: readonly string[];
  readonly features: readonly string[];
  readonly interrupts: number;
  /** Errors of the driver. */
  readonly illegalAccesses: number;
  readonly rejectedChains: number;
  readonly brokenQueues: number;
  readonly queues: readonly QueueView[];
}

const STATUS_NAMES: readonly (readonly [Status, string])[] = [
  [Status.ACKNOWLEDGE, "ACKNOWLEDGE"],
  [Status.DRIVER, "DRIVER"],
  [Status.FEATURES_OK, "FEATURES_OK"],
  [Status.DRIVER_OK, "DRIVER_OK"],
  [Status.DEVICE_NEEDS_RESET, "DEVICE_NEEDS_RESET"],
  [Status.FAILED, "FAILED"],
];

const RING_FEATURES: Readonly<Record<number, string>> = {
  [VIRTIO_F_INDIRECT_DESC]: "INDIRECT_DESC",
  [VIRTIO_F_EVENT_IDX]: "EVENT_IDX",
  [VIRTIO_F_VERSION_1]: "VERSION_1",
};

export function readDevice(memory: GuestMemory, registers: RegisterFile): DeviceView {
  const { device, counts, illegalAccesses, rejectedChains, brokenQueues } = registers;
  const { status, accepted, queues } = registers.state();
  const hasEvents = ((accepted >> BigInt(VIRTIO_F_EVENT_IDX)) & 1n) === 1n;
  return {
    name: device.name,
    identity: device.identity ?? "",
    status: STATUS_NAMES.filter(([bit]) => (status & bit) !== 0).map(([, name]) => name),
    features: featureNames(accepted),
    interrupts: counts.interrupts,
    ...{ illegalAccesses, rejectedChains, brokenQueues },
    queues: queues.map((state, i) => ({
      number: i,
      name: device.queueNames[i] ?? `${i}`,
      size: state.size,
      kicks: counts.kicks[i] ?? 0,
      ring:
        state.ring === null
          ? null
          : new RingReader(memory, state, (head) => device.describe?.(i, head) ?? "").view(
              state.ring,
              hasEvents,
            ),
    })),
  };
}

function featureNames(accepted: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if (((accepted >> BigInt(bit)) & 1n) === 1n) names.push(RING_FEATURES[bit] ?? `bit ${bit}`);
  }
  return names;
}

class RingReader {
  readonly #memory: GuestMemory;
  readonly #reader: GuestReader;
  readonly #size: number;
  readonly #desc: number;
  readonly #avail: number;
  readonly #used: number;
  readonly #describe: (head: DataView) => string;
  readonly #owners: Uint8Array; // places in PRECEDENCE

  constructor(memory: GuestMemory, state: QueueState, describe: (head: DataView) => string) {
    this.#memory = memory;
    this.#reader = new GuestReader(memory);
    this.#size = state.size;
    this.#desc = state.desc[0];
    this.#avail = state.driver[0];
    this.#used = state.device[0];
    this.#describe = describe;
    this.#owners = new Uint8Array(state.size);
  }

  view({ lastAvail, usedIdx, broken, held }: RingState, hasEvents: boolean): RingView {
    const reader = this.#reader;
    const size = this.#size;
    const availIdx = reader.u16(this.#avail + VirtqAvail.idx);
    const available: number[] = [];
    const waiting = Math.min((availIdx - lastAvail) & 0xffff, size);
    const usedLately: { head: number; bytes: number }[] = [];
    // Of a ring whose index has just wrapped fewer are shown than there are.
    for (let n = Math.min(USED_SHOWN, size, usedIdx); n > 0; n--) {
      const place = (usedIdx - n) & (size - 1);
      const at = this.#used + VirtqUsed.ring + place * VirtqUsedElem.sizeof;
      const head = reader.u32(at + VirtqUsedElem.id);
      usedLately.push({ head, bytes: reader.u32(at + VirtqUsedElem.len) });
      this.#mark(head, Owner.Used);
    }
    for (let i = 0; i < waiting; i++) {
      const place = (lastAvail + i) & (size - 1);
      const head = reader.u16(this.#avail + VirtqAvail.ring + 2 * place);
      if (available.length < CHAINS_MAX) available.push(head);
      this.#mark(head, Owner.Available);
    }
    for (const head of held) this.#mark(head, Owner.Device);
    const cells = this.#cells();
    return {
      ...{ desc: this.#desc, avail: this.#avail, used: this.#used },
      ...{ availIdx, takenIdx: lastAvail, usedIdx },
      usedEvent: hasEvents ? reader.u16(this.#avail + VirtqAvail.ring + 2 * size) : null,
      availEvent: hasEvents
        ? reader.u16(this.#used + VirtqUsed.ring + size * VirtqUsedElem.sizeof)
        : null,
      isBroken: broken,
      cells,
      descriptorsPerCell: size / cells.length,
      available,
      usedLately,
      heldCount: held.length,
      held: held.slice(0, CHAINS_MAX).map((head) => this.#chain(head)),
    };
  }

  #cells(): string {
    const perCell = Math.max(1, this.#size / CELLS_MAX);
    let cells = "";
    for (let from = 0; from < this.#size; from += perCell) {
      let most = 0;
      for (let i = from; i < from + perCell; i++) most = Math.max(most, this.#owners[i] as number);
      cells += PRECEDENCE[most];
    }
    return cells;
  }

  /** Marks the descriptors of a chain in the table. */
  #mark(head: number, owner: Owner): void {
    const mark = PRECEDENCE.indexOf(owner);
    let index = head;
    for (let seen = 0; index < this.#size && seen < this.#size; seen++) {
      // A descriptor that is marked already leads to marked ones.
      if ((this.#owners[index] as number) >= mark) return;
      this.#owners[index] = mark;
      const at = this.#desc + index * VirtqDesc.sizeof;
      if ((this.#reader.u16(at + VirtqDesc.flags) & VIRTQ_DESC_F_NEXT) === 0) return;
      index = this.#reader.u16(at + VirtqDesc.next);
    }
  }

  #chain(head: number): ChainView {
    const reader = this.#reader;
    const buffers: BufferView[] = [];
    let [table, entries, index] = [this.#desc, this.#size, head];
    let isIndirect = false;
    while (index < entries && buffers.length < BUFFERS_MAX) {
      const at = table + index * VirtqDesc.sizeof;
      const address = reader.u32(at + VirtqDesc.addr);
      const length = reader.u32(at + VirtqDesc.len);
      const flags = reader.u16(at + VirtqDesc.flags);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (isIndirect) break;
        isIndirect = true;
        [table, entries, index] = [address, Math.floor(length / VirtqDesc.sizeof), 0];
        continue;
      }
      buffers.push({ address, length, isWritten: (flags & VIRTQ_DESC_F_WRITE) !== 0 });
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) break;
      index = reader.u16(at + VirtqDesc.next);
    }
    return { head, isIndirect, buffers, what: this.#what(buffers[0]) };
  }

  #what(first: BufferView | undefined): string {
    if (first === undefined || first.isWritten) return "";
    const bytes = Math.min(first.length, HEAD_BYTES);
    if (!this.#memory.contains(first.address, bytes)) return "";
    const { buffer, byteOffset } = this.#memory.bytes(first.address, bytes);
    return this.#describe(new DataView(buffer, byteOffset, bytes));
  }
}
