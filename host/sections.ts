// Checks the sections of an image for anything by which a guest could use memory of the host beyond
// its own: it must import its memory, its functions take and return numbers only, and its tables
// have a maximum.

const HEADER_BYTES = 8;

const enum Section {
  Type = 1,
  Table = 4,
  Memory = 5,
}

const FUNCTION = 0x60;
/** i32, i64, f32, f64 and v128; references have lower codes. */
const NUMBER_MIN = 0x7b;
const NUMBER_MAX = 0x7f;
const FUNCREF = 0x70;
const EXTERNREF = 0x6f;
const LIMITS_WITH_MAXIMUM = 1;

/** Entries of all tables together: as many as the kernel has threads. */
const TABLE_ENTRIES_MAX = 65536;

/** Throws an Error that names the violation. The bytes must be a valid module. */
export function checkSections(bytes: Uint8Array): void {
  const reader = new Reader(bytes, HEADER_BYTES);
  while (!reader.atEnd) {
    const section = reader.byte();
    const length = reader.u32();
    const end = reader.at + length;
    if (section === Section.Type) checkTypes(reader);
    if (section === Section.Table) checkTables(reader);
    if (section === Section.Memory && reader.u32() > 0) refuse("it has a second memory");
    reader.at = end;
  }
}

/** Garbage-collected objects, and exceptions that hold others, would live in host memory. */
function checkTypes(reader: Reader): void {
  for (let left = reader.u32(); left > 0; left--) {
    if (reader.byte() !== FUNCTION) refuse("it has types of objects");
    for (const _ of ["parameters", "results"]) {
      for (let values = reader.u32(); values > 0; values--) {
        const type = reader.byte();
        if (type < NUMBER_MIN || type > NUMBER_MAX) refuse("a function of it takes references");
      }
    }
  }
}

function checkTables(reader: Reader): void {
  let entries = 0;
  for (let left = reader.u32(); left > 0; left--) {
    const type = reader.byte();
    if (type !== FUNCREF && type !== EXTERNREF) refuse("it has a table of objects");
    if (reader.byte() !== LIMITS_WITH_MAXIMUM) refuse("it has a table without a maximum");
    reader.u32(); // the minimum
    entries += reader.u32();
  }
  if (entries > TABLE_ENTRIES_MAX) refuse(`its tables have ${entries} entries`);
}

function refuse(fact: string): never {
  throw new Error(`image: ${fact}, which would be memory of the host`);
}

class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.at++] as number;
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
}
