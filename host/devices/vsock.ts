// Virtio socket device (virtio 5.10): streams between guest ports and sockets of the host.
//
// A client of a published address becomes REQUEST to the guest; REQUEST from the guest becomes a
// connection to the address that its host port is mapped to. Kicks only mark a queue: the packets
// of a turn are handled when the guest has halted, so that what it sent on one stream leaves in one
// writev.
import { VIRTIO_ID_VSOCK } from "../../drivers/abi/virtio.ts";
import {
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_MIN,
  VSOCK_QUEUE_RX,
  VSOCK_QUEUE_TX,
  VsockConfig,
  VsockHdr,
  VsockOp,
} from "../../drivers/abi/vsock.ts";
import type { DeviceHost, VirtioDevice } from "../device.ts";
import { NodeSockets, type SocketAddress, type Sockets, type StreamSocket } from "../sockets.ts";
import type { Chain, VirtQueue } from "../virtqueue.ts";
import { Budget } from "./vsock/budget.ts";
import { Connection } from "./vsock/connection.ts";
import { type Hub, LIMITS, type VsockLimits } from "./vsock/hub.ts";
import { type Clients, Listeners, type PublishedPort } from "./vsock/listeners.ts";
import { empty, RingShare } from "./vsock/outbound.ts";
import { carriesPacket, GuestPacket, HostPacket } from "./vsock/packet.ts";
import { ReadyList, ResetList } from "./vsock/pending.ts";
import { State } from "./vsock/state.ts";
import { countFrom, type VsockStats } from "./vsock/stats.ts";
import { Deadlines, Table } from "./vsock/table.ts";

export type { VsockLimits } from "./vsock/hub.ts";
export type { PublishedPort } from "./vsock/listeners.ts";
export type { VsockStats } from "./vsock/stats.ts";

const PROBE_RETRY_MS = 5;

export interface VsockOptions {
  /** The guest's address; 3 by default, which is also the lowest. */
  readonly cid?: number;
  readonly sockets?: Sockets;
  /** Where REQUEST to a host port leads. A port that is not in it is refused. */
  readonly connect?: ReadonlyMap<number, SocketAddress>;
  readonly limits?: Partial<VsockLimits>;
}

export class VsockDevice implements VirtioDevice, Hub, Clients {
  readonly id = VIRTIO_ID_VSOCK;
  readonly name = "vsock";
  readonly features = 1n << BigInt(VIRTIO_VSOCK_F_STREAM);
  readonly queueSizesMax = [1024, 1024, 64];
  readonly queueNames = ["rx", "tx", "event"];
  readonly config = new Uint8Array(VsockConfig.sizeof);
  readonly stats: VsockStats;
  readonly share = new RingShare();
  readonly #cid: number;
  readonly #sockets: Sockets;
  readonly #targets: ReadonlyMap<number, SocketAddress>;
  readonly #budget: Budget;
  readonly #table: Table;
  readonly #deadlines: Deadlines;
  readonly #ready = new ReadyList();
  readonly #resets = new ResetList();
  readonly #fromGuest = new GuestPacket();
  readonly #toGuest: HostPacket;
  readonly #flushing: Connection[] = []; // of this turn
  readonly #listeners: Listeners;
  readonly #probes = new Set<(error: Error) => void>(); // of those that wait: how to reject them
  #host: DeviceHost | null = null;
  #rx: VirtQueue | null = null;
  #tx: VirtQueue | null = null;
  #marked = false;
  #draining = false;
  #disposed = false;
  #drained: (() => void)[] = [];

  /** Throws on a reserved CID (V10) and on mapped ports that cannot be. */
  constructor(options: VsockOptions = {}) {
    const { cid = VMADDR_CID_MIN, sockets, connect, limits } = options;
    if (!Number.isInteger(cid) || cid < VMADDR_CID_MIN || cid >= 0xffffffff) {
      throw new Error(`vsock: CID ${cid} is reserved or out of range`);
    }
    this.#cid = cid;
    this.#sockets = sockets ?? new NodeSockets();
    this.#targets = connect ?? new Map();
    this.#budget = new Budget({ ...LIMITS, ...limits });
    this.#listeners = new Listeners(this.#sockets, this);
    this.#table = new Table(this.#targets.keys());
    this.#deadlines = new Deadlines(this.#table, () => this.settle());
    this.#toGuest = new HostPacket(cid);
    new DataView(this.config.buffer).setUint32(VsockConfig.guest_cid, cid, true);
    this.stats = countFrom(this.share);
  }

  // ---- for the owner of the machine

  /**
   * Clients of a TCP address reach a port of the guest. Rejects when the address cannot be bound.
   */
  publish(port: PublishedPort): Promise<SocketAddress> {
    return this.#listeners.add(port);
  }

  /**
   * Resolves once the guest accepts a connection to `guestPort`; asks again until then. The
   * application sees a client that connects and closes. Rejects when the machine goes away.
   */
  probe(guestPort: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#probes.add(reject);
      const attempt = (): void => {
        if (this.#disposed) return;
        const window = this.#budget.take();
        if (window === 0) {
          done(false);
          return;
        }
        const port = this.#table.allocatePort();
        this.#add(new Connection(this, port, guestPort, State.Requesting, window, done));
        this.settle();
      };
      const done = (accepted: boolean): void => {
        if (!accepted) {
          if (!this.#disposed) this.#host?.after(PROBE_RETRY_MS, attempt);
          return;
        }
        this.#probes.delete(reject);
        resolve();
      };
      attempt();
    });
  }

  /**
   * Takes no more clients and reads no more from those there are, tells the guest that they are
   * done, and resolves when the last connection is. Bytes on their way to clients still arrive.
   */
  drain(): Promise<void> {
    this.#draining = true;
    this.#listeners.close();
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
    this.#rx = queues[VSOCK_QUEUE_RX] ?? null;
    this.#tx = queues[VSOCK_QUEUE_TX] ?? null;
    this.share.pinnedMax = (this.#tx?.size ?? 0) >> 2;
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
      more = this.#transmit();
      this.pump();
      // Without rx buffers for the resets that are due, packets of the guest have to wait (V5).
    } while (more && !this.#resets.full);
  }

  /** Clients that the guest has not heard of outlive the reset that every driver begins with. */
  reset(): void {
    if (this.#rx === null && this.#tx === null) return;
    for (const connection of this.#table.all) connection.cut();
    this.#resets.clear();
    this.#ready.clear();
    this.#flushing.length = 0;
    this.#rx = this.#tx = null;
  }

  dispose(): void {
    this.#disposed = true;
    this.#listeners.close();
    this.#deadlines.stop();
    this.#rx = this.#tx = null;
    for (const connection of this.#table.all) connection.cut();
    for (const reject of this.#probes) reject(new Error("vsock: the machine is gone"));
    this.#probes.clear();
    this.#checkDrained();
  }

  // ---- for connections

  ready(connection: Connection): void {
    this.#ready.add(connection);
  }

  flushLater(connection: Connection): void {
    if (connection.flushing) return;
    connection.flushing = true;
    this.#flushing.push(connection);
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
    const rx = this.#rx;
    if (rx === null) return;
    while (!this.#resets.empty || this.#ready.peek() !== null) {
      const chain = rx.pop();
      if (chain === null) return;
      chain.release(this.#fill(chain));
    }
  }

  settle(): void {
    this.pump();
    this.#rx?.signal();
    this.#tx?.signal();
    if (!this.#disposed) this.#host?.turn();
  }

  // ---- for listeners

  accepted(socket: StreamSocket, guestPort: number): void {
    const window = this.#draining ? 0 : this.#budget.take();
    if (window === 0) {
      this.stats.refused++;
      socket.close();
      return;
    }
    this.stats.accepted++;
    const port = this.#table.allocatePort();
    const connection = new Connection(this, port, guestPort, State.Requesting, window);
    socket.events = connection;
    connection.attach(socket);
    this.#add(connection);
    this.settle();
  }

  lost(): void {
    this.stats.refused++;
  }

  // ---- inside

  #add(connection: Connection): void {
    this.#table.add(connection);
    this.stats.connections++;
  }

  /** Packets of the guest, until there are none (false) or too many resets are due (true). */
  #transmit(): boolean {
    const tx = this.#tx;
    if (tx === null) return false;
    let held = 0;
    let more = true;
    while (!this.#resets.full) {
      const chain = tx.pop();
      if (chain === null) {
        more = false;
        break;
      }
      if (this.#receive(chain)) held += chain.count;
      else chain.release(0);
      // A share of the ring: where it meets slow readers, the next ones are copied for.
      if (held > tx.size >> 3) {
        this.#flush();
        held = 0;
      }
    }
    this.#flush();
    if (more) this.#marked = true;
    return more;
  }

  /** True: the chain is kept. */
  #receive(chain: Chain): boolean {
    const packet = this.#fromGuest;
    if (!packet.read(chain, this.#cid)) {
      this.stats.rejected++;
      return false;
    }
    this.stats.packetsFromGuest++;
    // V9, V33: another type is another socket, even with these ports.
    const connection =
      packet.type === VIRTIO_VSOCK_TYPE_STREAM
        ? this.#table.find(packet.dstPort, packet.srcPort)
        : undefined;
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
  }

  /** V30: what belongs to no connection is reset, but a reset is not answered. */
  #refuse(packet: GuestPacket): void {
    if (packet.op !== VsockOp.RST) this.#resets.push(packet);
  }

  #connect(packet: GuestPacket): boolean {
    const target = this.#targets.get(packet.dstPort);
    if (target === undefined || packet.type !== VIRTIO_VSOCK_TYPE_STREAM) return false;
    const window = this.#draining ? 0 : this.#budget.take();
    if (window === 0) return false;
    this.stats.connected++;
    const { dstPort, srcPort } = packet;
    const connection = new Connection(this, dstPort, srcPort, State.Connecting, window);
    connection.learnCredit(packet);
    connection.attach(this.#sockets.connect(target, connection));
    this.#add(connection);
    return true;
  }

  #flush(): void {
    for (const connection of this.#flushing) {
      connection.flushing = false;
      connection.flush();
    }
    empty(this.#flushing);
  }

  /** Writes one packet into an rx chain; returns its bytes, 0 for a chain that is of no use. */
  #fill(chain: Chain): number {
    if (!carriesPacket(chain)) {
      this.stats.rejected++;
      return 0;
    }
    let written = VsockHdr.sizeof;
    if (!this.#resets.empty) {
      this.#fillReset(chain);
    } else {
      const connection = this.#ready.peek() as Connection;
      const reset = connection.nextOp() === VsockOp.RST;
      written = connection.emit(chain, this.#toGuest);
      if (reset) this.stats.resetsSent++;
      this.#ready.rotate();
    }
    if (written === 0) this.stats.rejected++;
    else this.stats.packetsToGuest++;
    return written;
  }

  #fillReset(chain: Chain): void {
    const packet = this.#toGuest;
    this.#resets.shift(packet);
    packet.op = VsockOp.RST;
    packet.len = packet.flags = packet.bufAlloc = packet.fwdCnt = 0;
    packet.write(chain);
    this.stats.resetsSent++;
  }

  #checkDrained(): void {
    if (!this.#disposed && (!this.#draining || this.#table.all.size > 0)) return;
    for (const resolve of this.#drained) resolve();
    this.#drained = [];
  }
}
