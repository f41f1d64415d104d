// Files in shared memory (virtio 5.11.6.4): slots of 64 KiB, each with a part of a file or nothing.
// WebAssembly cannot map pages of the host, so a part is copied in when it is mapped. What the
// guest stores into it is written back whenever the file is synced, flushed, closed, unmapped, or
// used in another way through this device; what is changed through the device is read in again.
// What other programs of the host change is seen when it is mapped anew.

import { FUSE_O_RDONLY, FUSE_O_RDWR } from "../../../drivers/abi/fuse.ts";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../../drivers/abi/fuse-window.ts";
import type { FileChanges, Files } from "../../files.ts";
import type { HandleTable, OpenFile } from "./handles.ts";
import type { Node } from "./nodes.ts";

export const SLOT_BYTES = 1 << FS_WINDOW_ALIGNMENT_LOG2;
/** What is compared and written back in one piece. */
const PAGE_BYTES = 4096;
const NO_SLOTS: ReadonlySet<number> = new Set();

interface Slot {
  readonly node: Node;
  /** Where in the file it begins. */
  readonly offset: number;
  readonly writing: Writing | null;
  /** Of a slot that the guest may write: the file as it was, to find what the guest has changed. */
  readonly before: Uint8Array | null;
}

/** The open file of all slots that one request has mapped for writing. */
interface Writing {
  readonly file: OpenFile;
  slots: number;
}

export class FileWindow {
  /** The guest's memory, as long as the window is. */
  readonly #memory: Uint8Array;
  readonly #files: Files;
  /** null: the guest may only read. */
  readonly #changes: FileChanges | null;
  readonly #handles: HandleTable;
  /** Called when a node has one user less. */
  readonly #settle: (node: Node) => void;
  readonly #slots: (Slot | null)[];
  /** The slots of each node that has some. */
  readonly #slotsOf = new Map<Node, Set<number>>();
  #writable = 0;

  constructor(
    memory: Uint8Array,
    files: Files,
    changes: FileChanges | null,
    handles: HandleTable,
    settle: (node: Node) => void,
  ) {
    this.#memory = memory;
    this.#files = files;
    this.#changes = changes;
    this.#handles = handles;
    this.#settle = settle;
    this.#slots = new Array(memory.length / SLOT_BYTES).fill(null);
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
    const flags = forWriting ? FUSE_O_RDWR : FUSE_O_RDONLY;
    const file = this.#handles.borrow(node, flags);
    const writing = forWriting ? { file, slots: 0 } : null;
    node.opens++; // it may have been forgotten, and be in no other slot
    try {
      this.unmap(at, bytes);
      // What the guest has stored into other parts of the window belongs to the file.
      this.writeBack(node);
      for (let done = 0; done < bytes; done += SLOT_BYTES) {
        const index = (at + done) / SLOT_BYTES;
        this.#fill(file, index, offset + done);
        this.#put(index, node, offset + done, writing);
      }
    } finally {
      if (writing === null || writing.slots === 0) this.#handles.giveBack(file);
      node.opens--;
      this.#settle(node);
    }
  }

  /** Writes back and unmaps; what is not mapped is none the worse. Throws as map() does. */
  unmap(at: number, bytes: number): void {
    const end = (at + bytes) / SLOT_BYTES;
    for (let i = at / SLOT_BYTES; i < end; i++) {
      if (this.#slots[i]?.writing) this.#writeSlot(i);
      this.#drop(i);
    }
  }

  /** Writes what the guest has stored into the node's slots. Throws what file calls throw. */
  writeBack(node: Node): void {
    if (this.#writable === 0) return;
    for (const i of this.#slotsOf.get(node) ?? NO_SLOTS) this.#writeSlot(i);
  }

  /**
   * The bytes of the file from `from` to `to` have changed, or its end has moved there: reads them
   * in again, so that all slots show them.
   */
  changed(node: Node, from: number, to: number): void {
    const slots = this.#slotsOf.get(node);
    if (slots === undefined || from >= to) return;
    const file = this.#handles.borrow(node, FUSE_O_RDONLY);
    try {
      for (const i of slots) {
        const slot = this.#slots[i] as Slot;
        if (slot.offset >= to || slot.offset + SLOT_BYTES <= from) continue;
        this.#fill(file, i, slot.offset);
        slot.before?.set(this.#view(i));
      }
    } finally {
      this.#handles.giveBack(file);
    }
  }

  /**
   * The session is over: nothing is mapped any more. What the guest has stored is written back, as
   * far as it can be; the first error is thrown behind it.
   */
  end(): void {
    const errors: unknown[] = [];
    for (const node of this.#slotsOf.keys()) {
      try {
        this.writeBack(node);
      } catch (error) {
        errors.push(error);
      }
    }
    this.drop();
    if (errors.length > 0) throw errors[0];
  }

  /** Unmaps everything; what the guest has stored since it was last written back is lost. */
  drop(): void {
    for (const slots of [...this.#slotsOf.values()]) for (const i of [...slots]) this.#drop(i);
  }

  #view(index: number): Uint8Array {
    return this.#memory.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES);
  }

  /** The file's bytes, and zeros behind its end. */
  #fill(file: OpenFile, index: number, offset: number): void {
    const view = this.#view(index);
    let done = 0;
    for (let got = 1; done < view.length && got > 0; done += got) {
      got = this.#files.read(file.descriptor, [view.subarray(done)], offset + done);
    }
    view.fill(0, done);
  }

  #put(index: number, node: Node, offset: number, writing: Writing | null): void {
    const before = writing === null ? null : this.#view(index).slice();
    this.#slots[index] = { node, offset, writing, before };
    const slots = this.#slotsOf.get(node) ?? new Set();
    this.#slotsOf.set(node, slots.add(index));
    node.opens++;
    if (writing === null) return;
    writing.slots++;
    this.#writable++;
  }

  #drop(index: number): void {
    const slot = this.#slots[index] ?? null;
    if (slot === null) return;
    const { node, writing } = slot;
    this.#slots[index] = null;
    const slots = this.#slotsOf.get(node);
    slots?.delete(index);
    if (slots?.size === 0) this.#slotsOf.delete(node);
    if (writing !== null) {
      this.#writable--;
      writing.slots--;
      if (writing.slots === 0) this.#handles.giveBack(writing.file);
    }
    node.opens--;
    this.#settle(node);
  }

  /** Pages that differ from the file as it was; none beyond its end, which may have moved. */
  #writeSlot(index: number): void {
    const { node, offset, writing, before } = this.#slots[index] as Slot;
    if (this.#changes === null || writing === null || before === null) return;
    const view = this.#view(index);
    if (Buffer.compare(view, before) === 0) return;
    const size = Number(this.#files.stat(node.inode).size);
    const bytes = Math.max(0, Math.min(size - offset, SLOT_BYTES));
    for (let at = 0; at < bytes; at += PAGE_BYTES) {
      const end = Math.min(at + PAGE_BYTES, bytes);
      const page = view.subarray(at, end);
      const old = before.subarray(at, end);
      if (Buffer.compare(page, old) === 0) continue;
      this.#writeAll(writing.file, page, offset + at);
      old.set(page);
      this.#show(index, node, offset + at, page);
    }
  }

  #writeAll(file: OpenFile, bytes: Uint8Array, offset: number): void {
    const changes = this.#changes as FileChanges;
    for (let done = 0; done < bytes.length; ) {
      const put = changes.write(file.descriptor, [bytes.subarray(done)], offset + done);
      if (put === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
      done += put;
    }
  }

  /** The same part of the file may be in other slots, too. */
  #show(source: number, node: Node, offset: number, page: Uint8Array): void {
    for (const i of this.#slotsOf.get(node) ?? NO_SLOTS) {
      const other = this.#slots[i] as Slot;
      const at = offset - other.offset;
      if (i === source || at < 0 || at >= SLOT_BYTES) continue;
      this.#view(i).set(page, at);
      other.before?.set(page, at);
    }
  }
}
