// From a decoded path to what the site has there. Yields, except for what is cached.
import { Errno, FileStat, text } from "torito/kernel/api";
import { SiteFlag } from "torito/abi/site";
import { isText, putText } from "torito/guest/http/text";
import { statusOf } from "./file";
import { isDirectory, isFile } from "./kinds";
import { statPatiently } from "./patience";
import { Site } from "./rules/site";

export const enum Kind {
  File, // foundStat and `pathBytes` are the file's
  Directory, // its path lacks the slash
  Listing, // a directory without an index
  Clean, // a page, by the name of its file: its path has `pathBytes` too many
  Missing,
  Error, // `status` is the answer's
}

/** The result of a search. Nothing yields between a search and the use of its result. */
@unmanaged
export class Found {
  pathBytes: u32;
  status: u32;
}

export const found = changetype<Found>(memory.data(offsetof<Found>()));
export const foundStat = changetype<FileStat>(memory.data(offsetof<FileStat>()));

const INDEX = text("index.html");
const INDEX_BYTES: u32 = 10;
const PAGE = text(".html");
const PAGE_BYTES: u32 = 5;
const SLASH: u32 = 0x2f;

/** Nothing yields after `found` is filled. */
function statOf(path: usize, bytes: u32): i32 {
  const status = statPatiently(path, bytes, changetype<usize>(foundStat));
  found.pathBytes = bytes;
  return status;
}

function failed(error: i32): Kind {
  found.status = statusOf(error);
  return found.status == 404 ? Kind.Missing : Kind.Error;
}

function refused(): Kind {
  found.status = 403;
  return Kind.Error;
}

/**
 * Looks for the file of a path, which has room for the ending of a name. Fills `found`. `asked`: it
 * is the client's own path, which may be redirected to a better one.
 */
export function find(site: Site, path: usize, bytes: u32, asked: bool): Kind {
  if (load<u8>(path + bytes - 1) == SLASH) return findIndex(site, path, bytes);
  const status = statOf(path, bytes);
  const clean = site.has(SiteFlag.CLEAN_URLS);
  if (status == 0 && isFile(foundStat)) {
    return clean && asked && isPage(path, bytes) ? findShorter(path, bytes) : Kind.File;
  }
  // SI7: the file itself, then the page, then the directory.
  if (clean && (status == 0 || status == -Errno.ENOENT) && hasPage(path, bytes)) return Kind.File;
  if (status < 0) return failed(status);
  // hasPage() may have looked at something else.
  if (clean && statOf(path, bytes) < 0) return Kind.Missing;
  return isDirectory(foundStat) ? Kind.Directory : refused();
}

function findIndex(site: Site, path: usize, bytes: u32): Kind {
  const end = putText(path + bytes, INDEX);
  const status = statOf(path, <u32>(end - path));
  // An index that is itself a directory would be redirected forever.
  if (status == 0) return isFile(foundStat) ? Kind.File : refused();
  if (status != -Errno.ENOENT || !site.has(SiteFlag.LISTING)) return failed(status);
  const directory = statOf(path, bytes);
  if (directory < 0) return failed(directory);
  return isDirectory(foundStat) ? Kind.Listing : Kind.Missing;
}

/** Is there a file PATH.html? */
function hasPage(path: usize, bytes: u32): bool {
  const end = putText(path + bytes, PAGE);
  return statOf(path, <u32>(end - path)) == 0 && isFile(foundStat);
}

const other = changetype<FileStat>(memory.data(offsetof<FileStat>()));

/** Does the path end in `.html`, after a name? */
function isPage(path: usize, bytes: u32): bool {
  if (bytes < PAGE_BYTES + 2 || !isText(path + bytes - PAGE_BYTES, PAGE_BYTES, PAGE)) return false;
  return load<u8>(path + bytes - PAGE_BYTES - 1) != SLASH;
}

/** The file of a page, or the number of bytes that its path has too many. */
function findShorter(path: usize, bytes: u32): Kind {
  const index = path + bytes - INDEX_BYTES;
  if (bytes > INDEX_BYTES && load<u8>(index - 1) == SLASH && isText(index, INDEX_BYTES, INDEX)) {
    found.pathBytes = INDEX_BYTES;
    return Kind.Clean;
  }
  // The shorter path leads to another file if there is one of that name.
  if (statOf(path, bytes - PAGE_BYTES) != 0 || !isFile(foundStat)) {
    found.pathBytes = PAGE_BYTES;
    return Kind.Clean;
  }
  const status = statOf(path, bytes);
  return status == 0 ? Kind.File : failed(status);
}
