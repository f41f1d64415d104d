// The identity of a file's content: its attributes when it was read. Validators are made from it,
// and cached content is checked against it.
import { believedUntil, copyStat, FileStat, NEVER, nowNs, Span } from "../../kernel/api";

@unmanaged
export class Version {
  readNs: u64;
  believedUntilNs: u64; // see believedUntil()
  /**
   * The file may change again without a change of its attributes, so its tag includes the moment of
   * reading, and is weak (RFC 9110, 8.8.1).
   */
  weak: bool;
  coding: Span; // of the content, as the wire has it; 0: none

  get stat(): FileStat {
    return changetype<FileStat>(changetype<usize>(this) + STAT);
  }
}

// Embedded by offset: asc has no embedded structs.
const STAT: usize = (offsetof<Version>() + 7) & ~7;
export const VERSION_BYTES: usize = STAT + offsetof<FileStat>();

/** Records the attributes of a file that is about to be read. */
export function setVersion(version: Version, stat: FileStat): void {
  copyStat(version.stat, stat);
  version.readNs = nowNs();
  version.believedUntilNs = believedUntil(stat.ctimeNs);
  version.weak = version.believedUntilNs != NEVER;
}

/** Has a file with these attributes the content that was read? */
export function isVersion(version: Version, stat: FileStat): bool {
  return isSameFile(version.stat, stat) && version.believedUntilNs > nowNs();
}

export function isSameFile(a: FileStat, b: FileStat): bool {
  return a.ino == b.ino && a.size == b.size && a.mtimeNs == b.mtimeNs && a.ctimeNs == b.ctimeNs;
}
