// A guest for the vsock device, played by the test: driver half of real rings in real guest memory,
// sockets that are plain objects, and a clock that the test turns by hand.
import { VsockHdr, VsockOp } from "../../abi/vsock.ts";
import type { DeviceHost, DeviceTrace } from "../../host/device.ts";
import { GuestMemory } from "../../host/memory.ts";
import type { VsockOptions } from "../../host/node/devices.ts";
import { VsockDevice } from "../../host/node/devices.ts";
import type {
  Acceptor,
  Listener,
  ReadSource,
  SocketAddress,
  SocketEvents,
  Sockets,
  StreamSocket,
} from "../../host/ports/sockets.ts";
import { DriverRing, type Piece } from "./driver-ring.ts";
import { InPlaceReader } from "./in-place-reader.ts";
import { PLAIN_RINGS, type RingKind } from "./ring-kinds.ts";

export type { Piece };

export interface Packet {
  op: number;
  hostPort: number;
  guestPort: number;
  flags: number;
  len: number;
  type: number;
  srcCid: number;
  dstCid: number;
  /** Upper half of the source, when the guest sends it; of either, when it receives it. */
  cidHigh: number;
  dstCidHigh?: number;
  bufAlloc: number;
  fwdCnt: number;
  data: Uint8Array;
}

/** A packet as the guest sends it, header and payload in one piece. */
export function encode(packet: Partial<Packet>): Uint8Array {
  const data = packet.data ?? new Uint8Array(0);
  const bytes = new Uint8Array(VsockHdr.sizeof + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(VsockHdr.src_cid, packet.srcCid ?? 3, true);
  view.setUint32(VsockHdr.src_cid + 4, packet.cidHigh ?? 0, true);
  view.setUint32(VsockHdr.dst_cid, packet.dstCid ?? 2, true);
  view.setUint32(VsockHdr.dst_cid + 4, packet.dstCidHigh ?? 0, true);
  view.setUint32(VsockHdr.src_port, packet.guestPort ?? 80, true);
  view.setUint32(VsockHdr.dst_port, packet.hostPort ?? 0, true);
  view.setUint32(VsockHdr.len, packet.len ?? data.length, true);
  view.setUint16(VsockHdr.type, packet.type ?? 1, true);
  view.setUint16(VsockHdr.op, packet.op ?? 0, true);
  view.setUint32(VsockHdr.flags, packet.flags ?? 0, true);
  view.setUint32(VsockHdr.buf_alloc, packet.bufAlloc ?? 65536, true);
  view.setUint32(VsockHdr.fwd_cnt, packet.fwdCnt ?? 0, true);
  bytes.set(data, VsockHdr.sizeof);
  return bytes;
}

/** A packet as the guest receives it. */
export function decode(bytes: Uint8Array): Packet {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const len = view.getUint32(VsockHdr.len, true);
  return {
    srcCid: view.getUint32(VsockHdr.src_cid, true),
    dstCid: view.getUint32(VsockHdr.dst_cid, true),
    cidHigh:
      view.getUint32(VsockHdr.src_cid + 4, true) | view.getUint32(VsockHdr.dst_cid + 4, true),
    hostPort: view.getUint32(VsockHdr.src_port, true),
    guestPort: view.getUint32(VsockHdr.dst_port, true),
    len,
    type: view.getUint16(VsockHdr.type, true),
    op: view.getUint16(VsockHdr.op, true),
    flags: view.getUint32(VsockHdr.flags, true),
    bufAlloc: view.getUint32(VsockHdr.buf_alloc, true),
    fwdCnt: view.getUint32(VsockHdr.fwd_cnt, true),
    data: bytes.slice(VsockHdr.sizeof, VsockHdr.sizeof + len),
  };
}

/** A socket that the test is the peer of. */
export class FakeSocket implements StreamSocket {
  events: SocketEvents;
  /** Does the kernel take what is sent at once? */
  taking = true;
  /** Views of each send(), as they came. */
  readonly sends: Uint8Array[][] = [];
  /** Contents of all sends at the time that the kernel took them. */
  received = Buffer.alloc(0);
  readonly calls: string[] = [];
  paused = false;
  /** Can it read in place? Times that it was asked to. */
  canLand = true;
  landings = 0;
  reader: InPlaceReader | null = null;
  /** Bytes of the peer that wait for a read in place. */
  unread = Buffer.alloc(0);
  #waiting: Uint8Array[] | null = null;

  constructor(events: SocketEvents) {
    this.events = events;
  }

  readInto(source: ReadSource): boolean {
    this.landings++;
    if (this.canLand) this.reader = new InPlaceReader(source);
    return this.canLand;
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#waiting !== null) throw new Error("a second send began while one was in flight");
    if (this.calls.includes("end")) throw new Error("a send began after end()");
    this.sends.push([...parts]);
    if (this.taking) this.received = Buffer.concat([this.received, ...parts]);
    else this.#waiting = [...parts];
    return this.taking;
  }

  get sending(): boolean {
    return this.#waiting !== null;
  }

  /** The kernel takes the send in flight, and everything that follows it. */
  take(): void {
    this.taking = true;
    this.takeOne();
  }

  /** The kernel takes the send in flight. */
  takeOne(): void {
    const parts = this.#waiting;
    if (parts === null) throw new Error("no send is in flight");
    this.#waiting = null;
    this.received = Buffer.concat([this.received, ...parts]);
    this.events.sent();
  }

  say(bytes: Uint8Array | string): void {
    const said = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    if (this.reader !== null) {
      this.unread = Buffer.concat([this.unread, said]);
      this.deliver();
      return;
    }
    if (this.paused) throw new Error("a paused socket cannot read");
    this.events.data(said);
  }

  /** Reads in place until nothing is left or the socket is paused; returns the bytes. */
  deliver(): number {
    const before = this.unread.length;
    const gone = () => this.calls.includes("close") || this.calls.includes("reset");
    while (this.reader !== null && this.unread.length > 0 && !this.paused && !gone()) {
      this.unread = this.unread.subarray(this.reader.read(this.unread));
    }
    return before - this.unread.length;
  }

  /** The peer resets the connection. */
  fail(): void {
    this.events.failed(new Error("ECONNRESET"));
    this.events.closed();
  }

  end(): void {
    this.calls.push("end");
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(): void {
    this.calls.push("close");
  }
  reset(): void {
    this.calls.push("reset");
  }
}

export class FakeNetwork implements Sockets {
  readonly acceptors: Acceptor[] = [];
  readonly connects: { target: SocketAddress; socket: FakeSocket }[] = [];
  closedListeners = 0;

  listen(address: SocketAddress, _backlog: number, acceptor: Acceptor): Promise<Listener> {
    this.acceptors.push(acceptor);
    return Promise.resolve({ address, close: () => void this.closedListeners++ });
  }

  connect(target: SocketAddress, events: SocketEvents): FakeSocket {
    const socket = new FakeSocket(events);
    this.connects.push({ target, socket });
    return socket;
  }

  /** A client connects to a published port: the first one, unless told otherwise. */
  client(published = 0): FakeSocket {
    const socket = new FakeSocket(NOBODY);
    (this.acceptors[published] as Acceptor).accepted(socket);
    return socket;
  }
}

const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};

export interface PuppetOptions extends VsockOptions {
  /** Without either feature by default. */
  readonly rings?: RingKind;
  readonly ringSize?: number;
  readonly sharedMemory?: boolean;
  /** Pieces of every rx buffer. */
  readonly rxBuffer?: readonly Piece[];
  readonly rxBuffers?: number;
  /** Feature bits that the driver accepted; all of them unless told otherwise. */
  readonly features?: bigint;
  /** The machine's; none by default. */
  readonly trace?: DeviceTrace;
}

export class VsockPuppet {
  readonly memory: GuestMemory;
  readonly network = new FakeNetwork();
  readonly device: VsockDevice;
  rx!: DriverRing;
  tx!: DriverRing;
  events!: DriverRing;
  /** Lines that the device logged. */
  readonly logs: string[] = [];
  /** Times that the device asked for the guest's turn. */
  turns = 0;
  /** Called at each of them, as the guest would be; in a machine it would be later. */
  onTurn: (atOnce: boolean) => void = () => {};
  readonly #options: PuppetOptions;
  readonly #timers = new Set<{ at: number; callback: () => void }>();
  #nowNs = 0;

  constructor(options: PuppetOptions = {}) {
    this.#options = options;
    this.memory = new GuestMemory(256, options.sharedMemory);
    this.device = new VsockDevice({ sockets: this.network, ...options });
    const host: DeviceHost = {
      memory: this.memory,
      turn: (atOnce = false) => {
        this.turns++;
        this.onTurn(atOnce);
      },
      now: () => this.#nowNs,
      after: (ms, callback) => {
        const timer = { at: this.#nowNs + ms * 1e6, callback };
        this.#timers.add(timer);
        return () => void this.#timers.delete(timer);
      },
      defer: setImmediate,
      log: (message) => this.logs.push(message),
      trace: options.trace,
    };
    this.device.attach(host);
  }

  /** Brings the rings up and posts rx buffers. */
  boot(): void {
    const size = this.#options.ringSize ?? 256;
    const kind = this.#options.rings ?? PLAIN_RINGS;
    this.rx = new DriverRing(this.memory, "vsock rx", 0x100000, size, kind);
    this.tx = new DriverRing(this.memory, "vsock tx", 0x600000, size, kind);
    this.events = new DriverRing(this.memory, "vsock event", 0xb00000, 8, kind);
    const { features = this.device.features } = this.#options;
    const queues = [this.rx.queue, this.tx.queue, this.events.queue];
    this.device.activate(queues, features);
    this.post(this.#options.rxBuffers ?? 32);
    this.halt();
  }

  /** Makes rx buffers available, and kicks if the device asked for it. */
  post(count: number, pieces: readonly Piece[] = this.#options.rxBuffer ?? [4096]): void {
    for (let i = 0; i < count; i++) this.rx.add(pieces);
    if (this.rx.kick()) this.device.notify();
  }

  /** The guest halts. */
  halt(): void {
    this.device.halted();
    this.rx.queue.signal();
    this.tx.queue.signal();
    this.events.queue.signal();
  }

  /** The guest sends packets in one turn. */
  send(...packets: Partial<Packet>[]): void {
    this.sendRaw(...packets.map((packet) => [encode(packet)]));
  }

  /** The guest sends buffers, whatever is in them, in one turn. */
  sendRaw(...buffers: Piece[][]): void {
    for (const pieces of buffers) this.tx.add(pieces);
    if (this.tx.kick()) this.device.notify();
    this.halt();
  }

  /** The guest takes its packets, and posts as many buffers again. */
  take(repost = true): Packet[] {
    const used = this.rx.used();
    if (repost && used.length > 0) {
      this.post(used.length);
      this.halt();
    }
    return used.filter((chain) => chain.len > 0).map((chain) => decode(chain.bytes));
  }

  /** Names of the packets that the guest takes, in order. */
  ops(): number[] {
    return this.take().map((packet) => packet.op);
  }

  /** Publishes guest port 80. */
  publish(): Promise<SocketAddress> {
    return this.device.publish({ port: 4000, guestPort: 80 });
  }

  /** A client whom the guest accepts. */
  open(peer: Partial<Packet> = {}): { client: FakeSocket; hostPort: number } {
    const client = this.network.client();
    const request = this.take()[0] as Packet;
    this.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort, ...peer });
    return { client, hostPort: request.hostPort };
  }

  /** Lets time pass; timers fire in order. */
  advance(ms: number): void {
    const until = this.#nowNs + ms * 1e6;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.at <= until);
      const first = due.sort((a, b) => a.at - b.at)[0];
      if (first === undefined) break;
      this.#timers.delete(first);
      this.#nowNs = first.at;
      first.callback();
    }
    this.#nowNs = until;
  }

  get timers(): number {
    return this.#timers.size;
  }
}

/** A machine whose guest port 80 is published. */
export async function bootPublished(options: PuppetOptions = {}): Promise<VsockPuppet> {
  const puppet = new VsockPuppet(options);
  await puppet.publish();
  puppet.boot();
  return puppet;
}
