// Cuts frames out of a byte stream, in which each follows its length, 4 bytes big-endian: the
// format of qemu's -netdev stream, which passt, gvproxy and socket_vmnet speak as well.
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NET_FRAME_BYTES_MAX } from "../../../abi/net.ts";
import { WholeFrame } from "./frame.ts";

export const LENGTH_BYTES = 4;
const NOTHING = new Uint8Array(0);

export class FrameParser {
  readonly #deliver: (frame: WholeFrame) => boolean;
  /** A frame that has come in part, with its length. */
  readonly #part = new Uint8Array(LENGTH_BYTES + NET_FRAME_BYTES_MAX);
  #partBytes = 0;

  /**
   * `deliver` is given each frame, which is valid until it returns. It returns whether it takes
   * another one now.
   */
  constructor(deliver: (frame: WholeFrame) => boolean) {
    this.#deliver = deliver;
  }

  /**
   * Takes the next bytes of the stream. Returns those that are left, for later, if no further frame
   * is taken now. null: they are not in the format, and it is over. A length beyond that of every
   * frame is none.
   */
  feed(bytes: Uint8Array): Uint8Array | null {
    let at = 0;
    let goesOn = true;
    if (this.#partBytes > 0) {
      at = this.#fill(bytes, 0, LENGTH_BYTES);
      if (this.#partBytes < LENGTH_BYTES) return NOTHING;
      const end = LENGTH_BYTES + lengthAt(this.#part, 0);
      if (!isPossible(end - LENGTH_BYTES)) return null;
      at = this.#fill(bytes, at, end);
      if (this.#partBytes < end) return NOTHING;
      this.#partBytes = 0;
      goesOn = this.#deliver(new WholeFrame(this.#part.subarray(LENGTH_BYTES, end)));
    }
    while (goesOn && bytes.length - at >= LENGTH_BYTES) {
      const length = lengthAt(bytes, at);
      if (!isPossible(length)) return null;
      const begin = at + LENGTH_BYTES;
      if (bytes.length - begin < length) break;
      at = begin + length;
      goesOn = this.#deliver(new WholeFrame(bytes.subarray(begin, at)));
    }
    if (!goesOn) return bytes.subarray(at);
    this.#fill(bytes, at, this.#part.length);
    return NOTHING;
  }

  /** The stream has ended, and another may begin. */
  reset(): void {
    this.#partBytes = 0;
  }

  /** Fills the part up to `end` bytes with those from `at` on. Returns the place after them. */
  #fill(bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.max(0, Math.min(bytes.length - at, end - this.#partBytes));
    this.#part.set(bytes.subarray(at, at + taken), this.#partBytes);
    this.#partBytes += taken;
    return at + taken;
  }
}

const isPossible = (length: number) =>
  length >= EthernetHdr.sizeof && length <= NET_FRAME_BYTES_MAX;

function lengthAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
}
