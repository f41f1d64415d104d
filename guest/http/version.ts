// What a file was when it was opened: what validators are made of, and how cached content is known
// to be the file's still.
import { believedUntil, copyStat, FileStat, NEVER, nowNs } from "../../kernel/api";

@unmanaged
export class Version {
  readNs: u64;
  believedUntilNs: u64; // see believedUntil()
  /**
   * The file may change once more without looking different, so its tag names the moment of
   * reading too, and is weak (RFC 9110, 8.8.1).
   */
  weak: bool;

  get stat(): FileStat {
    return changetype<FileStat>(changetype<usize>(this) + STAT);
  }
}

// Embedded by offset: asc has no embedded structs.
const STAT: usize = (offsetof<Version>() + 7) & ~7;
export const VERSION_BYTES: usize = STAT + offsetof<FileStat>();

/** Notes the attributes of a file that is about to be read. */
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
