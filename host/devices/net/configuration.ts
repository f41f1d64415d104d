// The configuration space of a network device (virtio 5.1.4), which its driver only reads.
import {
  NET_CONFIG_BYTES,
  NetConfig,
  VIRTIO_NET_S_ANNOUNCE,
  VIRTIO_NET_S_LINK_UP,
} from "../../../abi/net.ts";
import { writeMac } from "./mac.ts";

export class Configuration {
  readonly bytes = new Uint8Array(NET_CONFIG_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(mac: number, mtu: number, pairs: number) {
    writeMac(this.#view, NetConfig.mac, mac);
    this.#view.setUint16(NetConfig.max_virtqueue_pairs, pairs, true);
    this.#view.setUint16(NetConfig.mtu, mtu, true);
  }

  /** Is there a link, and shall the guest announce itself? False: it was the same already. */
  setStatus(hasLink: boolean, mustAnnounce: boolean): boolean {
    const link = hasLink ? VIRTIO_NET_S_LINK_UP : 0;
    const status = link | (mustAnnounce ? VIRTIO_NET_S_ANNOUNCE : 0);
    if (this.#view.getUint16(NetConfig.status, true) === status) return false;
    this.#view.setUint16(NetConfig.status, status, true);
    return true;
  }
}
