// Virtio socket device (virtio 5.10): streams between guest ports and sockets of the host.
//
// A client of a published address becomes REQUEST to the guest; REQUEST from the guest becomes a
// connection to the address that its host port is mapped to. Kicks only mark a queue: the packets
// of a turn are handled when the guest has halted, so that what it sent on one stream leaves in one
// writev.
import { VIRTIO_ID_VSOCK } from "../../drivers/abi/virtio.ts";
import {
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
  VMADDR_CID_MIN,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
  VsockOp,
} from "../../drivers/abi/vsock.ts";
import type { DeviceHost, VirtioDevice } from "../device.ts";
import type { PairSocket } from "../sockets/pair.ts";
import { NodeSockets, type StreamSocket, type TcpAddress } from "../sockets.ts";
import type { Chain, VirtQueue } from "../virtqueue.ts";
import { Budget } from "./vsock/budget.ts";
import { Connection } from "./vsock/connection.ts";
import { Ledger } from "./vsock/copy.ts";
import { Flushing } from "./vsock/flushing.ts";
import { FromGuest } from "./vsock/from-guest.ts";
import { type Hub, LIMITS, type Opened, type ReceiveMode } from "./vsock/hub.ts";
import { Handshakes, type HybridClients, okLine } from "./vsock/hybrid.ts";
import { type Clients, Listeners, type PublishedPort } from "./vsock/listeners.ts";
import { assertCid, type VsockOptions } from "./vsock/options.ts";
import { RingShare } from "./vsock/outbound.ts";
import type { GuestPacket, HostPacket } from "./vsock/packet.ts";
import { Probes } from "./vsock/probes.ts";
import { Routes } from "./vsock/routes.ts";
import type { RxRing } from "./vsock/rx-ring.ts";
import { State } from "./vsock/state.ts";
import { type ConnectionStats, countFrom, type VsockStats } from "./vsock/stats.ts";
import type { SwitchMember, VsockSwitch } from "./vsock/switch.ts";
import { Deadlines, Table } from "./vsock/table.ts";
import { ToGuest } from "./vsock/to-guest.ts";

const QUEUE_SIZE_MAX = 32768;
const EVENT_QUEUE_SIZE_MAX = 64;

const FEATURES = [
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
].reduce((bits, feature) => bits | (1n << BigInt(feature)), 0n);

export class VsockDevice implements VirtioDevice, Hub, Clients, HybridClients, SwitchMember {
  readonly id = VIRTIO_ID_VSOCK;
  readonly name = "vsock";
  readonly features = FEATURES;
  readonly queueSizesMax = [QUEUE_SIZE_MAX, QUEUE_SIZE_MAX, EVENT_QUEUE_SIZE_MAX];
  readonly queueNames = ["rx", "tx", "event"];
  readonly config = new Uint8Array(VsockConfig.sizeof);
  readonly ledger = new Ledger();
  readonly stats: VsockStats = countFrom(this.ledger);
  readonly share = new RingShare();
  readonly receiveMode: ReceiveMode;
  readonly #cid: number;
  readonly #switch: VsockSwitch | null;
  readonly #routes: Routes;
  readonly #seqpacket: ReadonlySet<number>;
  readonly #budget: Budget;
  readonly #table: Table;
  readonly #deadlines: Deadlines;
  readonly #fromGuest: FromGuest;
  readonly #toGuest: ToGuest;
  readonly #flushing = new Flushing();
  readonly #listeners: Listeners;
  readonly #handshakes = new Handshakes(this);
  readonly #probes: Probes;
  #host: DeviceHost | null = null;
  #marked = false;
  #draining = false;
  #disposed = false;
  #drained: (() => void)[] = [];

  /** Throws on a CID that is reserved (V10) or taken, and on mapped ports that cannot be. */
  constructor(options: VsockOptions = {}) {
    const { cid = VMADDR_CID_MIN, connect = new Map(), limits, receive = "adaptive" } = options;
    const { sockets = new NodeSockets(), switch: network = null } = options;
    assertCid(cid);
    this.#cid = cid;
    this.receiveMode = receive;
    this.#switch = network;
    this.#seqpacket = new Set(options.seqpacket);
    this.#routes = new Routes(cid, sockets, connect, network);
    this.#budget = new Budget({ ...LIMITS, ...limits });
    this.#listeners = new Listeners(sockets, this);
    this.#table = new Table(connect.keys());
    this.#deadlines = new Deadlines(this.#table, () => this.settle());
    const { capture = null } = options;
    this.#fromGuest = new FromGuest(cid, this.stats, capture, this.#receive);
    this.#toGuest = new ToGuest(cid, this.stats, capture);
    this.#probes = new Probes(this.#attempt, (ms, callback) => this.after(ms, callback));
    new DataView(this.config.buffer).setUint32(VsockConfig.guest_cid, cid, true);
    network?.join(cid, this);
  }

  // ---- for the owner of the machine

  /**
   * Clients of a TCP address reach a port of the guest. Rejects when the address cannot be bound.
   */
  publish(port: PublishedPort): Promise<TcpAddress> {
    return this.#listeners.add(port);
  }

  /**
   * Hybrid vsock over AF_UNIX, as Firecracker has it: clients of the path say `CONNECT <port>\n`
   * and read `OK <hostport>\n` once the guest accepted; connections of the guest to a host port P
   * that is not mapped reach the path with `_P` behind it. Once. Rejects when the path cannot be
   * bound.
   */
  async publishPath(path: string): Promise<void> {
    this.#routes.publish(path);
    await this.#listeners.addPath(path, (socket) => this.#handshakes.accepted(socket));
  }

  /**
   * Resolves once the guest accepts a connection to `guestPort`; asks again until then. The
   * application sees a client that connects and closes. Rejects when the machine goes away.
   */
  probe(guestPort: number): Promise<void> {
    return this.#probes.add(guestPort);
  }

  /** Receive buffers that the guest has posted and nothing is in yet. */
  get receiveBuffers(): number {
    return this.rx?.posted ?? 0;
  }

  /** What the connections of this moment have carried. */
  connections(): ConnectionStats[] {
    return Array.from(this.#table.all, (connection) => connection.stats);
  }

  /**
   * Takes no more clients and reads no more from those there are, tells the guest that they are
   * done, and resolves when the last connection is. Bytes on their way to clients still arrive.
   */
  drain(): Promise<void> {
    this.#draining = true;
    this.#listeners.close();
    this.#handshakes.close();
    for (const connection of this.#table.all) connection.drain();
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    this.#checkDrained();
    this.settle();
    return drained;
  }

  // ---- virtio device

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#deadlines.attach(host);
  }

  activate(queues: readonly (VirtQueue | null)[]): void {
    this.#toGuest.begin(queues[VSOCK_QUEUE_RX] ?? null);
    this.#fromGuest.queue = queues[VSOCK_QUEUE_TX] ?? null;
    this.share.pinnedMax = (this.#fromGuest.queue?.size ?? 0) >> 2;
    this.#marked = true; // clients may have come before the driver
  }

  notify(): void {
    this.#marked = true;
  }

  halted(): void {
    if (!this.#marked) return;
    this.#marked = false;
    let more: boolean;
    do {
      more = this.#fromGuest.take(this.#flushing, this.#toGuest);
      if (more) this.#marked = true;
      this.pump();
      // Without rx buffers for the resets that are due, packets of the guest have to wait (V5).
    } while (more && !this.#toGuest.full);
  }

  /** Clients that the guest has not heard of outlive the reset that every driver begins with. */
  reset(): void {
    if (this.#toGuest.ring === null && this.#fromGuest.queue === null) return;
    for (const connection of this.#table.all) connection.cut();
    this.#toGuest.end();
    this.#flushing.clear();
    this.#fromGuest.queue = null;
  }

  dispose(): void {
    this.#disposed = true;
    this.#switch?.leave(this.#cid);
    this.#listeners.close();
    this.#handshakes.close();
    this.#deadlines.stop();
    this.#toGuest.end();
    this.#fromGuest.queue = null;
    this.#probes.dispose();
    for (const connection of this.#table.all) connection.cut();
    this.#checkDrained();
  }

  // ---- for connections

  get rx(): RxRing | null {
    return this.#toGuest.ring;
  }

  get packet(): HostPacket {
    return this.#toGuest.packet;
  }

  /** Between guests there are streams only. */
  typeOf(peerCid: number, port: number): number {
    const isFramed = peerCid === VMADDR_CID_HOST && this.#seqpacket.has(port);
    return isFramed ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM;
  }

  ready(connection: Connection): void {
    this.#toGuest.ready(connection);
  }

  flushLater(connection: Connection): void {
    this.#flushing.add(connection);
  }

  deadline(connection: Connection, ms: number): void {
    this.#deadlines.set(connection, ms);
  }

  freePorts(connection: Connection): void {
    this.#table.freePorts(connection);
  }

  gone(connection: Connection): void {
    this.#table.all.delete(connection);
    this.#budget.give(connection.bufAlloc);
    this.stats.connections--;
    this.#checkDrained();
  }

  pump(): void {
    this.#toGuest.pump();
  }

  settle(atOnce = false): void {
    this.pump();
    this.#toGuest.signal();
    this.#fromGuest.queue?.signal();
    if (!this.#disposed) this.#host?.turn(atOnce);
  }

  // ---- for listeners

  accepted(socket: StreamSocket, guestPort: number): void {
    this.#admit(socket, guestPort);
    this.settle();
  }

  requested(socket: StreamSocket, guestPort: number, rest: Uint8Array): void {
    const connection = this.#admit(socket, guestPort);
    if (connection !== null) {
      connection.greeting = okLine(connection.hostPort);
      if (rest.length > 0) connection.data(rest);
    }
    this.settle();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#host?.after(ms, callback) ?? (() => {});
  }

  lost(): void {
    this.stats.refused++;
  }

  // ---- for the switch

  called(cid: number, port: number, guestPort: number, socket: PairSocket): boolean {
    if (this.#table.find(cid, port, guestPort) !== undefined) return false;
    const connection = this.#begin(cid, port, guestPort, socket.opened);
    if (connection === null) return false;
    this.#add(connection, socket);
    this.settle();
    return true;
  }

  // ---- inside

  /** A client becomes a connection; null: there is no room for it, and it is closed. */
  #admit(socket: StreamSocket, guestPort: number): Connection | null {
    const connection = this.#begin(VMADDR_CID_HOST, this.#table.allocatePort(), guestPort);
    if (connection === null) socket.close();
    else this.#add(connection, socket);
    return connection;
  }

  /** A connection to the guest, not in the table yet; null: there is no room for it. */
  #begin(cid: number, port: number, guestPort: number, opened?: Opened): Connection | null {
    const window = this.#draining ? 0 : this.#budget.take();
    if (window === 0) {
      this.stats.refused++;
      return null;
    }
    this.stats.accepted++;
    return new Connection(this, cid, port, guestPort, State.Requesting, window, opened);
  }

  readonly #attempt = (guestPort: number, done: Opened): boolean => {
    const window = this.#budget.take();
    if (window === 0) return false;
    const port = this.#table.allocatePort();
    const from = VMADDR_CID_HOST;
    this.#add(new Connection(this, from, port, guestPort, State.Requesting, window, done));
    this.settle();
    return true;
  };

  #add(connection: Connection, socket?: StreamSocket): void {
    if (socket !== undefined) {
      socket.events = connection;
      connection.attach(socket);
    }
    this.#table.add(connection);
    this.stats.connections++;
  }

  /** True: the chain is kept. */
  readonly #receive = (packet: GuestPacket, chain: Chain): boolean => {
    if (!this.#routes.has(packet.dstCid)) {
      this.stats.rejected++;
      return false;
    }
    this.stats.packetsFromGuest++;
    const found = this.#table.find(packet.dstCid, packet.dstPort, packet.srcPort);
    // V9, V33: another type is another socket, even with these ports.
    const connection = found?.type === packet.type ? found : undefined;
    if (!packet.fits(chain)) {
      this.stats.rejected++;
      if (connection !== undefined) connection.abort();
      else this.#refuse(packet);
      return false;
    }
    if (connection !== undefined) return connection.receive(packet, chain);
    if (packet.op === VsockOp.REQUEST && this.#connect(packet)) return false;
    this.#refuse(packet);
    return false;
  };

  /** V30: what belongs to no connection is reset, but a reset is not answered. */
  #refuse(packet: GuestPacket): void {
    if (packet.op !== VsockOp.RST) this.#toGuest.reset(packet);
  }

  #connect(packet: GuestPacket): boolean {
    if (packet.type !== this.typeOf(packet.dstCid, packet.dstPort)) return false;
    if (this.#draining) return false;
    const window = this.#budget.take();
    if (window === 0) return false;
    const socket = this.#routes.connect(packet);
    if (socket === null) {
      this.#budget.give(window);
      return false;
    }
    this.stats.connected++;
    const { dstCid, dstPort, srcPort } = packet;
    const connection = new Connection(this, dstCid, dstPort, srcPort, State.Connecting, window);
    connection.learnCredit(packet);
    this.#add(connection, socket);
    return true;
  }

  #checkDrained(): void {
    if (!this.#disposed && (!this.#draining || this.#table.all.size > 0)) return;
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }
}
