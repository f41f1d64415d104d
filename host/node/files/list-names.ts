// The entries of a directory, read in pieces: there may be more than fit into memory.
import * as fs from "node:fs";
import type { DirectoryName } from "../../ports/files.ts";

/** Entries read at a time. */
const PIECE = 1024;
// Node accepts "buffer" and returns names as bytes, though its types deny it.
export const LIST_OPTIONS = { encoding: "buffer" as BufferEncoding, bufferSize: PIECE };
const { S_IFDIR, S_IFLNK, S_IFREG } = fs.constants;

/** Throws ENOMEM if there are more than `max`. */
export function listNames(path: string | Buffer, max: number): DirectoryName[] {
  const directory = fs.opendirSync(path as string, LIST_OPTIONS);
  const names: DirectoryName[] = [];
  try {
    for (let one = directory.readSync(); one !== null; one = directory.readSync()) {
      if (names.length === max) throw tooManyNames(max);
      names.push(listed(one));
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

/** The kernel names the type of most entries (d_type of readdir(3)), but Node not their inode. */
export function listed(entry: fs.Dirent): DirectoryName {
  const name = entry.name as unknown as Uint8Array;
  if (entry.isFile()) return { name, type: S_IFREG >> 12 };
  if (entry.isDirectory()) return { name, type: S_IFDIR >> 12 };
  return { name, type: entry.isSymbolicLink() ? S_IFLNK >> 12 : 0 };
}

export function tooManyNames(max: number): Error {
  return Object.assign(new Error(`more than ${max} names`), { code: "ENOMEM" });
}
