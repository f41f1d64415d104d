// The inodes that the guest knows. A node lives from the first LOOKUP until FORGET has returned
// every reference. Its number is never reused, so a stale one finds nothing.
import { Errno } from "../../../../abi/errno.ts";
import { FUSE_ROOT_ID, FuseType } from "../../../../abi/fuse.ts";
import type { FileStat, Files } from "../../../ports/files.ts";
import { errnoOf, isShortage, orThrow, refusal } from "../errno.ts";
import { orErrno, quietly } from "../undo.ts";
import { type Holder, keyOf, NOT_HELD, Node, type Place, typeOf } from "./node.ts";
import { NO_RUNS, type Runs } from "./runs.ts";

const NO_TARGET = new Uint8Array(0);
/**
 * A regular file that was seen no longer ago is opened by its name. The name may lead to another
 * inode by then, which is noticed when it is open.
 */
const SEEN_NS = 10e6;
/** How often a name may change while it is being looked up. */
const LOOKUP_TRIES = 3;

export class NodeTable implements Holder {
  readonly root: Node;
  /** Called when a node has lost a user. */
  settle: (node: Node) => void = () => {};
  readonly #files: Files;
  readonly #directory: string;
  readonly max: number;
  readonly #runs: Runs;
  readonly #now: () => number;
  readonly #byId = new Map<number, Node>();
  readonly #byKey = new Map<bigint, Node>();
  readonly #seeking = new Set<Node>(); // nodes that are being taken up
  /** The number of the next node. */
  nextId = FUSE_ROOT_ID + 1;

  /** Throws what the host throws if the directory cannot be used. `now`: in nanoseconds. */
  constructor(files: Files, directory: string, max: number, now: () => number, runs = NO_RUNS) {
    this.#files = files;
    this.#directory = directory;
    this.max = max;
    this.#runs = runs;
    this.#now = now;
    const inode = files.root(this.#directory);
    this.root = this.#make(FUSE_ROOT_ID, inode, files.stat(inode), NO_TARGET, null);
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Is the limit reached? */
  get full(): boolean {
    return this.size >= this.max;
  }

  get(id: number): Node | undefined {
    return this.#byId.get(id);
  }

  /** All nodes but the root. */
  *others(): Generator<Node> {
    for (const node of this.#byId.values()) if (node !== this.root) yield node;
  }

  /** A node of a saved session. It is not held, and the caller adds where it was seen. */
  revive(id: number, stat: FileStat, target: Uint8Array): Node {
    return this.#make(id, NOT_HELD, stat, target, null);
  }

  /** A node for a new file, which is held; the guest has one reference. */
  adopt(inode: number, stat: FileStat, parent: Node, name: Uint8Array): Node {
    const seen = { parent, name: Uint8Array.from(name) };
    return this.#make(this.nextId++, inode, stat, NO_TARGET, seen);
  }

  get replaying(): boolean {
    return this.#runs.replaying;
  }

  used(node: Node): void {
    const isNew = this.#runs.untilEnd(node, () => {
      node.opens--;
      this.settle(node);
    });
    if (isNew) node.opens++;
  }

  takeUp(node: Node): void {
    for (const one of this.#pathTo(node)) {
      // Without its ancestor it may still be found by an earlier name.
      if (one !== node && one.held === NOT_HELD) quietly(() => this.#takeUpOne(one));
    }
    this.#takeUpOne(node);
  }

  /** Directories on the way to the node that are not held, from the top; and the node. */
  #pathTo(node: Node): Node[] {
    const path = new Set<Node>();
    for (let one: Node | undefined = node; one?.held === NOT_HELD && !path.has(one); ) {
      path.add(one);
      one = one.place?.parent;
    }
    return [...path].reverse();
  }

  #takeUpOne(node: Node): void {
    // By earlier names directories may have been in each other.
    if (this.#seeking.has(node)) throw refusal(-Errno.ESTALE);
    this.#seeking.add(node);
    try {
      if (node === this.root) this.#takeUpRoot();
      else if (!this.#holdOpen(node)) this.#find(node);
    } finally {
      this.#seeking.delete(node);
    }
  }

  /** Whatever has become of its names, an open file is still there. */
  #holdOpen(node: Node): boolean {
    const { descriptor } = node;
    if (descriptor === NOT_HELD || this.#files.holdOpen === undefined) return false;
    node.held = this.#files.holdOpen(descriptor);
    return true;
  }

  #find(node: Node): void {
    for (const place of node.place === null ? [] : [node.place, ...node.places]) {
      if (!this.#knows(place.parent)) continue;
      const mark = this.#runs.mark();
      const found = orErrno(() => this.#files.hold(place.parent.inode, place.name));
      if (typeof found === "number") {
        if (isShortage(found)) throw refusal(found);
        continue;
      }
      if (!node.is(found.stat)) {
        this.drop(found.inode);
        continue;
      }
      node.held = found.inode;
      this.#runs.keep(mark);
      return;
    }
    throw refusal(-Errno.ESTALE);
  }

  #takeUpRoot(): void {
    const mark = this.#runs.mark();
    const inode = this.#files.root(this.#directory);
    const stat = this.#files.stat(inode);
    this.root.held = inode;
    this.#runs.keep(mark);
    this.#becomeRoot(stat);
  }

  #becomeRoot(stat: FileStat): void {
    const { root } = this;
    const key = keyOf(stat);
    root.born = stat.birthtimeNs;
    if (root.key === key) return;
    if (this.#byKey.get(root.key) === root) this.#byKey.delete(root.key);
    root.key = key;
    if (!this.#byKey.has(key)) this.#byKey.set(key, root);
  }

  /**
   * Checks whether the name of the shared directory leads to another directory by now, for instance
   * after a build or a moved symbolic link. That becomes the root. While the name does not
   * exist nothing is found.
   */
  lookAtRoot(): void {
    const { root } = this;
    if (root.held === NOT_HELD) return;
    const inode = orErrno(() => this.#files.root(this.#directory));
    if (inode < 0) {
      if (!isShortage(inode)) this.letGo(root);
      return;
    }
    const stat = orErrno(() => this.#files.stat(inode));
    if (typeof stat === "number" || keyOf(stat) === root.key) {
      this.drop(inode);
      return;
    }
    this.drop(root.held);
    root.held = inode;
    this.#becomeRoot(stat);
  }

  /**
   * Releases inodes that are not open and were not used since the last call. Returns whether any
   * may become idle later.
   */
  letGoOfIdle(): boolean {
    let left = false;
    for (const node of this.#byId.values()) {
      if (node.held === NOT_HELD || node.opens > 0) continue;
      const found = node === this.root || (node.place !== null && this.#knows(node.place.parent));
      if (!found) continue; // it could not be found again
      if (node.recent) left = true;
      else this.letGo(node);
      node.recent = false;
    }
    return left;
  }

  letGo(node: Node): void {
    const { held } = node;
    node.held = NOT_HELD;
    if (held !== NOT_HELD) this.drop(held);
  }

  /** Is the parent still in the table? Otherwise its inode number may be another's. */
  #knows(parent: Node): boolean {
    return this.#byId.get(parent.id) === parent;
  }

  /** Where the node can be found by name now; null: not known. */
  placeOf(node: Node): Place | null {
    const { place } = node;
    if (place === null) return null;
    const found = [place, ...node.places].find((seen) => this.#leadsTo(seen, node));
    if (found === undefined) return null;
    if (found !== place) this.#seen(node, found.parent, found.name);
    return found;
  }

  #leadsTo({ parent, name }: Place, node: Node): boolean {
    if (!this.#knows(parent)) return false;
    const stat = this.#files.peek(parent.inode, name);
    return stat !== null && node.is(stat);
  }

  /** The inode at `name` was moved or created there. */
  moved(parent: Node, name: Uint8Array): void {
    try {
      const stat = this.#files.peek(parent.inode, name);
      const node = stat === null ? undefined : this.#known(stat);
      if (node !== undefined) this.#seen(node, parent, name);
    } catch (error) {
      errnoOf(error); // the move itself succeeded
    }
  }

  /** A repeated run must look at the same places. */
  #seen(node: Node, parent: Node, name: Uint8Array): void {
    if (this.replaying) this.#runs.effect(() => node.seenAt(parent, name));
    else node.seenAt(parent, name);
  }

  /** Takes a reference on the node at `name`, whose `stat` is up to date; or returns -Errno. */
  lookup(parent: Node, name: Uint8Array): Node | number {
    for (let i = 0; i < LOOKUP_TRIES; i++) {
      const seen = this.#files.peek(parent.inode, name);
      if (seen === null) return -Errno.ENOENT;
      const node = this.#known(seen);
      if (node !== undefined) {
        node.stat = seen;
        node.seenNs = this.#now();
        this.#seen(node, parent, name);
        return this.reference(node);
      }
      if (this.full) return -Errno.ENFILE;
      if (this.#mayOpenByName && typeOf(seen) === FuseType.REG) {
        return this.#sight(parent, name, seen);
      }
      const found = orErrno(() => this.#hold(parent, name));
      if (found !== null) return found;
    }
    return -Errno.ESTALE;
  }

  /** Are regular files opened without being held first? */
  get #mayOpenByName(): boolean {
    return this.#files.openAt !== undefined && !this.replaying;
  }

  /** A node for a file that is not held until somebody needs it. */
  #sight(parent: Node, name: Uint8Array, stat: FileStat): Node {
    const seen = { parent, name: Uint8Array.from(name) };
    const node = this.#make(this.nextId++, NOT_HELD, stat, NO_TARGET, seen);
    node.seenNs = this.#now();
    return node;
  }

  /**
   * Opens a regular file for reading by the name where LOOKUP has just seen it: two calls of the
   * host fewer than holding it first. null: it has to be held.
   */
  openSeen(node: Node): number | null {
    const { place } = node;
    if (place === null || node.held !== NOT_HELD || node.descriptor !== NOT_HELD) return null;
    if (!this.#mayOpenByName || this.#now() - node.seenNs > SEEN_NS) return null;
    if (!this.#knows(place.parent)) return null;
    const opened = orErrno(() => this.#files.openAt?.(place.parent.inode, place.name));
    if (opened === undefined || typeof opened === "number") return null;
    if (node.is(opened.stat)) return opened.descriptor;
    quietly(() => this.#files.close(opened.descriptor));
    return null;
  }

  /** One more reference; FORGET gives it back. */
  reference(node: Node): Node {
    node.references++;
    return node;
  }

  /** Has the node no users left? The root is always in use. */
  unused(node: Node): boolean {
    return node.references === 0 && node.opens === 0 && node.shown === 0 && node !== this.root;
  }

  remove(node: Node): void {
    this.#byId.delete(node.id);
    if (this.#byKey.get(node.key) === node) this.#byKey.delete(node.key);
    node.place = null; // or chains of parents would stay alive
    node.places = [];
    this.letGo(node);
  }

  /** Releases an inode, ignoring failure. */
  drop(inode: number): void {
    try {
      this.#files.drop(inode);
    } catch (error) {
      errnoOf(error);
    }
  }

  /** The session is over: only the root stays. */
  clear(): void {
    for (const node of this.#byId.values()) if (node !== this.root) this.remove(node);
  }

  /** The node of that inode, unless the number has been reused. */
  #known(stat: FileStat): Node | undefined {
    const node = this.#byKey.get(keyOf(stat));
    return node?.is(stat) === true ? node : undefined;
  }

  /** Makes a node for what is at `name` now; null if the name changed meanwhile. */
  #hold(parent: Node, name: Uint8Array): Node | null {
    const { inode, stat } = this.#files.hold(parent.inode, name);
    let kept = false;
    try {
      if (this.#known(stat) !== undefined) return null;
      let target: Uint8Array = NO_TARGET;
      if (typeOf(stat) === FuseType.LNK) {
        // The text can be read by name only, so the name must lead to this inode before and after.
        const text = orErrno(() => this.#files.readlink(parent.inode, name));
        const after = this.#files.peek(parent.inode, name);
        if (after === null || keyOf(after) !== keyOf(stat)) return null;
        target = orThrow(text);
      }
      const seen = { parent, name: Uint8Array.from(name) };
      const node = this.#make(this.nextId++, inode, stat, target, seen);
      kept = true;
      return node;
    } finally {
      if (!kept) this.drop(inode);
    }
  }

  #make(id: number, inode: number, stat: FileStat, target: Uint8Array, seen: Place | null): Node {
    const node = new Node(this, id, inode, stat, target, seen);
    node.passing = this.replaying;
    if (node.passing) {
      this.#runs.effect(() => {
        node.passing = false;
      });
    }
    this.#byId.set(id, node);
    this.#byKey.set(node.key, node);
    return node;
  }
}
