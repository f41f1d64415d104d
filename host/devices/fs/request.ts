// A FUSE request: copied out of its chain once, answered into the chain once. The object is reused
// for other requests.
import { Errno } from "../../../abi/errno.ts";
import { FUSE_NAME_BYTES_MAX, FuseInHeader, FuseOutHeader } from "../../../abi/fuse.ts";
import type { Chain } from "../../virtqueue.ts";
import { getU64 } from "./operations/attributes.ts";
import type { FsStats } from "./stats.ts";

/** Arguments are copied up to here. Longer ones are data, and are read from the chain in pieces. */
const ARGUMENT_BYTES_MAX = 8192;
/** Data of one request (U14). */
export const DATA_BYTES_MAX = 1 << 20;
/** Largest reply that is built here. The data of READ goes straight into the chain. */
export const REPLY_BYTES_MAX = 32768;

/** Answers with `payload`, which has `result` bytes, or with -Errno. */
export type LateAnswer = (result: number, payload?: Uint8Array) => void;

const NOTHING = new Uint8Array(0);
const SLASH = 0x2f;
const DOT = 0x2e;

export class FuseRequest {
  /** It will be answered by the function that detach() returned. */
  detached = false;
  /** It waits for the host, and will be finished later. */
  parked = false;
  opcode = 0;
  /** Exact up to 2^53; node ids beyond do not exist. */
  nodeid = 0;
  /** Size of the request. */
  bytes = 0;
  /** Bytes after in_header. */
  argumentBytes = 0;
  /** Size of the reply, without header, that the guest has room for. */
  room = 0;
  /** The reply is in the chain already, except for its header. */
  inPlace = false;
  /** Arguments, from 0 on. */
  readonly arguments: DataView;
  /** The reply, from 0 on. */
  readonly reply: DataView;
  readonly replyBytes: Uint8Array;
  /** Filled by copyBatch(); a multiple of 16 bytes. */
  readonly batch: DataView;
  readonly #batchBytes = new Uint8Array(4096);
  #chain: Chain | null = null;
  readonly #in = new Uint8Array(FuseInHeader.sizeof + ARGUMENT_BYTES_MAX);
  readonly #inView = new DataView(this.#in.buffer);
  readonly #out = new Uint8Array(FuseOutHeader.sizeof + REPLY_BYTES_MAX);
  readonly #outView = new DataView(this.#out.buffer);

  readonly #stats: FsStats;
  readonly #answered: () => void;
  readonly #unparked: (request: FuseRequest) => void;

  /**
   * `answered` is called when a detached request was answered, `unparked` when this object can be
   * reused.
   */
  constructor(stats: FsStats, answered: () => void, unparked: (request: FuseRequest) => void) {
    this.#stats = stats;
    this.#answered = answered;
    this.#unparked = unparked;
    this.arguments = new DataView(this.#in.buffer, FuseInHeader.sizeof);
    this.reply = new DataView(this.#out.buffer, FuseOutHeader.sizeof);
    this.replyBytes = this.#out.subarray(FuseOutHeader.sizeof);
    this.batch = new DataView(this.#batchBytes.buffer);
  }

  get chain(): Chain {
    if (this.#chain === null) throw new Error("fuse: no request is being served");
    return this.#chain;
  }

  /** Takes a chain. -EINVAL if it has no header, or its length differs from the header's (W1). */
  take(chain: Chain): number {
    this.#chain = chain;
    this.inPlace = this.detached = false;
    this.room = chain.writableBytes - FuseOutHeader.sizeof;
    const bytes = chain.readableBytes;
    this.bytes = bytes;
    if (bytes < FuseInHeader.sizeof) {
      this.room = -1; // there is no request to answer
      this.opcode = this.nodeid = this.argumentBytes = 0;
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

  /**
   * The name at the end of the arguments; valid during the request. -Errno if it is invalid (U7).
   */
  name(at: number): Uint8Array | number {
    const end = Math.min(this.argumentBytes, ARGUMENT_BYTES_MAX);
    const bytes = this.#in.subarray(FuseInHeader.sizeof + at, FuseInHeader.sizeof + end);
    const length = bytes.indexOf(0);
    if (length > FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    if (length < 0 && bytes.length > FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    if (length < 1 || at + length + 1 !== this.argumentBytes) return -Errno.EINVAL;
    const name = bytes.subarray(0, length);
    return name.includes(SLASH) ? -Errno.EINVAL : name;
  }

  /**
   * The two NUL-terminated strings at the end of the arguments; valid during the request. -EINVAL
   * for anything else.
   */
  twoStrings(at: number): [Uint8Array, Uint8Array] | number {
    const end = Math.min(this.argumentBytes, ARGUMENT_BYTES_MAX);
    const bytes = this.#in.subarray(FuseInHeader.sizeof + at, FuseInHeader.sizeof + end);
    const first = bytes.indexOf(0);
    const second = bytes.indexOf(0, first + 1);
    if (first < 1 || second < first + 2 || at + second + 1 !== this.argumentBytes) {
      return -Errno.EINVAL;
    }
    return [bytes.subarray(0, first), bytes.subarray(first + 1, second)];
  }

  /**
   * Detaches the request from this object: the returned function answers it, once, at any time.
   * After a reset of the device it does nothing.
   */
  detach(): LateAnswer {
    const { chain, opcode } = this;
    const room = this.room;
    const unique = this.#inView.getBigUint64(FuseInHeader.unique, true);
    this.#chain = null;
    this.detached = true;
    return (result, payload = NOTHING) => {
      this.#stats.answers.count(opcode, result);
      if (!chain.live) return;
      const length = FuseOutHeader.sizeof + payload.length;
      const header = new DataView(new ArrayBuffer(FuseOutHeader.sizeof));
      header.setUint32(FuseOutHeader.len, length, true);
      header.setInt32(FuseOutHeader.error, Math.min(result, 0), true);
      header.setBigUint64(FuseOutHeader.unique, unique, true);
      if (room >= 0) chain.copyTo(0, new Uint8Array(header.buffer));
      chain.copyTo(FuseOutHeader.sizeof, payload);
      chain.release(room >= 0 ? length : 0);
      this.#answered();
    };
  }

  /**
   * Answers with `result` bytes, or -Errno. Without room for a header the chain is returned empty.
   */
  finish(result: number): void {
    const { chain } = this;
    this.#stats.answers.count(this.opcode, result);
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

  /** The parked request was finished, or dropped. */
  unpark(): void {
    this.parked = false;
    this.detached = true; // in case the host answered before the kick was over
    this.#chain = null;
    this.#unparked(this);
    this.#answered();
  }

  /** Ends a request that has no reply. */
  finishEmpty(): void {
    const { chain } = this;
    this.#stats.answers.count(this.opcode, 0);
    this.#chain = null;
    chain.release(0);
  }
}

/** The fault in the name of an entry to create or remove, as -Errno; or 0 (U7). */
export function nameFault(name: Uint8Array): number {
  if (name.length > FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
  return name.includes(SLASH) || dotsIn(name) > 0 ? -Errno.EINVAL : 0;
}

/** 1 for ".", 2 for "..", else 0. */
export function dotsIn(name: Uint8Array): number {
  if (name.length > 2 || name[0] !== DOT) return 0;
  if (name.length === 1) return 1;
  return name[1] === DOT ? 2 : 0;
}
