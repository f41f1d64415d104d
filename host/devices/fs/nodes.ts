// The inodes that the guest knows. A node lives from the first LOOKUP until FORGET has given back
// every reference; its number is never used again, so that a stale one meets nothing.
import { Errno } from "../../../drivers/abi/errno.ts";
import { FUSE_ROOT_ID, FuseType } from "../../../drivers/abi/fuse.ts";
import type { FileStat, Files } from "../../files.ts";

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
}

const NO_TARGET = new Uint8Array(0);
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
    this.root = { id: FUSE_ROOT_ID, inode, key, type, target: NO_TARGET, references: 1, opens: 0 };
    this.#add(this.root);
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  /** One reference on what is at `name`, with its attributes in `stat`; or -Errno. */
  lookup(parent: Node, name: Uint8Array): Node | number {
    for (let i = 0; i < LOOKUP_TRIES; i++) {
      const seen = this.#files.peek(parent.inode, name);
      if (seen === null) return -Errno.ENOENT;
      const node = this.#byKey.get(keyOf(seen));
      if (node !== undefined) {
        this.stat = seen;
        return this.reference(node);
      }
      if (this.size >= this.#max) return -Errno.ENFILE;
      const found = this.#hold(parent, name);
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
    this.#byKey.delete(node.key);
    this.#files.drop(node.inode);
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
        target = this.#files.readlink(parent.inode, name);
        const after = this.#files.peek(parent.inode, name);
        if (after === null || keyOf(after) !== key) return null;
      }
      const node: Node = { id: this.#nextId++, inode, key, type, target, references: 1, opens: 0 };
      this.#add(node);
      this.stat = stat;
      kept = true;
      return node;
    } finally {
      if (!kept) this.#files.drop(inode);
    }
  }

  #add(node: Node): void {
    this.#byId.set(node.id, node);
    this.#byKey.set(node.key, node);
  }
}

export function typeOf(stat: FileStat): number {
  return Number(stat.mode) >> 12;
}

function keyOf(stat: FileStat): bigint {
  return (stat.dev << 64n) | stat.ino;
}
