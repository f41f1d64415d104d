// A guest for the network device, played by the test: driver half of real rings in real guest
// memory, and a clock that the test turns by hand.
import { NetHdr, VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MQ } from "../../abi/net.ts";
import type { VirtioDevice } from "../../host/device.ts";
import { NetSwitch } from "../../host/devices/net/switch.ts";
import { NetDevice, type NetOptions } from "../../host/devices/net.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { GuestMemory } from "../../host/memory.ts";
import { DriverRing, type Piece, type UsedBuffer } from "./driver-ring.ts";
import { card } from "./frames.ts";
import { PLAIN_RINGS, type RingKind } from "./ring-kinds.ts";

/** Of a ring and its buffers, in the puppet's memory. */
const RING_BYTES = 0x600000;

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
  readonly memory: GuestMemory;
  readonly clock: ManualClock;
  readonly device: NetDevice;
  /** By number: those of each pair, and, with CTRL_VQ, the control queue. */
  rings: DriverRing[] = [];
  /** Times that the device asked for the guest's turn, and changed its configuration. */
  turns = 0;
  configChanges = 0;
  readonly #options: NetPuppetOptions;

  constructor(options: NetPuppetOptions = {}) {
    this.#options = options;
    this.memory = new GuestMemory((RING_BYTES / 65536) * this.#queueCount + 1);
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

  get rx(): DriverRing {
    return this.rings[0] as DriverRing;
  }
  get tx(): DriverRing {
    return this.rings[1] as DriverRing;
  }

  /** The number of the control queue; -1: there is none. */
  get #control(): number {
    const { features = [], pairs = 1 } = this.#options;
    if (!features.includes(VIRTIO_NET_F_CTRL_VQ)) return -1;
    return features.includes(VIRTIO_NET_F_MQ) ? 2 * pairs : 2;
  }
  get #queueCount(): number {
    return this.#control < 0 ? 2 : this.#control + 1;
  }

  /** Brings the rings up and posts rx buffers. */
  boot(): void {
    const { rings = PLAIN_RINGS, ringSize = 1024, features = [] } = this.#options;
    this.rings = Array.from({ length: this.#queueCount }, (_, i) => {
      const base = 0x10000 + i * RING_BYTES;
      const size = i === this.#control ? Math.min(ringSize, 64) : ringSize;
      return new DriverRing(this.memory, `net ${i}`, base, size, rings);
    });
    const bits = features.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
    if ((bits & ~this.device.features) !== 0n || !this.device.accepts(bits)) {
      throw new Error("the device does not offer that");
    }
    this.device.activate(
      this.rings.map(({ queue }) => queue),
      bits,
    );
    this.post(this.#options.rxBuffers ?? 32);
    this.halt();
  }

  /** Makes rx buffers available, and kicks if the device asked for it. */
  post(count: number, pieces: readonly Piece[] = this.#options.rxBuffer ?? [12, 1514]): void {
    for (let i = 0; i < count; i++) this.rx.add(pieces);
    if (this.rx.kick()) this.device.notify(0);
  }

  /** Buffers for receiveq of a pair, from 1. */
  postTo(pair: number, count: number, pieces: readonly Piece[] = [12, 1514]): void {
    const ring = this.rings[2 * pair - 2] as DriverRing;
    for (let i = 0; i < count; i++) ring.add(pieces);
    if (ring.kick()) this.device.notify(2 * pair - 2);
  }

  /** Frames that have arrived in a pair, from 1. */
  takeFrom(pair: number): Buffer[] {
    const used = (this.rings[2 * pair - 2] as DriverRing).used();
    return used.map(({ bytes, len }) => Buffer.from(bytes.subarray(NetHdr.sizeof, len)));
  }

  /** Sends frames on transmitq of a pair, from 1. */
  sendOn(pair: number, ...frames: Uint8Array[]): void {
    const ring = this.rings[2 * pair - 1] as DriverRing;
    for (const bytes of frames) ring.add([netHeader(), bytes]);
    if (ring.kick()) this.device.notify(2 * pair - 1);
    this.halt();
    this.settle();
  }

  /** Sends a command. Returns what the device answered: the used length, and the octet. */
  command(pieces: readonly Piece[]): { len: number; ack: number } {
    const ring = this.rings[this.#control] as DriverRing;
    ring.add(pieces);
    if (ring.kick()) this.device.notify(this.#control);
    ring.queue.signal();
    const [used] = ring.used();
    return { len: used?.len ?? -1, ack: used?.bytes.at(-1) ?? -1 };
  }

  /** The guest halts. */
  halt(): void {
    this.device.halted();
    for (const { queue } of this.rings) queue.signal();
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
    if (this.tx.kick()) this.device.notify(1);
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
