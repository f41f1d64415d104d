// The names in a directory, read piece by piece: there may be more of them than there is memory.
import * as fs from "node:fs";

/** Names that are read at a time. */
const PIECE = 1024;
// Node takes it and gives the bytes of names; its types do not know.
export const LIST_OPTIONS = { encoding: "buffer" as BufferEncoding, bufferSize: PIECE };

/** Throws ENOMEM when there are more than `max`. */
export function listNames(path: string | Buffer, max: number): Uint8Array[] {
  const directory = fs.opendirSync(path as string, LIST_OPTIONS);
  const names: Uint8Array[] = [];
  try {
    for (let one = directory.readSync(); one !== null; one = directory.readSync()) {
      if (names.length === max) throw tooManyNames(max);
      names.push(one.name as unknown as Uint8Array);
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

export function tooManyNames(max: number): Error {
  return Object.assign(new Error(`more than ${max} names`), { code: "ENOMEM" });
}
