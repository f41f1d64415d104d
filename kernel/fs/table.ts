// The tables of a file system's nodes: a tree, found by hash, of bounded size. The least recently
// used nodes are evicted, and the server forgets them too.
import { Forgotten } from "../fuse/session";
import { forget } from "../fuse/forget";
import { fnv1a } from "../hash";
import { heapBytes, ToroAllocMem, ToroFreeMem } from "../memory";
import { FileSystem, nameOf, Node, NODE_BYTES, NO_NODE } from "./node";

/** Nodes that a file system knows at a time, at least, and in a large heap at most. */
const NODES_LEAST: u32 = 1024;
const NODES_MOST: u32 = 16_384;
/** About what one takes. All of a file system take at most this fraction of the heap. */
const NODE_SHIFT: u64 = 8;
const HEAP_SHIFT: u64 = 4;
/** Evicted at a time, so that one request forgets many. */
const EVICTED: u32 = 32;
export const BUCKETS: u32 = 4096;

/** Nodes known at a time, not counting those in use by open files and calls. */
export function nodesMax(): u32 {
  const most = <u32>(heapBytes() >> (HEAP_SHIFT + NODE_SHIFT));
  return min(max(most, NODES_LEAST), NODES_MOST);
}

/** A node that is in no table. Null: no memory. */
export function allocate(fs: FileSystem, nameBytes: u32): Node {
  const node = changetype<Node>(ToroAllocMem(NODE_BYTES + nameBytes));
  if (node == NO_NODE) return NO_NODE;
  node.fs = fs;
  node.nameBytes = nameBytes;
  fs.count++;
  assert(node.uses == 0 && node.lookups == 0, "fs: in use");
  return node;
}

/** The hash of a name begins with a value that differs between directories. */
export function hashStart(parent: Node): u32 {
  return <u32>changetype<usize>(parent) * 0x9e37_79b1;
}

export function hashName(parent: Node, name: usize, bytes: u32): u32 {
  return fnv1a(hashStart(parent), name, bytes);
}

function bucketOf(table: usize, hash: u32): usize {
  return table + ((hash ^ (hash >> 16)) & (BUCKETS - 1)) * sizeof<usize>();
}

function idBucketOf(fs: FileSystem, nodeid: u64): usize {
  return bucketOf(fs.byId, <u32>nodeid * 0x9e37_79b1);
}

export function findChild(parent: Node, hash: u32, name: usize, bytes: u32): Node {
  let node = changetype<Node>(load<usize>(bucketOf(parent.fs.byName, hash)));
  while (node != NO_NODE) {
    if (node.hash == hash && node.parent == parent && node.nameBytes == bytes) {
      if (sameBytes(nameOf(node), name, bytes)) break;
    }
    node = changetype<Node>(changetype<usize>(node.nextByName));
  }
  return node;
}

function sameBytes(a: usize, b: usize, bytes: u32): bool {
  while (bytes >= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
    bytes -= 8;
  }
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

/** Some node of that number, or null. */
export function findById(fs: FileSystem, nodeid: u64): Node {
  let node = changetype<Node>(load<usize>(idBucketOf(fs, nodeid)));
  while (node != NO_NODE && node.nodeid != nodeid) {
    node = changetype<Node>(changetype<usize>(node.nextById));
  }
  return node;
}

/** A child of `parent` that is not in the tables yet. Evicts others for it. Null: no memory. */
export function makeChild(parent: Node, hash: u32, name: usize, bytes: u32): Node {
  const fs = parent.fs;
  if (fs.count >= nodesMax()) evict(fs, EVICTED);
  const node = allocate(fs, bytes);
  if (node == NO_NODE) return NO_NODE;
  node.parent = parent;
  parent.children++;
  node.hash = hash;
  memory.copy(nameOf(node), name, bytes);
  return node;
}

/** Puts a node into the tables: from now on its name finds it. */
export function enter(node: Node): void {
  assert(!node.hashed && !node.numbered, "fs: done twice");
  assert(node.parent.children != 0, "fs: count");
  const fs = node.fs;
  node.hashed = true;
  node.referenced = true;
  const byName = bucketOf(fs.byName, node.hash);
  node.nextByName = changetype<Node>(load<usize>(byName));
  store<usize>(byName, changetype<usize>(node));
  if (node.nodeid != 0) number(node); // names without a file would all be in one chain
  fs.append(node);
}

function number(node: Node): void {
  assert(node.lookups != 0, "fs: count");
  const byId = idBucketOf(node.fs, node.nodeid);
  node.nextById = changetype<Node>(load<usize>(byId));
  store<usize>(byId, changetype<usize>(node));
  node.numbered = true;
}

/** The name means something else now, or nothing. The node lives on for its users. */
export function remove(node: Node): void {
  assert(node.hashed && node != node.fs.root, "fs: not listed");
  const fs = node.fs;
  node.hashed = false;
  const byName = bucketOf(fs.byName, node.hash);
  let before = changetype<Node>(load<usize>(byName));
  if (before == node) {
    store<usize>(byName, changetype<usize>(node.nextByName));
  } else {
    while (before.nextByName != node) before = before.nextByName!;
    before.nextByName = node.nextByName;
  }
  fs.remove(node);
  dropUnused(node);
}

/** Removes the names in a directory that has lost its own. */
export function removeChildren(directory: Node): void {
  if (directory.children == 0) return;
  for (let member = directory.fs.first; member; ) {
    const node = changetype<Node>(member);
    member = member.next;
    if (node.parent == directory) remove(node);
  }
}

function unnumber(node: Node): void {
  if (!node.numbered) return;
  const byId = idBucketOf(node.fs, node.nodeid);
  let before = changetype<Node>(load<usize>(byId));
  if (before == node) {
    store<usize>(byId, changetype<usize>(node.nextById));
  } else {
    while (before.nextById != node) before = before.nextById!;
    before.nextById = node.nextById;
  }
}

/** The attributes of a file have changed: they end for all of its names. */
export function expire(node: Node): void {
  expireOne(node);
  let other = findById(node.fs, node.nodeid);
  while (other != NO_NODE) {
    if (other.nodeid == node.nodeid && other != node) expireOne(other);
    other = changetype<Node>(changetype<usize>(other.nextById));
  }
}

function expireOne(node: Node): void {
  node.attrUntilNs = 0;
  node.changes++;
}

/**
 * The server does not know a node any more that it once knew, so names that are still valid may
 * lead to other files by now. Each will be looked up again.
 */
export function distrust(fs: FileSystem): void {
  fs.root.attrUntilNs = 0;
  for (let member = fs.first; member; ) {
    const node = changetype<Node>(member);
    node.entryUntilNs = 0;
    node.attrUntilNs = 0;
    member = member.next;
  }
}

export function hold(node: Node): void {
  node.uses++;
}

export function letGo(node: Node): void {
  assert(node.uses != 0, "fs: not held");
  node.uses--;
  dropUnused(node);
}

/** Frees a node that no name finds and nobody uses, and then its parent, and so on. */
export function dropUnused(node: Node): void {
  if (offsetof<Forgotten>() > NODE_BYTES) ERROR("fs: a node has no room to be forgotten");
  while (!node.hashed && node.uses == 0 && node.children == 0) {
    const fs = node.fs;
    const parent = node.parent;
    unnumber(node);
    ToroFreeMem(node.target);
    assert(fs.count != 0, "fs: count");
    fs.count--;
    const block = changetype<usize>(node);
    if (node.lookups != 0) forget(fs.session, node.nodeid, node.lookups, block);
    else ToroFreeMem(block);
    if (parent == node) return; // the root of a file system that was renewed
    assert(parent.children != 0, "fs: count");
    parent.children--;
    node = parent;
  }
}

/** Removes up to `wanted` nodes: the least recently used of those that nobody needs. */
export function evict(fs: FileSystem, wanted: u32): void {
  for (let tries = fs.count * 2; tries != 0 && wanted != 0; tries--) {
    const oldest = fs.first;
    if (!oldest) return;
    const node = changetype<Node>(oldest);
    if (node.referenced || node.uses != 0 || node.children != 0) {
      // It gets a second chance (the clock algorithm).
      node.referenced = false;
      fs.remove(node);
      fs.append(node);
    } else {
      remove(node);
      wanted--;
    }
  }
}
