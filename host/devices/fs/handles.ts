// What the guest has open. Reads carry their offset, so all handles of a node share one descriptor,
// and a few descriptors stay open after the last RELEASE: opening a file again costs nothing.
import { Errno } from "../../../drivers/abi/errno.ts";
import { FuseType } from "../../../drivers/abi/fuse.ts";
import type { Files } from "../../files.ts";
import type { Node } from "./nodes.ts";

export interface Handle {
  readonly id: number;
  readonly node: Node;
  /** The file's descriptor; null for a directory. */
  readonly file: OpenFile | null;
  /** Names of a directory since the guest last read it from the start. */
  names: Uint8Array[];
}

export interface OpenFile {
  readonly descriptor: number;
  readonly node: Node;
  handles: number;
}

/** Names that all open directories together may keep. */
const NAMES_MAX = 1 << 18;

export class HandleTable {
  readonly #files: Files;
  readonly #max: number;
  readonly #idleMax: number;
  readonly #handles = new Map<number, Handle>();
  readonly #open = new Map<Node, OpenFile>();
  readonly #idle = new Set<OpenFile>(); // the one that waits longest comes first
  #names = 0;
  #nextId = 1;

  constructor(files: Files, max: number, idleMax: number) {
    this.#files = files;
    this.#max = max;
    this.#idleMax = idleMax;
  }

  get size(): number {
    return this.#handles.size;
  }

  /**
   * Opens a node. Only regular files and directories are ever opened (CVE-2020-35517); or -Errno.
   */
  open(node: Node, directory: boolean): Handle | number {
    if (directory && node.type !== FuseType.DIR) return -Errno.ENOTDIR;
    if (!directory && node.type !== FuseType.REG) return refusal(node);
    if (this.size >= this.#max) return -Errno.EMFILE;
    const file = directory ? null : this.#descriptor(node);
    const handle: Handle = { id: this.#nextId++, node, file, names: [] };
    this.#handles.set(handle.id, handle);
    node.opens++;
    return handle;
  }

  /** The handle, if it is one of that node and, where it matters, of that kind. */
  get(id: number, nodeid: number, directory?: boolean): Handle | undefined {
    const handle = this.#handles.get(id);
    if (handle === undefined || handle.node.id !== nodeid) return undefined;
    if (directory !== undefined && (handle.file === null) !== directory) return undefined;
    return handle;
  }

  /** Reads the names of an open directory afresh; 0 or -Errno. */
  list(handle: Handle): number {
    this.#names -= handle.names.length;
    handle.names = [];
    const names = this.#files.list(handle.node.inode);
    if (this.#names + names.length > NAMES_MAX) return -Errno.ENOMEM;
    this.#names += names.length;
    handle.names = names;
    return 0;
  }

  release(handle: Handle): void {
    this.#handles.delete(handle.id);
    this.#names -= handle.names.length;
    handle.node.opens--;
    const { file } = handle;
    if (file === null) return;
    file.handles--;
    if (file.handles > 0) return;
    this.#idle.add(file);
    if (this.#idle.size <= this.#idleMax) return;
    for (const oldest of this.#idle) {
      this.#close(oldest);
      break;
    }
  }

  /** Closes the idle descriptor of a node that goes away. */
  forget(node: Node): void {
    const file = this.#open.get(node);
    if (file !== undefined) this.#close(file);
  }

  clear(): void {
    for (const file of this.#open.values()) this.#close(file);
    for (const { node } of this.#handles.values()) node.opens--;
    this.#handles.clear();
    this.#names = 0;
  }

  #descriptor(node: Node): OpenFile {
    let file = this.#open.get(node);
    if (file === undefined) {
      file = { descriptor: this.#files.open(node.inode), node, handles: 0 };
      this.#open.set(node, file);
    }
    this.#idle.delete(file);
    file.handles++;
    return file;
  }

  #close(file: OpenFile): void {
    this.#idle.delete(file);
    this.#open.delete(file.node);
    this.#files.close(file.descriptor);
  }
}

function refusal(node: Node): number {
  if (node.type === FuseType.DIR) return -Errno.EISDIR;
  return node.type === FuseType.LNK ? -Errno.ELOOP : -Errno.EACCES;
}
