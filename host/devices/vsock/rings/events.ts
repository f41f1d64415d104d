// What the device tells the driver itself (virtio 5.10.6.7): TRANSPORT_RESET is all there is.
import { VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, VSOCK_EVENT_BYTES } from "../../../../abi/vsock.ts";
import type { VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";

export class Events {
  /** null while the guest's driver is not there. */
  queue: VirtQueue | null = null;
  readonly #stats: VsockStats;
  readonly #event = new Uint8Array(VSOCK_EVENT_BYTES);
  #due = false; // one says as much as many

  constructor(stats: VsockStats) {
    this.#stats = stats;
    const view = new DataView(this.#event.buffer);
    view.setUint32(0, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, true);
  }

  /** Tells a driver that is there, as soon as it has a buffer: another one finds all as it is. */
  transportReset(): void {
    this.#due = this.queue !== null;
    this.deliver();
  }

  /** Puts what is due into the next buffer that holds it (K20). */
  deliver(): void {
    while (this.#due && this.queue !== null) {
      const chain = this.queue.pop();
      if (chain === null) return;
      const fits = chain.readableBytes === 0 && chain.writableBytes >= VSOCK_EVENT_BYTES;
      if (fits) chain.copyTo(0, this.#event);
      else this.#stats.rejected++;
      chain.release(fits ? VSOCK_EVENT_BYTES : 0);
      this.#due = !fits;
    }
  }

  /** The driver is gone. */
  end(): void {
    this.queue = null;
    this.#due = false;
  }
}
