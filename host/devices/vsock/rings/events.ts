// Events for the driver itself (virtio 5.10.6.7). TRANSPORT_RESET is the only one.
import { VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, VSOCK_EVENT_BYTES } from "../../../../abi/vsock.ts";
import type { VirtQueue } from "../../../virtqueue.ts";
import type { VsockStats } from "../stats.ts";

export class Events {
  /** null while the guest has no driver. */
  queue: VirtQueue | null = null;
  readonly #stats: VsockStats;
  readonly #event = new Uint8Array(VSOCK_EVENT_BYTES);
  #due = false; // one event covers any number of resets

  constructor(stats: VsockStats) {
    this.#stats = stats;
    const view = new DataView(this.#event.buffer);
    view.setUint32(0, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, true);
  }

  /** Is there no buffer yet for an event? */
  get isDue(): boolean {
    return this.#due;
  }

  /** Due to the driver of now, once it has a buffer; a later driver starts afresh anyway. */
  transportReset(): void {
    this.#due = this.queue !== null;
    this.deliver();
  }

  /** Puts the event that is due into the next buffer that can hold it (K20). */
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
