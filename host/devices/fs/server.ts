// The FUSE server: one session after another over one directory. It dispatches requests to
// operations, which return bytes of reply or -Errno. Nothing here waits (replay.ts), and nothing
// trusts the request.
import { Errno } from "../../../abi/errno.ts";
import {
  FUSE_INIT_BIG_ENDIAN,
  FUSE_INIT_IN_BYTES_MIN,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_MINOR_VERSION_MIN,
  FUSE_PAGE_BYTES,
  FuseForgetOne,
  FuseInitFlag,
  FuseInitIn,
  FuseInitOut,
  FuseOpcode,
} from "../../../abi/fuse.ts";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../../abi/fuse-window.ts";
import { errnoOf } from "./errno.ts";
import { getU64 } from "./operations/attributes.ts";
import type { Operation } from "./operations/entry.ts";
import { DATA_BYTES_MAX, type FuseRequest } from "./request.ts";
import type { Share } from "./share.ts";

/** Background requests that a driver should have in flight. */
const BACKGROUND_MAX = 64;
/** Node sets times with a precision of microseconds. */
const TIME_GRAN_NS = 1000;
const MAP_ALIGNMENT = 1 << FuseInitFlag.MAP_ALIGNMENT;
const INIT_FLAGS_OFFERED =
  (1 << FuseInitFlag.ASYNC_READ) |
  (1 << FuseInitFlag.ATOMIC_O_TRUNC) |
  (1 << FuseInitFlag.BIG_WRITES) |
  (1 << FuseInitFlag.AUTO_INVAL_DATA) |
  (1 << FuseInitFlag.DO_READDIRPLUS) |
  (1 << FuseInitFlag.READDIRPLUS_AUTO) |
  (1 << FuseInitFlag.PARALLEL_DIROPS) |
  (1 << FuseInitFlag.MAX_PAGES) |
  (1 << FuseInitFlag.INIT_EXT);

export class FuseServer {
  readonly #share: Share;
  readonly #operations: ReadonlyMap<number, Operation>;
  /** Has the guest begun a session? */
  started = false;

  /** `operations`: those that it knows, by opcode. */
  constructor(share: Share, operations: ReadonlyMap<number, Operation>) {
    this.#share = share;
    this.#operations = operations;
  }

  /** Serves a request that expects a reply: its bytes, or -Errno. */
  serve(request: FuseRequest): number {
    if (request.opcode === FUSE_INIT_BIG_ENDIAN) return -Errno.EPROTO;
    if (request.opcode === FuseOpcode.INIT) return this.#init(request);
    if (!this.started) return -Errno.EIO; // U2
    if (request.opcode === FuseOpcode.DESTROY) return this.#endInOrder();
    const operation = this.#operations.get(request.opcode);
    if (operation === undefined) return -Errno.ENOSYS; // U3: the guest stops asking
    if (request.argumentBytes < operation.argumentBytes) return -Errno.EINVAL;
    // Before any effect: a reply that does not fit must not leave a reference.
    if (request.room < operation.replyBytes) return -Errno.EINVAL;
    const { slow, window } = this.#share;
    // A run with a writable mapping cannot be repeated: the guest may have stored in between.
    if (slow?.background.wantsAll !== true || window?.isStoredTo === true) {
      return this.#attempt(request, operation);
    }
    return slow.background.serve(request, () => this.#attempt(request, operation));
  }

  #attempt(request: FuseRequest, operation: Operation): number {
    request.inPlace = false;
    const node = this.#share.nodes.get(request.nodeid);
    if (node === undefined) return -Errno.EBADF; // U6
    try {
      return operation.serve(this.#share, request, node);
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** FORGET (U4, U5). A malformed one is ignored, since there is no reply. */
  forget(request: FuseRequest): void {
    if (request.argumentBytes < 8) return;
    this.#forgetNode(request.nodeid, getU64(request.arguments, 0));
  }

  /** BATCH_FORGET: as many as announced, and as are there. */
  batchForget(request: FuseRequest): void {
    if (request.argumentBytes < 8) return;
    const announced = request.arguments.getUint32(0, true);
    // Segments may alias the same memory; no driver has more nodes than this.
    const bytes = Math.min(request.argumentBytes - 8, DATA_BYTES_MAX);
    const came = Math.floor(bytes / FuseForgetOne.sizeof);
    const { batch } = request;
    const perBatch = batch.byteLength / FuseForgetOne.sizeof;
    for (let i = 0; i < Math.min(announced, came); i++) {
      if (i % perBatch === 0) request.copyBatch(8 + i * FuseForgetOne.sizeof);
      const at = (i % perBatch) * FuseForgetOne.sizeof;
      const nodeid = getU64(batch, at + FuseForgetOne.nodeid);
      this.#forgetNode(nodeid, getU64(batch, at + FuseForgetOne.nlookup));
    }
  }

  /** The session ends without a request of the guest. */
  end(): void {
    this.started = false;
    this.#share.end();
  }

  #forgetNode(nodeid: number, count: number): void {
    const node = this.#share.nodes.get(nodeid);
    if (node !== undefined) this.#share.dropReferences(node, count);
  }

  /** U1. A driver with a later major version gets ours, and tries again. */
  #init(request: FuseRequest): number {
    const { arguments: input, reply } = request;
    if (request.argumentBytes < FUSE_INIT_IN_BYTES_MIN) return -Errno.EINVAL;
    if (request.room < FuseInitOut.sizeof) return -Errno.EINVAL;
    const major = input.getUint32(FuseInitIn.major, true);
    const minor = input.getUint32(FuseInitIn.minor, true);
    if (major < FUSE_KERNEL_VERSION) return -Errno.EPROTO;
    if (major === FUSE_KERNEL_VERSION && minor < FUSE_MINOR_VERSION_MIN) return -Errno.EPROTO;
    this.#endInOrder();
    request.replyBytes.fill(0, 0, FuseInitOut.sizeof);
    reply.setUint32(FuseInitOut.major, FUSE_KERNEL_VERSION, true);
    if (major > FUSE_KERNEL_VERSION) {
      reply.setUint32(FuseInitOut.minor, FUSE_KERNEL_MINOR_VERSION, true);
      return FuseInitOut.sizeof;
    }
    this.started = true;
    const readahead = input.getUint32(FuseInitIn.max_readahead, true);
    const offered = INIT_FLAGS_OFFERED | (this.#share.window === null ? 0 : MAP_ALIGNMENT);
    const flags = input.getUint32(FuseInitIn.flags, true) & offered;
    reply.setUint32(FuseInitOut.minor, Math.min(minor, FUSE_KERNEL_MINOR_VERSION), true);
    reply.setUint32(FuseInitOut.max_readahead, Math.min(readahead, DATA_BYTES_MAX), true);
    reply.setUint32(FuseInitOut.flags, flags, true);
    reply.setUint16(FuseInitOut.max_background, BACKGROUND_MAX, true);
    reply.setUint16(FuseInitOut.congestion_threshold, BACKGROUND_MAX * 0.75, true);
    reply.setUint32(FuseInitOut.max_write, DATA_BYTES_MAX, true);
    reply.setUint32(FuseInitOut.time_gran, this.#share.changes === null ? 1 : TIME_GRAN_NS, true);
    reply.setUint16(FuseInitOut.max_pages, DATA_BYTES_MAX / FUSE_PAGE_BYTES, true);
    if ((flags & MAP_ALIGNMENT) !== 0) {
      reply.setUint16(FuseInitOut.map_alignment, FS_WINDOW_ALIGNMENT_LOG2, true);
    }
    return FuseInitOut.sizeof;
  }

  /** The guest ends the session: writes the window back; 0 or -Errno. */
  #endInOrder(): number {
    let result = 0;
    try {
      this.#share.window?.end();
    } catch (error) {
      result = errnoOf(error);
    }
    this.end();
    return result;
  }
}
