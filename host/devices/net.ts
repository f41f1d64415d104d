// Virtio network device (virtio 5.1): an Ethernet card that is plugged into a network of the host.
//
// Each queue entry is a 12-byte header and one frame. Kicks only mark a queue: the frames of a turn
// are moved when the guest has halted, from its memory straight into the receiver's. Ethernet may
// lose frames, so nothing waits without a bound: a frame that finds no room is dropped and counted.
//
// This file is the device as its driver and its owner see it; net/ holds the two directions and the
// networks.

import { EthernetHdr } from "../../abi/ethernet.ts";
import { VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_GUEST_ANNOUNCE } from "../../abi/net.ts";
import { VIRTIO_ID_NET } from "../../abi/virtio.ts";
import type { DeviceHost, DeviceSnapshots, NetConnection, VirtioDevice } from "../device.ts";
import { SnapshotError } from "../snapshot/errors.ts";
import { Fields } from "../snapshot/fields.ts";
import type { VirtQueue } from "../virtqueue.ts";
import { Configuration } from "./net/configuration.ts";
import { ControlQueue } from "./net/control.ts";
import { describeCommand, describeFrame } from "./net/describe.ts";
import {
  areComplete,
  controlQueueOf,
  featuresOf,
  hasFeature,
  pairedQueues,
  rulesOf,
} from "./net/features.ts";
import { RxFilter } from "./net/filter.ts";
import type { Frame } from "./net/frame.ts";
import { formatMac, parseMac } from "./net/mac.ts";
import type { Card, Port } from "./net/network.ts";
import { NO_RIGHTS } from "./net/offload/offload.ts";
import { checkMtu, checkPairs, MAC_DEFAULT, type NetOptions } from "./net/options.ts";
import { Pairs } from "./net/pairs.ts";
import { createStats, type NetStats } from "./net/stats.ts";
import type { FrameTap } from "./net/tap.ts";
import { FrameTrace } from "./net/trace.ts";

export type { NetOptions } from "./net/options.ts";

const QUEUE_SIZE_MAX = 32768;
const CONTROL_SIZE_MAX = 64;

export class NetDevice implements VirtioDevice {
  readonly id = VIRTIO_ID_NET;
  readonly name = "net";
  readonly identity: string;
  readonly features: bigint;
  readonly accepts = areComplete;
  readonly queueSizesMax: readonly number[];
  queueNames: readonly string[];
  readonly config: Uint8Array;
  readonly mac: string;
  readonly mtu: number;
  readonly stats: NetStats = createStats();
  readonly snapshots: DeviceSnapshots = {
    save: () => this.#save(),
    restore: (state) => this.#restore(state),
  };
  readonly #port: Port;
  readonly #picksBest: boolean;
  readonly #pairs: Pairs;
  readonly #pairsMax: number;
  readonly #filter: RxFilter;
  readonly #control: ControlQueue;
  readonly #configuration: Configuration;
  #tap: FrameTap | null;
  #host: DeviceHost | null = null;
  #features = 0n;
  #takes = NO_RIGHTS;
  /** Does the guest say which frames it wants? */
  #isFiltering = false;
  #controlNumber = -1;
  #controlQueue: VirtQueue | null = null;
  #isPlugged = true;
  #mustAnnounce = false;
  #marked = false;
  #isDisposed = false;

  /** Throws on options that cannot be, and if the network refuses the card. */
  constructor(options: NetOptions) {
    const { network, mac = MAC_DEFAULT, mtu, capture = null } = options;
    const address = parseMac(mac);
    this.mac = formatMac(address);
    this.mtu = checkMtu(mtu ?? network.mtu);
    this.identity = `MAC ${this.mac}`;
    this.#pairsMax = checkPairs(options.pairs);
    this.features = featuresOf({
      offloads: options.offloads !== false && network.carriesOffloads === true,
      mergeable: options.mergeable !== false,
      pairs: this.#pairsMax,
    });
    this.queueSizesMax = [...Array(2 * this.#pairsMax).fill(QUEUE_SIZE_MAX), CONTROL_SIZE_MAX];
    this.queueNames = namesOf(this.#pairsMax, 2 * this.#pairsMax);
    this.#picksBest = options.pick === "fit";
    this.#tap = capture;
    this.#pairs = new Pairs({
      count: this.#pairsMax,
      stats: this.stats,
      bytesMax: this.mtu + EthernetHdr.sizeof,
      bySize: options.steer === "size",
      handle: (frame) => this.#send(frame),
    });
    this.#pairs.tap = capture;
    this.#filter = new RxFilter(address);
    this.#control = new ControlQueue(this.stats, this.#filter, {
      pairsMax: this.#pairsMax,
      setPairs: (count) => {
        this.#pairs.active = count;
      },
      announced: () => this.#announced(),
    });
    this.#configuration = new Configuration(address, this.mtu, this.#pairsMax);
    this.config = this.#configuration.bytes;
    this.#port = network.join(this.#card(address));
    this.#writeStatus();
  }

  #card(mac: number): Card {
    const takes = () => this.#takes;
    const isFull = () => this.waiting > 0;
    return {
      mac,
      mtu: this.mtu,
      get takes() {
        return takes();
      },
      get isFull() {
        return isFull();
      },
      deliver: (frame) => this.#deliver(frame),
      offer: (frame) => this.hasLink && this.#pairs.offer(frame),
      lend: (envelope, borrower) => {
        return this.hasLink ? this.#pairs.lend(envelope, borrower) : null;
      },
      settle: () => this.#settle(),
      linkChanged: () => this.#linkChanged(),
      now: () => this.#host?.now() ?? 0,
      after: (ms, callback) => this.#host?.after(ms, callback) ?? (() => {}),
    };
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
    return this.#pairs.waiting;
  }

  /** Pairs of queues that the guest uses. */
  get pairs(): number {
    return this.#pairs.active;
  }

  /** TCP connections that end in its network, the oldest first; none if that is elsewhere. */
  netConnections(): readonly NetConnection[] {
    return this.#port.connections?.() ?? [];
  }

  // ---- virtio device

  describe(queue: number, head: DataView): string {
    if (queue === this.#controlNumber) return describeCommand(head);
    return queue % 2 === 1 ? describeFrame(head) : "";
  }

  attach(host: DeviceHost): void {
    if (this.#host !== null) throw new Error("net: the device is in a machine already");
    this.#host = host;
    if (host.trace === undefined) return;
    this.#pairs.tap = this.#tap = new FrameTrace(host.trace, this.#tap);
  }

  activate(queues: readonly (VirtQueue | null)[], features: bigint): void {
    this.#features = features;
    this.#isFiltering = hasFeature(features, VIRTIO_NET_F_CTRL_RX);
    this.#controlNumber = controlQueueOf(features, this.#pairsMax);
    this.queueNames = namesOf(this.#pairsMax, this.#controlNumber);
    this.#controlQueue = queues[this.#controlNumber] ?? null;
    const paired = queues.slice(0, pairedQueues(features, this.#pairsMax));
    const rules = rulesOf(features, this.#picksBest);
    this.#takes = rules.toGuest;
    this.#pairs.begin(paired, rules);
    this.#marked = true;
  }

  notify(queue: number): void {
    if (this.#controlQueue !== null && queue === this.#controlNumber) {
      this.#control.serve(this.#controlQueue, this.#features);
    }
    this.#marked = true;
  }

  halted(): void {
    if (!this.#marked) return;
    this.#marked = false;
    this.#pairs.pump();
    this.#port.posted?.();
    this.#move();
  }

  /** The driver stopped a queue (VirtioDevice). */
  readonly stopped = (queue: number): void => {
    if (queue === this.#controlNumber) this.#controlQueue = null;
    else this.#pairs.stop(queue);
  };

  reset(): void {
    this.#pairs.end();
    this.#controlQueue = null;
    this.#features = 0n;
    this.#takes = NO_RIGHTS;
    this.#isFiltering = false;
    this.#filter.clear();
    this.#mustAnnounce = false;
    this.#writeStatus();
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
    if (this.#pairs.take()) this.#host?.defer(this.#goOn);
    this.#port.flush();
  }

  readonly #goOn = (): void => {
    if (!this.#pairs.isSending) return; // it was reset meanwhile, or disposed
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
    const { dropped } = this.stats;
    const isWanted = !this.#isFiltering || this.#filter.takes(frame.destination);
    if (!this.hasLink) dropped.noLink++;
    else if (!isWanted) dropped.filtered++;
    else this.#pairs.deliver(frame);
  }

  /** Card.settle() */
  #settle(): void {
    this.#pairs.signal();
    this.#host?.turn();
  }

  /** Card.linkChanged() */
  #linkChanged(): void {
    if (!this.#writeStatus()) return;
    this.#pairs.clear();
    this.#host?.configChanged?.();
    this.#host?.turn();
  }

  /** False: it was the same already. */
  #writeStatus(): boolean {
    return this.#configuration.setStatus(this.hasLink, this.#mustAnnounce);
  }

  /** NW32: the driver has done so, or will. */
  #announced(): void {
    this.#mustAnnounce = false;
    this.#writeStatus();
  }

  #save(): unknown {
    return {
      mac: this.mac,
      mtu: this.mtu,
      hasLink: this.hasLink,
      pairs: this.#pairs.active,
      filter: this.#filter.save(),
    };
  }

  /**
   * The guest goes on with the address and the MTU that it has read, and hears of the link. It
   * announces itself, since its address may be at another port of the network now.
   */
  #restore(state: unknown): void {
    const fields = new Fields(state, "net");
    const [mac, mtu] = [fields.text("mac"), fields.u16("mtu")];
    if (mac !== this.mac || mtu !== this.mtu) {
      const fact = `it has MAC ${mac} and MTU ${mtu}, the device ${this.mac} and ${this.mtu}`;
      throw new SnapshotError("ERR_SNAPSHOT_MACHINE", fact);
    }
    this.#filter.restore(fields.object("filter"));
    this.#pairs.active = Math.max(1, fields.count("pairs", this.#pairsMax));
    this.#mustAnnounce = hasFeature(this.#features, VIRTIO_NET_F_GUEST_ANNOUNCE);
    const isChanged = this.#writeStatus() || fields.flag("hasLink") !== this.hasLink;
    if (isChanged) this.#host?.configChanged?.();
  }
}

/** A driver without MQ has the control queue after the first pair (5.1.2), and no other pair. */
function namesOf(pairs: number, control: number): string[] {
  const names = Array.from({ length: 2 * pairs + 1 }, (_, queue) => {
    const way = queue % 2 === 0 ? "rx" : "tx";
    return queue < 2 ? way : `${way} ${(queue >> 1) + 1}`;
  });
  names[2 * pairs] = "control";
  if (control >= 0 && control < 2 * pairs) {
    names[control] = "control";
    names[2 * pairs] = "unused";
  }
  return names;
}
