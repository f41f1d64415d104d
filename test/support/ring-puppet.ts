// Driver half in TypeScript: drives one device through its registers and rings, without a guest.
// It follows the specification unless a test asks for less through registers, memory and rings.
import {
  availBytes,
  descBytes,
  Mmio,
  needEvent,
  Status,
  usedBytes,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VirtqAvail,
  VirtqDesc,
  VirtqUsed,
  VirtqUsedElem,
} from "../../abi/virtio.ts";
import type { VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { GuestMemory } from "../../host/memory.ts";
import { RegisterFile } from "../../host/mmio.ts";

export interface PuppetOptions {
  /** Is EVENT_IDX offered and accepted? Default true. */
  readonly eventIdx?: boolean;
  /**
   * Are chains put into indirect tables? Not by default, and where it is false the feature is not
   * offered, either.
   */
  readonly indirect?: boolean;
  /** Guest memory in pages of 64 KiB. Default 64. */
  readonly pages?: number;
  /** Size of every queue; default: the largest that the device allows. */
  readonly queueSize?: number;
  /** Stop the initialisation before DRIVER_OK. */
  readonly inactive?: boolean;
}

/** A chain that the device gave back. */
export interface UsedChain {
  readonly head: number;
  /** As the device says. */
  readonly len: number;
  /** Copy of the first `len` bytes of the writable part. */
  readonly data: Uint8Array;
}

export interface Rings {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

interface Posted {
  readonly descriptors: number[];
  readonly blocks: { address: number; bytes: number }[];
  readonly writable: { address: number; bytes: number }[];
}

interface QueueState extends Rings {
  readonly free: number[];
  readonly posted: Map<number, Posted>;
  availIdx: number;
  kickedIdx: number;
  usedIdx: number;
}

export class RingPuppet {
  readonly memory: GuestMemory;
  readonly registers: RegisterFile;
  readonly clock = new ManualClock();
  readonly logs: string[] = [];
  /** Times that the interrupt line was raised. */
  interrupts = 0;
  /** Times that the device asked for the guest's turn. */
  turns = 0;
  /** Called at each of them, as the guest would be. */
  onTurn: () => void = () => {};
  readonly #queues: QueueState[] = [];
  readonly #recycled = new Map<number, number[]>();
  readonly #options: PuppetOptions;
  #brk = 0x10000;

  constructor(device: VirtioDevice, options: PuppetOptions = {}) {
    this.#options = options;
    this.memory = new GuestMemory(options.pages ?? 64);
    this.registers = new RegisterFile(device, {
      memory: this.memory,
      raise: () => this.interrupts++,
      lower: () => {},
      log: (message) => this.logs.push(message),
      withheld:
        (options.eventIdx === false ? 1n << BigInt(VIRTIO_F_EVENT_IDX) : 0n) |
        (options.indirect === false ? 1n << BigInt(VIRTIO_F_INDIRECT_DESC) : 0n),
    });
    device.attach({
      memory: this.memory,
      turn: () => {
        this.turns++;
        this.onTurn();
      },
      now: () => this.clock.now(),
      after: (ms, callback) => this.clock.after(ms, callback),
      defer: (callback) => this.clock.defer(callback),
      log: (message) => this.logs.push(message),
    });
    this.initialise();
  }

  read(register: number): number {
    return this.registers.read(register, 4);
  }

  write(register: number, value: number): void {
    this.registers.write(register, 4, value);
  }

  get status(): number {
    return this.read(Mmio.Status);
  }

  /** The driver's sequence of 3.1.1. Also after a reset, which is a write of 0 to Status. */
  initialise(): void {
    this.write(Mmio.Status, 0);
    this.write(Mmio.Status, Status.ACKNOWLEDGE);
    this.write(Mmio.Status, Status.ACKNOWLEDGE | Status.DRIVER);
    for (let half = 0; half < 2; half++) {
      this.write(Mmio.DeviceFeaturesSel, half);
      this.write(Mmio.DriverFeaturesSel, half);
      this.write(Mmio.DriverFeatures, this.read(Mmio.DeviceFeatures));
    }
    this.write(Mmio.Status, this.status | Status.FEATURES_OK);
    if ((this.status & Status.FEATURES_OK) === 0) throw new Error("the features were refused");
    this.#queues.length = 0;
    for (let i = 0; ; i++) {
      this.write(Mmio.QueueSel, i);
      const sizeMax = this.read(Mmio.QueueSizeMax);
      if (sizeMax === 0) break;
      this.#queues.push(this.#setUpQueue(Math.min(this.#options.queueSize ?? sizeMax, sizeMax)));
    }
    if (this.#options.inactive !== true) this.write(Mmio.Status, this.status | Status.DRIVER_OK);
  }

  /** Where the rings of a queue are. */
  rings(queue: number): Rings {
    return this.#state(queue);
  }

  /** Memory that nothing else uses; never given back. */
  allocate(bytes: number): number {
    const address = (this.#brk + 15) & ~15;
    this.#brk = address + bytes;
    this.memory.check(address, bytes);
    return address;
  }

  /** Posts a chain; returns its head. The device hears of it by kick(). */
  add(queue: number, readable: Uint8Array[], writableLengths: number[]): number {
    const state = this.#state(queue);
    const blocks = readable.map((bytes) => {
      const address = this.#take(bytes.length);
      this.memory.u8.set(bytes, address);
      return { address, bytes: bytes.length };
    });
    const writable = writableLengths.map((bytes) => ({ address: this.#take(bytes), bytes }));
    const all = [...blocks, ...writable];
    const indirect = this.#options.indirect === true;
    const count = indirect ? 1 : all.length;
    if (all.length === 0 || state.free.length < count) throw new Error("no descriptor is free");
    const descriptors = state.free.splice(-count, count);
    const head = descriptors[0] as number;
    let table = state.desc;
    const tableBytes = all.length * VirtqDesc.sizeof;
    if (indirect) {
      table = this.#take(tableBytes);
      this.describe(queue, head, table, tableBytes, VIRTQ_DESC_F_INDIRECT, 0);
    }
    all.forEach(({ address, bytes }, i) => {
      const last = i === all.length - 1;
      const flags = (i >= blocks.length ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
      const index = indirect ? i : (descriptors[i] as number);
      const next = last ? 0 : indirect ? i + 1 : (descriptors[i + 1] as number);
      this.#store(table + index * VirtqDesc.sizeof, address, bytes, flags, next);
    });
    if (indirect) all.push({ address: table, bytes: tableBytes });
    state.posted.set(head, { descriptors, blocks: all, writable });
    this.publish(queue, head);
    return head;
  }

  /** Writes one descriptor of a queue's table, whatever it says. */
  describe(
    queue: number,
    index: number,
    address: number,
    length: number,
    flags: number,
    next: number,
  ): void {
    const at = this.#state(queue).desc + index * VirtqDesc.sizeof;
    this.#store(at, address, length, flags, next);
  }

  /** Makes a head available, whatever it is. */
  publish(queue: number, head: number): void {
    const state = this.#state(queue);
    const slot = state.avail + VirtqAvail.ring + (state.availIdx & (state.size - 1)) * 2;
    this.memory.view.setUint16(slot, head, true);
    state.availIdx = (state.availIdx + 1) & 0xffff;
    this.memory.view.setUint16(state.avail + VirtqAvail.idx, state.availIdx, true);
  }

  /** Tells the device, whether it wants to know or not. */
  kick(queue: number): void {
    const state = this.#state(queue);
    state.kickedIdx = state.availIdx;
    this.write(Mmio.QueueNotify, queue);
  }

  /** Would a driver kick now (2.7.10)? */
  wantsKick(queue: number): boolean {
    const { used, size, availIdx, kickedIdx } = this.#state(queue);
    if (this.#options.eventIdx === false) {
      return (this.memory.view.getUint16(used + VirtqUsed.flags, true) & 1) === 0;
    }
    const event = used + VirtqUsed.ring + size * VirtqUsedElem.sizeof;
    return Boolean(needEvent(this.memory.view.getUint16(event, true), availIdx, kickedIdx));
  }

  /** As when the guest halts: the device works on, and its queues are signalled. */
  halted(): void {
    this.registers.halted();
  }

  /** Reads and acknowledges InterruptStatus; returns it. */
  acknowledge(): number {
    const status = this.read(Mmio.InterruptStatus);
    this.write(Mmio.InterruptACK, status);
    return status;
  }

  /** Takes what was used since the last call, frees its descriptors and asks for an interrupt. */
  used(queue: number): UsedChain[] {
    const state = this.#state(queue);
    const view = this.memory.view;
    const chains: UsedChain[] = [];
    while (state.usedIdx !== view.getUint16(state.used + VirtqUsed.idx, true)) {
      const slot = state.usedIdx & (state.size - 1);
      const at = state.used + VirtqUsed.ring + slot * VirtqUsedElem.sizeof;
      const head = view.getUint32(at + VirtqUsedElem.id, true);
      const len = view.getUint32(at + VirtqUsedElem.len, true);
      state.usedIdx = (state.usedIdx + 1) & 0xffff;
      chains.push({ head, len, data: this.#collect(state, head, len) });
    }
    const event = state.avail + VirtqAvail.ring + state.size * 2;
    view.setUint16(event, state.usedIdx, true);
    return chains;
  }

  #setUpQueue(size: number): QueueState {
    const desc = this.#zeroed(descBytes(size));
    const avail = this.#zeroed(availBytes(size));
    const used = this.#zeroed(usedBytes(size));
    this.write(Mmio.QueueSize, size);
    this.write(Mmio.QueueDescLow, desc);
    this.write(Mmio.QueueDescHigh, 0);
    this.write(Mmio.QueueDriverLow, avail);
    this.write(Mmio.QueueDriverHigh, 0);
    this.write(Mmio.QueueDeviceLow, used);
    this.write(Mmio.QueueDeviceHigh, 0);
    this.write(Mmio.QueueReady, 1);
    const free = Array.from({ length: size }, (_, i) => size - 1 - i);
    return { size, desc, avail, used, free, posted: new Map(), ...ZERO_INDEXES };
  }

  #collect(state: QueueState, head: number, len: number): Uint8Array {
    const posted = state.posted.get(head);
    if (posted === undefined) return new Uint8Array(0);
    state.posted.delete(head);
    state.free.push(...posted.descriptors);
    const data = new Uint8Array(
      Math.min(
        len,
        posted.writable.reduce((sum, { bytes }) => sum + bytes, 0),
      ),
    );
    let at = 0;
    for (const { address, bytes } of posted.writable) {
      const part = this.memory.bytes(address, Math.min(bytes, data.length - at));
      data.set(part, at);
      at += part.length;
    }
    for (const { address, bytes } of posted.blocks) this.#give(address, bytes);
    return data;
  }

  #state(queue: number): QueueState {
    const state = this.#queues[queue];
    if (state === undefined) throw new Error(`the device has no queue ${queue}`);
    return state;
  }

  #store(at: number, address: number, length: number, flags: number, next: number): void {
    const view = this.memory.view;
    view.setBigUint64(at + VirtqDesc.addr, BigInt(address), true);
    view.setUint32(at + VirtqDesc.len, length, true);
    view.setUint16(at + VirtqDesc.flags, flags, true);
    view.setUint16(at + VirtqDesc.next, next, true);
  }

  #zeroed(bytes: number): number {
    const address = this.allocate(bytes);
    this.memory.bytes(address, bytes).fill(0);
    return address;
  }

  #take(bytes: number): number {
    return this.#recycled.get(bytes)?.pop() ?? this.allocate(bytes);
  }

  #give(address: number, bytes: number): void {
    const list = this.#recycled.get(bytes);
    if (list === undefined) this.#recycled.set(bytes, [address]);
    else list.push(address);
  }
}

const ZERO_INDEXES = { availIdx: 0, kickedIdx: 0, usedIdx: 0 };

export interface FakeDevice extends VirtioDevice {
  /** Calls of the machine, in order: "activate", "notify 0", "halted", "reset", "dispose". */
  readonly calls: string[];
  /** The queues of the last activate(). */
  queues: Parameters<VirtioDevice["activate"]>[0];
  accepted: bigint;
  host: Parameters<VirtioDevice["attach"]>[0] | null;
}

/** A device that does nothing but write down what is asked of it; a test replaces what it needs. */
export function fakeDevice(overrides: Partial<VirtioDevice> = {}): FakeDevice {
  const device: FakeDevice = {
    id: 42,
    name: "fake",
    features: 1n,
    queueSizesMax: [8, 4],
    queueNames: ["in", "out"],
    config: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    calls: [],
    queues: [],
    accepted: 0n,
    host: null,
    attach(host) {
      device.host = host;
    },
    activate(queues, features) {
      device.calls.push("activate");
      device.queues = queues;
      device.accepted = features;
    },
    notify(queue) {
      device.calls.push(`notify ${queue}`);
    },
    halted() {
      device.calls.push("halted");
    },
    reset() {
      device.calls.push("reset");
    },
    dispose() {
      device.calls.push("dispose");
    },
  };
  return Object.assign(device, overrides);
}

export const RING_EVENT_IDX = 1n << BigInt(VIRTIO_F_EVENT_IDX);
