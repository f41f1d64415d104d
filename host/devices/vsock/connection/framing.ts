// Messages of seqpacket connections on a stream of the host, which has no bounds of its own: in
// front of each message stand its length and whether it ends a record, in four bytes.
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR } from "../../../../abi/vsock.ts";

/** le32: the length in bytes, and in the highest bit EOR. An empty message is skipped. */
export const FRAME_BYTES = 4;
const LENGTH_MAX = 0x7fffffff;
const EOR = 0x80000000;

export function frameOf(length: number, marks: number): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const eor = marks & VIRTIO_VSOCK_SEQ_EOR ? EOR : 0;
  new DataView(frame.buffer).setUint32(0, length + eor, true);
  return frame;
}

/** Finds messages in what a client sends, however it is cut into chunks. */
export class Deframer {
  /** Bytes of the message at hand that have not been taken. */
  remaining = 0;
  /** Length of the message at hand. */
  length = 0;
  #endsRecord = false;
  #head = 0;
  #headBytes = 0;

  /** Is a message under way, or its frame? */
  get torn(): boolean {
    return this.remaining > 0 || this.#headBytes > 0;
  }

  /** Where the next byte of a message stands in `chunk`, from `at` on; its end: there is none. */
  seek(chunk: Uint8Array, at: number): number {
    while (this.remaining === 0 && at < chunk.length) {
      this.#head += (chunk[at++] as number) * 256 ** this.#headBytes;
      if (++this.#headBytes < FRAME_BYTES) continue;
      this.#endsRecord = this.#head > LENGTH_MAX;
      this.remaining = this.length = this.#endsRecord ? this.#head - EOR : this.#head;
      this.#head = this.#headBytes = 0;
    }
    return at;
  }

  /** Bytes of the message have been taken; returns the flags of the packet that carries them. */
  take(bytes: number): number {
    this.remaining -= bytes;
    if (this.remaining > 0) return 0;
    return this.#endsRecord ? VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR : VIRTIO_VSOCK_SEQ_EOM;
  }
}
