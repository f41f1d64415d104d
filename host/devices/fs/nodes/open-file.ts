// An open file of the host, which handles of one node share. That of a snapshot is opened again on
// first use: by then the file may be another, or gone.
import { FUSE_O_ACCMODE, FUSE_O_APPEND, FUSE_O_DSYNC, FUSE_O_SYNC } from "../../../../abi/fuse.ts";
import type { Node } from "./node.ts";

/** Handles that differ in one of these flags cannot share a descriptor. */
export const KINDS = FUSE_O_ACCMODE | FUSE_O_APPEND | FUSE_O_DSYNC | FUSE_O_SYNC;

export class OpenFile {
  readonly node: Node;
  /** Only flags of KINDS. */
  readonly flags: number;
  handles = 0;
  /** When it was last seen to have no set-id bits (U21). */
  setIdClearNs = Number.NEGATIVE_INFINITY;
  /** Calls in the thread pool. The last one to end closes the descriptor, if it is `closed`. */
  busy = 0;
  closed = false;
  /** When the host granted access. */
  readonly openedNs: number;
  /** Used since the last sweep. */
  recent = true;
  /** Opened by a run that may be repeated (replay.ts). */
  passing = false;
  #descriptor: number | (() => number);

  /** `descriptor` may be a function that opens the file when it is first used. */
  constructor(node: Node, flags: number, openedNs: number, descriptor: number | (() => number)) {
    this.node = node;
    this.flags = flags;
    this.openedNs = openedNs;
    this.#descriptor = descriptor;
  }

  /** Throws what file calls throw, if it has to be opened. */
  get descriptor(): number {
    if (typeof this.#descriptor === "function") this.#descriptor = this.#descriptor();
    return this.#descriptor;
  }

  /** Is there a descriptor to close? */
  get isOpen(): boolean {
    return typeof this.#descriptor === "number";
  }
}
