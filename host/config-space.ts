// The configuration space of one device, as its driver reads it (virtio 2.5, 4.2.2).

export class ConfigSpace {
  /** ConfigGeneration, a u32: it changes with the contents, so that torn reads are noticed (M4). */
  generation = 0;
  readonly #view: DataView;

  /** `bytes` stay the device's. */
  constructor({ buffer, byteOffset, byteLength }: Uint8Array) {
    this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  /** The field of 1, 2 or 4 bytes at `offset`. undefined: there is none, or it is not aligned. */
  read(offset: number, bytes: number): number | undefined {
    if (offset + bytes > this.#view.byteLength || offset % bytes !== 0) return undefined;
    if (bytes === 4) return this.#view.getUint32(offset, true);
    if (bytes === 2) return this.#view.getUint16(offset, true);
    return bytes === 1 ? this.#view.getUint8(offset) : undefined;
  }

  /** The device has written to it. */
  changed(): void {
    this.generation = (this.generation + 1) % 2 ** 32;
  }
}
