// SI2, SI3: precompressed siblings of a file, FILE.br, FILE.zst and FILE.gz. They are looked up
// once for each cached file, and again after a while.
import { FileStat, nowNs, NS_PER_S, spanBytes } from "torito/kernel/api";
import { isText, putText } from "torito/guest/http/text";
import { Coding, suffixOf } from "./coding";
import { Entry, fileKey } from "./entry";
import { Event, note } from "./events";
import { isFile } from "./kinds";
import { openEntry } from "./open";
import { statPatiently } from "./patience";
import { Site } from "./rules/site";

/** Siblings that are added beside a file that stays the same are found within this time. */
const LOOK_AGAIN_NS: u64 = 10 * NS_PER_S;

const stat = changetype<FileStat>(memory.data(offsetof<FileStat>()));

/** Brings entry.codings of the file at the path up to date, if it is due. Yields. */
export function findCodings(entry: Entry, path: usize, bytes: u32): void {
  if (entry.codingsUntilNs > nowNs()) return;
  let found: u32 = 0;
  if (!isCoded(path, bytes)) {
    if (statSibling(entry, Coding.Br, path, bytes)) found |= Coding.Br;
    if (statSibling(entry, Coding.Zstd, path, bytes)) found |= Coding.Zstd;
    if (statSibling(entry, Coding.Gzip, path, bytes)) found |= Coding.Gzip;
  }
  entry.codings = found;
  entry.codingsUntilNs = nowNs() + LOOK_AGAIN_NS;
}

/** Does the name end as those of siblings do? */
function isCoded(path: usize, bytes: u32): bool {
  return endsIn(path, bytes, Coding.Br) ||
    endsIn(path, bytes, Coding.Zstd) ||
    endsIn(path, bytes, Coding.Gzip);
}

function endsIn(path: usize, bytes: u32, coding: Coding): bool {
  const suffix = suffixOf(coding);
  const length = spanBytes(suffix);
  return bytes > length && isText(path + bytes - length, length, suffix);
}

/** Can the sibling be sent in place of the file? Fills `stat`. Yields. */
function statSibling(entry: Entry, coding: Coding, path: usize, bytes: u32): bool {
  const end = putText(path + bytes, suffixOf(coding));
  if (statPatiently(path, <u32>(end - path), changetype<usize>(stat)) != 0) return false;
  const file = entry.version.stat;
  const isWhole = isFile(stat) && (stat.size != 0 || file.size == 0);
  if (isWhole && stat.mtimeNs >= file.mtimeNs) return true;
  if (!entry.warned) note(isWhole ? Event.StaleSibling : Event.BadSibling);
  entry.warned = true;
  return false;
}

/**
 * The sibling of the file at the path, which has room for a suffix, for a response; the caller
 * releases it. Null: it is gone, or cannot be sent any more. Yields.
 */
export function openCoded(
  entry: Entry,
  coding: Coding,
  path: usize,
  bytes: u32,
  site: Site,
): Entry | null {
  const key = fileKey(entry.type, coding, entry.hashed, site.number);
  if (statSibling(entry, coding, path, bytes)) {
    const length = bytes + spanBytes(suffixOf(coding));
    const coded = openEntry(stat, path, length, key, site);
    if (coded) return coded;
  }
  entry.codings &= ~coding;
  return null;
}
