// Writing back what the guest has stored into a slot: a three-way merge, page by page. The base is
// the file as it was when the slot was filled or last written (`before`); one side is the memory of
// the slot, and of other slots that show the same part; the other side is the file as it is now,
// which programs of the host may have changed. A byte that the guest has changed wins.
import type { FileChanges } from "../../../ports/files.ts";
import type { OpenFile } from "../nodes/handles.ts";
import type { HostCalls } from "../slow/host-calls.ts";
import { orUndo } from "../undo.ts";
import { SLOT_BYTES, type Slot, type Slots } from "./slots.ts";

/** The unit of comparing and writing. */
const PAGE_BYTES = 4096;
/** The most that one call reads. */
const READ_BYTES_MAX = 1 << 20;

const nothing = () => {};

/** Reads bytes of the file, and zeros beyond its end. */
export function readZeroed(
  files: HostCalls,
  file: OpenFile,
  view: Uint8Array,
  offset: number,
): void {
  let done = 0;
  for (let got = 1; done < view.length && got > 0; done += got) {
    const piece = view.subarray(done, done + READ_BYTES_MAX);
    got = files.read(file.descriptor, [piece], offset + done);
  }
  view.fill(0, done);
}

export class WriteBack {
  readonly #slots: Slots;
  readonly #files: HostCalls;
  readonly #changes: FileChanges | null;
  readonly #clearSetId: (file: OpenFile) => () => void;
  readonly #page = new Uint8Array(PAGE_BYTES);

  /**
   * `clearSetId` is called before a file is written; what it returns, if nothing was written (U21).
   */
  constructor(
    slots: Slots,
    files: HostCalls,
    changes: FileChanges | null,
    clearSetId: (file: OpenFile) => () => void,
  ) {
    this.#slots = slots;
    this.#files = files;
    this.#changes = changes;
    this.#clearSetId = clearSetId;
  }

  /**
   * Writes the pages that the guest has changed; none beyond the end of the file, which may move.
   */
  slot(index: number): void {
    const { node, offset, writing, before } = this.#slots.get(index) as Slot;
    if (this.#changes === null || writing === null || before === null) return;
    const view = this.#slots.view(index);
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

  /** Afterwards all slots that show the page agree with the file. */
  #writePage(index: number, file: OpenFile, at: number, end: number): void {
    const { node, offset, before } = this.#slots.get(index) as Slot;
    if (before === null) return;
    const page = this.#slots.view(index).subarray(at, end);
    const same = this.#slots.showing(node, offset);
    for (const i of same) if (i !== index) this.#mergeSlot(i, at, page);
    const base = before.subarray(at, end);
    if (node.writes === 0) this.#writeMerged(file, page, base, offset + at);
    else this.#writeStored(file, page, base, offset + at);
    for (const i of same) {
      if (i !== index) this.#slots.view(i).set(page, at);
      this.#slots.get(i)?.before?.set(page, at);
    }
  }

  /** Merges what the guest has stored into another slot that shows the page. */
  #mergeSlot(index: number, at: number, page: Uint8Array): void {
    const base = this.#slots.get(index)?.before?.subarray(at, at + page.length);
    if (base === undefined) return;
    const other = this.#slots.view(index).subarray(at, at + page.length);
    if (this.#files.sameBytes(other, base)) return;
    for (let i = 0; i < page.length; i++) {
      const byte = other[i] as number;
      if (byte !== base[i]) page[i] = byte;
    }
  }

  /** Writes the whole page, merged with what programs of the host have changed in it. */
  #writeMerged(file: OpenFile, page: Uint8Array, base: Uint8Array, offset: number): void {
    const now = this.#page.subarray(0, page.length);
    readZeroed(this.#files, file, now, offset);
    if (!this.#files.sameBytes(now, base)) {
      for (let i = 0; i < page.length; i++) {
        if (page[i] === base[i]) page[i] = base[i] = now[i] as number;
      }
    }
    this.#writeAll(file, page, offset);
  }

  /**
   * Writes only the bytes that the guest has stored. While a WRITE is under way the bytes between
   * them may change in the file at any time.
   */
  #writeStored(file: OpenFile, page: Uint8Array, base: Uint8Array, offset: number): void {
    for (let i = 0; i < page.length; i++) {
      const start = i;
      while (i < page.length && page[i] !== base[i]) i++;
      if (i > start) this.#writeAll(file, page.subarray(start, i), offset + start);
    }
  }

  #writeAll(file: OpenFile, bytes: Uint8Array, offset: number): void {
    const changes = this.#changes as FileChanges;
    const restore = this.#clearSetId(file);
    for (let done = 0; done < bytes.length; ) {
      const rest = [bytes.subarray(done)];
      const at = offset + done;
      const write = () => changes.write(file.descriptor, rest, at);
      const written = orUndo(write, done === 0 ? restore : nothing);
      if (written === 0) throw Object.assign(new Error("nothing was written"), { code: "EIO" });
      done += written;
    }
  }
}
