// SysRename. A directory that was moved is looked up again under its new name, and everything below
// it too.
import { Errno } from "../../abi/errno";
import { FuseOpcode } from "../../abi/fuse";
import { FUSE_RENAME_NOREPLACE, FuseRename2In, FuseRenameIn } from "../../abi/fuse-write";
import { prepare, transact } from "../fuse/request";
import { ToroFreeMem, ToroGetMem } from "../memory";
import { Call, callAt, endCall, Last, takeFound, takeNode } from "./call";
import { lookUp } from "./lookup";
import { findMount, restAfter } from "./mount";
import { endName, lookUpLast } from "./names";
import { FileSystem, isDirectory, Node, NO_NODE } from "./node";
import { beginPath, refuse } from "./path";
import { expire, letGo } from "./table";
import { isEmpty } from "./text";
import { Walk, walk } from "./walk";

/** For SysRename: what is there already stays. */
export const RENAME_NOREPLACE: u32 = FUSE_RENAME_NOREPLACE;

/** The end of the first path, kept while the call walks the second one. The name follows it. */
@unmanaged
class Source {
  directory: Node; // held
  nameBytes: u32;
  last: Last;
  slash: bool;
}

const NO_SOURCE: Source = changetype<Source>(0);

/**
 * Moves the file at `from` to `to`, replacing a file that is there unless RENAME_NOREPLACE is in
 * `flags`; symbolic links are moved themselves. Yields. Returns 0; -EXDEV (another file system),
 * -EBUSY (a mount's root, or a path that ends in dots), -EEXIST, -EINVAL (a directory into itself,
 * or flags that the host does not have), -ENOTEMPTY, -EISDIR, -ENOTDIR, -EROFS or an error as of
 * SysStatFile.
 */
export function SysRename(
  from: usize,
  fromBytes: u32,
  to: usize,
  toBytes: u32,
  flags: u32,
): i32 {
  if ((flags & ~RENAME_NOREPLACE) != 0) return -Errno.EINVAL;
  const end = to + toBytes;
  const mount = findMount(to, end);
  const refused = refuse(mount, toBytes);
  if (refused < 0) return refused;
  const begun = beginPath(from, fromBytes, Walk.Parent);
  if (begun < 0) return <i32>begun;
  const call = callAt(begun);
  const status = renameTo(call, mount.fs, restAfter(mount, to, end), end, flags);
  endCall(call);
  return status;
}

/** Renames from where the call is, before the last name of its path. Yields. */
function renameTo(call: Call, fs: FileSystem, to: usize, end: usize, flags: u32): i32 {
  if (call.last == Last.Root) return -Errno.EBUSY;
  if (isEmpty(to, end)) return occupied(flags); // the root of a mount
  if (call.fs != fs) return -Errno.EXDEV;
  const source = takeSource(call);
  if (source == NO_SOURCE) return -Errno.ENOMEM;
  let status = walk(call, fs, to, end, Walk.Parent);
  if (status == 0) {
    if (source.last != Last.Name) status = -Errno.EBUSY;
    else if (call.last != Last.Name) status = occupied(flags);
    else status = renameEntry(call, source, flags);
  }
  letGo(source.directory);
  ToroFreeMem(changetype<usize>(source));
  return status;
}

/** The error for a target that exists and cannot be replaced. */
function occupied(flags: u32): i32 {
  return flags != 0 ? -Errno.EEXIST : -Errno.EBUSY;
}

/**
 * Takes directory and name from the call. The name is copied: the second walk may need the memory.
 * Null: no memory.
 */
function takeSource(call: Call): Source {
  const bytes = call.last == Last.Name ? call.nameBytes : 0;
  assert(call.last != Last.Root, "fs: no name");
  const source = changetype<Source>(ToroGetMem(offsetof<Source>() + bytes));
  if (source == NO_SOURCE) return NO_SOURCE;
  source.last = call.last;
  source.slash = call.slash;
  source.nameBytes = bytes;
  memory.copy(sourceName(source), call.name, bytes);
  source.directory = takeNode(call);
  return source;
}

function sourceName(source: Source): usize {
  return changetype<usize>(source) + offsetof<Source>();
}

/** Renames the source to the last name of the directory where the call is. Yields. */
function renameEntry(call: Call, source: Source, flags: u32): i32 {
  assert(source.last == Last.Name && call.last == Last.Name, "fs: no name");
  assert(source.directory.fs == call.node.fs, "fs: misplaced");
  let status = lookUp(call, source.directory, sourceName(source), source.nameBytes);
  if (status < 0) return status;
  const moved = takeFound(call);
  status = lookUpLast(call);
  const victim = status == 0 ? takeFound(call) : NO_NODE;
  if (status == 0 || status == -Errno.ENOENT) {
    if (victim != NO_NODE && flags != 0) status = -Errno.EEXIST;
    else if ((source.slash || call.slash) && !isDirectory(moved)) status = -Errno.ENOTDIR;
    else status = sendRename(call, source, flags);
  }
  expire(moved);
  if (victim != NO_NODE) {
    expire(victim);
    letGo(victim);
  }
  letGo(moved);
  return status;
}

function sendRename(call: Call, source: Source, flags: u32): i32 {
  const from = source.directory;
  const to = call.node;
  const name = sourceName(source);
  const bytes = source.nameBytes;
  assert(bytes != 0 && call.nameBytes != 0, "fs: no name");
  const plain = flags == 0;
  const head = plain ? <u32>FuseRenameIn.sizeof : <u32>FuseRename2In.sizeof;
  const opcode = plain ? FuseOpcode.RENAME : FuseOpcode.RENAME2;
  const all = head + bytes + 1 + call.nameBytes + 1;
  const input = prepare(call.request, opcode, from.nodeid, all);
  store<u64>(input, to.nodeid, FuseRenameIn.newdir);
  if (!plain) store<u32>(input, flags, FuseRename2In.flags);
  memory.copy(input + head, name, bytes);
  memory.copy(input + head + bytes + 1, call.name, call.nameBytes);
  const status = transact(call.request);
  call.fs.version++;
  expire(from);
  expire(to);
  endName(from, name, bytes, status == 0);
  endName(to, call.name, call.nameBytes, status == 0); // also if it was known to be absent
  return status;
}
