// A memory of the host's own, into which frames are copied that need their checksums completed: the
// sums are made there by a small module of WebAssembly, since a loop of JavaScript over each byte
// takes twenty times as long.
import { CHECKSUM_CODE } from "./checksum-code.ts";

interface ChecksumModule {
  readonly memory: WebAssembly.Memory;
  sum(at: number, bytes: number, sum: number): number;
}

/** One serves all devices of a process: what is in it is used before the next frame is staged. */
export class Staging {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #module: ChecksumModule;

  constructor() {
    const module = new WebAssembly.Module(CHECKSUM_CODE);
    this.#module = new WebAssembly.Instance(module).exports as unknown as ChecksumModule;
    this.bytes = new Uint8Array(this.#module.memory.buffer);
    this.view = new DataView(this.bytes.buffer);
  }

  /** RFC 1071: the folded sum, not inverted, as a little-endian word; added to another one. */
  sum(at: number, bytes: number, sum = 0): number {
    return this.#module.sum(at, bytes, sum);
  }

  /** Stores a sum inverted. 0 would mean "none" in UDP, and is the same number as 0xffff. */
  putChecksum(at: number, sum: number): void {
    this.view.setUint16(at, ~sum & 0xffff || 0xffff, true);
  }
}

let staging: Staging | null = null;

/** Made when it is first needed. */
export function sharedStaging(): Staging {
  staging ??= new Staging();
  return staging;
}
