// Register file of one virtio device over MMIO, version 2 (virtio 4.2.2), with the status machine
// of 3.1.1. An illegal access is ignored, reads 0 and is counted: the driver may be hostile.
import {
  INTERRUPT_CONFIG_CHANGE,
  INTERRUPT_USED_BUFFER,
  MMIO_MAGIC,
  MMIO_VERSION,
  Mmio,
  Status,
} from "../abi/virtio.ts";
import { Allowance } from "./allowance.ts";
import { ConfigSpace } from "./config-space.ts";
import type { VirtioDevice } from "./device.ts";
import { Features } from "./features.ts";
import type { Region } from "./layout.ts";
import { GuestError, type GuestMemory } from "./memory.ts";
import { type QueueContext, QueueRegisters } from "./queue-registers.ts";
import type { QueueState, RegisterState } from "./snapshot/register-state.ts";
import type { VirtQueue } from "./virtqueue.ts";

const VENDOR_ID = 0x4f524f54; // "TORO"
const ALL_ONES = 0xffffffff;

export interface RegisterOptions {
  readonly memory: GuestMemory;
  /** Shared memory regions of the device, by number. Default: none. */
  readonly regions?: readonly Region[] | undefined;
  /** Raises the interrupt line, or raises it again. */
  readonly raise: () => void;
  /** InterruptStatus is 0: lowers the line. */
  readonly lower: () => void;
  /** Reports a violation by the guest. The callee limits the rate. */
  readonly log: (message: string) => void;
  /**
   * The driver has used up its allowance, so there must be another turn, which starts by begin().
   * Missing: no allowance.
   */
  readonly exhausted?: (() => void) | undefined;
  /** A live queue was kicked. */
  readonly kicked?: ((queue: number) => void) | undefined;
  /** Ring features that are not offered; for tests. */
  readonly withheld?: bigint;
}

/** The registers of one device, with counters of what its driver did wrong. */
export class RegisterFile {
  readonly device: VirtioDevice;
  /** Accesses that the specification forbids to the driver; all of them were ignored. */
  illegalAccesses = 0;
  /** Malformed chains, returned empty. */
  rejectedChains = 0;
  /** Inconsistent rings: each time the device asked for a reset. */
  brokenQueues = 0;
  /** Kicks of each queue, by number, and interrupts, since the device was plugged in. */
  readonly counts = { kicks: [] as number[], interrupts: 0 };
  readonly #options: RegisterOptions;
  readonly #allowance: Allowance | null;
  readonly #features: Features;
  readonly #config: ConfigSpace;
  #queues: QueueRegisters[] = [];
  #live: VirtQueue[] = []; // by number
  #status = 0;
  #interruptStatus = 0;
  #queueSel = 0;
  #shmSel = 0;

  constructor(device: VirtioDevice, options: RegisterOptions) {
    this.device = device;
    this.#options = options;
    this.#allowance = options.exhausted === undefined ? null : new Allowance(options.exhausted);
    this.#features = new Features(device, options.withheld ?? 0n);
    this.#config = new ConfigSpace(device.config);
    this.#queues = device.queueSizesMax.map(() => new QueueRegisters());
  }

  /** Reads a register. `offset` is inside the window. */
  read(offset: number, bytes: number): number {
    if (offset >= Mmio.Config) {
      return this.#config.read(offset - Mmio.Config, bytes) ?? this.#illegal();
    }
    if (bytes !== 4 || (offset & 3) !== 0) return this.#illegal();
    switch (offset) {
      case Mmio.InterruptStatus:
        return this.#interruptStatus;
      case Mmio.Status:
        return this.#status;
      case Mmio.MagicValue:
        return MMIO_MAGIC;
      case Mmio.Version:
        return MMIO_VERSION;
      case Mmio.DeviceID:
        return this.device.id;
      case Mmio.VendorID:
        return VENDOR_ID;
      case Mmio.DeviceFeatures:
        return this.#features.read();
      case Mmio.QueueSizeMax:
        return this.device.queueSizesMax[this.#queueSel] ?? 0;
      case Mmio.QueueReady:
        return (this.#queues[this.#queueSel]?.live ?? null) === null ? 0 : 1;
      case Mmio.SHMLenLow:
        return this.#options.regions?.[this.#shmSel]?.length ?? ALL_ONES;
      case Mmio.SHMBaseLow:
        return this.#options.regions?.[this.#shmSel]?.base ?? ALL_ONES;
      case Mmio.SHMLenHigh:
      case Mmio.SHMBaseHigh: // 4.2.2: all ones where there is no such region
        return this.#options.regions?.[this.#shmSel] === undefined ? ALL_ONES : 0;
      case Mmio.ConfigGeneration:
        return this.#config.generation;
      default:
        return this.#illegal();
    }
  }

  /** Writes a register; `value` is a u32. QueueNotify may complete requests before it returns. */
  write(offset: number, bytes: number, value: number): void {
    if (bytes !== 4 || (offset & 3) !== 0) {
      this.#illegal();
      return;
    }
    switch (offset) {
      case Mmio.QueueNotify:
        this.#notify(value);
        break;
      case Mmio.InterruptACK:
        this.#interruptStatus &= ~value;
        if (this.#interruptStatus === 0) this.#options.lower();
        break;
      case Mmio.Status:
        this.#writeStatus(value);
        break;
      case Mmio.DeviceFeaturesSel:
        this.#features.deviceSel = value;
        break;
      case Mmio.DriverFeaturesSel:
        this.#features.driverSel = value;
        break;
      case Mmio.DriverFeatures:
        this.#writeFeatures(value);
        break;
      case Mmio.QueueSel:
        this.#queueSel = value;
        break;
      case Mmio.SHMSel:
        this.#shmSel = value;
        break;
      default:
        this.#writeQueue(offset, value);
    }
  }

  /**
   * A turn begins: handles chains that exceeded the last turn's allowance, as if they were kicked.
   */
  begin(): void {
    const goesOn = this.#allowance?.exhausted === true;
    this.#allowance?.renew();
    if (!goesOn || (this.#status & Status.DRIVER_OK) === 0) return;
    for (let i = 0; i < this.#queues.length; i++) {
      if ((this.#queues[i]?.live?.available ?? 0) > 0) this.#kick(i);
    }
    this.#signal();
  }

  /** The guest has returned: the device does its deferred work. */
  halted(): void {
    if ((this.#status & Status.DRIVER_OK) === 0) return;
    try {
      this.device.halted();
    } catch (error) {
      this.#fault(error);
    }
    this.#signal();
  }

  /** DeviceHost.configChanged() (M4). Before DRIVER_OK nobody hears of it (C3). */
  configChanged(): void {
    this.#config.changed();
    if ((this.#status & Status.DRIVER_OK) !== 0) this.#interrupt(INTERRUPT_CONFIG_CHANGE);
  }

  #notify(index: number): void {
    // C3, M5: nothing happens before DRIVER_OK, nor on a queue that is not live.
    const live = this.#queues[index]?.live;
    if ((this.#status & Status.DRIVER_OK) === 0 || live === null || live === undefined) {
      this.#illegal();
      return;
    }
    this.#options.kicked?.(index);
    this.counts.kicks[index] = (this.counts.kicks[index] ?? 0) + 1;
    this.#kick(index);
    this.#signal();
  }

  #kick(index: number): void {
    try {
      this.device.notify(index);
    } catch (error) {
      this.#fault(error);
    }
  }

  #signal(): void {
    for (let i = 0; i < this.#live.length; i++) (this.#live[i] as VirtQueue).signal();
  }

  #writeStatus(value: number): void {
    if (value === 0) {
      this.#reset();
      return;
    }
    const present = this.#status;
    if (value === (present | Status.FAILED) && present !== value) {
      this.#status = value;
    } else if (present === 0 && value === Status.ACKNOWLEDGE) {
      this.#status = value;
    } else if (present === Status.ACKNOWLEDGE && value === (present | Status.DRIVER)) {
      this.#status = value;
    } else if (
      present === (Status.ACKNOWLEDGE | Status.DRIVER) &&
      value === (present | Status.FEATURES_OK)
    ) {
      // C8: a driver that reads Status back sees that its choice was refused.
      if (this.#features.agreed) this.#status = value;
      else this.#options.log(`features 0x${this.#features.accepted.toString(16)} are refused`);
    } else if (
      present === (Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK) &&
      value === (present | Status.DRIVER_OK)
    ) {
      this.#status = value;
      this.#activate();
    } else {
      this.#illegal();
    }
  }

  #writeFeatures(value: number): void {
    const open = (this.#status & (Status.FEATURES_OK | Status.FAILED)) === 0;
    if ((this.#status & Status.DRIVER) === 0 || !open) {
      this.#illegal();
      return;
    }
    this.#features.write(value);
  }

  #activate(): void {
    const queues = this.#queues.map((registers) => registers.live);
    this.#live = queues.filter((queue) => queue !== null);
    this.device.activate(queues, this.#features.accepted);
  }

  #writeQueue(offset: number, value: number): void {
    const queue = this.#queues[this.#queueSel];
    const stage = this.#status & (Status.FEATURES_OK | Status.DRIVER_OK | Status.FAILED);
    if (queue === undefined) {
      this.#illegal();
    } else if (stage === (Status.FEATURES_OK | Status.DRIVER_OK)) {
      const stops = offset === Mmio.QueueReady && value === 0 && queue.live !== null;
      if (stops) this.#stop(queue);
      else this.#illegal();
    } else if (stage !== Status.FEATURES_OK) {
      this.#illegal();
    } else if (offset === Mmio.QueueReady) {
      this.#writeReady(queue, value);
    } else if (queue.live !== null) {
      this.#illegal(); // M13
    } else if (!queue.write(offset, value)) {
      this.#illegal();
    }
  }

  #writeReady(queue: QueueRegisters, value: number): void {
    if (value === 0) {
      queue.stop(); // M14
    } else if (value === 1 && queue.live === null) {
      try {
        const sizeMax = this.device.queueSizesMax[this.#queueSel] as number;
        queue.start(this.#options.memory, sizeMax, this.#context(this.#queueSel));
      } catch (error) {
        if (!(error instanceof GuestError)) throw error;
        this.#options.log(error.message); // QueueReady stays 0: the driver sees it
      }
    } else {
      this.#illegal();
    }
  }

  /** M14. From here on the device touches neither the rings nor any buffer. */
  #stop(queue: QueueRegisters): void {
    this.#live = this.#live.filter((live) => live !== queue.live);
    queue.stop();
    try {
      this.device.stopped?.(this.#queueSel);
    } catch (error) {
      this.#fault(error);
    }
    this.#signal();
  }

  #context(queue: number): QueueContext {
    return {
      name: `${this.device.name} ${this.device.queueNames[queue]}`,
      indirect: this.#features.indirect,
      eventIdx: this.#features.eventIdx,
      allowance: this.#allowance,
      interrupt: () => this.#interrupt(INTERRUPT_USED_BUFFER),
      rejected: (error) => {
        this.rejectedChains++;
        this.#options.log(error.message);
      },
      broken: (error) => {
        this.brokenQueues++;
        this.#needReset(error.message);
      },
    };
  }

  #interrupt(bit: number): void {
    this.#interruptStatus |= bit;
    this.counts.interrupts++;
    this.#options.raise();
  }

  /** Guest misbehaviour ends here. Anything else is a fault of the host, and is rethrown. */
  #fault(error: unknown): void {
    if (!(error instanceof GuestError)) throw error;
    this.#needReset(`${this.device.name}: ${error.message}`);
  }

  /** C5. Other queues keep working until the driver resets the device. */
  #needReset(reason: string): void {
    this.#options.log(`${reason}; the device needs a reset`);
    this.#status |= Status.DEVICE_NEEDS_RESET;
    if ((this.#status & Status.DRIVER_OK) !== 0) this.#interrupt(INTERRUPT_CONFIG_CHANGE);
  }

  /** C9, M3. */
  #reset(): void {
    const active = (this.#status & Status.DRIVER_OK) !== 0;
    for (const queue of this.#queues) queue.stop();
    this.#queues = this.#queues.map(() => new QueueRegisters());
    this.#live = [];
    this.#status = 0;
    this.#interruptStatus = 0;
    this.#features.reset();
    this.#queueSel = this.#shmSel = 0;
    this.#options.lower();
    if (active) this.device.reset();
  }

  /** Registers and queues, without what the device keeps itself. */
  state(): Omit<RegisterState, "device"> {
    const { accepted, deviceSel, driverSel } = this.#features;
    return {
      status: this.#status,
      interruptStatus: this.#interruptStatus,
      accepted,
      selectors: [deviceSel, driverSel, this.#queueSel, this.#shmSel],
      queues: this.#queues.map((registers) => registers.save()),
    };
  }

  /** Between turns. The device must be able to be saved (VirtioDevice.snapshots). */
  save(): RegisterState {
    const isActive = (this.#status & Status.DRIVER_OK) !== 0;
    return { ...this.state(), device: isActive ? (this.device.snapshots?.save() ?? null) : null };
  }

  /**
   * Gives up what the driver has done, and stands where another register file did; the guest's
   * memory is in place. Throws GuestError if that cannot be.
   */
  restore(state: RegisterState): void {
    this.#reset();
    const features = this.#features;
    features.accepted = state.accepted;
    [features.deviceSel, features.driverSel, this.#queueSel, this.#shmSel] = state.selectors;
    this.#interruptStatus = state.interruptStatus;
    this.#status = state.status;
    const isActive = (state.status & Status.DRIVER_OK) !== 0;
    if ((state.status & Status.FEATURES_OK) !== 0 && !features.agreed) {
      throw new GuestError(`${this.device.name}: it does not offer what its driver has accepted`);
    }
    for (const [i, registers] of this.#queues.entries()) {
      const sizeMax = this.device.queueSizesMax[i] as number;
      const queue = state.queues[i] as QueueState;
      registers.restore(queue, this.#options.memory, sizeMax, this.#context(i));
    }
    if (!isActive) return;
    this.#activate();
    this.#allowance?.defer(); // chains may wait that were kicked for before
    if (state.interruptStatus !== 0) this.#options.raise();
    this.device.snapshots?.restore(state.device);
  }

  #illegal(): number {
    this.illegalAccesses++;
    return 0;
  }
}
