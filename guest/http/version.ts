// The identity of a file's content: its attributes when it was read. Validators are made from it,
// and cached content is checked against it.
import {
  believedUntil,
  copyStat,
  FileStat,
  NS_PER_S,
  nowNs,
  realtimeNs,
  Span,
} from "../../kernel/api";
import { floorDivide } from "./date";

/** ET1: a file may be written twice within a second, and its tag be the same. */
const YOUNG_NS: i64 = 2 * <i64>NS_PER_S;

@unmanaged
export class Version {
  believedUntilNs: u64; // see believedUntil()
  coding: Span; // of the content, as the wire has it; 0: none
  // The first half of the content's SHA-256, if it is known and to be the tag.
  hasDigest: bool;
  digestHigh: u64;
  digestLow: u64;

  get stat(): FileStat {
    return changetype<FileStat>(changetype<usize>(this) + STAT);
  }

  /** Of the modification time, since 1970. */
  get second(): i64 {
    return floorDivide(this.stat.mtimeNs, <i64>NS_PER_S);
  }

  /** ET2: reproducible images give all files the time 0 or 1, which says nothing. */
  get isUndated(): bool {
    return <u64>this.stat.mtimeNs < 2 * NS_PER_S;
  }

  /** Was it modified less than 2 s ago, or later than now? Then its validators change with time. */
  get isYoung(): bool {
    return this.stat.mtimeNs + YOUNG_NS > <i64>realtimeNs();
  }

  /** Is its tag weak (RFC 9110, 8.8.1)? */
  get isWeak(): bool {
    return !this.hasDigest && (this.isYoung || this.isUndated);
  }
}

// Embedded by offset: asc has no embedded structs.
const STAT: usize = (offsetof<Version>() + 7) & ~7;
export const VERSION_BYTES: usize = STAT + offsetof<FileStat>();

/** Records the attributes of a file that is about to be read. */
export function setVersion(version: Version, stat: FileStat): void {
  copyStat(version.stat, stat);
  version.believedUntilNs = believedUntil(stat.ctimeNs);
}

/** Has a file with these attributes the content that was read? */
export function isVersion(version: Version, stat: FileStat): bool {
  return isSameFile(version.stat, stat) && version.believedUntilNs > nowNs();
}

export function isSameFile(a: FileStat, b: FileStat): bool {
  return a.ino == b.ino && a.size == b.size && a.mtimeNs == b.mtimeNs && a.ctimeNs == b.ctimeNs;
}
