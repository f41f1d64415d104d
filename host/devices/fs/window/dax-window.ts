// Files in shared memory: the DAX window of virtio-fs (virtio 5.11.6.4).
//
// On Linux a guest maps pages of the host's page cache. WebAssembly cannot map memory of the host,
// so here a part of a file is copied into a slot of the window when it is mapped. What remains of
// mmap's semantics is kept by copying again:
//
//   guest stores      written back whenever the file is synced, flushed, closed, unmapped, or used
//                     in any other way through this device (write-back.ts)
//   WRITE and others  read in again, so that all slots show the change: changed()
//   host programs     seen when the part is mapped anew; merged where the guest has stored as well
//
// A slot that the guest may write keeps the file open and its inode in use. A slot that it may only
// read needs neither: the bytes are there.
import { FUSE_O_RDONLY, FUSE_O_RDWR } from "../../../../abi/fuse.ts";
import type { FileChanges } from "../../../ports/files.ts";
import { damaged } from "../../../snapshot/errors.ts";
import type { HandleTable, OpenFile } from "../nodes/handles.ts";
import type { Node } from "../nodes/node.ts";
import type { HostCalls } from "../slow/host-calls.ts";
import { quietly } from "../undo.ts";
import { SLOT_BYTES, type Slot, Slots, type Writing } from "./slots.ts";
import { readZeroed, WriteBack } from "./write-back.ts";

/** A mapped part of a file in a snapshot. */
export interface SavedSlot {
  readonly index: number;
  readonly node: Node;
  readonly offset: number;
  /** Slots of one number were mapped for writing by one request; null: the guest only reads. */
  readonly writing: number | null;
}

/** The surroundings of a window. */
export interface WindowParts {
  /** The guest's, whole slots of it. */
  readonly memory: Uint8Array;
  readonly files: HostCalls;
  /** null: the guest may only read. */
  readonly changes: FileChanges | null;
  readonly handles: HandleTable;
  /** Called when a node has one user less. */
  readonly settle: (node: Node) => void;
  /** As in WriteBack. */
  readonly clearSetId: (file: OpenFile) => () => void;
}

export class DaxWindow {
  /** The guest's memory, as long as the window is. */
  readonly #memory: Uint8Array;
  readonly #files: HostCalls;
  readonly #handles: HandleTable;
  readonly #settle: (node: Node) => void;
  readonly #slots: Slots;
  readonly #writeBack: WriteBack;

  constructor({ memory, files, changes, handles, settle, clearSetId }: WindowParts) {
    this.#memory = memory;
    this.#files = files;
    this.#handles = handles;
    this.#settle = settle;
    this.#slots = new Slots(memory);
    this.#writeBack = new WriteBack(this.#slots, files, changes, clearSetId);
  }

  get bytes(): number {
    return this.#memory.length;
  }

  /**
   * Copies a part of a regular file to `at`. All three numbers are multiples of SLOT_BYTES, and
   * inside the window. Whatever was mapped there is written back first and replaced, slot by slot
   * (F13). Throws what file calls throw; what could not be written stays mapped.
   */
  map(node: Node, offset: number, bytes: number, at: number, forWriting: boolean): void {
    const handles = this.#handles;
    const file = forWriting
      ? handles.openForMapping(node, FUSE_O_RDWR)
      : handles.borrow(node, FUSE_O_RDONLY);
    const writing = forWriting ? { file, slots: 0 } : null;
    node.opens++; // unmap() may remove its last user
    try {
      this.unmap(at, bytes);
      // Stores of the guest into other parts of the window belong to the file.
      this.writeBack(node);
      readZeroed(this.#files, file, this.#memory.subarray(at, at + bytes), offset);
      for (let done = 0; done < bytes; done += SLOT_BYTES) {
        this.#slots.fill((at + done) / SLOT_BYTES, node, offset + done, writing);
      }
    } finally {
      if (writing === null) handles.giveBack(file);
      else if (writing.slots === 0) handles.closeMapping(file);
      node.opens--;
      this.#settle(node);
    }
  }

  /** Writes back and unmaps. Slots that show nothing are skipped. Throws as map() does. */
  unmap(at: number, bytes: number): void {
    const end = (at + bytes) / SLOT_BYTES;
    for (let i = at / SLOT_BYTES; i < end; i++) {
      if (this.#slots.get(i)?.writing) this.#writeBack.slot(i);
      this.#empty(i);
    }
  }

  /** Writes what the guest has stored into the file's slots. Throws what file calls throw. */
  writeBack(node: Node): void {
    if (this.#slots.writable === 0) return;
    for (const same of this.#slots.partsOf(node).values()) {
      for (const i of same) this.#writeBack.slot(i);
    }
  }

  /** Is a part of the file mapped? */
  isMapped(node: Node): boolean {
    return this.#slots.partsOf(node).size > 0;
  }

  /** Can the guest store into any file? */
  get isStoredTo(): boolean {
    return this.#slots.writable > 0;
  }

  /** Can the guest store into the file? */
  isWritable(node: Node): boolean {
    if (this.#slots.writable === 0) return false;
    for (const same of this.#slots.partsOf(node).values()) {
      for (const i of same) if (this.#slots.get(i)?.writing) return true;
    }
    return false;
  }

  /**
   * The bytes of the file between `from` and `to` have changed, or its end has moved there: reads
   * them in again, in all slots that show them. Bytes that the guest has stored next to them stay.
   * A slot that cannot be read stays as it was: the change itself has been made.
   */
  changed(node: Node, from: number, to: number): void {
    if (from >= to) return;
    for (const [offset, same] of this.#slots.partsOf(node)) {
      if (offset >= to || offset + SLOT_BYTES <= from) continue;
      for (const i of same) quietly(() => this.#refill(i, from, to));
    }
  }

  /** Writes what the guest has stored anywhere. Throws what file calls throw. */
  writeBackAll(): void {
    for (const node of this.#slots.nodes) this.writeBack(node);
  }

  /** All slots, of which nothing is to be written back. For restore(). */
  save(): unknown[] {
    const writings: Writing[] = [];
    const saved: unknown[] = [];
    for (let index = 0; index < this.#slots.count; index++) {
      const slot = this.#slots.get(index);
      if (slot === null) continue;
      const { node, offset, writing } = slot;
      if (writing !== null && !writings.includes(writing)) writings.push(writing);
      const group = writing === null ? null : writings.indexOf(writing);
      saved.push({ index, node: node.id, offset, writing: group });
    }
    return saved;
  }

  /**
   * Reads the parts of files into the slots again; all slots are empty. A slot whose file cannot be
   * read shows zeros, and is mapped no more. Throws SnapshotError.
   */
  restore(slots: readonly SavedSlot[]): void {
    const groups = new Map<number, Writing | null>();
    this.#memory.fill(0);
    for (const { index, node, offset, writing } of slots) {
      if (index >= this.#slots.count || this.#slots.get(index) !== null) {
        throw damaged(`fs: slot ${index} twice, or outside the window`);
      }
      if (offset % SLOT_BYTES !== 0) throw damaged(`fs: slot ${index} of a part that is none`);
      quietly(() => this.#refillSaved(index, node, offset, writing, groups));
    }
  }

  #refillSaved(
    index: number,
    node: Node,
    offset: number,
    group: number | null,
    groups: Map<number, Writing | null>,
  ): void {
    const handles = this.#handles;
    const known = group === null ? null : groups.get(group);
    const isNew = known === undefined;
    const file =
      known?.file ??
      (isNew ? handles.openForMapping(node, FUSE_O_RDWR) : handles.borrow(node, FUSE_O_RDONLY));
    const writing = isNew ? { file, slots: 0 } : known;
    try {
      readZeroed(this.#files, file, this.#slots.view(index), offset);
      this.#slots.fill(index, node, offset, writing);
      if (group !== null) groups.set(group, writing);
    } finally {
      if (writing === null) handles.giveBack(file);
      else if (writing.slots === 0) handles.closeMapping(file);
    }
  }

  /**
   * The session is over: writes back what can be written, and unmaps everything. Then the first
   * error is thrown.
   */
  end(): void {
    const errors: unknown[] = [];
    for (const node of this.#slots.nodes) {
      try {
        this.writeBack(node);
      } catch (error) {
        errors.push(error);
      }
    }
    this.drop();
    if (errors.length > 0) throw errors[0];
  }

  /** Unmaps everything. What the guest has stored since the last write-back is lost. */
  drop(): void {
    for (let i = 0; i < this.#slots.count; i++) this.#empty(i);
  }

  /** If the guest has stored into the slot, only the changed range is read. */
  #refill(index: number, from: number, to: number): void {
    const { node, offset, writing, before } = this.#slots.get(index) as Slot;
    const view = this.#slots.view(index);
    const isStored = before !== null && !this.#files.sameBytes(view, before);
    const start = isStored ? Math.max(from - offset, 0) : 0;
    const end = isStored ? Math.min(to - offset, SLOT_BYTES) : SLOT_BYTES;
    const changed = view.subarray(start, end);
    const file = writing?.file ?? this.#handles.borrow(node, FUSE_O_RDONLY);
    try {
      readZeroed(this.#files, file, changed, offset + start);
    } finally {
      if (writing === null) this.#handles.giveBack(file);
    }
    before?.set(changed, start);
  }

  #empty(index: number): void {
    const slot = this.#slots.empty(index);
    if (slot === null) return;
    if (slot.writing?.slots === 0) this.#handles.closeMapping(slot.writing.file);
    this.#settle(slot.node);
  }
}
