// An inode that the guest knows. The host holds it as long as the guest works with it: an idle one
// is let go, so that a file that was deleted gives its room on the disk back and a file system can
// be taken off, and is taken up again by its name when the guest comes back to it.
import { equalBytes } from "../../../bytes.ts";
import type { FileStat } from "../../../ports/files.ts";

/** Where a node was seen. */
export interface Place {
  readonly parent: Node;
  readonly name: Uint8Array;
}

/** Who takes nodes up again. */
export interface Holder {
  /** Holds the node's inode; throws what the host throws, or ESTALE: it is not to be found. */
  takeUp(node: Node): void;
  /** The node is used by an operation that may be run again: it stays held until that has ended. */
  used(node: Node): void;
  /** Is such an operation being run? */
  readonly replaying: boolean;
}

/** No inode. */
export const NOT_HELD = -1;
/** Names of one inode that are remembered beside the last. */
const PLACES_MAX = 8;

export class Node {
  readonly id: number;
  /** The inode's number in Files, or NOT_HELD. */
  held: number;
  /** What the inode is known by; the root's changes with what its name leads to. */
  key: bigint;
  /** When it was made: while it is not held, its number may become another inode's. */
  born: bigint | undefined;
  readonly type: number; // FuseType; an inode never changes it
  /** Text of a symbolic link, which never changes either; empty for everything else. */
  readonly target: Uint8Array;
  references = 1;
  /** Open handles; the inode stays held for them, forgotten or not. */
  opens = 0;
  /** Slots of the window that show the file, without a need for its inode. */
  shown = 0;
  /** WRITEs in the thread pool: how much of them the file has, nobody knows. */
  writes = 0;
  /** Made by a run that has not ended: another one may make it anew. */
  passing = false;
  /** Used since the last look at who is idle. */
  recent = true;
  /** Where it was seen last; the root has none. For what is done by name (placeOf). */
  place: Place | null;
  /** Where it was seen before: a file may have several names, and lose each of them. */
  places: Place[] = [];
  readonly #holder: Holder;

  constructor(
    holder: Holder,
    id: number,
    inode: number,
    stat: FileStat,
    target: Uint8Array,
    place: Place | null,
  ) {
    this.#holder = holder;
    this.id = id;
    this.held = inode;
    this.key = keyOf(stat);
    this.born = stat.birthtimeNs;
    this.type = typeOf(stat);
    this.target = target;
    this.place = place;
  }

  /** Its number in Files, held. Throws ESTALE, or what the host throws. */
  get inode(): number {
    this.recent = true;
    if (this.held === NOT_HELD) this.#holder.takeUp(this);
    if (this.#holder.replaying && !this.passing) this.#holder.used(this);
    return this.held;
  }

  /** Is that what it was made of? */
  is(stat: FileStat): boolean {
    if (keyOf(stat) !== this.key) return false;
    return this.held !== NOT_HELD || stat.birthtimeNs === this.born;
  }

  /** It has been seen there. */
  seenAt(parent: Node, name: Uint8Array): void {
    const last = this.place;
    if (last === null || isAt(last, parent, name)) return;
    this.places = [last, ...this.places.filter((one) => !isAt(one, parent, name))];
    this.places.length = Math.min(this.places.length, PLACES_MAX);
    this.place = { parent, name: Uint8Array.from(name) };
  }
}

function isAt(place: Place, parent: Node, name: Uint8Array): boolean {
  return place.parent === parent && equalBytes(place.name, name);
}

export function typeOf(stat: FileStat): number {
  return Number(stat.mode) >> 12;
}

/** The number of its inode on the host. */
export function inoOf(node: Node): bigint {
  return node.key & 0xffffffffffffffffn;
}

/** With the type: where an inode is not held open, its number may become another file's. */
export function keyOf(stat: FileStat): bigint {
  return (stat.dev << 68n) | (BigInt(typeOf(stat)) << 64n) | stat.ino;
}
