// The inodes that the guest knows. A node lives from the first LOOKUP until FORGET has given back
// every reference; its number is never used again, so that a stale one meets nothing.
import { Errno } from "../../../drivers/abi/errno.ts";
import { FUSE_ROOT_ID, FuseType } from "../../../drivers/abi/fuse.ts";
import type { FileStat, Files } from "../../files.ts";
import { errnoOf, orThrow } from "./errno.ts";
import { orErrno } from "./undo.ts";

export interface Node {
  readonly id: number;
  readonly inode: number;
  readonly key: bigint;
  readonly type: number; // FuseType; an inode never changes it
  /** Text of a symbolic link, which never changes either; empty for everything else. */
  readonly target: Uint8Array;
  references: number;
  /** Open handles; the inode stays held for them, forgotten or not. */
  opens: number;
  /** WRITEs in the thread pool: how much of them the file has, nobody knows. */
  writes: number;
  /** Where it was seen last; the root has none. For what is done by name (placeOf). */
  place: Place | null;
  /** Where it was seen before: a file may have several names, and lose each of them. */
  places: Place[];
}

export interface Place {
  readonly parent: Node;
  readonly name: Uint8Array;
}

const NO_TARGET = new Uint8Array(0);
/** Names of one inode that are remembered beside the last. */
const PLACES_MAX = 8;
/** How often a name may change hands while it is being looked up. */
const LOOKUP_TRIES = 3;

export class NodeTable {
  readonly root: Node;
  /** Attributes of the node that the last lookup returned. */
  stat: FileStat;
  readonly #files: Files;
  readonly #max: number;
  readonly #byId = new Map<number, Node>();
  readonly #byKey = new Map<bigint, Node>();
  #nextId = FUSE_ROOT_ID + 1;

  /** Throws what the host throws when the directory cannot be used. */
  constructor(files: Files, directory: string, max: number) {
    this.#files = files;
    this.#max = max;
    const inode = files.root(directory);
    this.stat = files.stat(inode);
    const type = typeOf(this.stat);
    const key = keyOf(this.stat);
    this.root = this.#make(FUSE_ROOT_ID, inode, key, type, NO_TARGET, null);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Can no node be added any more? */
  get full(): boolean {
    return this.size >= this.#max;
  }

  get(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  /** A node for a file that has just been made and is held; one reference is the guest's. */
  adopt(inode: number, stat: FileStat, parent: Node, name: Uint8Array): Node {
    this.stat = stat;
    const seen = { parent, name: Uint8Array.from(name) };
    return this.#make(this.#nextId++, inode, keyOf(stat), typeOf(stat), NO_TARGET, seen);
  }

  /** Where the node can be found by name now; null: nobody knows. */
  placeOf(node: Node): Place | null {
    const { place } = node;
    if (place === null) return null;
    const found = [place, ...node.places].find((seen) => this.#leadsTo(seen, node));
    if (found === undefined) return null;
    if (found !== place) settle(node, found.parent, found.name);
    return found;
  }

  #leadsTo({ parent, name }: Place, node: Node): boolean {
    // A parent that was forgotten is no directory of ours any more: its number may be another's.
    if (this.#byId.get(parent.id) !== parent) return false;
    const stat = this.#files.peek(parent.inode, name);
    return stat !== null && keyOf(stat) === node.key;
  }

  /** What is at `name` was moved or made there. */
  moved(parent: Node, name: Uint8Array): void {
    try {
      const stat = this.#files.peek(parent.inode, name);
      const node = stat === null ? undefined : this.#byKey.get(keyOf(stat));
      if (node !== undefined) settle(node, parent, name);
    } catch (error) {
      errnoOf(error); // it was moved all the same
    }
  }

  /** One reference on what is at `name`, with its attributes in `stat`; or -Errno. */
  lookup(parent: Node, name: Uint8Array): Node | number {
    for (let i = 0; i < LOOKUP_TRIES; i++) {
      const seen = this.#files.peek(parent.inode, name);
      if (seen === null) return -Errno.ENOENT;
      const node = this.#byKey.get(keyOf(seen));
      if (node !== undefined) {
        this.stat = seen;
        settle(node, parent, name);
        return this.reference(node);
      }
      if (this.full) return -Errno.ENFILE;
      const found = orErrno(() => this.#hold(parent, name));
      if (found !== null) return found;
    }
    return -Errno.ESTALE;
  }

  /** One more reference; FORGET gives it back. */
  reference(node: Node): Node {
    node.references++;
    return node;
  }

  /** Is nobody left who may use the node? The root is always in use. */
  unused(node: Node): boolean {
    return node.references === 0 && node.opens === 0 && node !== this.root;
  }

  remove(node: Node): void {
    this.#byId.delete(node.id);
    if (this.#byKey.get(node.key) === node) this.#byKey.delete(node.key);
    node.place = null; // or it would keep its parent, and that one its own, for ever
    node.places = [];
    this.drop(node.inode);
  }

  /** Whatever the host says, the inode is held no longer. */
  drop(inode: number): void {
    try {
      this.#files.drop(inode);
    } catch (error) {
      errnoOf(error);
    }
  }

  /** The session is over: the root alone stays. */
  clear(): void {
    for (const node of this.#byId.values()) if (node !== this.root) this.remove(node);
  }

  /** Makes a node of what is at `name` now; null when the name changed meanwhile. */
  #hold(parent: Node, name: Uint8Array): Node | null {
    const { inode, stat } = this.#files.hold(parent.inode, name);
    let kept = false;
    try {
      const key = keyOf(stat);
      const type = typeOf(stat);
      if (this.#byKey.has(key)) return null;
      let target: Uint8Array = NO_TARGET;
      if (type === FuseType.LNK) {
        // The text can be had by name only, so the name must lead to this inode before and after.
        const text = orErrno(() => this.#files.readlink(parent.inode, name));
        const after = this.#files.peek(parent.inode, name);
        if (after === null || keyOf(after) !== key) return null;
        target = orThrow(text);
      }
      const seen = { parent, name: Uint8Array.from(name) };
      const node = this.#make(this.#nextId++, inode, key, type, target, seen);
      this.stat = stat;
      kept = true;
      return node;
    } finally {
      if (!kept) this.drop(inode);
    }
  }

  #make(
    id: number,
    inode: number,
    key: bigint,
    type: number,
    target: Uint8Array,
    seen: Place | null,
  ): Node {
    const counts = { references: 1, opens: 0, writes: 0 };
    const node = { id, inode, key, type, target, ...counts, place: seen, places: [] };
    this.#byId.set(id, node);
    this.#byKey.set(key, node);
    return node;
  }
}

/** It has been seen there. */
function settle(node: Node, parent: Node, name: Uint8Array): void {
  const last = node.place;
  if (last === null || isAt(last, parent, name)) return;
  node.places = [last, ...node.places.filter((one) => !isAt(one, parent, name))];
  node.places.length = Math.min(node.places.length, PLACES_MAX);
  node.place = { parent, name: Uint8Array.from(name) };
}

function isAt(place: Place, parent: Node, name: Uint8Array): boolean {
  return place.parent === parent && Buffer.compare(place.name, name) === 0;
}

export function typeOf(stat: FileStat): number {
  return Number(stat.mode) >> 12;
}

/** The number of its inode on the host. */
export function inoOf(node: Node): bigint {
  return node.key & 0xffffffffffffffffn;
}

/** With the type: where an inode is not held open, its number may become another file's. */
function keyOf(stat: FileStat): bigint {
  return (stat.dev << 68n) | (BigInt(typeOf(stat)) << 64n) | stat.ino;
}
