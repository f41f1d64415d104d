// The guest's driver and TCP/IP under test: a machine with test/guest/internet.ts, and a network
// device of the test's own, which shows every frame and sends any.
import { afterEach } from "vitest";
import { NetConfig, NetHdr } from "../../abi/net.ts";
import type { DeviceHost, VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import type { Chain, VirtQueue } from "../../host/virtqueue.ts";
import { card, ipNumber, mac, parse } from "./frames.ts";
import { collectHits, compileGuest, type GuestImage } from "./guest.ts";

const DEFAULT_FEATURES = (1n << 3n) | (1n << 5n) | (1n << 16n); // MTU, MAC, STATUS

/** Those with CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4 and MRG_RXBUF. */
export const ALL_FEATURES = DEFAULT_FEATURES | [0, 1, 7, 11, 15].reduce(bits, 0n);

function bits(sum: bigint, bit: number): bigint {
  return sum | (1n << BigInt(bit));
}

/** The kernel parameter that gives the guest its address in these tests. */
export const ADDRESS = "net.address=10.0.0.1/24";

/** A buffer that the guest has sent. */
export interface SentFrame {
  readonly header: Buffer;
  readonly frame: Buffer;
  /** Bytes of the chain that the device may write. */
  readonly writableBytes: number;
  readonly queue: number;
}

export interface NetConfiguration {
  mac?: string;
  mtu?: number;
  status?: number;
  /** Largest number of pairs of queues; the device has up to four. */
  pairs?: number;
}

/** The host's side of virtio-net, by hand. */
export class ScriptedNet implements VirtioDevice {
  readonly id = 1;
  readonly name = "net";
  features = DEFAULT_FEATURES;
  readonly queueSizesMax: readonly number[];
  readonly queueNames = Array.from({ length: 9 }, (_, i) => `queue ${i}`);
  readonly config = new Uint8Array(12);
  host!: DeviceHost;
  queues: readonly (VirtQueue | null)[] = [];
  accepted = 0n;
  readonly sent: SentFrame[] = [];
  /** False: tx chains stay in the ring. */
  consuming = true;

  constructor(
    queueSize = 256,
    { mac: own = card(1), mtu = 1500, status = 1, pairs = 1 }: NetConfiguration = {},
  ) {
    const count = Math.min(4, Math.max(1, pairs));
    this.queueSizesMax = [...Array<number>(2 * count).fill(queueSize), 64];
    this.config.set(mac(own), NetConfig.mac);
    const view = new DataView(this.config.buffer);
    view.setUint16(NetConfig.status, status, true);
    view.setUint16(NetConfig.max_virtqueue_pairs, pairs, true);
    view.setUint16(NetConfig.mtu, mtu, true);
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }
  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    this.queues = queues;
    this.accepted = features;
  }
  notify(): void {}
  halted(): void {
    if (this.consuming) this.consume();
  }
  reset(): void {
    this.queues = [];
  }
  dispose(): void {}

  queue(i: number): VirtQueue {
    return this.queues[i] as VirtQueue;
  }

  consume(): void {
    for (let queue = 1; queue < this.queueSizesMax.length; queue += 2) this.#consume(queue);
  }

  #consume(queue: number): void {
    for (const chain of this.queues[queue] ?? []) {
      const bytes = Buffer.alloc(chain.readableBytes);
      chain.copyFrom(0, bytes);
      const { writableBytes } = chain;
      const [header, frame] = [bytes.subarray(0, NetHdr.sizeof), bytes.subarray(NetHdr.sizeof)];
      this.sent.push({ header, frame, writableBytes, queue });
      chain.release(0);
    }
  }

  /** A receive buffer of the guest. Throws if it has posted none. */
  buffer(queue = 0): Chain {
    const chain = this.queue(queue).pop();
    if (chain === null) throw new Error("the guest has no receive buffer");
    return chain;
  }

  /**
   * Spreads a header and a frame over as many receive buffers as they fill, and uses those together
   * (MRG_RXBUF). `count` is what the header says of them; `used` changes what their lengths are
   * said to be. Returns how many there are.
   */
  merged(
    header: Uint8Array,
    frame: Uint8Array,
    { count, used }: { count?: number; used?: (lengths: number[]) => number[] } = {},
  ): number {
    const chains: Chain[] = [];
    let rest = Buffer.concat([header, frame]);
    const lengths: number[] = [];
    while (rest.length > 0) {
      const chain = this.buffer();
      const bytes = chain.copyTo(0, rest.subarray(0, chain.writableBytes));
      chains.push(chain);
      lengths.push(bytes);
      rest = rest.subarray(bytes);
    }
    const said = Buffer.alloc(2);
    said.writeUInt16LE(count ?? chains.length);
    chains[0]?.copyTo(NetHdr.num_buffers, said);
    const told = used?.(lengths) ?? lengths;
    this.queue(0).pushTogether(chains.slice(0, told.length), told);
    return chains.length;
  }

  /** Puts a header and a frame into a receive buffer, and claims `used` bytes of it. */
  raw(header: Uint8Array, frame: Uint8Array, used = header.length + frame.length, queue = 0): void {
    const chain = this.buffer(queue);
    chain.copyTo(0, header);
    chain.copyTo(header.length, frame);
    chain.release(used);
  }

  setStatus(status: number): void {
    new DataView(this.config.buffer).setUint16(NetConfig.status, status, true);
    this.host.configChanged?.();
    this.host.turn();
  }

  signal(): void {
    for (const queue of this.queues) queue?.signal();
    this.host.turn();
  }
}

/** The header of a frame to the guest, its octets by offset if they are not as they should be. */
export function rxHeader(fields: Readonly<Record<number, number>> = {}): Buffer {
  const header = Buffer.alloc(NetHdr.sizeof);
  header[NetHdr.num_buffers] = 1;
  for (const [at, octet] of Object.entries(fields)) header[Number(at)] = octet;
  return header;
}

/** As in kernel/net/inet/stats.ts, in its order. */
const STATS = [
  "frames",
  "notForUs",
  "otherType",
  "badArp",
  "badHeader",
  "badSource",
  "notOurs",
  "fragments",
  "sourceRoutes",
  "otherProtocol",
  "badIcmp",
  "echoes",
  "echoesLimited",
  "arpRequests",
  "conflicts",
  "badIcmpErrors",
  "errorsSent",
  "errorsLimited",
  "loopbackFull",
  "badUdp",
  "noUdpPort",
  "udpFull",
  "badDhcp",
  "dhcpDeclines",
  "badTcp",
  "noTcpMemory",
] as const;

export interface NetGuestOptions {
  queueSize?: number;
  memoryBytes?: number;
  /** Of the kernel. Default: 10.0.0.1/24 as its address. */
  parameters?: string;
  config?: NetConfiguration;
  features?: bigint;
  withheld?: bigint;
  /** A second card beside the first. */
  second?: boolean;
  entropy?: (into: Uint8Array) => void;
}

export class NetGuest {
  readonly clock = new ManualClock();
  readonly lines: string[] = [];
  readonly device: ScriptedNet;
  readonly other: ScriptedNet;
  machine!: Machine;
  readonly #image: GuestImage;

  constructor(image: GuestImage, options: NetGuestOptions) {
    this.#image = image;
    this.device = new ScriptedNet(options.queueSize, options.config);
    this.device.features = options.features ?? DEFAULT_FEATURES;
    this.other = new ScriptedNet(256, { mac: card(8) });
  }

  async boot(options: NetGuestOptions): Promise<void> {
    this.machine = await Machine.create({
      image: this.#image.module,
      sourceMap: this.#image.map,
      memoryBytes: options.memoryBytes ?? 16 * 1024 * 1024,
      parameters: options.parameters ?? ADDRESS,
      clock: this.clock,
      devices: options.second === true ? [this.device, this.other] : [this.device],
      entropy: options.entropy ?? ((into) => into.fill(7)),
      withheldFeatures: options.withheld ?? 0n,
      console: (line) => this.lines.push(line),
    });
    this.machine.boot();
    this.settle();
  }

  call(name: string, ...args: number[]): number {
    const result = Number(this.machine.call(name, ...args) ?? 0);
    this.settle();
    return result;
  }

  /** Begins a SysPing, `delayMs` from now; asks for its result, undefined while there is none. */
  ping(
    to: string,
    bytes = 8,
    timeoutMs = 10_000,
    delayMs = 0,
  ): { result(): number | undefined; thread: number } {
    const at = this.call("startPing", ipNumber(to) | 0, bytes, timeoutMs, delayMs) >>> 0;
    const { view } = this.machine.memory;
    const result = () =>
      view.getUint32(at, true) === 0 ? undefined : Number(view.getBigInt64(at + 8, true));
    return { result, thread: view.getInt32(at + 4, true) };
  }

  settle(): void {
    while (this.clock.settle() > 0);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  /** Frames arrive in one turn. */
  inject(...frames: Uint8Array[]): void {
    for (const one of frames) this.device.raw(rxHeader(), one);
    this.device.signal();
    this.settle();
  }

  /** The frames that the guest has sent since the last call. */
  sent(): ReturnType<typeof parse>[] {
    return this.device.sent.splice(0).map(({ frame }) => parse(frame));
  }

  /** Those of IPv4, or of ARP. */
  sentIp() {
    return this.sent().flatMap((one) => (one.kind === "ip" ? [one] : []));
  }
  sentArp() {
    return this.sent().flatMap((one) => (one.kind === "arp" ? [one] : []));
  }

  stats(): Record<(typeof STATS)[number], number> {
    const at = this.call("statsAddress") >>> 0;
    const { view } = this.machine.memory;
    const entries = STATS.map((name, i) => [name, view.getUint32(at + i * 4, true)]);
    return Object.fromEntries(entries);
  }

  /** Did the guest break a rule of the registers or rings? */
  faults(): number {
    return this.machine.registers.reduce(
      (sum, one) => sum + one.illegalAccesses + one.rejectedChains + one.brokenQueues,
      0,
    );
  }

  dispose(): void {
    collectHits(this.#image, this.machine);
    this.machine.dispose();
  }
}

/** Puts an element into a used ring that the device never meant. */
export function lie(g: NetGuest, queue: number, id: number): void {
  const { view } = g.machine.memory;
  const { rings, size } = g.device.queue(queue);
  const idx = view.getUint16(rings.used + 2, true);
  const slot = rings.used + 4 + (idx & (size - 1)) * 8;
  view.setUint32(slot, id, true);
  view.setUint32(slot + 4, 0, true);
  view.setUint16(rings.used + 2, idx + 1, true);
}

/** As in kernel/net/link/pool.ts. */
const POOL_SIZES = 8;

/** A guest with test/guest/card.ts: frames as its driver hands them up, and frames with work. */
export class CardGuest extends NetGuest {
  #seen = 0;

  /** Takes the frames from TCP/IP. Up to `hold` are kept until release(). */
  watch(hold = 0): void {
    this.#seen = this.call("watch", hold) >>> 0;
  }

  /** The last frame that arrived. */
  seen() {
    const { view, u8 } = this.machine.memory;
    const word = (i: number) => view.getUint32(this.#seen + i * 4, true);
    const frame = Buffer.from(u8.slice(word(5), word(5) + word(1)));
    const [count, isGood, segmentBytes, payload] = [word(0), word(2) === 1, word(3), word(4)];
    return { count, isGood, segmentBytes, payload, frame };
  }

  /** Places bytes in the guest's memory; the block stays. */
  place(bytes: Uint8Array): number {
    const at = this.call("ToroGetMem", bytes.length) >>> 0;
    this.machine.memory.u8.set(bytes, at);
    return at;
  }

  /** As sendWork() of the image. */
  sendWork(bytes: Uint8Array, work: Partial<SendWork> = {}): number {
    const { start = 0, offset = 0, headerBytes = 0, segmentBytes = 0, parts = 0 } = work;
    const at = this.place(bytes);
    const lazy = work.isLazy === true ? 1 : 0;
    const numbers = [start, offset, headerBytes, segmentBytes, parts, lazy];
    return this.call("sendWork", at, bytes.length, ...numbers);
  }

  /** Buffers of the pool, of all sizes: those that somebody has, and those that it keeps. */
  pooled(): { inFlight: number; kept: number } {
    const sum = (name: string) =>
      Array.from({ length: POOL_SIZES }, (_, i) => this.call(name, i)).reduce((a, b) => a + b);
    return { inFlight: sum("buffersInFlight"), kept: sum("buffersKept") };
  }

  /** Counters of the driver. */
  counters() {
    const [dropped, starved, joined] = [0, 1, 2].map((i) => this.call("cardCounter", i));
    return { dropped, starved, joined };
  }
}

export interface SendWork {
  start: number;
  offset: number;
  headerBytes: number;
  segmentBytes: number;
  parts: number;
  isLazy: boolean;
}

/** As netGuests(), of CardGuests, whose device offers everything. */
export async function cardGuests() {
  const image = await compileGuest("test/guest/card.ts");
  const guests: CardGuest[] = [];
  afterEach(() => {
    for (const guest of guests.splice(0)) guest.dispose();
  });
  return async (options: NetGuestOptions & { mode?: string } = {}) => {
    const { mode, ...rest } = options;
    const parameters = mode === undefined ? ADDRESS : `${ADDRESS} ${mode}`;
    const guest = new CardGuest(image, { features: ALL_FEATURES, ...rest });
    await guest.boot({ parameters, ...rest });
    guests.push(guest);
    return guest;
  };
}

/** Boots guests for the tests of one file; they are disposed of after each test. */
export async function netGuests(entry = "test/guest/internet.ts") {
  const image = await compileGuest(entry);
  const guests: NetGuest[] = [];
  afterEach(() => {
    for (const guest of guests.splice(0)) guest.dispose();
  });
  return async (options: NetGuestOptions = {}) => {
    const guest = new NetGuest(image, options);
    await guest.boot(options);
    guests.push(guest);
    return guest;
  };
}
