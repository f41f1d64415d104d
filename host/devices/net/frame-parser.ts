// Cuts frames out of a byte stream, in which each follows its length, 4 bytes big-endian: the
// format of qemu's -netdev stream, which passt, gvproxy and socket_vmnet speak as well.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NET_FRAME_BYTES_MAX } from "../../../abi/net.ts";
import { WholeFrame } from "./frame.ts";

export const LENGTH_BYTES = 4;

export class FrameParser {
  readonly #deliver: (frame: WholeFrame) => void;
  /** A frame that has come in part, with its length. */
  readonly #part = new Uint8Array(LENGTH_BYTES + NET_FRAME_BYTES_MAX);
  #partBytes = 0;

  /** `deliver` is given each frame, which is valid until it returns. */
  constructor(deliver: (frame: WholeFrame) => void) {
    this.#deliver = deliver;
  }

  /**
   * Takes the next bytes of the stream. False: they are not in the format, and it is over. A length
   * beyond that of every frame is none.
   */
  feed(bytes: Uint8Array): boolean {
    let rest = bytes;
    if (this.#partBytes > 0) {
      rest = this.#complete(rest);
      if (this.#partBytes > 0) return this.#isSound(this.#part, this.#partBytes);
    }
    while (rest.length >= LENGTH_BYTES) {
      if (!this.#isSound(rest, rest.length)) return false;
      const end = LENGTH_BYTES + lengthAt(rest);
      if (rest.length < end) break;
      this.#deliver(new WholeFrame(rest.subarray(LENGTH_BYTES, end)));
      rest = rest.subarray(end);
    }
    this.#part.set(rest);
    this.#partBytes = rest.length;
    return true;
  }

  /** The stream has ended, and another may begin. */
  reset(): void {
    this.#partBytes = 0;
  }

  /** Adds to the frame that has come in part, and delivers it if it is whole. Returns the rest. */
  #complete(bytes: Uint8Array): Uint8Array {
    const rest = this.#fill(bytes, LENGTH_BYTES);
    if (this.#partBytes < LENGTH_BYTES || !this.#isSound(this.#part, LENGTH_BYTES)) return rest;
    const end = LENGTH_BYTES + lengthAt(this.#part);
    const after = this.#fill(rest, end);
    if (this.#partBytes === end) {
      this.#partBytes = 0;
      this.#deliver(new WholeFrame(this.#part.subarray(LENGTH_BYTES, end)));
    }
    return after;
  }

  /** Fills the part up to `end` bytes. Returns the bytes after those. */
  #fill(bytes: Uint8Array, end: number): Uint8Array {
    const taken = Math.max(0, Math.min(bytes.length, end - this.#partBytes));
    this.#part.set(bytes.subarray(0, taken), this.#partBytes);
    this.#partBytes += taken;
    return bytes.subarray(taken);
  }

  /** Is the length at the front of `bytes` possible, as far as it is there? */
  #isSound(bytes: Uint8Array, count: number): boolean {
    if (count < LENGTH_BYTES) return true;
    const length = lengthAt(bytes);
    return length >= EthernetHdr.sizeof && length <= NET_FRAME_BYTES_MAX;
  }
}

function lengthAt(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}
