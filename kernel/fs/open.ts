// Opening and making files. A name is looked up before it is made, so that symbolic links are
// followed here and never by the server; who is faster on the host is seen by CREATE itself.
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
import { FsRequest, replyOf } from "../../drivers/fs/driver";
import { isKilled } from "../scheduler";
import {
  abandonFile,
  discardFile,
  fileOf,
  newFile,
  openNode,
  settleFile,
  WIRE_FLAGS,
} from "./file";
import { makeEntry, putName } from "./make";
import { isDirectory, letGo, Node, typeOf } from "./node";
import { beginPath, isStale, pathError } from "./path";
import { endCall } from "./request";
import { lookUp } from "./session";
import { resize } from "./setattr";
import { Last, Walk, walkThrough } from "./walk";

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
/** What may stand beside them without a meaning here. */
const O_NOCTTY: u32 = 0x100;
const O_NONBLOCK: u32 = 0x800;
const O_LARGEFILE: u32 = 0x8000;
const O_NOATIME: u32 = 0x40000;
const O_CLOEXEC: u32 = 0x80000;
const MEANINGLESS: u32 = O_NOCTTY | O_NONBLOCK | O_LARGEFILE | O_NOATIME | O_CLOEXEC;
const FLAGS_KNOWN: u32 =
  WIRE_FLAGS | O_CREAT | O_EXCL | O_TRUNC | O_DIRECTORY | O_NOFOLLOW | MEANINGLESS;
const MODE_NEW: u32 = 0o666;
/** How often the host may put a symbolic link where a file is to be made. */
const TRIES_MAX: u32 = 8;
const MODE_BITS: u32 = 0o7777;

/**
 * Opens a file, or a directory for reading; with O_CREAT it makes the file, of mode 0666, where
 * there is none. Yields. Returns a handle for SysCloseFile; -EINVAL for flags that are not known,
 * -EROFS for what would write where that may not be, -EEXIST (O_EXCL), -EISDIR (writing to a
 * directory, or making one), -ELOOP (also: a symbolic link, with O_NOFOLLOW), -ENOTDIR (also:
 * O_DIRECTORY and not one), -EACCES (also: neither file nor directory), -ENFILE (1024 are open),
 * -EMFILE (the host's limit), -ENOSPC, or an error as of SysStatFile.
 */
export function SysOpenFile(path: usize, pathBytes: u32, flags: u32): i32 {
  return open(path, pathBytes, flags, MODE_NEW);
}

/**
 * Opens a file for reading and writing, and makes it with the permissions `mode` where there is
 * none; SysTruncateOpenFile empties one that was there. Yields. Returns as SysOpenFile.
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
  const request = beginPath(path, pathBytes, how);
  if (!request) return pathError();
  const handle = creates ? openOrCreate(request, flags, mode) : openFound(request, flags);
  // Nobody would ever close it: the thread does not return from endCall().
  if (handle >= 0 && isKilled()) abandonFile(request, handle);
  endCall(request);
  return handle;
}

/** Opens where the request stands. Yields. */
function openFound(request: FsRequest, flags: u32): i32 {
  const node = changetype<Node>(request.node);
  if (typeOf(node) == FuseType.LNK) return -Errno.ELOOP;
  if (isDirectory(node)) {
    if ((flags & (O_ACCMODE | O_TRUNC | O_CREAT)) != 0) return -Errno.EISDIR;
  } else if ((flags & O_DIRECTORY) != 0) {
    return -Errno.ENOTDIR;
  }
  const handle = openNode(request, flags);
  if (handle < 0 || (flags & O_TRUNC) == 0) return handle;
  // By the node: a handle for reading alone could not.
  const status = resize(request, node, 0);
  if (status == 0) return handle;
  abandonFile(request, handle);
  return status;
}

/** The request stands in front of the last name. Yields. */
function openOrCreate(request: FsRequest, flags: u32, mode: u32): i32 {
  let tries: u32 = 0;
  while (true) {
    const excludes = (flags & O_EXCL) != 0;
    if (request.last != Last.Name) return excludes ? -Errno.EEXIST : -Errno.EISDIR;
    if (request.slash) return -Errno.EISDIR;
    const directory = changetype<Node>(request.node);
    const found = lookUp(request, directory, request.name, request.nameBytes);
    if (found == -Errno.ENOENT) {
      const made = create(request, flags, mode);
      // On the host a symbolic link has come there meanwhile; the server follows none.
      if (made != -Errno.ELOOP || (flags & O_NOFOLLOW) != 0 || ++tries > TRIES_MAX) return made;
      continue;
    }
    if (found < 0) return found;
    const child = changetype<Node>(request.node);
    if (typeOf(child) != FuseType.LNK || (flags & (O_EXCL | O_NOFOLLOW)) != 0) {
      letGo(directory);
      return excludes ? -Errno.EEXIST : openFound(request, flags);
    }
    const status = walkThrough(request, directory, child);
    if (status < 0) return status;
  }
}

function create(request: FsRequest, flags: u32, mode: u32): i32 {
  const handle = newFile(changetype<Node>(request.node), flags);
  if (handle < 0) return handle;
  const input = putName(request, FuseCreateIn.sizeof);
  store<u32>(input, flags & (WIRE_FLAGS | O_CREAT | O_EXCL | O_TRUNC), FuseCreateIn.flags);
  store<u32>(input, (FuseType.REG << 12) | (mode & MODE_BITS), FuseCreateIn.mode);
  const head = <u32>FuseCreateIn.sizeof;
  const reply = <u32>FuseEntryOut.sizeof + FuseOpenOut.sizeof;
  const status = makeEntry(request, FuseOpcode.CREATE, head, reply, FuseType.REG, 0, 0);
  if (status < 0) {
    discardFile(handle);
    return status;
  }
  const fh = load<u64>(replyOf(request), FuseEntryOut.sizeof + FuseOpenOut.fh);
  settleFile(fileOf(handle), changetype<Node>(request.node), fh);
  return handle;
}
