// Virtio socket device (virtio 5.10): streams between guest ports and sockets of the host.
//
// A client of a published address becomes REQUEST to the guest; REQUEST from the guest becomes a
// connection to the address that its host port is mapped to. Kicks only mark a queue: the packets
// of a turn are handled when the guest has halted, so that what it sent on one stream leaves in one
// writev.
import { VIRTIO_ID_VSOCK } from "../../abi/virtio.ts";
import {
  VMADDR_CID_HOST,
  VMADDR_CID_MIN,
  VSOCK_QUEUE_EVENT,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
  VsockOp,
} from "../../abi/vsock.ts";
import type { DeviceHost, VirtioDevice } from "../device.ts";
import { limitLog } from "../log.ts";
import type { StreamSocket, TcpAddress } from "../ports/sockets.ts";
import type { PairSocket } from "../sockets/pair.ts";
import type { Chain, VirtQueue } from "../virtqueue.ts";
import { Budget } from "./vsock/budget.ts";
import { Connection } from "./vsock/connection/connection.ts";
import { Ledger } from "./vsock/connection/ledger.ts";
import { RingShare } from "./vsock/connection/outbound.ts";
import { State } from "./vsock/connection/state.ts";
import { Drain } from "./vsock/drain.ts";
import { type Hub, LIMITS, type Opened, type ReceiveMode } from "./vsock/hub.ts";
import { assertCid, type VsockOptions } from "./vsock/options.ts";
import { Events } from "./vsock/rings/events.ts";
import { Flushing } from "./vsock/rings/flushing.ts";
import { FromGuest } from "./vsock/rings/from-guest.ts";
import type { GuestPacket } from "./vsock/rings/packet.ts";
import { ToGuest } from "./vsock/rings/to-guest.ts";
import { PacketTrace } from "./vsock/rings/trace.ts";
import { Handshakes, type HybridClients, okLine } from "./vsock/routes/hybrid.ts";
import { type Clients, Listeners, type PublishedPort } from "./vsock/routes/listeners.ts";
import { DRAINED, Probes } from "./vsock/routes/probes.ts";
import { type Route, Routes } from "./vsock/routes/routes.ts";
import { FEATURES, SocketTypes } from "./vsock/routes/socket-types.ts";
import type { SwitchMember, VsockSwitch } from "./vsock/routes/switch.ts";
import { Deadlines, Table } from "./vsock/routes/table.ts";
import { Stalls } from "./vsock/stalls.ts";
import type { ConnectionStats, Refusal, VsockStats } from "./vsock/stats.ts";
import { countFrom, countRefusal, FULL } from "./vsock/stats.ts";

export type { VsockOptions } from "./vsock/options.ts";

const QUEUE_SIZE_MAX = 32768;
const EVENT_QUEUE_SIZE_MAX = 64;

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
  readonly #switch: VsockSwitch | null;
  readonly #routes: Routes;
  readonly #types: SocketTypes;
  readonly budget: Budget;
  readonly #table: Table;
  readonly deadlines: Deadlines;
  readonly stalls: Stalls;
  readonly #fromGuest: FromGuest;
  readonly toGuest: ToGuest;
  readonly #events: Events;
  readonly flushing = new Flushing();
  readonly #listeners: Listeners;
  readonly #handshakes = new Handshakes(this);
  readonly #probes: Probes;
  #cid: number;
  #host: DeviceHost | null = null;
  #tell: (message: string) => void = () => {};
  #marked = false;
  readonly #drain = new Drain();

  /** Throws on a CID that is reserved (V10) or taken, and on mapped ports that cannot be. */
  constructor(options: VsockOptions) {
    const { cid = VMADDR_CID_MIN, connect = new Map(), limits, receive = "adaptive" } = options;
    const { sockets, switch: network = null, capture = null } = options;
    assertCid(cid);
    this.#cid = cid;
    this.receiveMode = receive;
    this.#switch = network;
    this.#types = new SocketTypes(options.seqpacket);
    this.#routes = new Routes(sockets, connect, network);
    this.budget = new Budget({ ...LIMITS, ...limits });
    this.#listeners = new Listeners(sockets, this);
    this.#table = new Table(connect.keys());
    this.deadlines = new Deadlines(this.#table, () => this.settle());
    this.stalls = new Stalls(sockets, () => this.settle());
    this.#fromGuest = new FromGuest(this.stats, capture, this.#receive);
    this.toGuest = new ToGuest(this.stats, capture);
    this.#events = new Events(this.stats);
    this.#probes = new Probes(this.#attempt, (ms, callback) => this.after(ms, callback));
    network?.join(cid, this);
    this.#address(cid);
  }

  // ---- for the owner of the machine

  /** Clients of a TCP address reach a port of the guest. Rejects when it cannot be bound. */
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
   * Resolves once the guest accepts a connection to `guestPort`, and asks until then: to the guest
   * it is a client that connects and closes. Rejects without a machine, or when it ends or drains.
   */
  async probe(guestPort: number): Promise<void> {
    if (this.#host === null) throw new Error("vsock: the device is in no machine");
    await this.#probes.add(guestPort);
  }

  /** Receive buffers that the guest has posted and nothing is in yet. */
  get receiveBuffers(): number {
    return this.toGuest.ring?.posted ?? 0;
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
    const drained = this.#drain.begin();
    this.#listeners.close();
    this.#handshakes.close();
    this.#probes.dispose(DRAINED);
    // Without a machine there will be no guest to end them.
    for (const one of this.#table.all) this.#host === null ? one.cut() : one.drain();
    this.#drain.check(this.#table.all.size);
    this.settle();
    return drained;
  }

  /**
   * What a guest hears that was moved to another host (5.10.6.7): its connections are gone, and it
   * may have another CID; its listeners stay. Clients and other guests are reset. Throws, and
   * changes nothing, when the CID is reserved or taken.
   */
  resetTransport(cid = this.#cid): void {
    assertCid(cid);
    if (cid !== this.#cid) this.#switch?.move(this.#cid, cid);
    for (const connection of this.#table.all) connection.cut();
    this.toGuest.clear();
    this.#address(cid);
    this.#events.transportReset();
    this.settle();
  }

  // ---- virtio device

  get identity(): string {
    return `CID ${this.#cid}`;
  }

  attach(host: DeviceHost): void {
    if (this.#host !== null) throw new Error("vsock: the device is in a machine already");
    this.#host = host;
    this.#tell = limitLog(host.log, host.now, 1);
    this.deadlines.attach(host);
    this.stalls.attach(host);
    if (host.trace === undefined) return;
    const tap = new PacketTrace(host.trace, this.toGuest.tap);
    this.toGuest.tap = this.#fromGuest.tap = tap;
  }

  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    this.#types.negotiated(features);
    for (const connection of this.#table.all) {
      if (!this.#types.has(connection.route.type)) connection.cut();
    }
    this.#events.queue = queues[VSOCK_QUEUE_EVENT] ?? null;
    this.toGuest.begin(queues[VSOCK_QUEUE_RX] ?? null);
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
    this.#events.deliver();
    let more: boolean;
    do {
      more = this.#fromGuest.take(this.flushing, this.toGuest);
      if (more) this.#marked = true;
      this.pump();
      // Without rx buffers for the resets that are due, packets of the guest have to wait (V5).
    } while (more && !this.toGuest.full);
  }

  /** Clients that the guest has not heard of outlive the reset that every driver begins with. */
  reset(): void {
    if (this.toGuest.ring !== null || this.#fromGuest.queue !== null) this.#leaveGuest();
  }

  readonly stopped = (queue: number): void =>
    queue === VSOCK_QUEUE_EVENT ? this.#events.end() : this.#leaveGuest(); // M14

  dispose(): void {
    this.#drain.end();
    this.#switch?.leave(this.#cid);
    this.#listeners.dispose();
    this.#handshakes.close();
    this.deadlines.stop();
    this.stalls.stop();
    this.#probes.dispose();
    this.#leaveGuest();
    this.#drain.check(this.#table.all.size);
  }

  // ---- for connections

  ready(connection: Connection): void {
    this.toGuest.ready(connection);
  }

  freePorts(connection: Connection): void {
    this.#table.freePorts(connection);
  }

  gone(connection: Connection): void {
    this.#table.all.delete(connection);
    this.budget.give(connection.sender.charged);
    this.stats.connections--;
    this.#drain.check(this.#table.all.size);
  }

  pump(): void {
    this.toGuest.pump();
  }

  settle(atOnce = false): void {
    this.pump();
    this.toGuest.signal();
    this.#events.queue?.signal();
    this.#fromGuest.queue?.signal();
    if (!this.#drain.ended) this.#host?.turn(atOnce);
  }

  // ---- for listeners and the switch

  accepted(socket: StreamSocket, guestPort: number): void {
    this.#admit(socket, guestPort);
    this.settle();
  }

  requested(socket: StreamSocket, guestPort: number, rest: Uint8Array): void {
    const connection = this.#admit(socket, guestPort);
    if (connection !== null) {
      connection.greeting = okLine(connection.route.hostPort);
      if (rest.length > 0) connection.data(rest);
    }
    this.settle();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#host?.after(ms, callback) ?? (() => {});
  }

  lost(reason: Refusal, error?: Error): void {
    countRefusal(this.stats, reason);
    if (error !== undefined) this.#tell(`a client was turned away: ${error.message}`);
  }

  called(from: Route, socket: PairSocket): boolean {
    if (this.#table.find(from.peerCid, from.hostPort, from.guestPort) !== undefined) return false;
    if (this.#request(from, socket.opened, socket) === null) return false;
    this.settle();
    return true;
  }

  // ---- inside

  #address(cid: number): void {
    this.#cid = this.#fromGuest.cid = this.toGuest.packet.guestCid = cid;
    new DataView(this.config.buffer).setUint32(VsockConfig.guest_cid, cid, true);
  }

  /** It hears nothing more, and nothing of its memory is touched any more. */
  #leaveGuest(): void {
    for (const connection of this.#table.all) connection.cut();
    this.toGuest.end();
    this.#events.end();
    this.flushing.clear();
    this.#fromGuest.queue = null;
  }

  /** A client becomes a connection; null: it cannot, and is closed. */
  #admit(socket: StreamSocket, guestPort: number): Connection | null {
    const connection = this.#request(this.#fromHost(guestPort), null, socket);
    if (connection === null) socket.close();
    return connection;
  }

  #fromHost(guestPort: number): Route {
    const type = this.#types.ofPort(guestPort);
    return { peerCid: VMADDR_CID_HOST, hostPort: this.#table.allocatePort(), guestPort, type };
  }

  /** Asks the guest for a connection; null: it cannot be. A probe has no socket. */
  #request(route: Route, opened: Opened | null, socket?: StreamSocket): Connection | null {
    const possible = !this.#drain.begun && this.#types.has(route.type);
    const window = possible ? this.budget.take(route.type) : 0;
    if (socket !== undefined && window === 0) this.lost("room", possible ? FULL : undefined);
    if (window === 0) return null;
    if (socket !== undefined) this.stats.accepted++;
    const connection = new Connection(this, route, State.Requesting, window, opened);
    this.#add(connection, socket);
    return connection;
  }

  readonly #attempt = (guestPort: number, done: Opened): boolean => {
    if (this.#request(this.#fromHost(guestPort), done) === null) return false;
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
    const connection = found?.route.type === packet.type ? found : undefined;
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
    if (packet.op !== VsockOp.RST) this.toGuest.reset(packet);
  }

  #connect(packet: GuestPacket): boolean {
    const { dstCid: peerCid, dstPort: hostPort, srcPort: guestPort, type } = packet;
    const isMapped = peerCid !== VMADDR_CID_HOST || type === this.#types.ofPort(hostPort);
    if (this.#drain.begun || !isMapped || !this.#types.has(type)) return false;
    const window = this.budget.take(type);
    if (window === 0) return false;
    const socket = this.#routes.connect(this.#cid, packet);
    if (socket === null) {
      this.budget.give(window);
      return false;
    }
    this.stats.connected++;
    const route = { peerCid, hostPort, guestPort, type };
    const connection = new Connection(this, route, State.Connecting, window);
    connection.learnCredit(packet);
    this.#add(connection, socket);
    return true;
  }
}
