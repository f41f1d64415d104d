// Writes a table of fixed records and texts that point to each other by place.

/** A table that grows; numbers are u32 in little-endian. */
export class TableWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;
  readonly #texts = new Map<string, number>();

  /** Bytes so far. */
  get length(): number {
    return this.#used;
  }

  /** Room for a record of `bytes` bytes, all 0, at a multiple of 4. Returns its place. */
  reserve(bytes: number): number {
    const place = (this.#used + 3) & ~3;
    this.#grow(place + bytes);
    return place;
  }

  #grow(used: number): void {
    this.#used = used;
    if (used <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(used, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }

  /** Sets a word of a record. */
  set(place: number, value: number): void {
    this.#view.setUint32(place, value, true);
  }

  /** A word of a record. */
  get(place: number): number {
    return this.#view.getUint32(place, true);
  }

  /** Adds a text, unless it is there already, and sets the SiteText at `place` to it. */
  setText(place: number, text: string | Uint8Array): void {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    const key = String.fromCharCode(...bytes);
    let at = this.#texts.get(key);
    if (at === undefined) {
      at = this.#used;
      this.#grow(at + bytes.length);
      this.#bytes.set(bytes, at);
      this.#texts.set(key, at);
    }
    this.set(place, at);
    this.set(place + 4, bytes.length);
  }

  /**
   * Adds a record of `size` bytes for each item, which `write` fills in, and sets the SiteList at
   * `place` to them.
   */
  setList<Item>(
    place: number,
    items: readonly Item[],
    size: number,
    write: (at: number, item: Item) => void,
  ): void {
    const at = this.reserve(items.length * size);
    this.set(place, at);
    this.set(place + 4, items.length);
    for (const [i, item] of items.entries()) write(at + i * size, item);
  }

  /** A copy of the table. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#used);
  }
}
