// One FUSE request: copied out of its chain once, answered into the chain once. A device has one
// of these and uses it for every request.
import { Errno } from "../../../drivers/abi/errno.ts";
import { FUSE_NAME_BYTES_MAX, FuseInHeader, FuseOutHeader } from "../../../drivers/abi/fuse.ts";
import type { Chain } from "../../virtqueue.ts";
import { getU64 } from "./attributes.ts";

/** Arguments that are copied; what is longer is data, and is read from the chain in pieces. */
const ARGUMENT_BYTES_MAX = 8192;
/** Data of one request (U14): READ asks for no more. */
export const DATA_BYTES_MAX = 1 << 20;
/** Largest reply that is built here; READ's data do not pass through it. */
export const REPLY_BYTES_MAX = 32768;

export class FuseRequest {
  opcode = 0;
  /** Exact up to 2^53; node ids beyond do not exist. */
  nodeid = 0;
  /** Bytes after in_header. */
  argumentBytes = 0;
  /** Bytes of reply for which the guest left room. */
  room = 0;
  /** The reply is in the chain already; its header alone is missing. */
  inPlace = false;
  /** Arguments, from 0 on. */
  readonly arguments: DataView;
  /** Where the reply is built, from 0 on. */
  readonly reply: DataView;
  readonly replyBytes: Uint8Array;
  /** What copyBatch read; a multiple of 16 bytes long. */
  readonly batch: DataView;
  readonly #batchBytes = new Uint8Array(4096);
  #chain: Chain | null = null;
  readonly #in = new Uint8Array(FuseInHeader.sizeof + ARGUMENT_BYTES_MAX);
  readonly #inView = new DataView(this.#in.buffer);
  readonly #out = new Uint8Array(FuseOutHeader.sizeof + REPLY_BYTES_MAX);
  readonly #outView = new DataView(this.#out.buffer);

  constructor() {
    this.arguments = new DataView(this.#in.buffer, FuseInHeader.sizeof);
    this.reply = new DataView(this.#out.buffer, FuseOutHeader.sizeof);
    this.replyBytes = this.#out.subarray(FuseOutHeader.sizeof);
    this.batch = new DataView(this.#batchBytes.buffer);
  }

  get chain(): Chain {
    if (this.#chain === null) throw new Error("fuse: no request is being served");
    return this.#chain;
  }

  /** Takes a chain; -EINVAL when its length is not that of its header, or it has none (W1). */
  take(chain: Chain): number {
    this.#chain = chain;
    this.inPlace = false;
    this.room = chain.writableBytes - FuseOutHeader.sizeof;
    const bytes = chain.readableBytes;
    if (bytes < FuseInHeader.sizeof) {
      this.room = -1; // there is no request to answer
      return -Errno.EINVAL;
    }
    chain.copyFrom(0, bytes < this.#in.length ? this.#in.subarray(0, bytes) : this.#in);
    this.opcode = this.#inView.getUint32(FuseInHeader.opcode, true);
    this.nodeid = getU64(this.#inView, FuseInHeader.nodeid);
    this.argumentBytes = bytes - FuseInHeader.sizeof;
    return this.#inView.getUint32(FuseInHeader.len, true) === bytes ? 0 : -Errno.EINVAL;
  }

  /** Reads the next part of long arguments into `batch`. */
  copyBatch(at: number): void {
    this.chain.copyFrom(FuseInHeader.sizeof + at, this.#batchBytes);
  }

  /** The name that ends the arguments; valid during the request. -Errno when it is not one (U7). */
  name(at: number): Uint8Array | number {
    const end = Math.min(this.argumentBytes, ARGUMENT_BYTES_MAX);
    const bytes = this.#in.subarray(FuseInHeader.sizeof + at, FuseInHeader.sizeof + end);
    const length = bytes.indexOf(0);
    if (length > FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    if (length < 0 && bytes.length > FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    if (length < 1 || at + length + 1 !== this.argumentBytes) return -Errno.EINVAL;
    const name = bytes.subarray(0, length);
    return name.includes(0x2f) ? -Errno.EINVAL : name;
  }

  /**
   * Answers with `result` bytes, or -Errno; without room for a header the chain goes back empty.
   */
  finish(result: number): void {
    const { chain } = this;
    this.#chain = null;
    if (this.room < 0) {
      chain.release(0);
      return;
    }
    const payload = Math.max(result, 0);
    const length = FuseOutHeader.sizeof + payload;
    this.#outView.setUint32(FuseOutHeader.len, length, true);
    this.#outView.setInt32(FuseOutHeader.error, Math.min(result, 0), true);
    const unique = this.#inView.getUint32(FuseInHeader.unique, true);
    this.#outView.setUint32(FuseOutHeader.unique, unique, true);
    const uniqueHigh = this.#inView.getUint32(FuseInHeader.unique + 4, true);
    this.#outView.setUint32(FuseOutHeader.unique + 4, uniqueHigh, true);
    chain.copyTo(0, this.#out.subarray(0, this.inPlace ? FuseOutHeader.sizeof : length));
    chain.release(length);
  }

  /** Ends a request that has no reply. */
  finishEmpty(): void {
    const { chain } = this;
    this.#chain = null;
    chain.release(0);
  }
}
