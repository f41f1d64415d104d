// Nodes as data: each name that the guest knows, with the file that the server has there. A node
// with nodeid 0 is a name without a file. A file system is the tables of its nodes (table.ts).
import { FuseType } from "../../abi/fuse";
import { Session } from "../fuse/session";
import { List, ListNode } from "../list";
import { FileStat } from "./stat";

/** In the list of its file system. */
@unmanaged
export class Node extends ListNode {
  nodeid: u64;
  generation: u64; // of nodeid, which the server uses again once it was forgotten
  lookups: u64; // references of the server's that were counted for this node
  entryUntilNs: u64; // the name is valid until then
  attrUntilNs: u64; // and the attributes
  changes: u32; // by this guest
  asked: u8; // rights that the server was asked for since the attributes came, a bit for each
  granted: u8; // and those of them that this process has on the host
  fs: FileSystem;
  parent: Node; // kept in memory by its children; the root's is the root
  hash: u32;
  nameBytes: u32;
  nextByName: Node | null;
  nextById: Node | null;
  hashed: bool; // found by its name; otherwise it lives until nobody uses it
  numbered: bool; // found by its number, for as long as it lives
  referenced: bool; // found since evict() last came by
  uses: u32; // by open files and calls
  children: u32;
  target: usize; // text of a symbolic link, once it was read
  targetBytes: u32;
}

export const NO_NODE: Node = changetype<Node>(0);

// Embedded parts, by offset.
const STAT: usize = (offsetof<Node>() + 7) & ~7;
const NAME: usize = STAT + offsetof<FileStat>();
export const NODE_BYTES: usize = NAME; // then the name

/** One file system: a session, and the list of nodes that names find, least recently used first. */
@unmanaged
export class FileSystem extends List {
  session: Session;
  root: Node;
  version: u32; // changes that were answered
  window: usize; // parts of files in shared memory (window.ts); 0: none
  count: u32; // nodes, including those that are in no table
  byName: usize; // BUCKETS addresses
  byId: usize;
}

export function statOf(node: Node): FileStat {
  if (((STAT | NAME) & 7) != 0) ERROR("fs: node layout");
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
