// Counts payload, and how often it is copied. All copies of payload are made here, which makes
// "zero-copy" a number.
import type { Chain } from "../../../virtqueue.ts";

/** Where payload is copied. */
export const enum CopyPath {
  StageOut = 0, // payload of the guest, for a slow reader, or until its message is complete
  ChunkIn = 1, // a chunk of the socket, into an rx buffer
  StageIn = 2, // from the staging buffer, into an rx buffer
  SpillIn = 3, // out of a buffer that is needed again, because the guest has no room
}

/** Counts for one connection, and for the whole device through `total`. */
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

  /**
   * Copies source to `offset` of the target, as far as a chain has room; returns the bytes copied.
   */
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
