// Reads the binary form of a WebAssembly module.

const HEADER_BYTES = 8;

/** A position in a module. Throws RangeError at its end. */
export class WasmReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new RangeError("the module ends too early");
    return byte;
  }

  /** LEB128, at most five bytes. */
  u32(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
  }

  /** Skips an integer of any size and sign. */
  skipInteger(): void {
    while (this.byte() >= 0x80);
  }

  name(): string {
    const length = this.u32();
    this.at += length;
    return new TextDecoder().decode(this.#bytes.subarray(this.at - length, this.at));
  }
}

/** Yields the number of each section, with the reader at its content. */
export function* sectionsOf(reader: WasmReader): Generator<number> {
  reader.at = HEADER_BYTES;
  while (!reader.atEnd) {
    const section = reader.byte();
    const length = reader.u32();
    const end = reader.at + length;
    yield section;
    reader.at = end;
  }
}
