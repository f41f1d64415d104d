// The slots of a DAX window: 64 KiB of memory each, which show a part of a file or nothing. The
// same part may be in several slots.
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../../../abi/fuse-window.ts";
import type { OpenFile } from "../nodes/handles.ts";
import type { Node } from "../nodes/node.ts";

export const SLOT_BYTES = 1 << FS_WINDOW_ALIGNMENT_LOG2;

/** The open file of all slots that one request has mapped for writing. */
export interface Writing {
  readonly file: OpenFile;
  slots: number;
}

export interface Slot {
  readonly node: Node;
  /** Where in the file it begins. */
  readonly offset: number;
  /** null: the guest may not write. */
  readonly writing: Writing | null;
  /** If the guest may write: the file as it was, to find out what the guest has stored. */
  readonly before: Uint8Array | null;
}

/** Indices of slots by where they begin in the file: several, if they show the same part. */
export type Parts = ReadonlyMap<number, ReadonlySet<number>>;
const NO_PARTS: Parts = new Map();
const NO_SLOTS: ReadonlySet<number> = new Set();

export class Slots {
  /** How many the guest may write. */
  writable = 0;
  readonly #memory: Uint8Array;
  readonly #slots: (Slot | null)[];
  readonly #partsOf = new Map<Node, Map<number, Set<number>>>();

  constructor(memory: Uint8Array) {
    this.#memory = memory;
    this.#slots = new Array(memory.length / SLOT_BYTES).fill(null);
  }

  get count(): number {
    return this.#slots.length;
  }

  get(index: number): Slot | null {
    return this.#slots[index] ?? null;
  }

  /** The memory of a slot. */
  view(index: number): Uint8Array {
    return this.#memory.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES);
  }

  /** Files that are in some slot. */
  get nodes(): Iterable<Node> {
    return this.#partsOf.keys();
  }

  partsOf(node: Node): Parts {
    return this.#partsOf.get(node) ?? NO_PARTS;
  }

  /** All slots that show the part of the file at `offset`. */
  showing(node: Node, offset: number): ReadonlySet<number> {
    return this.#partsOf.get(node)?.get(offset) ?? NO_SLOTS;
  }

  /** An empty slot shows a part of a file, which is in its memory already. */
  fill(index: number, node: Node, offset: number, writing: Writing | null): void {
    const before = writing === null ? null : this.view(index).slice();
    this.#slots[index] = { node, offset, writing, before };
    const parts = this.#partsOf.get(node) ?? new Map<number, Set<number>>();
    this.#partsOf.set(node, parts.set(offset, (parts.get(offset) ?? new Set()).add(index)));
    if (writing === null) {
      node.shown++;
      return;
    }
    node.opens++;
    writing.slots++;
    this.writable++;
  }

  /** Empties a slot; returns what was in it. */
  empty(index: number): Slot | null {
    const slot = this.get(index);
    if (slot === null) return null;
    const { node, offset, writing } = slot;
    this.#slots[index] = null;
    const parts = this.#partsOf.get(node);
    const same = parts?.get(offset);
    same?.delete(index);
    if (same?.size === 0) parts?.delete(offset);
    if (parts?.size === 0) this.#partsOf.delete(node);
    if (writing === null) {
      node.shown--;
      return slot;
    }
    node.opens--;
    writing.slots--;
    this.writable--;
    return slot;
  }
}
