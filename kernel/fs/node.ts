// Names that the guest knows, each with the server's node behind it: a tree, found by hash, of
// bounded size. What was not used for the longest time is forgotten, on the server too. A name
// without a file is a node with nodeid 0.
import { FUSE_ROOT_ID, FuseType } from "../../abi/fuse";
import { Forgotten, FsDriver, NODEID_VOID } from "../../drivers/fs/driver";
import { forget } from "../../drivers/fs/forgotten";
import { NEVER } from "../clock";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { FileStat } from "./stat";

/** Names known at a time, but for those that are in use: open files and calls going on. */
export const NODES_MAX: u32 = 1024;
/** Evicted at a time, so that one request forgets many. */
const EVICTED: u32 = 32;
const BUCKETS: u32 = 1024;

@unmanaged
export class Node extends Forgotten {
  generation: u64; // of nodeid, which the server uses again once it was forgotten
  entryUntilNs: u64; // the name may be believed until then
  attrUntilNs: u64; // and the attributes
  asked: u8; // rights that the server was asked for since it told the attributes, a bit for each
  granted: u8; // and which of them this process has on the host
  session: Session;
  parent: Node; // kept in memory by its children; the root's is the root
  hash: u32;
  nameBytes: u32;
  nextByName: Node | null;
  nextById: Node | null;
  newer: Node | null;
  older: Node | null;
  hashed: bool; // found by its name; otherwise it lives until nobody uses it
  listed: bool; // found by its number, for as long as it lives
  referenced: bool; // found since the last eviction looked at it
  uses: u32; // open files and calls that stand on it
  children: u32;
  target: usize; // text of a symbolic link, once it was read
  targetBytes: u32;
}

// Embedded parts, by offset.
const STAT: usize = (offsetof<Node>() + 7) & ~7;
const NAME: usize = STAT + offsetof<FileStat>();

export const NO_NODE: Node = changetype<Node>(0);

/** One FUSE session with one device. */
@unmanaged
export class Session {
  driver: FsDriver;
  root: Node;
  started: bool;
  dataBytesMax: u32; // of one READ or WRITE
  version: u32; // changes that were answered
  window: usize; // files in shared memory (window.ts); 0: none
  count: u32; // nodes, those that are in no table included
  byName: usize; // BUCKETS addresses
  byId: usize;
  newest: Node | null;
  oldest: Node | null;
}

export function statOf(node: Node): FileStat {
  return changetype<FileStat>(changetype<usize>(node) + STAT);
}

export function nameOf(node: Node): usize {
  return changetype<usize>(node) + NAME;
}

export function typeOf(node: Node): u32 {
  return statOf(node).mode >> 12;
}

export function isDirectory(node: Node): bool {
  return typeOf(node) == FuseType.DIR;
}

/** A session with nothing but its root, or null: no memory. */
export function createSession(driver: FsDriver): Session | null {
  const session = changetype<Session>(ToroAllocMem(offsetof<Session>()));
  if (changetype<usize>(session) == 0) return null;
  session.driver = driver;
  session.byName = ToroAllocMem(BUCKETS * sizeof<usize>());
  session.byId = ToroAllocMem(BUCKETS * sizeof<usize>());
  const root = allocate(session, 0);
  session.root = root;
  if (session.byName == 0 || session.byId == 0 || root == NO_NODE) {
    destroySession(session);
    return null;
  }
  putRoot(session, root);
  return session;
}

/**
 * The server has forgotten all that it has told (F5): the session is as new, with another root. The
 * nodes that are still in use live on for who uses them, and are found no more. Returns false when
 * there is no memory; then nothing has changed.
 */
export function renewSession(session: Session): bool {
  const root = allocate(session, 0);
  if (root == NO_NODE) return false;
  for (let i: u32 = 0; i < BUCKETS; i++) {
    const bucket = session.byId + i * sizeof<usize>();
    let node = changetype<Node>(load<usize>(bucket));
    store<usize>(bucket, 0);
    while (node != NO_NODE) {
      const next = changetype<Node>(changetype<usize>(node.nextById));
      makeVoid(node);
      node = next;
    }
  }
  for (let node = session.oldest; node; node = session.oldest) remove(node);
  const old = session.root;
  makeVoid(old);
  old.hashed = false;
  putRoot(session, root);
  session.version++;
  dropUnused(old);
  return true;
}

function makeVoid(node: Node): void {
  node.nodeid = NODEID_VOID;
  node.lookups = 0;
  node.listed = false;
  node.attrUntilNs = 0;
}

function putRoot(session: Session, root: Node): void {
  session.root = root;
  root.nodeid = FUSE_ROOT_ID;
  root.parent = root;
  root.hashed = true; // it has no name, and does not go
  root.entryUntilNs = NEVER;
}

/** Frees a session that nobody has used yet. */
export function destroySession(session: Session): void {
  ToroFreeMem(session.byName);
  ToroFreeMem(session.byId);
  ToroFreeMem(changetype<usize>(session.root));
  ToroFreeMem(changetype<usize>(session));
}

function allocate(session: Session, nameBytes: u32): Node {
  const node = changetype<Node>(ToroAllocMem(NAME + nameBytes));
  if (node == NO_NODE) return NO_NODE;
  node.session = session;
  node.nameBytes = nameBytes;
  session.count++;
  return node;
}

// FNV-1a over the name, from a start that tells directories apart.
const FNV_PRIME: u32 = 0x0100_0193;

export function hashStart(parent: Node): u32 {
  return <u32>changetype<usize>(parent) * 0x9e37_79b1;
}

export function hashByte(hash: u32, byte: u32): u32 {
  return (hash ^ byte) * FNV_PRIME;
}

export function hashName(parent: Node, name: usize, bytes: u32): u32 {
  let hash = hashStart(parent);
  for (let i: u32 = 0; i < bytes; i++) hash = hashByte(hash, load<u8>(name + i));
  return hash;
}

function bucketOf(table: usize, hash: u32): usize {
  return table + ((hash ^ (hash >> 16)) & (BUCKETS - 1)) * sizeof<usize>();
}

function idBucketOf(session: Session, nodeid: u64): usize {
  return bucketOf(session.byId, <u32>nodeid * 0x9e37_79b1);
}

export function findChild(parent: Node, hash: u32, name: usize, bytes: u32): Node {
  let node = changetype<Node>(load<usize>(bucketOf(parent.session.byName, hash)));
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

/** Some name of that node, or null. */
export function findById(session: Session, nodeid: u64): Node {
  let node = changetype<Node>(load<usize>(idBucketOf(session, nodeid)));
  while (node != NO_NODE && node.nodeid != nodeid) {
    node = changetype<Node>(changetype<usize>(node.nextById));
  }
  return node;
}

/** A child of `parent` that is not in the tables yet; null: no memory. Evicts others for it. */
export function makeChild(parent: Node, hash: u32, name: usize, bytes: u32): Node {
  const session = parent.session;
  if (session.count >= NODES_MAX) evict(session, EVICTED);
  const node = allocate(session, bytes);
  if (node == NO_NODE) return NO_NODE;
  node.parent = parent;
  parent.children++;
  node.hash = hash;
  memory.copy(nameOf(node), name, bytes);
  return node;
}

/** Puts a node into the tables: from here on its name finds it. */
export function enter(node: Node): void {
  const session = node.session;
  node.hashed = true;
  node.referenced = true;
  const byName = bucketOf(session.byName, node.hash);
  node.nextByName = changetype<Node>(load<usize>(byName));
  store<usize>(byName, changetype<usize>(node));
  if (node.nodeid != 0) list(node); // names without a file would all be in one chain
  pushNewest(session, node);
}

function list(node: Node): void {
  const byId = idBucketOf(node.session, node.nodeid);
  node.nextById = changetype<Node>(load<usize>(byId));
  store<usize>(byId, changetype<usize>(node));
  node.listed = true;
}

/** Its name means something else now, or nothing: the node lives on for who uses it. */
export function remove(node: Node): void {
  const session = node.session;
  node.hashed = false;
  const byName = bucketOf(session.byName, node.hash);
  let before = changetype<Node>(load<usize>(byName));
  if (before == node) {
    store<usize>(byName, changetype<usize>(node.nextByName));
  } else {
    while (before.nextByName != node) before = before.nextByName!;
    before.nextByName = node.nextByName;
  }
  unlink(session, node);
  dropUnused(node);
}

/** Removes the names in a directory that no name finds any more. */
export function removeChildren(directory: Node): void {
  if (directory.children == 0) return;
  for (let node = directory.session.oldest; node; ) {
    const newer = node.newer;
    if (node.parent == directory) remove(node);
    node = newer;
  }
}

function unlist(node: Node): void {
  if (!node.listed) return;
  const byId = idBucketOf(node.session, node.nodeid);
  let before = changetype<Node>(load<usize>(byId));
  if (before == node) {
    store<usize>(byId, changetype<usize>(node.nextById));
  } else {
    while (before.nextById != node) before = before.nextById!;
    before.nextById = node.nextById;
  }
}

/** The attributes of a file have changed, whichever of its names they were asked for by. */
export function expire(node: Node): void {
  node.attrUntilNs = 0;
  let other = findById(node.session, node.nodeid);
  while (other != NO_NODE) {
    if (other.nodeid == node.nodeid) other.attrUntilNs = 0;
    other = changetype<Node>(changetype<usize>(other.nextById));
  }
}

/**
 * The server does not find again what it once knew: names that are still believed may lead to other
 * files by now. Each is looked up again.
 */
export function distrust(session: Session): void {
  session.root.attrUntilNs = 0;
  for (let node = session.newest; node; ) {
    node.entryUntilNs = 0;
    node.attrUntilNs = 0;
    const older = node.older;
    node = older;
  }
}

export function hold(node: Node): void {
  node.uses++;
}

export function letGo(node: Node): void {
  assert(node.uses != 0, "fs: node let go twice");
  node.uses--;
  dropUnused(node);
}

/** Ends a node that no name finds and nobody uses, and so on upwards. */
export function dropUnused(node: Node): void {
  while (!node.hashed && node.uses == 0 && node.children == 0) {
    const session = node.session;
    const parent = node.parent;
    unlist(node);
    ToroFreeMem(node.target);
    session.count--;
    if (node.lookups != 0) forget(session.driver, node);
    else ToroFreeMem(changetype<usize>(node));
    if (parent == node) return; // the root of a session that was renewed
    parent.children--;
    node = parent;
  }
}

function pushNewest(session: Session, node: Node): void {
  const newest = session.newest;
  node.newer = null;
  node.older = newest;
  if (newest) newest.newer = node;
  else session.oldest = node;
  session.newest = node;
}

function unlink(session: Session, node: Node): void {
  const newer = node.newer;
  const older = node.older;
  if (newer) newer.older = older;
  else session.newest = older;
  if (older) older.newer = newer;
  else session.oldest = newer;
}

/** Forgets up to `wanted` nodes: the oldest that nobody needs and that were not found lately. */
export function evict(session: Session, wanted: u32): void {
  for (let tries = session.count * 2; tries != 0 && wanted != 0; tries--) {
    const node = session.oldest;
    if (!node) return;
    if (node.referenced || node.uses != 0 || node.children != 0) {
      node.referenced = false;
      unlink(session, node);
      pushNewest(session, node);
    } else {
      remove(node);
      wanted--;
    }
  }
}
