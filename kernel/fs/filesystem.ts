// A file system's life: it begins with nothing but its root, and begins again when its server has
// forgotten everything.
import { FUSE_ROOT_ID } from "../../abi/fuse";
import { NODEID_VOID, Session } from "../fuse/session";
import { NEVER } from "../clock";
import { ToroAllocMem, ToroFreeMem } from "../memory";
import { FileSystem, Node, NO_NODE } from "./node";
import { allocate, BUCKETS, dropUnused, remove } from "./table";

export const NO_FILE_SYSTEM: FileSystem = changetype<FileSystem>(0);

/** The file system of a session; null: none. */
export function fileSystemOf(session: Session): FileSystem {
  return changetype<FileSystem>(session.owner);
}

/** A file system with nothing but its root. Null: no memory. */
export function createFileSystem(session: Session): FileSystem {
  assert(session.owner == 0, "fs: done twice");
  const fs = changetype<FileSystem>(ToroAllocMem(offsetof<FileSystem>()));
  if (fs == NO_FILE_SYSTEM) return NO_FILE_SYSTEM;
  fs.session = session;
  fs.byName = ToroAllocMem(BUCKETS * sizeof<usize>());
  fs.byId = ToroAllocMem(BUCKETS * sizeof<usize>());
  const root = allocate(fs, 0);
  fs.root = root;
  if (fs.byName == 0 || fs.byId == 0 || root == NO_NODE) {
    freeFileSystem(fs);
    return NO_FILE_SYSTEM;
  }
  setRoot(fs, root);
  session.owner = changetype<usize>(fs);
  return fs;
}

/** Ends a file system that could not be started; nobody has used it. */
export function destroyFileSystem(fs: FileSystem): void {
  assert(fs.count == 1 && fs.root.uses == 0, "fs: in use");
  fs.session.owner = 0;
  freeFileSystem(fs);
}

function freeFileSystem(fs: FileSystem): void {
  ToroFreeMem(fs.byName);
  ToroFreeMem(fs.byId);
  ToroFreeMem(changetype<usize>(fs.root));
  ToroFreeMem(changetype<usize>(fs));
}

/**
 * The server has forgotten everything (F5): the file system gets another root and empty tables.
 * Nodes in use live on for their users, and are not found any more. Returns false if there is no
 * memory; then nothing has changed.
 */
export function renewFileSystem(fs: FileSystem): bool {
  const root = allocate(fs, 0);
  if (root == NO_NODE) return false;
  for (let i: u32 = 0; i < BUCKETS; i++) {
    const bucket = fs.byId + i * sizeof<usize>();
    let node = changetype<Node>(load<usize>(bucket));
    store<usize>(bucket, 0);
    while (node != NO_NODE) {
      const next = changetype<Node>(changetype<usize>(node.nextById));
      makeVoid(node);
      node = next;
    }
  }
  for (let first = fs.first; first; first = fs.first) remove(changetype<Node>(first));
  assert(fs.last == null, "fs: in use");
  const old = fs.root;
  makeVoid(old);
  old.hashed = false;
  setRoot(fs, root);
  fs.version++;
  dropUnused(old);
  return true;
}

/** The server knows the node no more: there is nothing to ask about it, or to forget. */
function makeVoid(node: Node): void {
  node.nodeid = NODEID_VOID;
  node.lookups = 0;
  node.numbered = false;
  node.attrUntilNs = 0;
}

function setRoot(fs: FileSystem, root: Node): void {
  assert(root.uses == 0 && root.children == 0, "fs: in use");
  fs.root = root;
  root.nodeid = FUSE_ROOT_ID;
  root.parent = root;
  root.hashed = true; // it has no name, and stays
  root.entryUntilNs = NEVER;
}
