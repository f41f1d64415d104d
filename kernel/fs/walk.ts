// From a path to its node. Paths are bytes; empty components and "." are skipped, ".." goes to the
// parent and never above the mount's root, symbolic links are resolved here and never by the
// server.
import { Errno } from "../../abi/errno";
import { FUSE_NAME_BYTES_MAX, FuseType } from "../../abi/fuse";
import { FsRequest } from "../../drivers/fs/driver";
import { ToroGetMem } from "../memory";
import {
  findChild,
  hashByte,
  hashStart,
  hold,
  isDirectory,
  letGo,
  Node,
  NO_NODE,
  Session,
  typeOf,
} from "./node";
import { hasNul, lookUp, readLink } from "./session";

/** What a walk does with the last name of its path. */
export const enum Walk {
  Follow, // also where it is a symbolic link
  Stay, // at the link, unless a slash is behind it
  Parent, // does not look it up: the request stands on its directory
}

/** The last part of a path, where the walk ended in front of it. */
export const enum Last {
  Name,
  Root, // there is none
  Dot,
  DotDot,
}

/** A path, and what the text of symbolic links may make of it. */
export const PATH_BYTES_MAX: u32 = 4096;
const LINKS_MAX: u32 = 40;
const SLASH: u32 = 0x2f;
const DOT: u32 = 0x2e;

export function skipSlashes(p: usize, end: usize): usize {
  while (p < end && load<u8>(p) == SLASH) p++;
  return p;
}

function nameEnd(p: usize, end: usize): usize {
  while (p < end && load<u8>(p) != SLASH) p++;
  return p;
}

/** 1 for ".", 2 for "..", else 0. */
function dotsIn(name: usize, bytes: u32): u32 {
  if (bytes > 2 || load<u8>(name) != DOT) return 0;
  if (bytes == 1) return 1;
  return load<u8>(name, 1) == DOT ? 2 : 0;
}

function endsInSlash(path: usize, end: usize): bool {
  return end > path && load<u8>(end - 1) == SLASH;
}

/**
 * The node at [path, end) if all of the way may be believed at `now`, and has neither dots nor
 * symbolic links; otherwise null, and walk() has to go. Its nodeid is 0 where there is no such
 * file.
 */
export function findCached(session: Session, path: usize, end: usize, now: u64): Node {
  let node = session.root;
  let p = skipSlashes(path, end);
  while (p < end) {
    if (!isDirectory(node)) return NO_NODE;
    const name = p;
    let hash = hashStart(node);
    for (; p < end; p++) {
      const byte: u32 = load<u8>(p);
      if (byte == SLASH) break;
      hash = hashByte(hash, byte);
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

/** Lets the request stand on `node`, which it holds already, in place of where it stood. */
function moveTo(request: FsRequest, node: Node): void {
  const left = changetype<Node>(request.node);
  request.node = changetype<usize>(node);
  letGo(left);
}

function moveAndHold(request: FsRequest, node: Node): void {
  hold(node);
  moveTo(request, node);
}

/**
 * Walks [path, end) from the root of the session. Yields. Returns 0 or an error; either way the
 * caller lets go of request.node, where the walk ended. With Walk.Parent request.name and .last say
 * what is left of the path, and .slash whether slashes end it; the name is good until the request's
 * scratch memory is used again.
 */
export function walk(
  request: FsRequest,
  session: Session,
  path: usize,
  end: usize,
  how: Walk,
): i32 {
  const root = session.root;
  hold(root);
  request.node = changetype<usize>(root);
  request.links = 0;
  return walkOn(request, root, path, end, how);
}

/** As walk, from where the request stands. */
function walkOn(request: FsRequest, root: Node, path: usize, end: usize, how: Walk): i32 {
  let p = path;
  request.fresh = false;
  request.last = Last.Root;
  while (true) {
    p = skipSlashes(p, end);
    if (p == end) break;
    const directory = changetype<Node>(request.node);
    if (!isDirectory(directory)) return -Errno.ENOTDIR;
    const name = p;
    p = nameEnd(p, end);
    const bytes = <u32>(p - name);
    if (bytes > <u32>FUSE_NAME_BYTES_MAX) return -Errno.ENAMETOOLONG;
    const dots = dotsIn(name, bytes);
    if (how == Walk.Parent && skipSlashes(p, end) == end) {
      if (hasNul(name, bytes)) return -Errno.EINVAL;
      request.last = dots == 0 ? Last.Name : dots == 1 ? Last.Dot : Last.DotDot;
      request.name = name;
      request.nameBytes = bytes;
      request.slash = p != end;
      return 0;
    }
    if (dots == 2) moveAndHold(request, directory.parent);
    if (dots != 0) {
      request.fresh = false;
      continue;
    }
    // lookUp lets the request stand on the child; the directory is let go behind it.
    const found = lookUp(request, directory, name, bytes);
    if (found < 0) return found;
    const child = changetype<Node>(request.node);
    if (typeOf(child) == FuseType.LNK && (how != Walk.Stay || p < end)) {
      const length = enterLink(request, directory, child, root, p, end);
      if (length < 0) return length;
      path = p = request.scratch;
      end = p + length;
    } else {
      letGo(directory);
    }
  }
  if (endsInSlash(path, end) && !isDirectory(changetype<Node>(request.node))) return -Errno.ENOTDIR;
  return 0;
}

/**
 * Lets the request stand where the text of `link`, on which it stands, begins: in its directory or
 * on the root. Returns the bytes of the path from there on, in request.scratch, or an error.
 */
function enterLink(
  request: FsRequest,
  directory: Node,
  link: Node,
  root: Node,
  rest: usize,
  end: usize,
): i32 {
  const length = ++request.links > LINKS_MAX ? -Errno.ELOOP : expand(request, link, rest, end);
  const absolute = length >= 0 && load<u8>(link.target) == SLASH;
  letGo(link);
  request.node = changetype<usize>(directory);
  request.fresh = false; // those of the link were
  if (absolute) moveAndHold(request, root);
  return length;
}

/**
 * Behind walk(Walk.Parent): goes on through the symbolic link `child` that the last name has turned
 * out to be, on which the request stands in place of `directory`, to where its text leads; again in
 * front of the last name. Yields. Returns as walk().
 */
export function walkThrough(request: FsRequest, directory: Node, child: Node): i32 {
  const root = child.session.root;
  const length = enterLink(request, directory, child, root, 0, 0);
  if (length < 0) return length;
  const path = request.scratch;
  return walkOn(request, root, path, path + length, Walk.Parent);
}

/**
 * Puts the link's text and the rest of the path behind it into the request's scratch memory.
 * Yields. Returns the bytes of the new path, or an error.
 */
function expand(request: FsRequest, link: Node, rest: usize, end: usize): i32 {
  const status = readLink(request, link);
  if (status < 0) return status;
  if (request.scratch == 0) request.scratch = ToroGetMem(PATH_BYTES_MAX);
  const path = request.scratch;
  if (path == 0) return -Errno.ENOMEM;
  const restBytes = <u32>(end - rest); // none, or it begins with a slash
  const bytes = link.targetBytes + restBytes;
  if (bytes > PATH_BYTES_MAX) return -Errno.ENAMETOOLONG;
  // The rest may be in the scratch memory itself, where the text is going to be.
  memory.copy(path + link.targetBytes, rest, restBytes);
  memory.copy(path, link.target, link.targetBytes);
  return bytes;
}
