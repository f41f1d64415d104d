// What the machine asks of a virtio device, and what it offers to one.
import type { GuestMemory } from "./memory.ts";
import type { VirtQueue } from "./virtqueue.ts";

/** Where a device tells what it does, on a track of its own. Times never go back. */
export interface DeviceTrace {
  /** Whole nanoseconds, to begin a slice with. */
  now(): number;
  /** Something that takes no time. */
  instant(name: string, args: Readonly<Record<string, string | number>>): void;
  /** Something that began at `sinceNs` and ends now. */
  slice(name: string, sinceNs: number, args: Readonly<Record<string, string | number>>): void;
}

/** The machine, as a device sees it. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  /** Addresses of the device's shared memory regions, by number. Missing: it has none. */
  readonly sharedMemory?: readonly number[];
  /**
   * Gives the guest its turn, if interrupts are pending, as soon as the host's events of this
   * moment have been seen. A device calls it last in every event that comes from the host (socket,
   * timer, file); from notify() or halted() it does nothing, for the turn is going on. `atOnce`:
   * before it returns, because this event has to know what the guest makes of it.
   */
  turn(atOnce?: boolean): void;
  /** Monotonic nanoseconds, as the guest will see them. */
  now(): number;
  /** One-shot timer of the machine's clock; returns what cancels it. */
  after(ms: number, callback: () => void): () => void;
  /**
   * The host has held up the guest for long, inside notify(): the guest's clock, which stands still
   * as it runs, is set, or its next deadlines would lie in the past.
   */
  late?(): void;
  /** One line on the machine's log. */
  log(message: string): void;
  /** Missing: nobody wants to know. */
  readonly trace?: DeviceTrace | undefined;
}

/** A virtio device behind a register file (host/mmio.ts). It belongs to one machine. */
export interface VirtioDevice {
  /** Virtio device type (virtio 5). */
  readonly id: number;
  /** Names the device in errors and logs. */
  readonly name: string;
  /** By what the guest tells it from others of its kind; no two devices of a machine share it. */
  readonly identity?: string;
  /** Device-specific feature bits; the register file adds those of the rings. */
  readonly features: bigint;
  /** Largest size of each queue; the index is the queue's number. */
  readonly queueSizesMax: readonly number[];
  readonly queueNames: readonly string[];
  /** Device-specific configuration space; read by the driver at any time. */
  readonly config: Uint8Array;
  /**
   * Bytes of each shared memory region (virtio 2.10), multiples of 64 KiB; the index is its number.
   */
  readonly sharedMemory?: readonly number[];
  /** Once, when the device is plugged into a machine. */
  attach(host: DeviceHost): void;
  /** The driver set DRIVER_OK. queues[i] is null where the driver left queue i unused. */
  activate(queues: readonly (VirtQueue | null)[], features: bigint): void;
  /**
   * The driver kicked live queue `queue`, or a turn has begun behind one in which the device was
   * not granted all of its chains. Runs inside a hypercall: it may release chains; the
   * register file signals the queue afterwards. It never runs the guest.
   */
  notify(queue: number): void;
  /**
   * The driver has stopped live queue `queue` (4.2.2.2), which is detached: its chains are not the
   * device's any more, nor is their memory. Missing: that it looks empty is all there is to know.
   */
  stopped?(queue: number): void;
  /** The guest has halted: work that was left to gather is done now. Queues are signalled after. */
  halted(): void;
  /**
   * Back to the state before activate(): drop queues and connections; late completions do nothing.
   */
  reset(): void;
  /** The machine goes away: close sockets and files. After it nothing is called. */
  dispose(): void;
}
