// A guest for the network device, played by the test: driver half of real rings in real guest
// memory, and a clock that the test turns by hand.
import { NetHdr } from "../../abi/net.ts";
import type { VirtioDevice } from "../../host/device.ts";
import { NetSwitch } from "../../host/devices/net/switch.ts";
import { NetDevice, type NetOptions } from "../../host/devices/net.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { GuestMemory } from "../../host/memory.ts";
import { DriverRing, type Piece, type UsedBuffer } from "./driver-ring.ts";
import { card } from "./frames.ts";
import { PLAIN_RINGS, type RingKind } from "./ring-kinds.ts";

export interface NetPuppetOptions extends Partial<NetOptions> {
  readonly rings?: RingKind;
  readonly ringSize?: number;
  /** Receive buffers that it posts at first, and the pieces of each. */
  readonly rxBuffers?: number;
  readonly rxBuffer?: readonly Piece[];
  readonly clock?: ManualClock;
  /** Those of the device that the driver has accepted; none by default. */
  readonly features?: readonly number[];
}

/** The header of a frame to send; `fields` are octets by offset. */
export function netHeader(fields: Readonly<Record<number, number>> = {}): Buffer {
  const header = Buffer.alloc(NetHdr.sizeof);
  for (const [at, octet] of Object.entries(fields)) header[Number(at)] = octet;
  return header;
}

export class NetPuppet {
  readonly memory = new GuestMemory(192);
  readonly clock: ManualClock;
  readonly device: NetDevice;
  rx!: DriverRing;
  tx!: DriverRing;
  /** Times that the device asked for the guest's turn, and changed its configuration. */
  turns = 0;
  configChanges = 0;
  readonly #options: NetPuppetOptions;

  constructor(options: NetPuppetOptions = {}) {
    this.#options = options;
    this.clock = options.clock ?? new ManualClock();
    const network = options.network ?? new NetSwitch();
    this.device = new NetDevice({ mac: card(1), ...options, network });
    const device: VirtioDevice = this.device;
    device.attach({
      memory: this.memory,
      turn: () => void this.turns++,
      configChanged: () => void this.configChanges++,
      now: () => this.clock.now(),
      after: (ms, callback) => this.clock.after(ms, callback),
      defer: (callback) => this.clock.defer(callback),
      log: () => {},
    });
    this.boot();
  }

  /** Brings the rings up and posts rx buffers. */
  boot(): void {
    const { rings = PLAIN_RINGS, ringSize = 1024, features = [] } = this.#options;
    this.rx = new DriverRing(this.memory, "net rx", 0x10000, ringSize, rings);
    this.tx = new DriverRing(this.memory, "net tx", 0x600000, ringSize, rings);
    const bits = features.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
    if ((bits & ~this.device.features) !== 0n || !this.device.accepts(bits)) {
      throw new Error("the device does not offer that");
    }
    this.device.activate([this.rx.queue, this.tx.queue], bits);
    this.post(this.#options.rxBuffers ?? 32);
    this.halt();
  }

  /** Makes rx buffers available, and kicks if the device asked for it. */
  post(count: number, pieces: readonly Piece[] = this.#options.rxBuffer ?? [12, 1514]): void {
    for (let i = 0; i < count; i++) this.rx.add(pieces);
    if (this.rx.kick()) this.device.notify();
  }

  /** The guest halts. */
  halt(): void {
    this.device.halted();
    this.rx.queue.signal();
    this.tx.queue.signal();
  }

  /** Everything happens that was deferred. */
  settle(): void {
    while (this.clock.settle() > 0);
  }

  /** The guest sends frames in one turn. */
  send(...frames: Uint8Array[]): void {
    this.sendRaw(...frames.map((bytes) => [netHeader(), bytes]));
  }

  /** The guest sends buffers, whatever is in them, in one turn. */
  sendRaw(...buffers: (readonly Piece[])[]): void {
    for (const pieces of buffers) this.tx.add(pieces);
    if (this.tx.kick()) this.device.notify();
    this.halt();
    this.settle();
  }

  /** Receive buffers that the device has used; as many are posted again. */
  used(repost = true): UsedBuffer[] {
    const used = this.rx.used();
    if (repost && used.length > 0) {
      this.post(used.length);
      this.halt();
    }
    return used;
  }

  /** Frames that have arrived. */
  take(repost = true): Buffer[] {
    const filled = this.used(repost).filter(({ len }) => len > 0);
    return filled.map(({ bytes, len }) => Buffer.from(bytes.subarray(NetHdr.sizeof, len)));
  }
}

/** Two guests on one switch, machines 1 and 2 of it. */
export function pair(a: NetPuppetOptions = {}, b: NetPuppetOptions = {}) {
  const network = new NetSwitch();
  const clock = new ManualClock();
  const left = new NetPuppet({ network, clock, mac: card(1), ...a });
  const right = new NetPuppet({ network, clock, mac: card(2), ...b });
  return { network, clock, left, right };
}
