// Opening a file for an answer: from the cache if it is there, with the tag that the site wants.
import { FileStat } from "torito/kernel/api";
import { SiteFlag } from "torito/abi/site";
import { findEntry, loadFile } from "./cache";
import { addDigest } from "./digest";
import { Entry, FileKey } from "./entry";
import { Site } from "./rules/site";

/**
 * The file at a path, whose attributes are in `stat` as far as known. Yields. The caller releases
 * it. Null: see loadError().
 */
export function openEntry(
  stat: FileStat,
  path: usize,
  pathBytes: u32,
  key: FileKey,
  site: Site,
): Entry | null {
  const entry = findEntry(stat, key) || loadFile(path, pathBytes, key);
  if (!entry || entry.version.hasDigest) return entry;
  if (site.has(SiteFlag.ETAG_OF_CONTENT) || entry.version.isUndated) addDigest(entry);
  return entry;
}
