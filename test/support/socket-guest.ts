// The kernel's sockets under test: a machine with test/guest/sockets.ts and a vsock device of the
// test's own, which shows every packet and sends any.
import { afterEach } from "vitest";
import { NetStats } from "../../abi/stats.ts";
import { VsockHdr, VsockOp } from "../../abi/vsock.ts";
import type { DeviceHost, VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { type GuestStats, readGuestStats, statsAt } from "../../host/stats.ts";
import type { Chain, VirtQueue } from "../../host/virtqueue.ts";
import { collectHits, compileGuest, type GuestImage } from "./guest.ts";

export interface Sent {
  readonly op: number;
  readonly type: number;
  readonly flags: number;
  readonly srcCid: number;
  readonly dstCid: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly bufAlloc: number;
  readonly fwdCnt: number;
  readonly payload: Uint8Array;
  /** The chain's descriptors: where, and how long. */
  readonly at: readonly number[];
  readonly lengths: readonly number[];
}

export interface Header {
  op: number;
  srcPort: number;
  dstPort: number;
  type?: number;
  flags?: number;
  srcCid?: number;
  srcCidHigh?: number;
  dstCid?: number;
  bufAlloc?: number;
  fwdCnt?: number;
  /** The length that the header claims; default: the payload's. */
  len?: number;
}

export const GUEST_CID = 3;

/** The host's side of virtio-vsock, by hand. */
export class ScriptedVsock implements VirtioDevice {
  readonly id = 19;
  readonly name = "vsock";
  features = 0b111n; // STREAM, SEQPACKET, NO_IMPLIED_STREAM
  readonly queueSizesMax: readonly number[];
  readonly queueNames = ["vsock rx", "vsock tx", "vsock event"];
  readonly config = new Uint8Array(8);
  host!: DeviceHost;
  queues: readonly (VirtQueue | null)[] = [];
  /** Features that the driver has accepted. */
  accepted = 0n;
  /** Packets of the guest, oldest first. */
  readonly sent: Sent[] = [];
  /** False: tx chains stay in the ring. */
  consuming = true;
  /** True: tx chains are taken, and given back by giveBack(). */
  keeping = false;
  readonly kept: Chain[] = [];
  /** Lets the guest have its turn. */
  settle: () => void = () => {};

  constructor(queueSize = 256) {
    this.queueSizesMax = [queueSize, queueSize, queueSize];
    this.config[0] = GUEST_CID;
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

  /** Takes up to `most` packets out of the tx ring. */
  consume(most = Number.POSITIVE_INFINITY): void {
    const tx = this.queues[1];
    for (let i = 0; i < most && tx; i++) {
      const chain = tx.pop();
      if (chain === null) break;
      const bytes = new Uint8Array(chain.readableBytes);
      chain.copyFrom(0, bytes);
      const view = new DataView(bytes.buffer);
      this.sent.push({
        srcCid: Number(view.getBigUint64(VsockHdr.src_cid, true)),
        dstCid: Number(view.getBigUint64(VsockHdr.dst_cid, true)),
        srcPort: view.getUint32(VsockHdr.src_port, true),
        dstPort: view.getUint32(VsockHdr.dst_port, true),
        type: view.getUint16(VsockHdr.type, true),
        op: view.getUint16(VsockHdr.op, true),
        flags: view.getUint32(VsockHdr.flags, true),
        bufAlloc: view.getUint32(VsockHdr.buf_alloc, true),
        fwdCnt: view.getUint32(VsockHdr.fwd_cnt, true),
        payload: bytes.slice(VsockHdr.sizeof),
        at: chain.addresses.slice(0, chain.readableCount),
        lengths: chain.lengths.slice(0, chain.readableCount),
      });
      if (this.keeping) this.kept.push(chain);
      else chain.release(0);
    }
  }

  /** Gives a tx chain back that was kept, the oldest unless told otherwise. */
  giveBack(index = 0): void {
    const [chain] = this.kept.splice(index, 1);
    if (!chain) throw new Error("no such chain is kept");
    chain.release(0);
    this.signal();
  }

  /**
   * Puts bytes into a receive buffer, and claims `used` of them; returns false when there is none.
   */
  raw(bytes: Uint8Array, used = bytes.length): boolean {
    const chain = this.queue(0).pop();
    if (chain === null) return false;
    chain.copyTo(0, bytes);
    chain.release(used);
    return true;
  }

  /** Sends a packet to the guest and gives it its turn. */
  inject(header: Header, payload: Uint8Array = new Uint8Array(0)): void {
    if (!this.raw(packet(header, payload))) throw new Error("the guest has no receive buffer");
    this.signal();
  }

  signal(): void {
    for (const queue of this.queues) queue?.signal();
    this.host.turn();
    this.settle();
  }

  /** An event buffer with `id`; `used` bytes of it count. */
  event(id: number, used = 4): void {
    const chain = this.queue(2).pop();
    if (chain === null) throw new Error("the guest has no event buffer");
    chain.copyTo(0, new Uint8Array(new Uint32Array([id]).buffer));
    chain.release(used);
    this.signal();
  }
}

export function packet(h: Header, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(VsockHdr.sizeof + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(VsockHdr.src_cid, h.srcCid ?? 2, true);
  view.setUint32(VsockHdr.src_cid + 4, h.srcCidHigh ?? 0, true);
  view.setUint32(VsockHdr.dst_cid, h.dstCid ?? GUEST_CID, true);
  view.setUint32(VsockHdr.src_port, h.srcPort, true);
  view.setUint32(VsockHdr.dst_port, h.dstPort, true);
  view.setUint32(VsockHdr.len, h.len ?? payload.length, true);
  view.setUint16(VsockHdr.type, h.type ?? 1, true);
  view.setUint16(VsockHdr.op, h.op, true);
  view.setUint32(VsockHdr.flags, h.flags ?? 0, true);
  view.setUint32(VsockHdr.buf_alloc, h.bufAlloc ?? 262144, true);
  view.setUint32(VsockHdr.fwd_cnt, h.fwdCnt ?? 0, true);
  bytes.set(payload, VsockHdr.sizeof);
  return bytes;
}

const OPS = [
  "accept",
  "connect",
  "recv",
  "peek",
  "send",
  "select",
  "shutdown",
  "close",
  "loan",
  "sendVector",
  "completion",
] as const;

/** A call of the kernel that runs in a thread of the guest. */
export class PendingCall {
  readonly #guest: SocketGuest;
  readonly #record: number;

  constructor(guest: SocketGuest, record: number) {
    this.#guest = guest;
    this.#record = record;
  }
  /** Its result; undefined: it has not returned. */
  get result(): number | undefined {
    const { view } = this.#guest.machine.memory;
    if (view.getUint32(this.#record, true) === 0) return undefined;
    return view.getInt32(this.#record + 4, true);
  }
  get thread(): number {
    return this.#guest.machine.memory.view.getInt32(this.#record + 8, true);
  }
}

export interface GuestOptions {
  queueSize?: number;
  memoryBytes?: number;
  /** Of the kernel. */
  parameters?: string;
  /** A second vsock device beside the first. */
  second?: boolean;
  /** Feature bits of the socket device; all of them unless told otherwise. */
  features?: bigint;
  /** Features that the device does not offer. */
  withheld?: bigint;
}

export class SocketGuest {
  readonly machine: Machine;
  readonly clock: ManualClock;
  readonly device: ScriptedVsock;
  /** The second one, if there is one. */
  readonly other: ScriptedVsock;
  readonly #image: GuestImage;

  static async boot(image: GuestImage, options: GuestOptions = {}): Promise<SocketGuest> {
    const clock = new ManualClock();
    const device = new ScriptedVsock(options.queueSize);
    if (options.features !== undefined) device.features = options.features;
    const other = new ScriptedVsock(options.queueSize);
    const machine = await Machine.create({
      image: image.module,
      sourceMap: image.map,
      memoryBytes: options.memoryBytes ?? 16 * 1024 * 1024,
      parameters: options.parameters ?? "",
      clock,
      devices: options.second ? [device, other] : [device],
      entropy: (into) => into.fill(7),
      withheldFeatures: options.withheld ?? 0n,
    });
    const guest = new SocketGuest(image, machine, clock, device, other);
    device.settle = other.settle = () => guest.settle();
    machine.boot();
    return guest;
  }

  private constructor(
    image: GuestImage,
    machine: Machine,
    clock: ManualClock,
    device: ScriptedVsock,
    other: ScriptedVsock,
  ) {
    this.#image = image;
    this.machine = machine;
    this.clock = clock;
    this.device = device;
    this.other = other;
  }

  /** A call that does not yield. */
  call(name: string, ...args: number[]): number {
    const result = Number(this.machine.call(name, ...args) ?? 0);
    this.settle();
    return result;
  }

  /** A call that may yield. */
  start(op: (typeof OPS)[number], ...args: number[]): PendingCall {
    const [a = 0, b = 0, c = 0, d = 0] = args;
    const record = Number(this.machine.call("start", OPS.indexOf(op), a, b, c, d)) >>> 0;
    this.settle();
    return new PendingCall(this, record);
  }

  /** A call that may yield, but must not here; returns its result. */
  now(op: (typeof OPS)[number], ...args: number[]): number {
    const { result } = this.start(op, ...args);
    if (result === undefined) throw new Error(`${op} waits`);
    return result;
  }

  settle(): void {
    while (this.clock.settle() > 0);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  allocate(bytes: number): number {
    const address = this.call("ToroGetMem", bytes) >>> 0;
    if (address === 0) throw new Error("the guest has no memory");
    return address;
  }

  bytes(address: number, length: number): Uint8Array {
    return this.machine.memory.bytes(address, length);
  }

  u32(address: number): number {
    return this.machine.memory.view.getUint32(address, true);
  }

  /** Writes u32 values one after another. */
  poke(address: number, ...values: number[]): void {
    const { view } = this.machine.memory;
    for (const [i, value] of values.entries()) view.setUint32(address + i * 4, value, true);
  }

  /** The counters of a socket, or of the whole kernel. */
  stats(socket?: number): GuestStats {
    if (socket === undefined) {
      const total = readGuestStats(this.machine.memory);
      if (total === null) throw new Error("the guest counts nothing");
      return total;
    }
    const block = this.allocate(NetStats.sizeof);
    const status = this.call("SysSocketStat", socket, block);
    if (status < 0) throw new Error(`SysSocketStat: ${status}`);
    const stats = statsAt(this.machine.memory, block);
    this.call("ToroFreeMem", block);
    return stats;
  }

  /** The packets since the last call, optionally only those of one operation. */
  sent(op?: number): Sent[] {
    const all = this.device.sent.splice(0);
    return op === undefined ? all : all.filter((one) => one.op === op);
  }

  inject(header: Header, payload?: Uint8Array): void {
    this.device.inject(header, payload);
    this.settle();
  }

  /** A listener on `port`. */
  listen(port: number, backlog = 8): number {
    const socket = this.call("SysSocket", 1);
    if (socket < 0) throw new Error(`SysSocket: ${socket}`);
    const bound = this.call("SysSocketBind", socket, port);
    if (bound < 0) throw new Error(`SysSocketBind: ${bound}`);
    this.call("SysSocketListen", socket, backlog);
    return socket;
  }

  /** A connection from host port `srcPort` that the application has accepted. */
  accept(listener: number, port: number, srcPort: number, bufAlloc = 262144): number {
    this.inject({ op: VsockOp.REQUEST, srcPort, dstPort: port, bufAlloc });
    return this.now("accept", listener);
  }

  dispose(): void {
    collectHits(this.#image, this.machine);
    this.machine.dispose();
  }
}

/** Boots guests for the tests of one file; they are disposed of after each test. */
export async function socketGuests(source = "test/guest/sockets.ts", always = "") {
  const image = await compileGuest(source);
  const guests: SocketGuest[] = [];
  afterEach(() => {
    for (const guest of guests.splice(0)) guest.dispose();
  });
  return async (options: GuestOptions = {}) => {
    const parameters = `${always} ${options.parameters ?? ""}`;
    const guest = await SocketGuest.boot(image, { ...options, parameters });
    guests.push(guest);
    return guest;
  };
}

export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
export const bytes = (string: string) => new TextEncoder().encode(string);
/** Bytes of which no stretch is like another. */
export const pattern = (length: number) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);

/** As in kernel/net/socket/calls.ts and kernel/net/socket/select.ts. */
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
export const DONTWAIT = 0x40;
export const SO_CONNECT_TIMEOUT = 6;
export const SO_RCVTIMEO = 20;
export const SO_SNDTIMEO = 21;
export const SO_NONBLOCK = 0x800;
export const SO_SENDMODE = 0x801;
export const SO_PROGRESS = 0x803;
export const SO_RCVLOAN = 0x802;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_BINDTODEVICE = 25;
export const SO_ZEROCOPY = 60;
export const FIONSPACE = 0x40046676;
export const MSG_ZEROCOPY = 0x4000000;
/** As in kernel/net/link/settings.ts. */
export const TWO_COPY = 0;
export const ONE_COPY = 1;
export const ZERO_COPY = 2;
