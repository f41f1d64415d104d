// SI8: a page with the names in a directory, for an answer of its own. Names are sorted; each is
// escaped as a URL for the link and as HTML for its text. Other threads run between the pieces of
// the work.
import {
  allocatedBytes,
  DirectoryEntry,
  Errno,
  heapBytes,
  O_DIRECTORY,
  Span,
  span,
  spanAddress,
  spanBytes,
  SysCloseFile,
  SysReadDirectory,
  SysThreadSwitch,
  text,
  ToroAllocMem,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";
import { SiteFlag } from "torito/abi/site";
import { putStart } from "torito/guest/http/response";
import { putText } from "torito/guest/http/text";
import { createPage } from "./cache";
import { Connection } from "./connections";
import { Entry, NO_ENTRY } from "./entry";
import { htmlBytes, putHtml, putUrl, urlBytes } from "./escape";
import { sendPage, statusOf } from "./file";
import { isListed, isRoot } from "./hidden";
import { openPatiently } from "./patience";
import { fail, matchRules } from "./respond";
import { outputOf, pathOf, Work } from "./work";

/** Further entries are not shown; the page says so. */
const ENTRIES_MAX: u32 = 10_000;
/** Entries that are handled without a pause. */
const ENTRIES_AT_ONCE: u32 = 256;
const BLOCK_BYTES: u32 = 32768;
/** The names of all listings under way take at most this fraction of the heap; beyond it is 503. */
const HEAP_SHIFT: u64 = 3;
const DT_DIR: u32 = 4;

let takenBytes: u64 = 0;

/** The names of a directory, while its page is made. */
@unmanaged
class Names {
  blocks: usize; // each begins with the address of the next one
  order: usize; // u32 each: the address of a DirectoryEntry
  sorted: usize; // the same, for sorting
  count: u32;
  more: bool; // than are shown
}

const HEAD = text(
  '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n' +
  '<meta name="robots" content="noindex">\n<title>Index of ',
);
const TITLE_END = text("</title>\n<h1>Index of ");
const HEADING_END = text('</h1>\n<ul>\n<li><a href="../">../</a>\n');
const LINK = text('<li><a href="');
const LINK_TEXT = text('">');
const LINK_END = text("</a>\n");
const SLASH = text("/");
const END = text("</ul>\n");
const MORE = text("</ul>\n<p>There are more entries, which are not shown.\n");

/** Answers with the listing of the directory at the decoded path. Yields. */
export function list(c: Connection): u32 {
  const names = changetype<Names>(ToroAllocMem(offsetof<Names>()));
  if (changetype<usize>(names) == 0) return fail(c, 503);
  let status = read(names, c.work);
  let page = NO_ENTRY;
  if (status == 0) {
    sort(names);
    page = compose(names, c.work);
    if (page == NO_ENTRY) status = -Errno.ENOMEM;
  }
  dispose(names);
  if (status < 0) return fail(c, statusOf(status));
  const replaced = matchRules(c.work);
  let at = putStart(outputOf(c.work), 200);
  at = putText(at, text("Content-Type: text/html; charset=utf-8\r\nX-Robots-Tag: noindex\r\n"));
  return sendPage(c, at, page, replaced);
}

/** A block of the heap that counts as taken by listings; 0: no room. */
function take(bytes: u32): usize {
  if (takenBytes + bytes > heapBytes() >> HEAP_SHIFT) return 0;
  const block = ToroGetMem(bytes);
  if (block != 0) takenBytes += allocatedBytes(block);
  return block;
}

function giveBack(block: usize): void {
  if (block == 0) return;
  takenBytes -= allocatedBytes(block);
  ToroFreeMem(block);
}

function dispose(names: Names): void {
  for (let block = names.blocks; block != 0; ) {
    const next = <usize>load<u32>(block);
    giveBack(block);
    block = next;
  }
  giveBack(names.order);
  giveBack(names.sorted);
  ToroFreeMem(changetype<usize>(names));
}

/** Reads the names that are shown. Yields. Returns 0 or an error. */
function read(names: Names, work: Work): i32 {
  names.order = take(ENTRIES_MAX << 2);
  names.sorted = take(ENTRIES_MAX << 2);
  if (names.order == 0 || names.sorted == 0) return -Errno.ENOMEM;
  const directory = openPatiently(pathOf(work), work.pathBytes, O_DIRECTORY);
  if (directory < 0) return directory;
  let got: i32 = 1;
  while (got > 0 && !names.more) got = readBlock(names, directory, work);
  SysCloseFile(directory);
  return min(got, 0);
}

/** Reads into one more block. Yields. Returns 0 at the end, or an error. */
function readBlock(names: Names, directory: i32, work: Work): i32 {
  const block = take(BLOCK_BYTES);
  if (block == 0) return -Errno.ENOMEM;
  store<u32>(block, <u32>names.blocks);
  names.blocks = block;
  const first = block + 8;
  const got = SysReadDirectory(directory, first, BLOCK_BYTES - 8);
  const atRoot = isRoot(pathOf(work), work.pathBytes);
  const servesDotfiles = work.site.has(SiteFlag.SERVES_DOTFILES);
  for (let at = first; at < first + got; ) {
    const bytes = load<u32>(at, DirectoryEntry.nameBytes);
    if (isListed(at + DirectoryEntry.name, bytes, atRoot, servesDotfiles)) add(names, at);
    at += DirectoryEntry.name + ((bytes + 7) & ~7);
  }
  return got;
}

function add(names: Names, entry: usize): void {
  if (names.count == ENTRIES_MAX) names.more = true;
  else store<u32>(names.order + (names.count++ << 2), <u32>entry);
}

function nameAt(order: usize, i: u32): Span {
  const entry = <usize>load<u32>(order + (i << 2));
  return span(entry + DirectoryEntry.name, load<u32>(entry, DirectoryEntry.nameBytes));
}

function isDirectoryAt(order: usize, i: u32): bool {
  return load<u32>(<usize>load<u32>(order + (i << 2)), DirectoryEntry.type) == DT_DIR;
}

/** Sorts the names by their bytes: merges runs of a doubling length. Yields. */
function sort(names: Names): void {
  for (let run: u32 = 1; run < names.count; run <<= 1) {
    for (let i: u32 = 0; i < names.count; i += run << 1) {
      mergeRuns(names, i, min(i + run, names.count), min(i + (run << 1), names.count));
    }
    const last = names.order;
    names.order = names.sorted;
    names.sorted = last;
    SysThreadSwitch();
  }
}

/** Merges [first, middle) and [middle, end) of `order` into `sorted`. */
function mergeRuns(names: Names, first: u32, middle: u32, end: u32): void {
  let a = first;
  let b = middle;
  for (let i = first; i < end; i++) {
    const takesA = b == end || (a < middle && compare(names.order, a, b) <= 0);
    store<u32>(names.sorted + (i << 2), load<u32>(names.order + ((takesA ? a++ : b++) << 2)));
  }
}

function compare(order: usize, i: u32, j: u32): i32 {
  const a = nameAt(order, i);
  const b = nameAt(order, j);
  const common = min(spanBytes(a), spanBytes(b));
  const difference = memory.compare(spanAddress(a), spanAddress(b), common);
  return difference != 0 ? difference : <i32>spanBytes(a) - <i32>spanBytes(b);
}

/** The page for the names; NO_ENTRY: no memory. Yields. */
function compose(names: Names, work: Work): Entry {
  const path = span(pathOf(work), work.pathBytes);
  let bytes = spanBytes(HEAD) + spanBytes(TITLE_END) + spanBytes(HEADING_END) +
    2 * htmlBytes(path) + spanBytes(names.more ? MORE : END);
  for (let i: u32 = 0; i < names.count; i++) {
    bytes += lineBytes(names, i);
    if (i % ENTRIES_AT_ONCE == 0) SysThreadSwitch();
  }
  const page = createPage(bytes);
  if (page == NO_ENTRY) return NO_ENTRY;
  let at = putText(page.content, HEAD);
  at = putText(putHtml(at, path), TITLE_END);
  at = putText(putHtml(at, path), HEADING_END);
  for (let i: u32 = 0; i < names.count; i++) {
    at = putLine(at, names, i);
    if (i % ENTRIES_AT_ONCE == 0) SysThreadSwitch();
  }
  at = putText(at, names.more ? MORE : END);
  assert(at == page.content + bytes, "listing: length");
  return page;
}

function lineBytes(names: Names, i: u32): u32 {
  const name = nameAt(names.order, i);
  const slashes: u32 = isDirectoryAt(names.order, i) ? 2 : 0;
  return spanBytes(LINK) + urlBytes(name) + spanBytes(LINK_TEXT) + htmlBytes(name) +
    spanBytes(LINK_END) + slashes;
}

function putLine(at: usize, names: Names, i: u32): usize {
  const name = nameAt(names.order, i);
  const slash = isDirectoryAt(names.order, i) ? SLASH : 0;
  at = putText(putUrl(putText(at, LINK), name), slash);
  at = putText(putHtml(putText(at, LINK_TEXT), name), slash);
  return putText(at, LINK_END);
}
