// A file, or a page made for one answer: its bytes, or where they are, and the headers of its
// answers.
import { TypeId } from "torito/guest/http/mime";
import { Version, VERSION_BYTES } from "torito/guest/http/version";
import { Coding } from "./coding";

/**
 * Files with equal keys and attributes have the same answers: content type, coding, whether the
 * name has a hash in it, and the number of the settings.
 */
export type FileKey = u64;

const CODING_SHIFT: u64 = 32;
const HASHED_SHIFT: u64 = 35;
const SITE_SHIFT: u64 = 36;

export function fileKey(type: TypeId, coding: Coding, hashed: bool, site: u32): FileKey {
  const variant = (<u64>coding << CODING_SHIFT) | (<u64>hashed << HASHED_SHIFT);
  return type | variant | (<u64>site << SITE_SHIFT);
}

@unmanaged
export class Entry {
  nextInBucket: Entry | null;
  newer: Entry | null; // by use
  older: Entry | null;
  key: FileKey;
  users: u32; // responses that use it
  listed: bool; // can be found; otherwise its last user frees it
  mapped: bool; // content is in the window
  warned: bool; // of a coded file that is not sent
  codings: u32; // mask of those in which the file is at hand too
  codingsUntilNs: u64; // when they are looked for again
  content: usize; // the whole file; 0: read it from `file`
  file: i32; // open; 0: not needed
  headers: usize; // those of the file, once it is not young
  headersBytes: u32;
  heapBytes: u64; // that it takes, with the heap's overhead

  get version(): Version {
    return changetype<Version>(changetype<usize>(this) + VERSION);
  }

  get size(): u64 {
    return this.version.stat.size;
  }

  get type(): TypeId {
    return <TypeId>this.key;
  }

  get coding(): Coding {
    return <Coding>((this.key >> CODING_SHIFT) & 7);
  }

  /** Has its name a hash in it? */
  get hashed(): bool {
    return ((this.key >> HASHED_SHIFT) & 1) != 0;
  }
}
const VERSION: usize = (offsetof<Entry>() + 7) & ~7;
export const ENTRY_BYTES: usize = VERSION + VERSION_BYTES;

export const NO_ENTRY: Entry = changetype<Entry>(0);
