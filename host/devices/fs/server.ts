// The FUSE server: one session over one directory. Handlers follow the guest's own error rule:
// bytes of reply, or -Errno. Nothing here waits, and nothing trusts the request.
import { Errno } from "../../../drivers/abi/errno.ts";
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
} from "../../../drivers/abi/fuse.ts";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../../drivers/abi/fuse-window.ts";
import type { FileChanges, Files } from "../../files.ts";
import { getU64 } from "./attributes.ts";
import { Background } from "./background.ts";
import { errnoOf } from "./errno.ts";
import { HandleTable, type OpenFile } from "./handles.ts";
import { type Node, NodeTable } from "./nodes.ts";
import { OPERATIONS } from "./operations.ts";
import { DATA_BYTES_MAX, type FuseRequest } from "./request.ts";
import { disarm } from "./set-id.ts";
import { noStats } from "./stats.ts";
import { Syncs } from "./syncs.ts";
import { FileWindow } from "./window.ts";

export interface FsLimits {
  /** Inodes that the guest may know at a time; each is a descriptor of the host. */
  readonly nodesMax: number;
  /** Files and directories that it may have open. */
  readonly handlesMax: number;
  /** Descriptors that stay open for the next OPEN of the same file. */
  readonly idleFilesMax: number;
  /**
   * How long the guest may believe that there is no such name (U17). It sees what the host makes
   * that much later; 0: at once.
   */
  readonly missingMs: number;
  /**
   * A kick that the host holds up for longer makes reads and writes go to the thread pool until it
   * is quick again. Infinity: they never do.
   */
  readonly slowMs: number;
}

/** Requests that a driver should have in flight for data it does not wait for. */
const BACKGROUND_MAX = 64;
/** Node sets times to microseconds. */
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
  readonly files: Files;
  /** null: the guest may only read. */
  readonly changes: FileChanges | null;
  readonly nodes: NodeTable;
  readonly handles: HandleTable;
  readonly background: Background;
  readonly syncs = new Syncs();
  readonly stats = noStats();
  /** Nanoseconds of the machine's clock. */
  readonly now: () => number;
  /** How long the guest may believe names and attributes. */
  readonly validMs: number;
  /** How long that a name is missing; 0: it asks again. */
  readonly missingMs: number;
  /** null: the guest can map no files. */
  window: FileWindow | null = null;
  #started = false;

  /** Throws what the host throws when the directory cannot be used. */
  constructor(
    files: Files,
    changes: FileChanges | null,
    directory: string,
    validMs: number,
    limits: FsLimits,
    now: () => number,
  ) {
    this.files = files;
    this.changes = changes;
    this.validMs = validMs;
    this.missingMs = limits.missingMs;
    this.nodes = new NodeTable(files, directory, limits.nodesMax);
    this.handles = new HandleTable(files, limits.handlesMax, limits.idleFilesMax);
    this.now = now;
    this.background = new Background(files, this.handles, this.stats, limits.slowMs * 1e6, now);
  }

  /** The guest finds files in `memory` from now on, which is whole slots of its own memory. */
  openWindow(memory: Uint8Array): void {
    const settle = (node: Node) => this.settle(node);
    const { files, changes, handles } = this;
    const disarmed = (file: OpenFile) => changes !== null && disarm(changes, this, file);
    this.window = new FileWindow(memory, files, changes, handles, settle, disarmed);
  }

  /** For those who go on if it fails: 0 or -Errno. */
  writeBack(node: Node): number {
    try {
      this.window?.writeBack(node);
      return 0;
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** Serves a request that expects a reply: its bytes, or -Errno. */
  serve(request: FuseRequest): number {
    if (request.opcode === FUSE_INIT_BIG_ENDIAN) return -Errno.EPROTO;
    if (request.opcode === FuseOpcode.INIT) return this.#init(request);
    if (!this.#started) return -Errno.EIO; // U2
    if (request.opcode === FuseOpcode.DESTROY) return this.#endInOrder();
    const operation = OPERATIONS.get(request.opcode);
    if (operation === undefined) return -Errno.ENOSYS; // U3: the guest stops asking
    if (request.argumentBytes < operation.argumentBytes) return -Errno.EINVAL;
    // Before anything is done, so that a reply that does not fit leaves no reference behind.
    if (request.room < operation.replyBytes) return -Errno.EINVAL;
    const node = this.nodes.get(request.nodeid);
    if (node === undefined) return -Errno.EBADF; // U6
    try {
      return operation.serve(this, request, node);
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** References come back from the guest: a node has no fewer than none, whatever it says (W8). */
  giveBack(node: Node, count: number): void {
    if (node === this.nodes.root) return;
    node.references = Math.max(0, node.references - count);
    this.settle(node);
  }

  /** FORGET (U4, U5). A malformed one is no reason to fail: there is nobody to tell. */
  forget(request: FuseRequest): void {
    if (request.argumentBytes < 8) return;
    this.#forgetNode(request.nodeid, getU64(request.arguments, 0));
  }

  /** BATCH_FORGET: as many as were announced and came. */
  batchForget(request: FuseRequest): void {
    if (request.argumentBytes < 8) return;
    const announced = request.arguments.getUint32(0, true);
    // Segments may be the same memory again and again; no driver has more nodes than this.
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

  /** Removes a node that nobody can name or use any more. */
  settle(node: Node): void {
    if (!this.nodes.unused(node)) return;
    this.handles.forget(node);
    this.nodes.remove(node);
  }

  /**
   * The session ends: handles and node ids are void (F5), and so are mappings. What the guest has
   * stored into them and has not been written is lost, as in a crash of its own.
   */
  end(): void {
    this.#started = false;
    this.syncs.clear();
    this.window?.drop();
    this.handles.clear();
    this.nodes.clear();
  }

  dispose(): void {
    this.end();
    if (this.nodes.size > 0) this.nodes.remove(this.nodes.root);
  }

  #forgetNode(nodeid: number, count: number): void {
    const node = this.nodes.get(nodeid);
    if (node !== undefined) this.giveBack(node, count);
  }

  /** U1. A driver of a later major version is told ours and tries again. */
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
    this.#started = true;
    const readahead = input.getUint32(FuseInitIn.max_readahead, true);
    const offered = INIT_FLAGS_OFFERED | (this.window === null ? 0 : MAP_ALIGNMENT);
    const flags = input.getUint32(FuseInitIn.flags, true) & offered;
    reply.setUint32(FuseInitOut.minor, Math.min(minor, FUSE_KERNEL_MINOR_VERSION), true);
    reply.setUint32(FuseInitOut.max_readahead, Math.min(readahead, DATA_BYTES_MAX), true);
    reply.setUint32(FuseInitOut.flags, flags, true);
    reply.setUint16(FuseInitOut.max_background, BACKGROUND_MAX, true);
    reply.setUint16(FuseInitOut.congestion_threshold, BACKGROUND_MAX * 0.75, true);
    reply.setUint32(FuseInitOut.max_write, DATA_BYTES_MAX, true);
    reply.setUint32(FuseInitOut.time_gran, this.changes === null ? 1 : TIME_GRAN_NS, true);
    reply.setUint16(FuseInitOut.max_pages, DATA_BYTES_MAX / FUSE_PAGE_BYTES, true);
    if ((flags & MAP_ALIGNMENT) !== 0) {
      reply.setUint16(FuseInitOut.map_alignment, FS_WINDOW_ALIGNMENT_LOG2, true);
    }
    return FuseInitOut.sizeof;
  }

  /** The guest ends the session: what it has stored into the window is written; 0 or -Errno. */
  #endInOrder(): number {
    let result = 0;
    try {
      this.window?.end();
    } catch (error) {
      result = errnoOf(error);
    }
    this.end();
    return result;
  }
}
