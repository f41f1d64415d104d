// The vsock device with all that it can do: clients of paths and of this process, an end in order,
// snapshots, traces.
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VMADDR_PORT_ANY } from "../../abi/vsock.ts";
import type { DeviceHost, DeviceSnapshots } from "../device.ts";
import type { SocketAddress, SocketEvents, StreamSocket } from "../ports/sockets.ts";
import { Fields } from "../snapshot/fields.ts";
import { PairLoop } from "../sockets/pair.ts";
import type { StreamPair } from "../sockets/streams.ts";
import { SocketDevice } from "./vsock/device.ts";
import { describePacket, PacketTrace } from "./vsock/rings/trace.ts";
import { Handshakes, okLine } from "./vsock/routes/hybrid.ts";
import { DRAINED, GONE } from "./vsock/routes/probes.ts";

export type { VsockOptions } from "./vsock/options.ts";

/** Resources that the device holds at the moment. All are 0 when it is idle. */
export interface VsockHoldings {
  /** Descriptors of the tx ring, for clients that are slow to read. */
  readonly txDescriptors: number;
  /** Rx buffers that sockets may read into. */
  readonly rxBuffers: number;
  /** Sum of the windows of all connections. */
  readonly windowBytes: number;
}

export class VsockDevice extends SocketDevice {
  /** VirtioDevice.describe() */
  override readonly describe = describePacket;
  readonly snapshots: DeviceSnapshots = {
    save: () => this.#save(),
    restore: (state) => this.#restore(state),
  };
  readonly #handshakes = new Handshakes({
    requested: (socket, guestPort, rest) => {
      const connection = this.hub.admit(socket, guestPort);
      if (connection !== null) {
        connection.greeting = okLine(connection.route.hostPort);
        if (rest.length > 0) connection.data(rest);
      }
      this.settle();
    },
    refused: (reason) => this.hub.refused(reason),
    after: this.after,
  });
  /** Of connections within this process. */
  #loop: PairLoop | null = null;

  // ---- for the owner of the machine

  /** publish() for an address of any kind. */
  async publishAt(address: SocketAddress, guestPort: number): Promise<void> {
    await this.listeners.addAddress(address, guestPort);
  }

  /**
   * Hybrid vsock over AF_UNIX, as in Firecracker: a client of the path sends `CONNECT <port>\n` and
   * reads `OK <hostport>\n` once the guest has accepted. Connections of the guest to a host port P
   * that is not mapped go to the path with `_P` appended. Once. Rejects if the path cannot be
   * bound.
   */
  async publishPath(path: string): Promise<void> {
    this.routes.publish(path);
    await this.listeners.addPath(path, (socket) => this.#handshakes.accepted(socket));
  }

  /** VirtioDevice.dial(). Throws if `guestPort` is no port of the guest, or carries messages. */
  dial(guestPort: number, events: SocketEvents): StreamSocket {
    if (this.host === null) throw new Error("vsock: the device is not in a machine");
    if (this.isDisposed) throw new Error(GONE);
    if (!Number.isInteger(guestPort) || guestPort < 0 || guestPort >= VMADDR_PORT_ANY) {
      throw new RangeError(`vsock: ${guestPort} is no port`);
    }
    if (this.types.ofPort(guestPort) === VIRTIO_VSOCK_TYPE_SEQPACKET) {
      throw new Error(`vsock: port ${guestPort} carries messages, not a stream`);
    }
    this.#loop ??= new PairLoop(this.host);
    const [near, far] = this.#loop.pair();
    near.events = events;
    if (this.hub.dialled(far, guestPort)) this.settle();
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
    return this.hub.toGuest.ring?.posted ?? 0;
  }

  /** Resources that the device holds at the moment. */
  get holdings(): VsockHoldings {
    const { share, toGuest, budget } = this.hub;
    const rxBuffers = toGuest.ring?.reserved ?? 0;
    return { txDescriptors: share.pinned, rxBuffers, windowBytes: budget.granted };
  }

  /** The address of the client that has this connection; "": not known. */
  peerAddress(hostPort: number, guestPort: number): string {
    return this.hub.peerAddress(hostPort, guestPort);
  }

  /** drain() may come soon: from now on the device notices which clients are silent. */
  watchQuiet(): void {
    this.hub.watchQuiet();
  }

  /**
   * Accepts no more clients, tells the guest that those it has are done, each once it has sent
   * nothing for `quietMs`, and resolves when the last connection has ended. Bytes on their way to
   * clients still arrive; the end follows them, and bytes that cross it are read and discarded.
   */
  drain({ quietMs = 0 } = {}): Promise<void> {
    this.listeners.close();
    this.#handshakes.close();
    this.probes.dispose(DRAINED);
    const drained = this.hub.drain(this.host !== null, quietMs);
    this.settle();
    return drained;
  }

  /** Resets every client that there is, and returns how many. The guest learns it. */
  resetClients(): number {
    const count = this.hub.resetAll();
    this.settle();
    return count;
  }

  // ---- virtio device

  /** VirtioDevice.attach(). Throws if it is in a machine already. */
  override attach(host: DeviceHost): void {
    super.attach(host);
    this.tapPackets((trace, next) => new PacketTrace(trace, next));
  }

  /** VirtioDevice.dispose() */
  override dispose(): void {
    this.#handshakes.close();
    super.dispose();
  }

  // ---- inside

  #save(): unknown {
    const { known } = this.hub;
    return { cid: this.cid, connections: known, isResetDue: this.events.isDue };
  }

  /** Connections do not move: the guest learns that they are gone, listeners stay (5.10.6.7). */
  #restore(state: unknown): void {
    const fields = new Fields(state, "vsock");
    const isCut = fields.u32("connections") > 0 || fields.flag("isResetDue");
    const isMoved = fields.u32("cid") !== this.cid;
    if (isCut || isMoved) this.events.transportReset();
  }
}
