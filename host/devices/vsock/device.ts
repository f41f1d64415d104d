// Virtio socket device (virtio 5.10): connections between guest ports and sockets of the host.
//
// A client of a published address becomes a REQUEST to the guest; a REQUEST from the guest becomes
// a connection to the address that its host port is mapped to. Kicks only mark a queue: the packets
// of a turn are handled when the guest has halted, so that all it sent on one stream leaves in one
// writev.
//
// This file is the device as its driver sees it, with clients of published addresses; ../vsock.ts
// adds what not every owner needs. connections.ts holds the connections, connection/ what one of
// them does, rings/ the queues, routes/ who may talk to whom.
import { VIRTIO_ID_VSOCK } from "../../../abi/virtio.ts";
import {
  VMADDR_CID_MIN,
  VSOCK_QUEUE_EVENT,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
} from "../../../abi/vsock.ts";
import type { DeviceHost, DeviceTrace, VirtioDevice } from "../../device.ts";
import type { StreamSocket, TcpAddress } from "../../ports/sockets.ts";
import type { VirtQueue } from "../../virtqueue.ts";
import { Connections } from "./connections.ts";
import { assertCid, type VsockOptions } from "./options.ts";
import { Events } from "./rings/events.ts";
import { FromGuest } from "./rings/from-guest.ts";
import type { PacketTap } from "./rings/tap.ts";
import { Listeners, type PublishedPort } from "./routes/listeners.ts";
import { Probes } from "./routes/probes.ts";
import { Routes } from "./routes/routes.ts";
import { FEATURES, SocketTypes } from "./routes/socket-types.ts";
import type { SwitchMember, VsockSwitch } from "./routes/switch.ts";
import type { ConnectionStats, VsockStats } from "./stats.ts";

const QUEUE_SIZE_MAX = 32768;
const EVENT_QUEUE_SIZE_MAX = 64;

/** A vsock device without what a tab never asks for: VsockDevice has that. */
export class SocketDevice implements VirtioDevice {
  readonly id = VIRTIO_ID_VSOCK;
  readonly name = "vsock";
  readonly features = FEATURES;
  readonly queueSizesMax = [QUEUE_SIZE_MAX, QUEUE_SIZE_MAX, EVENT_QUEUE_SIZE_MAX];
  readonly queueNames = ["rx", "tx", "event"];
  readonly config = new Uint8Array(VsockConfig.sizeof);
  readonly stats: VsockStats;
  describe?: (queue: number, head: DataView) => string;
  protected readonly hub: Connections;
  readonly #fromGuest: FromGuest;
  protected readonly events: Events;
  readonly #switch: VsockSwitch | null;
  protected readonly routes: Routes;
  protected readonly types: SocketTypes;
  protected readonly listeners: Listeners;
  protected readonly probes: Probes;
  protected cid: number;
  protected host: DeviceHost | null = null;
  #marked = false;
  protected isDisposed = false;

  /** Throws on a CID that is reserved (V10) or taken, and on mapped ports out of range. */
  constructor(options: VsockOptions) {
    const { cid = VMADDR_CID_MIN, connect = new Map(), sockets, capture = null } = options;
    assertCid(cid);
    this.cid = cid;
    this.#switch = options.switch ?? null;
    this.types = new SocketTypes(options.seqpacket);
    this.routes = new Routes(sockets, connect, this.#switch);
    const connections = new Connections(options, this.routes, this.types, this.settle);
    this.hub = connections;
    this.stats = connections.stats;
    this.#fromGuest = new FromGuest(this.stats, capture, connections.receive);
    this.events = new Events(this.stats);
    this.listeners = new Listeners(sockets, {
      accepted: (socket, guestPort) => {
        connections.admit(socket, guestPort);
        // As with bytes: alone it has no reason to wait for others.
        this.settle(connections.stats.connections === 1);
      },
      refused: (reason, error) => connections.refused(reason, error),
    });
    this.probes = new Probes((guestPort, answered) => {
      const begun = connections.probe(guestPort, answered);
      if (begun) this.settle();
      return begun;
    }, this.after);
    this.#switch?.join(cid, this.#member);
    this.#address(cid);
  }

  // ---- for the owner of the machine

  /** Clients of a TCP address reach a port of the guest. Rejects if it cannot be bound. */
  publish(port: PublishedPort): Promise<TcpAddress> {
    return this.listeners.add(port);
  }

  /**
   * A client that the owner has accepted becomes a connection to `guestPort` of the guest, which
   * owns the socket from now on. `ended` is called once the socket is closed, which may be at once,
   * and may be in a turn of the guest.
   */
  accept(socket: StreamSocket, guestPort: number, ended: () => void): void {
    const connection = this.hub.admit(socket, guestPort);
    if (connection === null) ended();
    else connection.ended = ended;
    this.settle();
  }

  /**
   * Resolves once the guest accepts a connection to `guestPort`, and retries until then. To the
   * guest it is a client that connects and closes. Rejects without a machine, or when it ends or
   * drains.
   */
  async probe(guestPort: number): Promise<void> {
    if (this.host === null) throw new Error("vsock: the device is not in a machine");
    await this.probes.add(guestPort);
  }

  /**
   * Asks once whether the guest accepts a connection to `guestPort`. False: it cannot be asked, and
   * `answered` is not called.
   */
  probeOnce(guestPort: number, answered: (accepted: boolean) => void): boolean {
    const begun = this.host !== null && this.hub.probe(guestPort, answered);
    if (begun) this.settle();
    return begun;
  }

  /** Traffic of each connection that there is now, the oldest first. */
  connections(): ConnectionStats[] {
    return this.hub.oldestFirst().map((connection) => connection.stats);
  }

  /**
   * Tells the guest what it would hear after a migration (5.10.6.7): its connections are gone, and
   * it may have another CID; its listeners stay. Clients and other guests are reset. Throws, and
   * changes nothing, if the CID is reserved or taken.
   */
  resetTransport(cid = this.cid): void {
    assertCid(cid);
    if (cid !== this.cid) this.#switch?.move(this.cid, cid);
    this.hub.cutAll();
    this.hub.toGuest.clear();
    this.#address(cid);
    this.events.transportReset();
    this.settle();
  }

  // ---- virtio device

  get identity(): string {
    return `CID ${this.cid}`;
  }

  attach(host: DeviceHost): void {
    if (this.host !== null) throw new Error("vsock: the device is in a machine already");
    this.host = host;
    this.hub.attach(host);
  }

  /** From now on packets pass through what `open` returns, which passes them on to `next`. */
  tapPackets(open: (trace: DeviceTrace, next: PacketTap | null) => PacketTap): void {
    const { toGuest } = this.hub;
    const trace = this.host?.trace;
    if (trace !== undefined) toGuest.tap = this.#fromGuest.tap = open(trace, toGuest.tap);
  }

  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    const { toGuest, share } = this.hub;
    this.types.negotiated(features);
    this.hub.cutUnknownTypes();
    this.events.queue = queues[VSOCK_QUEUE_EVENT] ?? null;
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
    this.events.deliver();
    const { flushing, toGuest } = this.hub;
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
    if (this.hub.toGuest.ring !== null || this.#fromGuest.queue !== null) {
      this.#leaveGuest();
    }
  }

  /** The driver stopped a queue (VirtioDevice). */
  readonly stopped = (queue: number): void =>
    queue === VSOCK_QUEUE_EVENT ? this.events.end() : this.#leaveGuest(); // M14

  dispose(): void {
    this.isDisposed = true;
    this.#switch?.leave(this.cid);
    this.listeners.dispose();
    this.hub.dispose();
    this.probes.dispose();
    this.#leaveGuest();
    this.hub.disposed();
  }

  // ---- inside

  /** A timer of the machine's clock; without a machine it never fires. */
  protected readonly after = (ms: number, callback: () => void): (() => void) =>
    this.host?.after(ms, callback) ?? (() => {});

  /** Hub.settle() */
  protected readonly settle = (atOnce = false): void => {
    const { toGuest } = this.hub;
    toGuest.pump();
    toGuest.signal();
    this.events.queue?.signal();
    this.#fromGuest.queue?.signal();
    if (!this.isDisposed) this.host?.turn(atOnce);
  };

  /** The device, as other guests see it. */
  readonly #member: SwitchMember = {
    called: (from, socket) => {
      const accepted = this.hub.called(from, socket);
      if (accepted) this.settle();
      return accepted;
    },
  };

  #address(cid: number): void {
    const { toGuest } = this.hub;
    this.cid = this.hub.cid = this.#fromGuest.cid = toGuest.packet.guestCid = cid;
    new DataView(this.config.buffer).setUint32(VsockConfig.guest_cid, cid, true);
  }

  /** Drops all connections. The guest gets nothing more, and its memory is not touched any more. */
  #leaveGuest(): void {
    this.hub.cutAll();
    this.hub.toGuest.end();
    this.events.end();
    this.hub.flushing.clear();
    this.#fromGuest.queue = null;
  }
}
