// A shared directory of the host, and what the guest holds of it: nodes, open files, mapped parts
// of files. A session with the guest begins without any.
import type { FileChanges, Files } from "../../ports/files.ts";
import { errnoOf } from "./errno.ts";
import { HandleTable, type OpenFile } from "./nodes/handles.ts";
import type { Node } from "./nodes/node.ts";
import { NodeTable } from "./nodes/node-table.ts";
import { NO_RUNS } from "./nodes/runs.ts";
import { clearSetId, withoutSetId } from "./nodes/set-id.ts";
import type { SlowHost, SlowHostParts } from "./slow/slow-host.ts";
import { noStats } from "./stats.ts";
import type { DaxWindow, WindowParts } from "./window/dax-window.ts";

/** Bounds of a file system device. Each has a default. */
export interface FsLimits {
  /** Inodes that the guest may know at a time. Each takes a descriptor of the host. */
  readonly nodesMax: number;
  /** Files and directories that it may have open. */
  readonly handlesMax: number;
  /** Descriptors that stay open for the next OPEN of the same file. */
  readonly idleFilesMax: number;
  /**
   * How long the guest may cache that a name does not exist (U17). Names that the host makes appear
   * that much later; 0: at once.
   */
  readonly missingMs: number;
  /**
   * If the host holds up a kick for longer, reads and writes go to the thread pool until it is
   * quick again. Infinity: never.
   */
  readonly slowMs: number;
  /** The same for all other calls that may wait for a disk. */
  readonly stallMs: number;
}

/** The parts that not every share has. */
export interface ShareParts {
  /** null: the guest can map no files. It needs a `slowHost`. */
  readonly openWindow: ((parts: WindowParts) => DaxWindow) | null;
  /** null: the files keep nobody waiting. */
  readonly slowHost: ((parts: SlowHostParts) => SlowHost) | null;
}

const NOTHING = () => {};

export class Share {
  readonly files: Files;
  /** null: the guest may only read. */
  readonly changes: FileChanges | null;
  readonly nodes: NodeTable;
  readonly handles: HandleTable;
  /** null: the host keeps nobody waiting. */
  readonly slow: SlowHost | null;
  readonly stats = noStats();
  /** Nanoseconds of the machine's clock. */
  readonly now: () => number;
  /** How long the guest may cache names and attributes. */
  readonly validMs: number;
  /** FsLimits.missingMs */
  readonly missingMs: number;
  readonly #openWindow: ShareParts["openWindow"];
  #isLooking = false; // where the directory's name leads
  /** null: the guest can map no files. */
  window: DaxWindow | null = null;

  /** Throws what the host throws when the directory cannot be used. */
  constructor(
    files: Files,
    changes: FileChanges | null,
    directory: string,
    validMs: number,
    limits: FsLimits,
    now: () => number,
    { openWindow, slowHost }: ShareParts,
  ) {
    this.#openWindow = openWindow;
    const { stats } = this;
    const slow = slowHost?.({ files, limits, stats, now, handles: () => this.handles }) ?? null;
    this.slow = slow;
    this.files = slow?.calls ?? files;
    this.changes = changes === null ? null : (slow?.calls ?? changes);
    this.validMs = validMs;
    this.missingMs = limits.missingMs;
    const runs = slow?.calls ?? NO_RUNS;
    this.nodes = new NodeTable(this.files, directory, limits.nodesMax, now, runs);
    this.nodes.settle = (node) => this.settle(node);
    const { handlesMax, idleFilesMax } = limits;
    const openSeen = (node: Node) => this.nodes.openSeen(node);
    this.handles = new HandleTable(
      this.files,
      runs,
      handlesMax,
      idleFilesMax,
      validMs * 1e6,
      now,
      openSeen,
    );
    this.now = now;
  }

  /** From now on the guest can map files into `memory`, whole slots of its own memory. */
  openWindow(memory: Uint8Array): void {
    const { slow, changes, handles } = this;
    if (slow === null) return;
    const settle = (node: Node) => this.settle(node);
    const clearSetId = (file: OpenFile) => this.clearSetId(file);
    const parts = { memory, files: slow.calls, changes, handles, settle, clearSetId };
    this.window = this.#openWindow?.(parts) ?? null;
  }

  /**
   * Clears the set-id bits of a file that is about to be written (U21), if the host's kernel leaves
   * that to us. Returns what restores them if nothing is written. The bits are looked for as often
   * as attributes are: only programs of the host can have set them meanwhile.
   */
  clearSetId(file: OpenFile): () => void {
    if (this.changes?.keepsSetId() !== true) return NOTHING;
    const nowNs = this.now();
    if (nowNs - file.setIdClearNs < this.validMs * 1e6) return NOTHING;
    const restore = clearSetId(this.changes, this.files, file.node);
    file.setIdClearNs = nowNs;
    return () => {
      file.setIdClearNs = Number.NEGATIVE_INFINITY;
      restore();
    };
  }

  /** Truncates a regular file to nothing. */
  empty(changes: FileChanges, node: Node): void {
    withoutSetId(changes, this.files, node, () => changes.resize(node.inode, 0));
    this.window?.changed(node, 0, Number.POSITIVE_INFINITY);
  }

  /** For callers that go on if it fails: 0 or -Errno. */
  writeBack(node: Node): number {
    try {
      this.window?.writeBack(node);
      return 0;
    } catch (error) {
      return errnoOf(error);
    }
  }

  /** Takes references away; the guest cannot return more than it has (W8). */
  dropReferences(node: Node, count: number): void {
    if (node === this.nodes.root) return;
    node.references = Math.max(0, node.references - count);
    this.settle(node);
  }

  /** Removes a node that neither the guest nor an open file refers to any more. */
  settle(node: Node): void {
    if (!this.nodes.unused(node)) return;
    this.handles.closeFiles(node);
    this.nodes.remove(node);
  }

  /**
   * Releases what has been idle since the last sweep, and follows the directory's name to where it
   * leads now. Returns whether anything may become idle later.
   */
  sweep(): boolean {
    const files = this.handles.closeIdle();
    const nodes = this.nodes.letGoOfIdle();
    this.#look();
    return files || nodes;
  }

  /** A disk that hangs is asked only once. */
  #look(): void {
    if (this.slow === null) {
      this.nodes.lookAtRoot();
    } else if (!this.#isLooking) {
      this.#isLooking = true;
      const ended = () => {
        this.#isLooking = false;
      };
      this.slow.background.run(() => this.nodes.lookAtRoot(), ended);
    }
  }

  /**
   * The session ends: handles, node ids (F5) and mappings are void. What the guest has stored and
   * was not written back is lost, as if it had crashed.
   */
  end(): void {
    this.slow?.clear();
    this.window?.drop();
    this.handles.clear();
    this.nodes.clear();
  }

  dispose(): void {
    this.end();
    if (this.nodes.size > 0) this.nodes.remove(this.nodes.root);
  }
}
