// The tree of MemoryFiles: inodes by name, and the memory that they take, which is bounded.
import type { Clock } from "../ports/clock.ts";
import { Inode, S_IFDIR } from "./memory-inode.ts";
import { failure, nameText } from "./memory-names.ts";

/** Files, directories and links; one more is ENOSPC. */
export const INODES_MAX = 65536;

export class MemoryTree {
  readonly bytesMax: number;
  readonly root: Inode;
  /** Inodes there are. */
  inodes = 0;
  /** Bytes that their contents take. */
  bytes = 0;
  readonly #clock: Pick<Clock, "realtime">;
  #nextInode = 1;

  constructor(clock: Pick<Clock, "realtime">, bytesMax: number) {
    this.#clock = clock;
    this.bytesMax = bytesMax;
    this.root = this.#make(S_IFDIR | 0o755);
    this.root.links = 2;
  }

  now(): bigint {
    return this.#clock.realtime();
  }

  find(keys: readonly string[]): Inode | null {
    let found: Inode | undefined = this.root;
    for (const key of keys) found = found?.entries?.get(key);
    return found ?? null;
  }

  // ---- names

  /** Makes an inode with a name. */
  add(directory: Inode, name: string, mode: number): Inode {
    assertFree(directory, name);
    const made = this.#make(mode);
    if (made.isDirectory) {
      made.links = 1;
      made.parent = directory;
    }
    this.enter(directory, name, made);
    return made;
  }

  enter(directory: Inode, name: string, inode: Inode): void {
    assertFree(directory, name);
    entriesOf(directory).set(name, inode);
    inode.links++;
    if (inode.isDirectory) directory.links++;
    this.touch(directory, inode);
  }

  /** One user less. */
  unuse(inode: Inode): void {
    inode.uses--;
    this.free(inode);
  }

  // ---- contents

  write(inode: Inode, views: readonly Uint8Array[], offset: number): number {
    const bytes = views.reduce((sum, view) => sum + view.length, 0);
    if (bytes === 0) return 0;
    this.#charge(inode, offset + bytes);
    inode.write(views, offset);
    inode.mtimeNs = inode.ctimeNs = this.now();
    return bytes;
  }

  setSize(inode: Inode, size: number): void {
    this.#charge(inode, size);
    const before = inode.capacity;
    inode.resize(size);
    this.bytes += Math.min(0, inode.capacity - before);
    inode.mtimeNs = inode.ctimeNs = this.now();
  }

  // ---- inside

  #make(mode: number): Inode {
    if (this.inodes >= INODES_MAX) throw failure("ENOSPC", `${INODES_MAX} files`);
    this.inodes++;
    return new Inode(this.#nextInode++, mode, this.now());
  }

  /** A name of the inode, in that directory, has changed. */
  touch(directory: Inode, inode: Inode): void {
    directory.mtimeNs = directory.ctimeNs = inode.ctimeNs = this.now();
  }

  /** Gives the memory of an inode back that has neither names nor users. */
  free(inode: Inode): void {
    if (inode.links > 0 || inode.uses > 0) return;
    this.inodes--;
    this.bytes -= inode.capacity;
    inode.resize(0);
  }

  /** Takes the memory that the inode will need for `size` bytes, or throws ENOSPC. */
  #charge(inode: Inode, size: number): void {
    const more = inode.capacityFor(size) - inode.capacity;
    if (this.bytes + more > this.bytesMax) throw failure("ENOSPC", `${this.bytesMax} bytes`);
    this.bytes += more;
  }
}

/** Throws ENOTDIR. */
export function entriesOf(directory: Inode): Map<string, Inode> {
  if (directory.entries === null) throw failure("ENOTDIR", `inode ${directory.number}`);
  return directory.entries;
}

/** Throws ENOTDIR or ENOENT. */
export function childOf(directory: Inode, name: string): Inode {
  const found = entriesOf(directory).get(name);
  if (found === undefined) throw failure("ENOENT", nameText(name));
  return found;
}

function assertFree(directory: Inode, name: string): void {
  if (entriesOf(directory).has(name)) throw failure("EEXIST", nameText(name));
  if (directory.links === 0) throw failure("ENOENT", "a removed directory");
}
