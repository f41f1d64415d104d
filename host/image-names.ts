// Names of the functions that threads of a guest begin with: the table of an image leads from an
// index to a function, and its name section to the name. An image without them has no names, and
// what is damaged in a name section is not read.
import { sourceName } from "./symbols.ts";
import { sectionsOf, WasmReader } from "./wasm-reader.ts";

const enum Section {
  Custom = 0,
  Elements = 9,
}

const FUNCTION_NAMES = 1;
const I32_CONST = 0x41;
const END = 0x0b;
const NAME_CHARACTERS_MAX = 120;

export class ImageNames {
  readonly #bytes: Uint8Array | undefined;
  #byEntry: Map<number, string> | null = null;

  /** `bytes`: of the image; undefined: not known. */
  constructor(bytes: Uint8Array | undefined) {
    this.#bytes = bytes;
  }

  /** The name of the function at that index of the table, or null. */
  readonly of = (entry: number): string | null => {
    this.#byEntry ??= this.#read();
    return this.#byEntry.get(entry) ?? null;
  };

  #read(): Map<number, string> {
    const functions = new Map<number, number>();
    let names = new Map<number, string>();
    try {
      const reader = new WasmReader(this.#bytes ?? new Uint8Array());
      for (const section of sectionsOf(reader)) {
        if (section === Section.Elements) readElements(reader, functions);
        if (section === Section.Custom && reader.name() === "name") names = readNames(reader);
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // it ends too early
    }
    const byEntry = new Map<number, string>();
    for (const [entry, index] of functions) {
      const name = names.get(index);
      if (name !== undefined) byEntry.set(entry, name);
    }
    return byEntry;
  }
}

/** The first segments, as compilers write them: at a constant place, functions by number. */
function readElements(reader: WasmReader, functions: Map<number, number>): void {
  for (let segments = reader.u32(); segments > 0; segments--) {
    if (reader.u32() !== 0 || reader.byte() !== I32_CONST) return;
    const first = reader.u32();
    if (reader.byte() !== END) return;
    const count = reader.u32();
    for (let i = 0; i < count; i++) functions.set(first + i, reader.u32());
  }
}

function readNames(reader: WasmReader): Map<number, string> {
  const names = new Map<number, string>();
  while (reader.byte() !== FUNCTION_NAMES) {
    const bytes = reader.u32();
    reader.at += bytes;
  }
  reader.u32(); // bytes
  for (let left = reader.u32(); left > 0; left--) {
    const index = reader.u32();
    names.set(index, sourceName(reader.name()).slice(0, NAME_CHARACTERS_MAX));
  }
  return names;
}
