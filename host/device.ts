// The interfaces between a machine and a virtio device.
import type { GuestMemory } from "./memory.ts";
import type { SocketEvents, StreamSocket } from "./ports/sockets.ts";
import type { EventKind, Flow, TraceArguments } from "./trace/event.ts";
import type { Flows } from "./trace/flows.ts";
import type { VirtQueue } from "./virtqueue.ts";

/** Events without duration: with a flow they are slices, for a flow binds to nothing else. */
export interface StepKinds {
  readonly instant: EventKind;
  readonly step: EventKind;
}

/** A device's track in the trace. Times never go back. */
export interface DeviceTrace {
  /** Is a trace recorded? Otherwise events are dropped, and need not be made. */
  readonly isOn: boolean;
  /** Does anybody want names of files? Otherwise they need not be made. */
  readonly withNames: boolean;
  /** Whole nanoseconds: the beginning of a slice, or the time of an instant. */
  now(): number;
  /** Requests that flow through the machine. */
  readonly flows: Flows;
  /** The request that the thread works on which runs now. 0: none, or it is not known. */
  present(): Flow;
  /** instant(), by kinds that are made once: for events that are many. */
  happened(kinds: StepKinds, nowNs: number, flow: Flow, a?: number, b?: number, c?: number): void;
  /** slice() by a kind, in the same way. */
  took(kind: EventKind, sinceNs: number, flow: Flow, a?: number, b?: number, c?: number): void;
  /** An event without duration. As a step of a request it is drawn a microsecond long. */
  instant(name: string, nowNs: number, args: TraceArguments, flow?: Flow): void;
  /** An event that began at `sinceNs` and ends now. `file`: for those who want names. */
  slice(name: string, sinceNs: number, args: TraceArguments, flow?: Flow, file?: string): void;
}

/** The machine, as a device sees it. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  /** Addresses of the device's shared memory regions, by number. Missing: none. */
  readonly sharedMemory?: readonly number[];
  /**
   * Gives the guest a turn, if interrupts are pending, after the host events that are ready now. A
   * device calls it last in every event of the host (socket, timer, file). In notify() and halted()
   * it does nothing, because a turn is going on. If `atOnce`, the turn has run before this returns.
   */
  turn(atOnce?: boolean): void;
  /**
   * The device has changed its configuration space: the driver gets a configuration change
   * interrupt (virtio 2.5), and its turn by turn(). Missing: it never does.
   */
  configChanged?(): void;
  /** Monotonic nanoseconds, as the guest will see them. */
  now(): number;
  /** One-shot timer of the machine's clock; returns what cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back once, after the host events that are ready now; also if the machine has ended. */
  defer(callback: () => void): void;
  /**
   * The host held up the guest inside notify(). The guest's clock, which stands still while it
   * runs, is set, so that deadlines it computes next are not in the past.
   */
  late?(): void;
  /** Writes a line to the machine's log. */
  log(message: string): void;
  /** Missing: no trace is ever recorded. */
  readonly trace?: DeviceTrace | undefined;
}

/** How a device becomes part of a snapshot. Its queues and registers are saved for it. */
export interface DeviceSnapshots {
  /**
   * Takes nothing more from its queues until resume(), and resolves when none of its requests is
   * under way on the host. Missing: none ever is.
   */
  quiesce?(): Promise<void>;
  /** Goes on after quiesce(), which may still wait. */
  resume?(): void;
  /** Its own state, as a JSON value. Called after DRIVER_OK, in no turn. */
  save(): unknown;
  /**
   * Follows activate(): takes up the result of another device's save(), and may raise an interrupt.
   * The value is not to be trusted. Throws SnapshotError if there can be no such state.
   */
  restore(state: unknown): void;
}

/** A TCP connection of the guest that this process takes part in, beyond the guest's card. */
export interface NetConnection {
  readonly guestPort: number;
  /** As the guest sees it: `10.0.2.2:49152`. */
  readonly peer: string;
  readonly peerPort: number;
  /** Of the client or server itself; "": not known. */
  readonly address: string;
  /** Did a client begin it? */
  readonly isInbound: boolean;
  readonly bytesToGuest: number;
  readonly bytesFromGuest: number;
}

/** A virtio device, driven through a register file (mmio.ts). It belongs to one machine. */
export interface VirtioDevice {
  /** Virtio device type (virtio 5). */
  readonly id: number;
  /** Names the device in errors and logs. */
  readonly name: string;
  /** Distinguishes it from others of its kind. Unique in a machine. */
  readonly identity?: string;
  /** Device-specific feature bits; the register file adds those of the rings. */
  readonly features: bigint;
  /** Can the driver have these of them without others? Missing: it may have any. */
  accepts?(features: bigint): boolean;
  /** Largest size of each queue; the index is the queue's number. */
  readonly queueSizesMax: readonly number[];
  readonly queueNames: readonly string[];
  /** Device-specific configuration space; read by the driver at any time. */
  readonly config: Uint8Array;
  /**
   * Bytes of each shared memory region (virtio 2.10), multiples of 64 KiB; the index is its number.
   */
  readonly sharedMemory?: readonly number[];
  /**
   * What a chain of that queue asks for, in a few words for people, by the first bytes that the
   * driver wrote. Missing, or "": nothing is known.
   */
  describe?(queue: number, head: DataView): string;
  /** Missing: a machine with this device cannot be saved. */
  readonly snapshots?: DeviceSnapshots;
  /** Once, when the device is plugged into a machine. */
  attach(host: DeviceHost): void;
  /** The driver set DRIVER_OK. queues[i] is null if the driver left queue i unused. */
  activate(queues: readonly (VirtQueue | null)[], features: bigint): void;
  /**
   * The driver kicked live queue `queue`, or a new turn has begun after one whose allowance did not
   * cover all chains. Runs inside a hypercall. It may release chains; the register file signals the
   * queue afterwards. It never runs the guest.
   */
  notify(queue: number): void;
  /**
   * The driver has stopped live queue `queue` (4.2.2.2), which is detached: the device must not
   * touch its chains or their memory any more. Missing: the queue just looks empty.
   */
  stopped?(queue: number): void;
  /**
   * The guest has halted: time for work that was deferred to be done in one go. Queues are
   * signalled afterwards.
   */
  halted(): void;
  /**
   * Opens a connection to a port of the guest, within this process. Never calls an event at once:
   * connected() follows when the guest has accepted, failed() when it refuses. Bytes may be sent
   * before. Throws without a machine. Missing: the device carries no connections.
   */
  dial?(guestPort: number, events: SocketEvents): StreamSocket;
  /** Connections of the guest that end in this process, the oldest first. Missing: none do. */
  netConnections?(): readonly NetConnection[];
  /**
   * Returns to the state before activate(): no queues, no connections. Late completions do nothing.
   */
  reset(): void;
  /** The machine goes away: close sockets and files. The last call. */
  dispose(): void;
}
