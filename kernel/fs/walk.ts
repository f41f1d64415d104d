// From a path to its node. Empty components and "." are skipped; ".." goes to the parent, and never
// above the mount's root; symbolic links are resolved here and never by the server.
import { Errno } from "../../abi/errno";
import { FUSE_NAME_BYTES_MAX, FuseType } from "../../abi/fuse";
import { fnv1aByte } from "../hash";
import { ToroGetMem } from "../memory";
import { Call, Last, moveTo, putOn, stepInto, takeFound } from "./call";
import { lookUp, readLink } from "./lookup";
import { FileSystem, isDirectory, Node, NO_NODE, typeOf } from "./node";
import { findChild, hashStart, hold, letGo } from "./table";
import { dotsIn, endsInSlash, hasNul, isEmpty, nameEnd, SLASH, skipSlashes } from "./text";

/** How a walk treats the last name of its path. */
export const enum Walk {
  Follow, // goes to its file, also through a symbolic link
  Stay, // goes to its file; stays at a symbolic link unless a slash follows it
  Parent, // does not look it up: the call ends in its directory
}

/** Longest path, also after symbolic links were put into it. */
export const PATH_BYTES_MAX: u32 = 4096;
const LINKS_MAX: u32 = 40;

/**
 * The node at [path, end), with nodeid 0 if there is no such file; null if a name on the way is not
 * valid at `now`, or the path has dots or symbolic links, and walk() is needed.
 */
export function findCached(fs: FileSystem, path: usize, end: usize, now: u64): Node {
  let node = fs.root;
  let p = skipSlashes(path, end);
  while (p < end) {
    if (!isDirectory(node)) return NO_NODE;
    const name = p;
    let hash = hashStart(node);
    for (; p < end; p++) {
      const byte: u32 = load<u8>(p);
      if (byte == SLASH) break;
      hash = fnv1aByte(hash, byte);
    }
    const bytes = <u32>(p - name);
    if (dotsIn(name, bytes) != 0) return NO_NODE;
    node = findChild(node, hash, name, bytes);
    if (node == NO_NODE || node.entryUntilNs <= now) return NO_NODE;
    node.referenced = true;
    if (node.nodeid == 0) return node;
    p = skipSlashes(p, end);
  }
  const type = typeOf(node);
  if (type == FuseType.LNK) return NO_NODE;
  return type != FuseType.DIR && endsInSlash(path, end) ? NO_NODE : node;
}

/**
 * Walks [path, end) from the root of a file system. Yields. Returns 0 or an error; either way the
 * call is where the walk ended. With Walk.Parent the last name is in the call (see takeLast).
 */
export function walk(call: Call, fs: FileSystem, path: usize, end: usize, how: Walk): i32 {
  assert(call.fs.session == fs.session, "fs: misplaced");
  hold(fs.root);
  putOn(call, fs.root);
  call.links = 0;
  return walkOn(call, fs.root, path, end, how);
}

/** As walk(), from where the call is. */
function walkOn(call: Call, root: Node, path: usize, end: usize, how: Walk): i32 {
  let p = path;
  call.fresh = false;
  call.last = Last.Root;
  while (true) {
    p = skipSlashes(p, end);
    if (p == end) break;
    const directory = call.node;
    if (!isDirectory(directory)) return -Errno.ENOTDIR;
    const name = p;
    p = nameEnd(p, end);
    const bytes = <u32>(p - name);
    if (bytes > <u32>FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    if (how == Walk.Parent && isEmpty(p, end)) return takeLast(call, name, bytes, p != end);
    const dots = dotsIn(name, bytes);
    if (dots == 2) moveTo(call, directory.parent);
    if (dots != 0) {
      call.fresh = false;
      continue;
    }
    const status = lookUp(call, directory, name, bytes);
    if (status < 0) return status;
    if (typeOf(call.found) == FuseType.LNK && (how != Walk.Stay || p < end)) {
      const length = enterLink(call, root, p, end);
      if (length < 0) return length;
      path = p = call.scratch;
      end = p + length;
    } else {
      stepInto(call);
    }
  }
  assert(call.found == NO_NODE, "fs: in use");
  return endsInSlash(path, end) && !isDirectory(call.node) ? -Errno.ENOTDIR : 0;
}

/**
 * Ends a walk before the last name, which stays good until the call's scratch memory is used again.
 */
function takeLast(call: Call, name: usize, bytes: u32, slash: bool): i32 {
  if (hasNul(name, bytes)) return -Errno.EINVAL;
  const dots = dotsIn(name, bytes);
  call.last = dots == 0 ? Last.Name : dots == 1 ? Last.Dot : Last.DotDot;
  call.name = name;
  call.nameBytes = bytes;
  call.slash = slash;
  return 0;
}

/**
 * Takes the symbolic link that was found in the call's directory, and moves the call to where its
 * text begins: there, or at the root. Yields. Returns the bytes of the path from there on, in
 * call.scratch, or an error.
 */
function enterLink(call: Call, root: Node, rest: usize, end: usize): i32 {
  const link = takeFound(call);
  const length = ++call.links > LINKS_MAX ? -Errno.ELOOP : expand(call, link, rest, end);
  const absolute = length >= 0 && load<u8>(link.target) == SLASH;
  letGo(link);
  call.fresh = false; // those were the link's
  if (absolute) moveTo(call, root);
  return length;
}

/**
 * After walk(Walk.Parent), and lookUp() of the last name, which is a symbolic link: walks on to
 * where it leads, and again stops before the last name. Yields. Returns as walk().
 */
export function walkThrough(call: Call): i32 {
  assert(typeOf(call.found) == FuseType.LNK, "fs: wrong type");
  const root = call.found.fs.root;
  const length = enterLink(call, root, 0, 0);
  if (length < 0) return length;
  const path = call.scratch;
  return walkOn(call, root, path, path + length, Walk.Parent);
}

/**
 * Puts the link's text, and the rest of the path after it, into the call's scratch memory. Yields.
 * Returns the bytes of the new path, or an error.
 */
function expand(call: Call, link: Node, rest: usize, end: usize): i32 {
  const status = readLink(call.request, link);
  if (status < 0) return status;
  if (call.scratch == 0) call.scratch = ToroGetMem(PATH_BYTES_MAX);
  const path = call.scratch;
  if (path == 0) return -Errno.ENOMEM;
  const restBytes = <u32>(end - rest); // none, or it begins with a slash
  const bytes = link.targetBytes + restBytes;
  if (bytes > PATH_BYTES_MAX) return -Errno.ENAMETOOLONG;
  // The rest may be in the scratch memory itself, where the text goes.
  memory.copy(path + link.targetBytes, rest, restBytes);
  memory.copy(path, link.target, link.targetBytes);
  assert(link.targetBytes != 0, "fs: empty");
  return bytes;
}
