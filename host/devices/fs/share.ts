// A directory of the host that is shared, and what the guest holds of it: nodes, open files, mapped
// parts of files. Each session with the guest begins with none of that.
import type { FileChanges, Files } from "../../ports/files.ts";
import { errnoOf } from "./errno.ts";
import { HandleTable, type OpenFile } from "./nodes/handles.ts";
import type { Node } from "./nodes/node.ts";
import { NodeTable } from "./nodes/node-table.ts";
import { clearSetId, withoutSetId } from "./nodes/set-id.ts";
import { Background } from "./slow/background.ts";
import { HostCalls } from "./slow/host-calls.ts";
import { Syncs } from "./slow/syncs.ts";
import { noStats } from "./stats.ts";
import { FileWindow } from "./window/file-window.ts";

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
  /** The same of all other calls that may wait for a disk. */
  readonly stallMs: number;
}

const NOTHING = () => {};

export class Share {
  readonly files: HostCalls;
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
  #looking = false; // where the directory's name leads
  /** null: the guest can map no files. */
  window: FileWindow | null = null;

  /** Throws what the host throws when the directory cannot be used. */
  constructor(
    files: Files,
    changes: FileChanges | null,
    directory: string,
    validMs: number,
    limits: FsLimits,
    now: () => number,
  ) {
    this.files = new HostCalls(files, () => this.background.wantsAll);
    this.changes = changes === null ? null : this.files;
    this.validMs = validMs;
    this.missingMs = limits.missingMs;
    this.nodes = new NodeTable(this.files, directory, limits.nodesMax, this.files);
    this.nodes.settle = (node) => this.settle(node);
    const { handlesMax, idleFilesMax } = limits;
    this.handles = new HandleTable(this.files, handlesMax, idleFilesMax, validMs * 1e6, now);
    this.now = now;
    this.background = new Background(this.files, this.handles, this.stats, limits, now);
  }

  /** The guest finds files in `memory` from now on, which is whole slots of its own memory. */
  openWindow(memory: Uint8Array): void {
    const settle = (node: Node) => this.settle(node);
    const disarm = (file: OpenFile) => this.disarm(file);
    this.window = new FileWindow(memory, this.files, this.changes, this.handles, settle, disarm);
  }

  /**
   * Takes set-id bits from a file that is going to be written (U21), where the host's kernel leaves
   * that to us; returns what puts them back when nothing was written. They are looked for as often
   * as attributes are: only programs of the host can have set them meanwhile.
   */
  disarm(file: OpenFile): () => void {
    if (this.changes?.keepsSetId() !== true) return NOTHING;
    const nowNs = this.now();
    if (nowNs - file.harmlessNs < this.validMs * 1e6) return NOTHING;
    const rearm = clearSetId(this.changes, this.files, file.node);
    file.harmlessNs = nowNs;
    return () => {
      file.harmlessNs = Number.NEGATIVE_INFINITY;
      rearm();
    };
  }

  /** Cuts a regular file to nothing. */
  empty(changes: FileChanges, node: Node): void {
    withoutSetId(changes, this.files, node, () => changes.resize(node.inode, 0));
    this.window?.changed(node, 0, Number.POSITIVE_INFINITY);
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

  /** References come back from the guest: a node has no fewer than none, whatever it says (W8). */
  giveBack(node: Node, count: number): void {
    if (node === this.nodes.root) return;
    node.references = Math.max(0, node.references - count);
    this.settle(node);
  }

  /** Removes a node that nobody can name or use any more. */
  settle(node: Node): void {
    if (!this.nodes.unused(node)) return;
    this.handles.forget(node);
    this.nodes.remove(node);
  }

  /**
   * Lets go of what is idle, and looks where the directory's name leads; to be called twice in the
   * time in which what the host deletes is to be gone. Returns whether there is anything to look
   * after.
   */
  sweep(): boolean {
    const files = this.handles.closeIdle();
    const nodes = this.nodes.letGoOfIdle();
    if (!this.#looking) {
      this.#looking = true; // a disk that hangs is not asked again and again
      const ended = () => {
        this.#looking = false;
      };
      this.background.run(() => this.nodes.lookAtRoot(), ended);
    }
    return files || nodes;
  }

  /**
   * The session ends: handles and node ids are void (F5), and so are mappings. What the guest has
   * stored into them and has not been written is lost, as in a crash of its own.
   */
  end(): void {
    this.background.clear();
    this.syncs.clear();
    this.window?.drop();
    this.handles.clear();
    this.nodes.clear();
  }

  dispose(): void {
    this.end();
    if (this.nodes.size > 0) this.nodes.remove(this.nodes.root);
  }
}
