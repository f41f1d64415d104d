// Opening and creating files. A name is looked up before CREATE, so that symbolic links are
// followed here and never by the server. If the host makes the name in between, CREATE itself
// notices.
import { Errno } from "../../abi/errno";
import {
  FUSE_O_ACCMODE,
  FUSE_O_APPEND,
  FUSE_O_CREAT,
  FUSE_O_DIRECTORY,
  FUSE_O_DSYNC,
  FUSE_O_EXCL,
  FUSE_O_RDONLY,
  FUSE_O_RDWR,
  FUSE_O_SYNC,
  FUSE_O_TRUNC,
  FUSE_O_WRONLY,
  FuseEntryOut,
  FuseOpcode,
  FuseOpenOut,
  FuseType,
} from "../../abi/fuse";
import { FuseCreateIn } from "../../abi/fuse-write";
import { replyOf } from "../fuse/session";
import { isKilled } from "../scheduler";
import { Call, callAt, endCall, Last, stepInto } from "./call";
import {
  abandonFile,
  discardFile,
  fileOf,
  newFile,
  openNode,
  settleFile,
  WIRE_FLAGS,
} from "./file";
import { lookUp } from "./lookup";
import { makeEntry, prepareName } from "./make";
import { isDirectory, NO_NODE, typeOf } from "./node";
import { resize } from "./nodeattributes";
import { beginPath, isStale } from "./path";
import { Walk, walkThrough } from "./walk";

/** Linux numbers of x86-64. */
export const O_RDONLY: u32 = FUSE_O_RDONLY;
export const O_WRONLY: u32 = FUSE_O_WRONLY;
export const O_RDWR: u32 = FUSE_O_RDWR;
export const O_CREAT: u32 = FUSE_O_CREAT;
export const O_EXCL: u32 = FUSE_O_EXCL;
export const O_TRUNC: u32 = FUSE_O_TRUNC;
export const O_APPEND: u32 = FUSE_O_APPEND;
export const O_DSYNC: u32 = FUSE_O_DSYNC;
export const O_SYNC: u32 = FUSE_O_SYNC;
export const O_DIRECTORY: u32 = FUSE_O_DIRECTORY;
export const O_NOFOLLOW: u32 = 0x20000;
const O_ACCMODE: u32 = FUSE_O_ACCMODE;
/** Accepted and ignored. */
const O_NOCTTY: u32 = 0x100;
const O_NONBLOCK: u32 = 0x800;
const O_LARGEFILE: u32 = 0x8000;
const O_NOATIME: u32 = 0x40000;
const O_CLOEXEC: u32 = 0x80000;
const IGNORED: u32 = O_NOCTTY | O_NONBLOCK | O_LARGEFILE | O_NOATIME | O_CLOEXEC;
const FLAGS_KNOWN: u32 =
  WIRE_FLAGS | O_CREAT | O_EXCL | O_TRUNC | O_DIRECTORY | O_NOFOLLOW | IGNORED;
const MODE_NEW: u32 = 0o666;
/** How often the host may put a symbolic link where a file is to be created. */
const TRIES_MAX: u32 = 8;
const MODE_BITS: u32 = 0o7777;

/**
 * Opens a file, or a directory for reading; with O_CREAT it creates a missing file, of mode 0666.
 * Yields. Returns a handle for SysCloseFile; -EINVAL for unknown flags, -EROFS, -EEXIST (O_EXCL),
 * -EISDIR (writing to a directory, or creating one), -ELOOP (also: a symbolic link, with
 * O_NOFOLLOW), -ENOTDIR (also: O_DIRECTORY and not one), -EACCES (also: neither file nor
 * directory), -ENFILE (1024 are open), -EMFILE (the host's limit), -ENOSPC, or an error as of
 * SysStatFile.
 */
export function SysOpenFile(path: usize, pathBytes: u32, flags: u32): i32 {
  return open(path, pathBytes, flags, MODE_NEW);
}

/**
 * Opens a file for reading and writing; a missing one is created with the permissions `mode`.
 * SysTruncateOpenFile empties one that was there. Yields. Returns as SysOpenFile.
 */
export function SysCreateFile(path: usize, pathBytes: u32, mode: u32): i32 {
  return open(path, pathBytes, O_RDWR | O_CREAT, mode);
}

function open(path: usize, pathBytes: u32, flags: u32, mode: u32): i32 {
  const handle = openOnce(path, pathBytes, flags, mode);
  return isStale(handle) ? openOnce(path, pathBytes, flags, mode) : handle;
}

function openOnce(path: usize, pathBytes: u32, flags: u32, mode: u32): i32 {
  if ((flags & ~FLAGS_KNOWN) != 0 || (flags & O_ACCMODE) == O_ACCMODE) return -Errno.EINVAL;
  const creates = (flags & O_CREAT) != 0;
  if (creates && (flags & O_DIRECTORY) != 0) return -Errno.EINVAL;
  const how = creates ? Walk.Parent : (flags & O_NOFOLLOW) != 0 ? Walk.Stay : Walk.Follow;
  const begun = beginPath(path, pathBytes, how);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const handle = creates ? openOrCreate(call, flags, mode) : openFound(call, flags);
  // Nobody would ever close it: a killed thread does not return from endCall().
  if (handle >= 0 && isKilled()) abandonFile(call.request, handle);
  endCall(call);
  return handle;
}

/** Opens the node where the call is. Yields. */
function openFound(call: Call, flags: u32): i32 {
  const node = call.node;
  assert(node != NO_NODE && node.nodeid != 0, "fs: no node");
  if (typeOf(node) == FuseType.LNK) return -Errno.ELOOP;
  if (isDirectory(node)) {
    if ((flags & (O_ACCMODE | O_TRUNC | O_CREAT)) != 0) return -Errno.EISDIR;
  } else if ((flags & O_DIRECTORY) != 0) {
    return -Errno.ENOTDIR;
  }
  const handle = openNode(call, flags);
  if (handle < 0 || (flags & O_TRUNC) == 0) return handle;
  // By the node: a handle that is only for reading could not.
  const status = resize(call.request, node, 0);
  if (status == 0) return handle;
  abandonFile(call.request, handle);
  return status;
}

/** The call is before the last name. Yields. */
function openOrCreate(call: Call, flags: u32, mode: u32): i32 {
  const excludes = (flags & O_EXCL) != 0;
  let tries: u32 = 0;
  while (true) {
    if (call.last != Last.Name) return excludes ? -Errno.EEXIST : -Errno.EISDIR;
    if (call.slash) return -Errno.EISDIR;
    const found = lookUp(call, call.node, call.name, call.nameBytes);
    if (found == -Errno.ENOENT) {
      const made = create(call, flags, mode);
      // -ELOOP: the host has put a symbolic link there meanwhile, which the server does not follow.
      if (made != -Errno.ELOOP || (flags & O_NOFOLLOW) != 0 || ++tries > TRIES_MAX) return made;
      continue;
    }
    if (found < 0) return found;
    if (typeOf(call.found) != FuseType.LNK || (flags & (O_EXCL | O_NOFOLLOW)) != 0) {
      stepInto(call);
      return excludes ? -Errno.EEXIST : openFound(call, flags);
    }
    const status = walkThrough(call);
    if (status < 0) return status;
  }
}

/** Creates the last name as a file, and opens it. Yields. */
function create(call: Call, flags: u32, mode: u32): i32 {
  assert(call.last == Last.Name && !call.slash, "fs: no name");
  const handle = newFile(call.node, flags);
  if (handle < 0) return handle;
  const input = prepareName(call, FuseOpcode.CREATE, FuseCreateIn.sizeof);
  store<u32>(input, flags & (WIRE_FLAGS | O_CREAT | O_EXCL | O_TRUNC), FuseCreateIn.flags);
  store<u32>(input, (FuseType.REG << 12) | (mode & MODE_BITS), FuseCreateIn.mode);
  call.request.replyBytes = <u32>FuseEntryOut.sizeof + FuseOpenOut.sizeof;
  const status = makeEntry(call, FuseType.REG);
  if (status < 0) {
    discardFile(handle);
    return status;
  }
  const fh = load<u64>(replyOf(call.request), FuseEntryOut.sizeof + FuseOpenOut.fh);
  settleFile(fileOf(handle), call.node, fh);
  assert(typeOf(call.node) == FuseType.REG, "fs: wrong type");
  return handle;
}
