// Virtio socket device (virtio 5.10): connections between guest ports and sockets of the host.
//
// A client of a published address becomes a REQUEST to the guest; a REQUEST from the guest becomes
// a connection to the address that its host port is mapped to. Kicks only mark a queue: the packets
// of a turn are handled when the guest has halted, so that all it sent on one stream leaves in one
// writev.
//
// This file is the device as its driver and its owner see it. connections.ts holds the connections,
// connection/ what one of them does, rings/ the queues, routes/ who may talk to whom.
import { VIRTIO_ID_VSOCK } from "../../abi/virtio.ts";
import {
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VMADDR_CID_MIN,
  VMADDR_PORT_ANY,
  VSOCK_QUEUE_EVENT,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
} from "../../abi/vsock.ts";
import type { DeviceHost, DeviceSnapshots, VirtioDevice } from "../device.ts";
import type { SocketAddress, SocketEvents, StreamSocket, TcpAddress } from "../ports/sockets.ts";
import { Fields } from "../snapshot/fields.ts";
import { PairLoop } from "../sockets/pair.ts";
import type { StreamPair } from "../sockets/streams.ts";
import type { VirtQueue } from "../virtqueue.ts";
import { Connections } from "./vsock/connections.ts";
import { assertCid, type VsockOptions } from "./vsock/options.ts";
import { Events } from "./vsock/rings/events.ts";
import { FromGuest } from "./vsock/rings/from-guest.ts";
import { describePacket, PacketTrace } from "./vsock/rings/trace.ts";
import { Handshakes, okLine } from "./vsock/routes/hybrid.ts";
import { Listeners, type PublishedPort } from "./vsock/routes/listeners.ts";
import { DRAINED, GONE, Probes } from "./vsock/routes/probes.ts";
import { Routes } from "./vsock/routes/routes.ts";
import { FEATURES, SocketTypes } from "./vsock/routes/socket-types.ts";
import type { SwitchMember, VsockSwitch } from "./vsock/routes/switch.ts";
import type { ConnectionStats, Refusal, VsockStats } from "./vsock/stats.ts";

export type { VsockOptions } from "./vsock/options.ts";

const QUEUE_SIZE_MAX = 32768;
const EVENT_QUEUE_SIZE_MAX = 64;

/** Resources that the device holds at the moment. All are 0 when it is idle. */
export interface VsockHoldings {
  /** Descriptors of the tx ring, for clients that are slow to read. */
  readonly txDescriptors: number;
  /** Rx buffers that sockets may read into. */
  readonly rxBuffers: number;
  /** Sum of the windows of all connections. */
  readonly windowBytes: number;
}

export class VsockDevice implements VirtioDevice {
  readonly id = VIRTIO_ID_VSOCK;
  readonly name = "vsock";
  readonly features = FEATURES;
  readonly queueSizesMax = [QUEUE_SIZE_MAX, QUEUE_SIZE_MAX, EVENT_QUEUE_SIZE_MAX];
  readonly queueNames = ["rx", "tx", "event"];
  readonly config = new Uint8Array(VsockConfig.sizeof);
  readonly stats: VsockStats;
  readonly snapshots: DeviceSnapshots = {
    save: () => this.#save(),
    restore: (state) => this.#restore(state),
  };
  readonly #connections: Connections;
  readonly #fromGuest: FromGuest;
  readonly #events: Events;
  readonly #switch: VsockSwitch | null;
  readonly #routes: Routes;
  readonly #types: SocketTypes;
  readonly #listeners: Listeners;
  readonly #handshakes: Handshakes;
  readonly #probes: Probes;
  #cid: number;
  #host: DeviceHost | null = null;
  /** Of connections within this process. */
  #loop: PairLoop | null = null;
  #marked = false;
  #isDisposed = false;

  /** Throws on a CID that is reserved (V10) or taken, and on mapped ports out of range. */
  constructor(options: VsockOptions) {
    const { cid = VMADDR_CID_MIN, connect = new Map(), sockets, capture = null } = options;
    assertCid(cid);
    this.#cid = cid;
    this.#switch = options.switch ?? null;
    this.#types = new SocketTypes(options.seqpacket);
    this.#routes = new Routes(sockets, connect, this.#switch);
    const connections = new Connections(options, this.#routes, this.#types, this.#settle);
    this.#connections = connections;
    this.stats = connections.stats;
    this.#fromGuest = new FromGuest(this.stats, capture, connections.receive);
    this.#events = new Events(this.stats);
    const refused = (reason: Refusal, error?: Error) => connections.refused(reason, error);
    const after = (ms: number, callback: () => void) =>
      this.#host?.after(ms, callback) ?? (() => {});
    this.#listeners = new Listeners(sockets, {
      accepted: (socket, guestPort) => {
        connections.admit(socket, guestPort);
        // As with bytes: alone it has no reason to wait for others.
        this.#settle(connections.stats.connections === 1);
      },
      refused,
    });
    this.#handshakes = new Handshakes({
      requested: (socket, guestPort, rest) => {
        const connection = connections.admit(socket, guestPort);
        if (connection !== null) {
          connection.greeting = okLine(connection.route.hostPort);
          if (rest.length > 0) connection.data(rest);
        }
        this.#settle();
      },
      refused,
      after,
    });
    this.#probes = new Probes((guestPort, answered) => {
      const begun = connections.probe(guestPort, answered);
      if (begun) this.#settle();
      return begun;
    }, after);
    this.#switch?.join(cid, this.#member);
    this.#address(cid);
  }

  // ---- for the owner of the machine

  /** Clients of a TCP address reach a port of the guest. Rejects if it cannot be bound. */
  publish(port: PublishedPort): Promise<TcpAddress> {
    return this.#listeners.add(port);
  }

  /** The same for an address of any kind. */
  async publishAt(address: SocketAddress, guestPort: number): Promise<void> {
    await this.#listeners.addAddress(address, guestPort);
  }

  /**
   * Hybrid vsock over AF_UNIX, as in Firecracker: a client of the path sends `CONNECT <port>\n` and
   * reads `OK <hostport>\n` once the guest has accepted. Connections of the guest to a host port P
   * that is not mapped go to the path with `_P` appended. Once. Rejects if the path cannot be
   * bound.
   */
  async publishPath(path: string): Promise<void> {
    this.#routes.publish(path);
    await this.#listeners.addPath(path, (socket) => this.#handshakes.accepted(socket));
  }

  /**
   * A client that the owner has accepted becomes a connection to `guestPort` of the guest, which
   * owns the socket from now on. `ended` is called once the socket is closed, which may be at once,
   * and may be in a turn of the guest.
   */
  accept(socket: StreamSocket, guestPort: number, ended: () => void): void {
    const connection = this.#connections.admit(socket, guestPort);
    if (connection === null) ended();
    else connection.ended = ended;
    this.#settle();
  }

  /**
   * Resolves once the guest accepts a connection to `guestPort`, and retries until then. To the
   * guest it is a client that connects and closes. Rejects without a machine, or when it ends or
   * drains.
   */
  async probe(guestPort: number): Promise<void> {
    if (this.#host === null) throw new Error("vsock: the device is not in a machine");
    await this.#probes.add(guestPort);
  }

  /**
   * Asks once whether the guest accepts a connection to `guestPort`. False: it cannot be asked, and
   * `answered` is not called.
   */
  probeOnce(guestPort: number, answered: (accepted: boolean) => void): boolean {
    const begun = this.#host !== null && this.#connections.probe(guestPort, answered);
    if (begun) this.#settle();
    return begun;
  }

  /** VirtioDevice.dial(). Throws if `guestPort` is no port of the guest, or carries messages. */
  dial(guestPort: number, events: SocketEvents): StreamSocket {
    if (this.#host === null) throw new Error("vsock: the device is not in a machine");
    if (this.#isDisposed) throw new Error(GONE);
    if (!Number.isInteger(guestPort) || guestPort < 0 || guestPort >= VMADDR_PORT_ANY) {
      throw new RangeError(`vsock: ${guestPort} is no port`);
    }
    if (this.#types.ofPort(guestPort) === VIRTIO_VSOCK_TYPE_SEQPACKET) {
      throw new Error(`vsock: port ${guestPort} carries messages, not a stream`);
    }
    this.#loop ??= new PairLoop(this.#host);
    const [near, far] = this.#loop.pair();
    near.events = events;
    if (this.#connections.dialled(far, guestPort)) this.#settle();
    else far.reset();
    return near;
  }

  /**
   * Connects to a port of the guest, within this process: no address of the host is involved.
   * Resolves once the guest has accepted. Rejects with an Error if it refuses, if there is no room,
   * or if the machine is gone; with the signal's reason if that aborts first. A later abort resets
   * the connection.
   */
  async connect(guestPort: number, options: { signal?: AbortSignal } = {}): Promise<StreamPair> {
    const name = `vsock: port ${guestPort}`;
    const { connectStreams } = await import("../sockets/streams.ts");
    return connectStreams((events) => this.dial(guestPort, events), name, options.signal);
  }

  /** Receive buffers that the guest has posted and that are still empty. */
  get receiveBuffers(): number {
    return this.#connections.toGuest.ring?.posted ?? 0;
  }

  /** Resources that the device holds at the moment. */
  get holdings(): VsockHoldings {
    const { share, toGuest, budget } = this.#connections;
    const rxBuffers = toGuest.ring?.reserved ?? 0;
    return { txDescriptors: share.pinned, rxBuffers, windowBytes: budget.granted };
  }

  /** The address of the client that has this connection; "": not known. */
  peerAddress(hostPort: number, guestPort: number): string {
    return this.#connections.peerAddress(hostPort, guestPort);
  }

  /** Traffic of each connection that there is now, the oldest first. */
  connections(): ConnectionStats[] {
    return this.#connections.oldestFirst().map((connection) => connection.stats);
  }

  /** drain() may come soon: from now on the device notices which clients are silent. */
  watchQuiet(): void {
    this.#connections.watchQuiet();
  }

  /**
   * Accepts no more clients, tells the guest that those it has are done, each once it has sent
   * nothing for `quietMs`, and resolves when the last connection has ended. Bytes on their way to
   * clients still arrive; the end follows them, and bytes that cross it are read and discarded.
   */
  drain({ quietMs = 0 } = {}): Promise<void> {
    this.#listeners.close();
    this.#handshakes.close();
    this.#probes.dispose(DRAINED);
    const drained = this.#connections.drain(this.#host !== null, quietMs);
    this.#settle();
    return drained;
  }

  /** Resets every client that there is, and returns how many. The guest learns it. */
  resetClients(): number {
    const count = this.#connections.resetAll();
    this.#settle();
    return count;
  }

  /**
   * Tells the guest what it would hear after a migration (5.10.6.7): its connections are gone, and
   * it may have another CID; its listeners stay. Clients and other guests are reset. Throws, and
   * changes nothing, if the CID is reserved or taken.
   */
  resetTransport(cid = this.#cid): void {
    assertCid(cid);
    if (cid !== this.#cid) this.#switch?.move(this.#cid, cid);
    this.#connections.cutAll();
    this.#connections.toGuest.clear();
    this.#address(cid);
    this.#events.transportReset();
    this.#settle();
  }

  // ---- virtio device

  get identity(): string {
    return `CID ${this.#cid}`;
  }

  describe(queue: number, head: DataView): string {
    return queue === VSOCK_QUEUE_TX ? describePacket(head) : "";
  }

  attach(host: DeviceHost): void {
    if (this.#host !== null) throw new Error("vsock: the device is in a machine already");
    this.#host = host;
    this.#connections.attach(host);
    if (host.trace === undefined) return;
    const { toGuest } = this.#connections;
    toGuest.tap = this.#fromGuest.tap = new PacketTrace(host.trace, toGuest.tap);
  }

  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    const { toGuest, share } = this.#connections;
    this.#types.negotiated(features);
    this.#connections.cutUnknownTypes();
    this.#events.queue = queues[VSOCK_QUEUE_EVENT] ?? null;
    toGuest.begin(queues[VSOCK_QUEUE_RX] ?? null);
    this.#fromGuest.queue = queues[VSOCK_QUEUE_TX] ?? null;
    share.pinnedMax = (this.#fromGuest.queue?.size ?? 0) >> 2;
    this.#marked = true; // clients may have come before the driver
  }

  notify(): void {
    this.#marked = true;
  }

  halted(): void {
    if (!this.#marked) return;
    this.#marked = false;
    this.#events.deliver();
    const { flushing, toGuest } = this.#connections;
    let more: boolean;
    do {
      more = this.#fromGuest.take(flushing, toGuest);
      if (more) this.#marked = true;
      toGuest.pump();
      // Without rx buffers for the resets that are due, packets of the guest have to wait (V5).
    } while (more && !toGuest.full);
  }

  /**
   * Clients that the guest does not know of yet outlive the reset that every driver begins with.
   */
  reset(): void {
    if (this.#connections.toGuest.ring !== null || this.#fromGuest.queue !== null) {
      this.#leaveGuest();
    }
  }

  /** The driver stopped a queue (VirtioDevice). */
  readonly stopped = (queue: number): void =>
    queue === VSOCK_QUEUE_EVENT ? this.#events.end() : this.#leaveGuest(); // M14

  dispose(): void {
    this.#isDisposed = true;
    this.#switch?.leave(this.#cid);
    this.#listeners.dispose();
    this.#handshakes.close();
    this.#connections.dispose();
    this.#probes.dispose();
    this.#leaveGuest();
    this.#connections.disposed();
  }

  // ---- inside

  /** Hub.settle() */
  readonly #settle = (atOnce = false): void => {
    const { toGuest } = this.#connections;
    toGuest.pump();
    toGuest.signal();
    this.#events.queue?.signal();
    this.#fromGuest.queue?.signal();
    if (!this.#isDisposed) this.#host?.turn(atOnce);
  };

  #save(): unknown {
    const { known } = this.#connections;
    return { cid: this.#cid, connections: known, isResetDue: this.#events.isDue };
  }

  /** Connections do not move: the guest learns that they are gone, listeners stay (5.10.6.7). */
  #restore(state: unknown): void {
    const fields = new Fields(state, "vsock");
    const isCut = fields.u32("connections") > 0 || fields.flag("isResetDue");
    const isMoved = fields.u32("cid") !== this.#cid;
    if (isCut || isMoved) this.#events.transportReset();
  }

  /** The device, as other guests see it. */
  readonly #member: SwitchMember = {
    called: (from, socket) => {
      const accepted = this.#connections.called(from, socket);
      if (accepted) this.#settle();
      return accepted;
    },
  };

  #address(cid: number): void {
    const { toGuest } = this.#connections;
    this.#cid = this.#connections.cid = this.#fromGuest.cid = toGuest.packet.guestCid = cid;
    new DataView(this.config.buffer).setUint32(VsockConfig.guest_cid, cid, true);
  }

  /** Drops all connections. The guest gets nothing more, and its memory is not touched any more. */
  #leaveGuest(): void {
    this.#connections.cutAll();
    this.#connections.toGuest.end();
    this.#events.end();
    this.#connections.flushing.clear();
    this.#fromGuest.queue = null;
  }
}
