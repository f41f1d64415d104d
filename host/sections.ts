// Checks the sections of an image for anything by which a guest could use memory of the host beyond
// its own: it must import its memory, its functions take and return numbers only, and its tables
// have a maximum.
import { sectionsOf, WasmReader } from "./wasm-reader.ts";

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
  const reader = new WasmReader(bytes);
  for (const section of sectionsOf(reader)) {
    if (section === Section.Type) checkTypes(reader);
    if (section === Section.Table) checkTables(reader);
    if (section === Section.Memory && reader.u32() > 0) refuse("it has a second memory");
  }
}

/** Garbage-collected objects, and exceptions that hold others, would live in host memory. */
function checkTypes(reader: WasmReader): void {
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

function checkTables(reader: WasmReader): void {
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
