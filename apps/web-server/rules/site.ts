// The settings of the site: a table that the host compiles, as a file of a mount of its own.
// Without it, the defaults hold. A request keeps the table that it began with.
import {
  allocatedBytes,
  Errno,
  FileStat,
  heapBytes,
  print,
  printNumber,
  settingsGeneration,
  Span,
  span,
  spanAddress,
  spanBytes,
  SysCloseFile,
  SysMount,
  SysReadFileAt,
  SysStatOpenFile,
  text,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";
import { SITE_TABLE_BYTES_MAX, SiteFlag, SiteTable, SiteText } from "torito/abi/site";
import { openPatiently } from "../patience";
import { isTable } from "./check";

/** The settings at one time. Followed by the table. */
@unmanaged
export class Site {
  number: u32; // equal numbers are the same settings
  users: u32; // requests that use it, and one while it is the current one
  heapBytes: u64; // that it takes

  get table(): usize {
    return changetype<usize>(this) + SITE;
  }

  /** Is the option on? */
  has(flag: SiteFlag): bool {
    return (load<u32>(this.table, SiteTable.flags) & (<u32>1 << flag)) != 0;
  }
}
const SITE: usize = (offsetof<Site>() + 7) & ~7;

export const NO_SITE: Site = changetype<Site>(0);

const TAG = text("settings");
/** No path of a client leads there (hidden.ts). */
const MOUNT = text("/.torito");
const FILE = text("/.torito/site");
/** All tables in use take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 2;

/** The settings of a guest without a table: static, and never freed. */
const presetsMemory: usize = memory.data(offsetof<Site>() + SiteTable.sizeof, 8);
const presets = changetype<Site>(presetsMemory);
if (SITE != offsetof<Site>()) ERROR("site: layout of the presets");

const opened = changetype<FileStat>(memory.data(offsetof<FileStat>()));
let current: Site = presets;
let mounted = false;
let generation: u32 = 0; // of the settings that were looked at last
let number: u32 = 0;
let takenBytes: u64 = 0;

/** Mounts the settings, if the machine has some, and reads them. Yields. Returns 0 or an error. */
export function siteInit(): i32 {
  store<u32>(presets.table, 1 << SiteFlag.PRECOMPRESSED, SiteTable.flags);
  presets.users = 2; // as the current one, and so that it is never freed
  const status = SysMount(spanAddress(TAG), spanBytes(TAG), spanAddress(MOUNT), spanBytes(MOUNT));
  if (status == -Errno.ENODEV) return 0;
  mounted = status == 0;
  generation = settingsGeneration();
  return mounted ? read() : status;
}

/** The settings as they are now. Yields if they have changed. giveSite() ends their use. */
export function takeSite(): Site {
  if (mounted && generation != settingsGeneration()) {
    generation = settingsGeneration(); // others go on with the old ones meanwhile
    const status = read();
    if (status < 0) {
      print("WebServer: the settings cannot be read and stay as they were: error ");
      printNumber(-status);
      print("\n");
    }
  }
  current.users++;
  return current;
}

/** HF12: is a line that ends in a bare LF refused? */
export function hasStrictLines(): bool {
  return current.has(SiteFlag.STRICT);
}

export function giveSite(site: Site): void {
  if (--site.users != 0) return;
  takenBytes -= site.heapBytes;
  ToroFreeMem(changetype<usize>(site));
}

/** Reads the table and makes it the current one. Yields. Returns 0 or an error. */
function read(): i32 {
  const file = openPatiently(spanAddress(FILE), spanBytes(FILE), 0);
  if (file < 0) return file == -Errno.ENOENT ? replace(presets) : file;
  let status = SysStatOpenFile(file, changetype<usize>(opened));
  if (status == 0) status = readTable(file, opened.size);
  SysCloseFile(file);
  return status;
}

function readTable(file: i32, size: u64): i32 {
  if (size > <u64>SITE_TABLE_BYTES_MAX) return -Errno.EFBIG;
  if (takenBytes + size + SITE > heapBytes() >> HEAP_SHIFT) return -Errno.ENOMEM;
  const bytes = <u32>size;
  const site = changetype<Site>(ToroGetMem(SITE + bytes));
  if (site == NO_SITE) return -Errno.ENOMEM;
  const asked = generation;
  const status = fill(file, site.table, bytes);
  // If they have changed again, whoever has noticed reads them.
  if (status < 0 || asked != generation) {
    ToroFreeMem(changetype<usize>(site));
    return status;
  }
  site.number = ++number;
  site.users = 0;
  site.heapBytes = allocatedBytes(changetype<usize>(site));
  takenBytes += site.heapBytes;
  return replace(site);
}

/** Reads all of the file and checks it. Yields. */
function fill(file: i32, table: usize, bytes: u32): i32 {
  let at: u32 = 0;
  while (at < bytes) {
    const got = SysReadFileAt(file, table + at, bytes - at, at);
    if (got <= 0) return got < 0 ? got : -Errno.EIO;
    at += got;
  }
  return isTable(table, bytes) ? 0 : -Errno.EINVAL;
}

function replace(site: Site): i32 {
  const last = current;
  site.users++;
  current = site;
  giveSite(last);
  return 0;
}

/** The SiteText at `at` of the table. */
export function textAt(site: Site, at: usize): Span {
  return span(site.table + load<u32>(at, SiteText.at), load<u32>(at, SiteText.bytes));
}

/** The page for missing ones; 0 bytes: none. */
export function fallbackOf(site: Site): Span {
  return textAt(site, site.table + SiteTable.fallback);
}
