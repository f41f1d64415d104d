// Files in shared memory (virtio 5.11.6.4): slots of 64 KiB, each with a part of a file or nothing.
// WebAssembly cannot map pages of the host, so a part is copied in when it is mapped. What the
// guest stores into it is written back whenever the file is synced, flushed, closed, unmapped, or
// used in another way through this device; what is changed through the device is read in again.
// What other programs of the host change is seen when it is mapped anew.

import { FUSE_O_RDONLY, FUSE_O_RDWR } from "../../../../abi/fuse.ts";
import { FS_WINDOW_ALIGNMENT_LOG2 } from "../../../../abi/fuse-window.ts";
import type { FileChanges } from "../../../ports/files.ts";
import type { HandleTable, OpenFile } from "../nodes/handles.ts";
import type { Node } from "../nodes/node.ts";
import type { HostCalls } from "../slow/host-calls.ts";
import { orUndo, quietly } from "../undo.ts";

export const SLOT_BYTES = 1 << FS_WINDOW_ALIGNMENT_LOG2;
/** What is compared and written back in one piece. */
const PAGE_BYTES = 4096;
/** What is read in one. */
const PIECE_BYTES = 1 << 20;
/** Slots by the place in the file where they begin: those with the same part of it together. */
type Parts = Map<number, Set<number>>;
const NO_PARTS: Parts = new Map();
const stay = () => {};

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
  readonly #files: HostCalls;
  /** null: the guest may only read. */
  readonly #changes: FileChanges | null;
  readonly #handles: HandleTable;
  /** Called when a node has one user less. */
  readonly #settle: (node: Node) => void;
  /** Called before a file is written; what it returns, when it was not (U21). */
  readonly #disarm: (file: OpenFile) => () => void;
  readonly #slots: (Slot | null)[];
  /** The slots of each node that has some. */
  readonly #partsOf = new Map<Node, Parts>();
  #writable = 0;
  readonly #page = new Uint8Array(PAGE_BYTES);

  constructor(
    memory: Uint8Array,
    files: HostCalls,
    changes: FileChanges | null,
    handles: HandleTable,
    settle: (node: Node) => void,
    disarm: (file: OpenFile) => () => void,
  ) {
    this.#memory = memory;
    this.#files = files;
    this.#changes = changes;
    this.#handles = handles;
    this.#settle = settle;
    this.#disarm = disarm;
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
    const handles = this.#handles;
    const file = forWriting ? handles.lend(node, FUSE_O_RDWR) : handles.borrow(node, FUSE_O_RDONLY);
    const writing = forWriting ? { file, slots: 0 } : null;
    node.opens++; // it may have been forgotten, and be in no other slot
    try {
      this.unmap(at, bytes);
      // What the guest has stored into other parts of the window belongs to the file.
      this.writeBack(node);
      // The file's bytes, and zeros behind its end.
      this.#readIn(file, this.#memory.subarray(at, at + bytes), offset);
      for (let done = 0; done < bytes; done += SLOT_BYTES) {
        this.#put((at + done) / SLOT_BYTES, node, offset + done, writing);
      }
    } finally {
      if (writing === null) handles.giveBack(file);
      else if (writing.slots === 0) handles.takeBack(file);
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
    for (const part of (this.#partsOf.get(node) ?? NO_PARTS).values()) {
      for (const i of part) this.#writeSlot(i);
    }
  }

  /** Does the guest see a part of the file? */
  isMapped(node: Node): boolean {
    return this.#partsOf.has(node);
  }

  /** Can the guest store into any file? */
  get isStoredTo(): boolean {
    return this.#writable > 0;
  }

  /** Can the guest store into the file? */
  isWritable(node: Node): boolean {
    if (this.#writable === 0) return false;
    for (const part of (this.#partsOf.get(node) ?? NO_PARTS).values()) {
      for (const i of part) if (this.#slots[i]?.writing) return true;
    }
    return false;
  }

  /**
   * The bytes of the file from `from` to `to` have changed, or its end has moved there: reads them
   * in again, so that all slots show them. Beside them what the guest has stored stays. A slot that
   * the host does not let us read stays as it was: the change has been made all the same.
   */
  changed(node: Node, from: number, to: number): void {
    const parts = this.#partsOf.get(node);
    if (parts === undefined || from >= to) return;
    for (const [offset, part] of parts) {
      if (offset >= to || offset + SLOT_BYTES <= from) continue;
      for (const i of part) quietly(() => this.#refill(i, from, to));
    }
  }

  /**
   * The session is over: nothing is mapped any more. What the guest has stored is written back, as
   * far as it can be; the first error is thrown behind it.
   */
  end(): void {
    const errors: unknown[] = [];
    for (const node of this.#partsOf.keys()) {
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
    for (let i = 0; i < this.#slots.length; i++) this.#drop(i);
  }

  #view(index: number): Uint8Array {
    return this.#memory.subarray(index * SLOT_BYTES, (index + 1) * SLOT_BYTES);
  }

  /** Of a slot that the guest has stored into no more than what has changed. */
  #refill(index: number, from: number, to: number): void {
    const { node, offset, writing, before } = this.#slots[index] as Slot;
    const view = this.#view(index);
    const isStored = before !== null && !this.#files.sameBytes(view, before);
    const start = isStored ? Math.max(from - offset, 0) : 0;
    const end = isStored ? Math.min(to - offset, SLOT_BYTES) : SLOT_BYTES;
    const changed = view.subarray(start, end);
    const file = writing?.file ?? this.#handles.borrow(node, FUSE_O_RDONLY);
    try {
      this.#readIn(file, changed, offset + start);
    } finally {
      if (writing === null) this.#handles.giveBack(file);
    }
    before?.set(changed, start);
  }

  #readIn(file: OpenFile, view: Uint8Array, offset: number): void {
    let done = 0;
    for (let got = 1; done < view.length && got > 0; done += got) {
      const piece = view.subarray(done, done + PIECE_BYTES);
      got = this.#files.read(file.descriptor, [piece], offset + done);
    }
    view.fill(0, done);
  }

  #put(index: number, node: Node, offset: number, writing: Writing | null): void {
    const before = writing === null ? null : this.#view(index).slice();
    this.#slots[index] = { node, offset, writing, before };
    const parts = this.#partsOf.get(node) ?? new Map<number, Set<number>>();
    this.#partsOf.set(node, parts.set(offset, (parts.get(offset) ?? new Set()).add(index)));
    if (writing === null) {
      node.shown++;
      return;
    }
    node.opens++;
    writing.slots++;
    this.#writable++;
  }

  #drop(index: number): void {
    const slot = this.#slots[index] ?? null;
    if (slot === null) return;
    const { node, offset, writing } = slot;
    this.#slots[index] = null;
    const parts = this.#partsOf.get(node);
    const part = parts?.get(offset);
    part?.delete(index);
    if (part?.size === 0) parts?.delete(offset);
    if (parts?.size === 0) this.#partsOf.delete(node);
    if (writing === null) node.shown--;
    else node.opens--;
    if (writing !== null) {
      this.#writable--;
      writing.slots--;
      if (writing.slots === 0) this.#handles.takeBack(writing.file);
    }
    this.#settle(node);
  }

  /** Pages that differ from the file as it was; none beyond its end, which may have moved. */
  #writeSlot(index: number): void {
    const { node, offset, writing, before } = this.#slots[index] as Slot;
    if (this.#changes === null || writing === null || before === null) return;
    const view = this.#view(index);
    if (this.#files.sameBytes(view, before)) return;
    const size = Number(this.#files.stat(node.inode).size);
    const bytes = Math.max(0, Math.min(size - offset, SLOT_BYTES));
    for (let at = 0; at < bytes; at += PAGE_BYTES) {
      const end = Math.min(at + PAGE_BYTES, bytes);
      if (this.#files.sameBytes(view.subarray(at, end), before.subarray(at, end))) continue;
      this.#writePage(index, writing.file, at, end);
    }
    view.fill(0, bytes);
    before.fill(0, bytes);
  }

  /** The same part of the file may be in other slots, too: stored to as well, and to be shown. */
  #writePage(index: number, file: OpenFile, at: number, end: number): void {
    const { node, offset, before } = this.#slots[index] as Slot;
    if (before === null) return;
    const page = this.#view(index).subarray(at, end);
    const part = this.#partsOf.get(node)?.get(offset) ?? [];
    for (const i of part) if (i !== index) this.#gather(i, at, page);
    const old = before.subarray(at, end);
    if (node.writes === 0) this.#writeMerged(file, page, old, offset + at);
    else this.#writeStored(file, page, old, offset + at);
    for (const i of part) {
      if (i !== index) this.#view(i).set(page, at);
      this.#slots[i]?.before?.set(page, at);
    }
  }

  /** With what programs of the host have changed between what the guest has stored. */
  #writeMerged(file: OpenFile, page: Uint8Array, old: Uint8Array, offset: number): void {
    const now = this.#page.subarray(0, page.length);
    this.#readIn(file, now, offset);
    if (!this.#files.sameBytes(now, old)) {
      for (let i = 0; i < page.length; i++) {
        if (page[i] === old[i]) page[i] = old[i] = now[i] as number;
      }
    }
    this.#writeAll(file, page, offset);
  }

  /** Nothing between: a WRITE that is going on may have changed it in the file already. */
  #writeStored(file: OpenFile, page: Uint8Array, old: Uint8Array, offset: number): void {
    for (let i = 0; i < page.length; i++) {
      const start = i;
      while (i < page.length && page[i] !== old[i]) i++;
      if (i > start) this.#writeAll(file, page.subarray(start, i), offset + start);
    }
  }

  /** Puts what the guest has stored into another slot into the page as well. */
  #gather(index: number, at: number, page: Uint8Array): void {
    const old = this.#slots[index]?.before?.subarray(at, at + page.length);
    if (old === undefined) return;
    const other = this.#view(index).subarray(at, at + page.length);
    if (this.#files.sameBytes(other, old)) return;
    for (let i = 0; i < page.length; i++) {
      const byte = other[i] as number;
      if (byte !== old[i]) page[i] = byte;
    }
  }

  #writeAll(file: OpenFile, bytes: Uint8Array, offset: number): void {
    const changes = this.#changes as FileChanges;
    const rearm = this.#disarm(file);
    for (let done = 0; done < bytes.length; ) {
      const rest = [bytes.subarray(done)];
      const at = offset + done;
      const put = orUndo(() => changes.write(file.descriptor, rest, at), done === 0 ? rearm : stay);
      if (put === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
      done += put;
    }
  }
}
