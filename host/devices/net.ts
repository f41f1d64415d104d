// Virtio network device (virtio 5.1): an Ethernet card that is plugged into a network of the host.
//
// Each queue entry is a 12-byte header and one frame. Kicks only mark a queue: the frames of a turn
// are moved when the guest has halted, from its memory straight into the receiver's. Ethernet may
// lose frames, so nothing waits without a bound: a frame that finds no room is dropped and counted.
//
// This file is the device as its driver and its owner see it; net/ holds the two directions and the
// networks.

import { EthernetHdr } from "../../abi/ethernet.ts";
import {
  NET_CONFIG_BYTES,
  NET_QUEUE_RX,
  NET_QUEUE_TX,
  NetConfig,
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_S_LINK_UP,
} from "../../abi/net.ts";
import { VIRTIO_ID_NET } from "../../abi/virtio.ts";
import type { DeviceHost, DeviceSnapshots, VirtioDevice } from "../device.ts";
import { SnapshotError } from "../snapshot/errors.ts";
import { Fields } from "../snapshot/fields.ts";
import type { VirtQueue } from "../virtqueue.ts";
import { describeFrame } from "./net/describe.ts";
import { areComplete, featuresOf, hasFeature } from "./net/features.ts";
import type { Frame } from "./net/frame.ts";
import { FromGuest } from "./net/from-guest.ts";
import { formatMac, parseMac, writeMac } from "./net/mac.ts";
import { MergeRing } from "./net/merge-ring.ts";
import type { Card, Port } from "./net/network.ts";
import { NO_RIGHTS } from "./net/offload/offload.ts";
import { checkMtu, MAC_DEFAULT, type NetOptions } from "./net/options.ts";
import { type ReceiveBuffers, RxRing } from "./net/rx-ring.ts";
import { createStats, type NetStats } from "./net/stats.ts";
import type { FrameTap } from "./net/tap.ts";
import { ToGuest } from "./net/to-guest.ts";
import { FrameTrace } from "./net/trace.ts";

export type { NetOptions } from "./net/options.ts";

const QUEUE_SIZE_MAX = 32768;

export class NetDevice implements VirtioDevice {
  readonly id = VIRTIO_ID_NET;
  readonly name = "net";
  readonly identity: string;
  readonly features: bigint;
  readonly accepts = areComplete;
  readonly queueSizesMax = [QUEUE_SIZE_MAX, QUEUE_SIZE_MAX];
  readonly queueNames = ["rx", "tx"];
  readonly config = new Uint8Array(NET_CONFIG_BYTES);
  readonly mac: string;
  readonly mtu: number;
  readonly stats: NetStats = createStats();
  readonly snapshots: DeviceSnapshots = {
    save: () => ({ mac: this.mac, mtu: this.mtu, hasLink: this.hasLink }),
    restore: (state) => this.#restore(state),
  };
  readonly #port: Port;
  readonly #picksBest: boolean;
  #tap: FrameTap | null;
  readonly #fromGuest: FromGuest;
  readonly #toGuest: ToGuest;
  readonly #view = new DataView(this.config.buffer);
  #host: DeviceHost | null = null;
  #isPlugged = true;
  #marked = false;
  #isDisposed = false;

  /** Throws on a MAC or an MTU that cannot be, and if the network refuses the card. */
  constructor(options: NetOptions) {
    const { network, mac = MAC_DEFAULT, mtu, capture = null } = options;
    const { offloads = true, mergeable = true, pick = "first" } = options;
    const address = parseMac(mac);
    this.features = featuresOf({
      offloads: offloads && network.carriesOffloads === true,
      mergeable,
    });
    this.#picksBest = pick === "fit";
    this.mac = formatMac(address);
    this.mtu = checkMtu(mtu ?? network.mtu);
    this.identity = `MAC ${this.mac}`;
    this.#tap = capture;
    const bytesMax = this.mtu + EthernetHdr.sizeof;
    this.#fromGuest = new FromGuest(this.stats, bytesMax, (frame) => this.#send(frame));
    this.#toGuest = new ToGuest(this.stats, bytesMax, capture);
    writeMac(this.#view, NetConfig.mac, address);
    this.#view.setUint16(NetConfig.mtu, this.mtu, true);
    const card: Card = {
      mac: address,
      mtu: this.mtu,
      deliver: (frame) => this.#deliver(frame),
      offer: (frame) => this.hasLink && this.#toGuest.offer(frame),
      settle: () => this.#settle(),
      linkChanged: () => this.#linkChanged(),
      now: () => this.#host?.now() ?? 0,
      after: (ms, callback) => this.#host?.after(ms, callback) ?? (() => {}),
    };
    this.#port = network.join(card);
    this.#writeStatus();
  }

  // ---- for the owner of the machine

  /**
   * Is the cable in, and does the network lead anywhere? Otherwise frames of both directions are
   * dropped.
   */
  get hasLink(): boolean {
    return this.#isPlugged && this.#port.hasLink;
  }

  /** Pulls the cable, or plugs it in. The guest learns of a change by an interrupt. */
  set hasLink(isPlugged: boolean) {
    this.#isPlugged = isPlugged;
    this.#linkChanged();
  }

  /** Frames that wait for the guest to post buffers. */
  get waiting(): number {
    return this.#toGuest.waiting;
  }

  // ---- virtio device

  describe(queue: number, head: DataView): string {
    return queue === NET_QUEUE_TX ? describeFrame(head) : "";
  }

  attach(host: DeviceHost): void {
    if (this.#host !== null) throw new Error("net: the device is in a machine already");
    this.#host = host;
    if (host.trace === undefined) return;
    this.#tap = this.#toGuest.tap = new FrameTrace(host.trace, this.#tap);
  }

  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    const has = (bit: number) => hasFeature(features, bit);
    const queue = queues[NET_QUEUE_RX] ?? null;
    const isMerging = has(VIRTIO_NET_F_MRG_RXBUF);
    this.#toGuest.begin(queue === null ? null : this.#buffersOf(queue, isMerging), {
      checksums: has(VIRTIO_NET_F_GUEST_CSUM),
      segments: has(VIRTIO_NET_F_GUEST_TSO4),
    });
    this.#fromGuest.queue = queues[NET_QUEUE_TX] ?? null;
    this.#fromGuest.rights = {
      checksums: has(VIRTIO_NET_F_CSUM),
      segments: has(VIRTIO_NET_F_HOST_TSO4),
    };
    this.#marked = true;
  }

  #buffersOf(queue: VirtQueue, isMerging: boolean): ReceiveBuffers {
    return isMerging
      ? new MergeRing(queue, this.stats)
      : new RxRing(queue, this.stats, this.#picksBest);
  }

  notify(): void {
    this.#marked = true;
  }

  halted(): void {
    if (!this.#marked) return;
    this.#marked = false;
    this.#toGuest.pump();
    this.#port.posted?.();
    this.#move();
  }

  /** The driver stopped a queue (VirtioDevice). */
  readonly stopped = (queue: number): void => {
    if (queue === NET_QUEUE_RX) this.#toGuest.begin(null, NO_RIGHTS);
    else this.#fromGuest.queue = null;
  };

  reset(): void {
    this.#toGuest.begin(null, NO_RIGHTS);
    this.#fromGuest.queue = null;
    this.#port.forget();
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.reset();
    this.#port.leave();
  }

  // ---- inside

  /** Moves frames of the guest; what is left goes on after other events of the host (NG8). */
  #move(): void {
    if (this.#fromGuest.take()) this.#host?.defer(this.#goOn);
    this.#port.flush();
  }

  readonly #goOn = (): void => {
    if (this.#fromGuest.queue === null) return; // it was reset meanwhile, or disposed
    this.#move();
    this.#settle();
  };

  #send(frame: Frame): void {
    if (!this.hasLink) {
      this.stats.dropped.noLink++;
      return;
    }
    this.#tap?.fromGuest(frame);
    this.#port.send(frame);
  }

  /** Card.deliver() */
  #deliver(frame: Frame): void {
    if (this.hasLink) this.#toGuest.deliver(frame);
    else this.stats.dropped.noLink++;
  }

  /** Card.settle() */
  #settle(): void {
    this.#toGuest.queue?.signal();
    this.#fromGuest.queue?.signal();
    this.#host?.turn();
  }

  /** Card.linkChanged() */
  #linkChanged(): void {
    if (!this.#writeStatus()) return;
    this.#toGuest.clear();
    this.#host?.configChanged?.();
    this.#host?.turn();
  }

  /** False: it was the same already. */
  #writeStatus(): boolean {
    const status = this.hasLink ? VIRTIO_NET_S_LINK_UP : 0;
    if (this.#view.getUint16(NetConfig.status, true) === status) return false;
    this.#view.setUint16(NetConfig.status, status, true);
    return true;
  }

  /** The guest goes on with the address and the MTU that it has read, and hears of the link. */
  #restore(state: unknown): void {
    const fields = new Fields(state, "net");
    const [mac, mtu] = [fields.text("mac"), fields.u16("mtu")];
    if (mac !== this.mac || mtu !== this.mtu) {
      const fact = `it has MAC ${mac} and MTU ${mtu}, the device ${this.mac} and ${this.mtu}`;
      throw new SnapshotError("ERR_SNAPSHOT_MACHINE", fact);
    }
    if (fields.flag("hasLink") !== this.hasLink) this.#host?.configChanged?.();
  }
}
