// A tar archive as files in memory, which devices and their owners may change.
import { MemoryFiles, type MemoryFilesOptions } from "../files/memory-files.ts";
import { unpackTar } from "./untar.ts";

/**
 * A directory with the regular files of the archive. Other entries are left out, but directories
 * that hold a file. Throws an Error if the archive is damaged, too large, or names a path outside
 * of itself.
 */
export function readTar(archive: Uint8Array, options: MemoryFilesOptions = {}): MemoryFiles {
  return unpackTar(archive, (clock) => new MemoryFiles(clock, {}, options));
}
