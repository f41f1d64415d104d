// The control queue (virtio 5.1.6.5): commands of the driver, each answered at once.
import {
  NET_PAIRS_MAX,
  NetControl,
  VIRTIO_NET_CTRL_ANNOUNCE,
  VIRTIO_NET_CTRL_ANNOUNCE_ACK,
  VIRTIO_NET_CTRL_MAC,
  VIRTIO_NET_CTRL_MAC_TABLE_SET,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_CTRL_RX_ALLMULTI,
  VIRTIO_NET_CTRL_RX_PROMISC,
  VIRTIO_NET_ERR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_OK,
} from "../../../abi/net.ts";
import type { Chain, VirtQueue } from "../../virtqueue.ts";
import { hasFeature } from "./features.ts";
import type { RxFilter } from "./filter.ts";
import type { NetStats } from "./stats.ts";

/** Of a command with its data: two full tables of addresses take 778. A longer one is an error. */
const COMMAND_BYTES_MAX = 1024;

/** Commands change this beside the filter. */
export interface ControlTarget {
  /** Largest number of pairs. */
  readonly pairsMax: number;
  /** The guest uses this many, from 1 to pairsMax. */
  setPairs(count: number): void;
  /** The guest has announced itself. */
  announced(): void;
}

export class ControlQueue {
  readonly #stats: NetStats;
  readonly #filter: RxFilter;
  readonly #target: ControlTarget;
  readonly #command = new Uint8Array(COMMAND_BYTES_MAX);

  constructor(stats: NetStats, filter: RxFilter, target: ControlTarget) {
    this.#stats = stats;
    this.#filter = filter;
    this.#target = target;
  }

  /** Answers the commands in a queue, of a driver with these features. */
  serve(queue: VirtQueue, features: bigint): void {
    for (const chain of queue) this.#answer(chain, features);
  }

  /** NW27: what was asked for has happened when the chain is used. */
  #answer(chain: Chain, features: bigint): void {
    if (chain.writableBytes === 0) {
      this.#stats.rejected++;
      chain.release(0);
      return;
    }
    const bytes = chain.readableBytes;
    const isWhole = bytes >= NetControl.data && bytes <= COMMAND_BYTES_MAX;
    const isDone = isWhole && this.#obey(chain, features);
    if (!isDone) this.#stats.commandsRefused++;
    chain.copyTo(0, Uint8Array.of(isDone ? VIRTIO_NET_OK : VIRTIO_NET_ERR));
    chain.release(1);
  }

  #obey(chain: Chain, features: bigint): boolean {
    const bytes = chain.copyFrom(0, this.#command.subarray(0, chain.readableBytes));
    const data = new DataView(this.#command.buffer, NetControl.data, bytes - NetControl.data);
    const command = this.#command[NetControl.command] as number;
    switch (this.#command[NetControl.class_]) {
      case VIRTIO_NET_CTRL_RX:
        return hasFeature(features, VIRTIO_NET_F_CTRL_RX) && this.#setMode(command, data);
      case VIRTIO_NET_CTRL_MAC:
        if (!hasFeature(features, VIRTIO_NET_F_CTRL_RX)) return false;
        return command === VIRTIO_NET_CTRL_MAC_TABLE_SET && this.#filter.setTables(data);
      case VIRTIO_NET_CTRL_ANNOUNCE:
        if (!hasFeature(features, VIRTIO_NET_F_GUEST_ANNOUNCE)) return false;
        if (command !== VIRTIO_NET_CTRL_ANNOUNCE_ACK) return false;
        this.#target.announced();
        return true;
      case VIRTIO_NET_CTRL_MQ:
        if (command !== VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) return false;
        return hasFeature(features, VIRTIO_NET_F_MQ) && this.#setPairs(data);
      default:
        return false;
    }
  }

  #setMode(command: number, data: DataView): boolean {
    if (data.byteLength < 1) return false;
    const isOn = data.getUint8(0) !== 0;
    if (command === VIRTIO_NET_CTRL_RX_PROMISC) this.#filter.isPromiscuous = isOn;
    else if (command === VIRTIO_NET_CTRL_RX_ALLMULTI) this.#filter.takesAllGroups = isOn;
    else return false;
    return true;
  }

  /** NW28. */
  #setPairs(data: DataView): boolean {
    const count = data.byteLength < 2 ? 0 : data.getUint16(0, true);
    if (count < 1 || count > Math.min(this.#target.pairsMax, NET_PAIRS_MAX)) return false;
    this.#target.setPairs(count);
    return true;
  }
}
