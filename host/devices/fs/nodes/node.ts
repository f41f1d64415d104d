// An inode that the guest knows. The host holds it while the guest works with it. An idle one is
// released, so that deleted files free their disk space and file systems can be unmounted; it is
// taken up again by name when the guest returns to it.
import { equalBytes } from "../../../bytes.ts";
import type { FileStat } from "../../../ports/files.ts";

/** Where a node was seen. */
export interface Place {
  readonly parent: Node;
  readonly name: Uint8Array;
}

/** The table, as its nodes see it. */
export interface Holder {
  /** Holds the node's inode. Throws what the host throws, or ESTALE if it cannot be found. */
  takeUp(node: Node): void;
  /** An operation that may be repeated uses the node: keeps it held until that has ended. */
  used(node: Node): void;
  /** Is such an operation running? */
  readonly replaying: boolean;
}

/** The inode is not held. */
export const NOT_HELD = -1;
/** Earlier names of an inode that are remembered. */
const PLACES_MAX = 8;

export class Node {
  readonly id: number;
  /** The inode's number in Files, or NOT_HELD. */
  held: number;
  /** Identity of the inode. The root's changes with what its name leads to. */
  key: bigint;
  /** Descriptor of an open file, which keeps the inode while it is not held; or NOT_HELD. */
  descriptor = NOT_HELD;
  /** When LOOKUP saw it last. */
  seenNs = Number.NEGATIVE_INFINITY;
  /** Creation time. While the inode is not held its number may be reused. */
  born: bigint | undefined;
  readonly type: number; // FuseType, which never changes
  /** Attributes as they were seen last. */
  stat: FileStat;
  /** Text of a symbolic link, which never changes; empty for other types. */
  readonly target: Uint8Array;
  references = 1;
  /** Open handles. They keep the inode held, even without references. */
  opens = 0;
  /** Read-only slots of the window that show the file. They do not need its inode. */
  shown = 0;
  /** WRITEs in the thread pool, which may have reached the file in part. */
  writes = 0;
  /** Made by a run that may be repeated, and make it again. */
  passing = false;
  /** Used since the last sweep. */
  recent = true;
  /** Where it was seen last, for operations by name (placeOf); null for the root. */
  place: Place | null;
  /** Where it was seen before: a file may have several names, and lose any of them. */
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
    this.stat = stat;
    this.target = target;
    this.place = place;
  }

  /** Its number in Files; holds it if necessary. Throws ESTALE, or what the host throws. */
  get inode(): number {
    this.recent = true;
    if (this.held === NOT_HELD) this.#holder.takeUp(this);
    if (this.#holder.replaying && !this.passing) this.#holder.used(this);
    return this.held;
  }

  /** Are these attributes of this inode? */
  is(stat: FileStat): boolean {
    if (keyOf(stat) !== this.key) return false;
    return this.held !== NOT_HELD || stat.birthtimeNs === this.born;
  }

  /** Remembers a name of the inode. */
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

/** The inode number on the host. */
export function inoOf(node: Node): bigint {
  return node.key & 0xffffffffffffffffn;
}

/** With the type, because the number of an inode that is not held may be reused. */
export function keyOf(stat: FileStat): bigint {
  return (stat.dev << 68n) | (BigInt(typeOf(stat)) << 64n) | stat.ino;
}
