// The registers of one queue, as the driver writes them before QueueReady (virtio 4.2.2).
import { Mmio } from "../abi/virtio.ts";
import { GuestError, type GuestMemory } from "./memory.ts";
import type { QueueState } from "./snapshot/register-state.ts";
import { type QueueOptions, VirtQueue } from "./virtqueue.ts";

/** Inputs of a queue besides its registers. */
export type QueueContext = Omit<QueueOptions, "size" | "desc" | "avail" | "used">;

export class QueueRegisters {
  live: VirtQueue | null = null;
  #size = 0;
  #descLow = 0;
  #descHigh = 0;
  #driverLow = 0;
  #driverHigh = 0;
  #deviceLow = 0;
  #deviceHigh = 0;

  /** False: there is no such register. */
  write(offset: number, value: number): boolean {
    switch (offset) {
      case Mmio.QueueSize:
        this.#size = value;
        break;
      case Mmio.QueueDescLow:
        this.#descLow = value;
        break;
      case Mmio.QueueDescHigh:
        this.#descHigh = value;
        break;
      case Mmio.QueueDriverLow:
        this.#driverLow = value;
        break;
      case Mmio.QueueDriverHigh:
        this.#driverHigh = value;
        break;
      case Mmio.QueueDeviceLow:
        this.#deviceLow = value;
        break;
      case Mmio.QueueDeviceHigh:
        this.#deviceHigh = value;
        break;
      default:
        return false;
    }
    return true;
  }

  /** The queue goes live. Throws GuestError if the registers do not describe a queue. */
  start(memory: GuestMemory, sizeMax: number, context: QueueContext): void {
    if (this.#size > sizeMax) throw new GuestError(`${context.name}: queue size ${this.#size}`);
    if ((this.#descHigh | this.#driverHigh | this.#deviceHigh) !== 0) {
      throw new GuestError(`${context.name}: rings above 4 GiB`);
    }
    // No spread: it would cost more than the rest of this function.
    const { name, indirect, eventIdx, allowance, interrupt, rejected, broken } = context;
    this.live = new VirtQueue(memory, {
      name,
      indirect,
      eventIdx,
      allowance: allowance ?? null,
      interrupt,
      rejected,
      broken,
      size: this.#size,
      desc: this.#descLow,
      avail: this.#driverLow,
      used: this.#deviceLow,
    });
  }

  save(): QueueState {
    return {
      size: this.#size,
      desc: [this.#descLow, this.#descHigh],
      driver: [this.#driverLow, this.#driverHigh],
      device: [this.#deviceLow, this.#deviceHigh],
      ring: this.live?.save() ?? null,
    };
  }

  /** On new registers. Throws GuestError as start() does, or if the ring cannot stand like this. */
  restore(state: QueueState, memory: GuestMemory, sizeMax: number, context: QueueContext): void {
    this.#size = state.size;
    [this.#descLow, this.#descHigh] = state.desc;
    [this.#driverLow, this.#driverHigh] = state.driver;
    [this.#deviceLow, this.#deviceHigh] = state.device;
    if (state.ring === null) return;
    this.start(memory, sizeMax, context);
    this.live?.restore(state.ring);
  }

  /** The driver owns it again (M14): the device touches nothing of it any more. */
  stop(): void {
    this.live?.detach();
    this.live = null;
  }
}
