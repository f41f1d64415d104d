// Open files and directories of the guest. Reads carry their offset, so all handles of a node share
// one descriptor. A few descriptors stay open after the last RELEASE, so opening a file again is
// cheap.
import { Errno } from "../../../../abi/errno.ts";
import { FUSE_O_RDONLY, FuseType } from "../../../../abi/fuse.ts";
import type { DirectoryName, Files } from "../../../ports/files.ts";
import { quietly } from "../undo.ts";
import { NOT_HELD, type Node } from "./node.ts";
import { KINDS, OpenFile } from "./open-file.ts";
import type { Runs } from "./runs.ts";

export type { OpenFile } from "./open-file.ts";

export interface Handle {
  readonly id: number;
  readonly node: Node;
  /** The file's descriptor; null for a directory. */
  readonly file: OpenFile | null;
  /** Entries of a directory since the guest last read it from the start. */
  names: DirectoryName[];
}

/** Names that all open directories together may keep. */
export const NAMES_MAX = 1 << 18;

export class HandleTable {
  readonly #files: Files;
  readonly #runs: Runs;
  readonly max: number;
  readonly #idleMax: number;
  readonly #sharedNs: number;
  readonly #now: () => number;
  readonly #openSeen: (node: Node) => number | null;
  readonly #handles = new Map<number, Handle>();
  readonly #open = new Map<Node, OpenFile[]>(); // one for each kind of access
  readonly #idle = new Set<OpenFile>(); // least recently used first
  #names = 0;
  #mapped = 0; // open for mappings
  #lingering = 0; // closed files whose descriptor waits for a call in the thread pool
  /** The number of the next handle. */
  nextId = 1;

  /**
   * A descriptor serves further OPENs for `sharedNs`; then the host has to grant access again.
   * `openSeen` opens a node that need not be held, or returns null.
   */
  constructor(
    files: Files,
    runs: Runs,
    max: number,
    idleMax: number,
    sharedNs: number,
    now: () => number,
    openSeen: (node: Node) => number | null,
  ) {
    this.#openSeen = openSeen;
    this.#sharedNs = sharedNs;
    this.#now = now;
    this.#files = files;
    this.#runs = runs;
    this.max = max;
    this.#idleMax = idleMax;
  }

  get size(): number {
    return this.#handles.size;
  }

  /**
   * Opens a node. Only regular files and directories are ever opened (CVE-2020-35517); or -Errno.
   */
  open(node: Node, directory: boolean, flags = FUSE_O_RDONLY): Handle | number {
    if (directory && node.type !== FuseType.DIR) return -Errno.ENOTDIR;
    if (!directory && node.type !== FuseType.REG) return refusal(node);
    if (this.full) return -Errno.EMFILE;
    return this.#make(node, directory ? null : this.#descriptor(node, flags & KINDS));
  }

  /** Is the limit reached? */
  get full(): boolean {
    return this.size + this.#mapped + this.#lingering >= this.max;
  }

  /** A handle for a new file, with its descriptor. */
  adopt(node: Node, descriptor: number, flags: number): Handle {
    const file = this.#opened(node, descriptor, flags & KINDS);
    file.handles = 1;
    return this.#make(node, file);
  }

  all(): Iterable<Handle> {
    return this.#handles.values();
  }

  /**
   * A handle of a saved session; `flags` is null for a directory. Its file is opened when the guest
   * uses it. False: there is a handle of that number.
   */
  revive(id: number, node: Node, flags: number | null, names: DirectoryName[]): boolean {
    if (this.#handles.has(id)) return false;
    const file = flags === null ? null : this.#revived(node, flags);
    if (file !== null) file.handles++;
    this.#handles.set(id, { id, node, file, names });
    this.#names += names.length;
    node.opens++;
    return true;
  }

  /** Nobody who opens the file anew shares it: the host has to grant access again. */
  #revived(node: Node, flags: number): OpenFile {
    const files = this.#filesOf(node);
    const known = files.find((one) => one.flags === flags);
    if (known !== undefined) return known;
    const file = new OpenFile(node, flags, Number.NEGATIVE_INFINITY, () => {
      const mark = this.#runs.mark();
      const descriptor = this.#files.open(node.inode, flags);
      this.#runs.keep(mark);
      return descriptor;
    });
    files.push(file);
    return file;
  }

  /** The handle, if it belongs to that node and, if given, is of that kind. */
  get(id: number, nodeid: number, directory?: boolean): Handle | undefined {
    const handle = this.#handles.get(id);
    if (handle === undefined || handle.node.id !== nodeid) return undefined;
    if (directory !== undefined && (handle.file === null) !== directory) return undefined;
    return handle;
  }

  /** Reads the names of an open directory again. Throws ENOMEM if there are too many. */
  list(handle: Handle): void {
    const others = this.#names - handle.names.length;
    const names = this.#files.list(handle.node.inode, NAMES_MAX - others);
    handle.names = names;
    this.#names = others + names.length;
  }

  release(handle: Handle): void {
    this.#handles.delete(handle.id);
    this.#names -= handle.names.length;
    handle.node.opens--;
    if (handle.file !== null) this.giveBack(handle.file);
  }

  /** A regular file, opened for the device's own use until giveBack(). */
  borrow(node: Node, flags: number): OpenFile {
    return this.#descriptor(node, flags & KINDS);
  }

  /** borrow() for a mapping: counts as a handle until closeMapping(). Throws EMFILE, too. */
  openForMapping(node: Node, flags: number): OpenFile {
    if (this.full) throw Object.assign(new Error("no more open files"), { code: "EMFILE" });
    const file = this.borrow(node, flags);
    this.#mapped++;
    return file;
  }

  closeMapping(file: OpenFile): void {
    this.#mapped--;
    this.giveBack(file);
  }

  /** The last user leaves the file idle, or closes it. */
  giveBack(file: OpenFile): void {
    file.handles--;
    if (file.closed) return; // with its node, or the session
    if (file.handles > 0) return;
    // A program that is open for writing cannot be executed; and a descriptor of a run that may be
    // repeated is not ours yet.
    if (file.flags !== FUSE_O_RDONLY || file.passing) {
      this.#close(file);
      return;
    }
    this.#idle.add(file);
    if (this.#idle.size <= this.#idleMax) return;
    for (const oldest of this.#idle) {
      this.#close(oldest);
      break;
    }
  }

  /** A call in the thread pool begins: until end() the descriptor must not be closed. */
  begin(file: OpenFile): void {
    file.busy++;
  }

  end(file: OpenFile): void {
    file.busy--;
    if (!file.closed || file.busy > 0) return;
    this.#lingering--;
    this.#shut(file);
  }

  /** Closes the descriptors of a node that goes away. */
  closeFiles(node: Node): void {
    for (const file of this.#open.get(node)?.slice() ?? []) this.#close(file);
  }

  /** Closes files unused since the last sweep. Returns whether idle ones are left. */
  closeIdle(): boolean {
    for (const file of this.#idle) {
      if (!file.recent) this.#close(file);
      file.recent = false;
    }
    return this.#idle.size > 0;
  }

  clear(): void {
    for (const node of [...this.#open.keys()]) this.closeFiles(node);
    for (const { node } of this.#handles.values()) node.opens--;
    this.#handles.clear();
    this.#names = 0;
  }

  #make(node: Node, file: OpenFile | null): Handle {
    const handle: Handle = { id: this.nextId++, node, file, names: [] };
    this.#handles.set(handle.id, handle);
    node.opens++;
    return handle;
  }

  #filesOf(node: Node): OpenFile[] {
    const files = this.#open.get(node) ?? [];
    this.#open.set(node, files);
    return files;
  }

  #opened(node: Node, descriptor: number, flags: number): OpenFile {
    const file = new OpenFile(node, flags, this.#now(), descriptor);
    file.passing = this.#runs.replaying;
    if (file.passing) {
      this.#runs.effect(() => {
        file.passing = false;
      });
    }
    this.#filesOf(node).push(file);
    return file;
  }

  #descriptor(node: Node, flags: number): OpenFile {
    let file = this.#freshOf(this.#open.get(node), flags);
    if (file === undefined) {
      const seen = flags === FUSE_O_RDONLY ? this.#openSeen(node) : null;
      file = this.#opened(node, seen ?? this.#files.open(node.inode, flags), flags);
      if (seen !== null) node.descriptor = seen;
    }
    file.recent = true;
    this.#idle.delete(file);
    file.handles++;
    return file;
  }

  #freshOf(files: readonly OpenFile[] | undefined, flags: number): OpenFile | undefined {
    if (files === undefined) return undefined;
    const since = this.#now() - this.#sharedNs;
    return files.find((one) => one.flags === flags && one.openedNs > since);
  }

  #close(file: OpenFile): void {
    this.#idle.delete(file);
    const files = this.#filesOf(file.node);
    files.splice(files.indexOf(file), 1);
    if (files.length === 0) this.#open.delete(file.node);
    file.closed = true;
    if (file.isOpen && file.descriptor === file.node.descriptor) file.node.descriptor = NOT_HELD;
    if (file.busy === 0) this.#shut(file);
    else this.#lingering++;
  }

  /** An error does not matter: the descriptor is gone, and FSYNC reports failed writes. */
  #shut(file: OpenFile): void {
    if (file.isOpen) quietly(() => this.#files.close(file.descriptor));
  }
}

function refusal(node: Node): number {
  if (node.type === FuseType.DIR) return -Errno.EISDIR;
  return node.type === FuseType.LNK ? -Errno.ELOOP : -Errno.EACCES;
}
