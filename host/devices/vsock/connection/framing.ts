// Framing of seqpacket messages on a stream socket of the host: each message follows four bytes
// with its length, and whether it ends a record.
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR } from "../../../../abi/vsock.ts";

/** le32: the length in bytes; the highest bit is EOR. Empty messages are skipped. */
export const FRAME_BYTES = 4;
const LENGTH_MAX = 0x7fffffff;
const EOR = 0x80000000;

export function frameOf(length: number, marks: number): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const eor = marks & VIRTIO_VSOCK_SEQ_EOR ? EOR : 0;
  new DataView(frame.buffer).setUint32(0, length + eor, true);
  return frame;
}

/** Finds messages in a client's stream, however it is split into chunks. */
export class Deframer {
  /** Bytes of the current message that have not been taken. */
  remaining = 0;
  /** Length of the current message. */
  length = 0;
  #endsRecord = false;
  #head = 0;
  #headBytes = 0;

  /** Is a message or its frame incomplete? */
  get torn(): boolean {
    return this.remaining > 0 || this.#headBytes > 0;
  }

  /** Offset of the next message byte in `chunk`, from `at` on; its length: there is none. */
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
