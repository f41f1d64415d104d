// Payload that passes through the device, and how often it is copied there. Whoever copies payload
// does it here, so that "zero-copy" is a number.
import type { Chain } from "../../../virtqueue.ts";

/** Where payload is copied. */
export const enum CopyPath {
  StageOut = 0, // of the guest, for a slow reader, or until its message is whole
  ChunkIn = 1, // a chunk that the host had read, into an rx buffer
  StageIn = 2, // what was read into the staging buffer, into an rx buffer
  SpillIn = 3, // read into a buffer of ours and without room in the guest: out of it
}

/** Counts for one connection and, beside it, for the whole device. */
export class Ledger {
  /** Payload that sockets took, and that rx buffers took. */
  bytesFromGuest = 0;
  bytesToGuest = 0;
  /** Of bytesToGuest: read by the host straight into the guest's buffers. */
  bytesInPlace = 0;
  /** Bytes by CopyPath. */
  readonly copied: [number, number, number, number] = [0, 0, 0, 0];
  readonly #total: Ledger | null;

  constructor(total: Ledger | null = null) {
    this.#total = total;
  }

  get copiedFromGuest(): number {
    return this.copied[CopyPath.StageOut];
  }

  get copiedToGuest(): number {
    const { copied } = this;
    return copied[CopyPath.ChunkIn] + copied[CopyPath.StageIn] + copied[CopyPath.SpillIn];
  }

  fromGuest(bytes: number): void {
    this.bytesFromGuest += bytes;
    this.#total?.fromGuest(bytes);
  }

  toGuest(bytes: number, inPlace: boolean): void {
    this.bytesToGuest += bytes;
    if (inPlace) this.bytesInPlace += bytes;
    this.#total?.toGuest(bytes, inPlace);
  }

  /** Copies source to `offset` of the target, as far as a chain has room; returns the bytes. */
  copy(path: CopyPath, source: Uint8Array, target: Uint8Array | Chain, offset: number): number {
    let bytes = source.length;
    if (target instanceof Uint8Array) target.set(source, offset);
    else bytes = target.copyTo(offset, source);
    this.#count(path, bytes);
    return bytes;
  }

  #count(path: CopyPath, bytes: number): void {
    this.copied[path] += bytes;
    if (this.#total !== null) this.#total.#count(path, bytes);
  }
}
