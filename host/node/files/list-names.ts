// The names in a directory, read in pieces: there may be more than fit into memory.
import * as fs from "node:fs";

/** Names read at a time. */
const PIECE = 1024;
// Node accepts "buffer" and returns names as bytes, though its types deny it.
export const LIST_OPTIONS = { encoding: "buffer" as BufferEncoding, bufferSize: PIECE };

/** Throws ENOMEM if there are more than `max`. */
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
