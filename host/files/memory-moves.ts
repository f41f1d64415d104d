// Names that go away in the tree of MemoryFiles, removed or moved.
import type { Inode } from "./memory-inode.ts";
import { failure, nameText } from "./memory-names.ts";
import { childOf, entriesOf, type MemoryTree } from "./memory-tree.ts";

/** A name in a directory. */
export interface Entry {
  readonly directory: Inode;
  readonly name: string;
  readonly inode: Inode;
  /** From the directory where the search began. */
  readonly path: string;
}

/** Everything in a directory, each directory before its entries. */
export function below(top: Inode): Entry[] {
  const all: Entry[] = [];
  const list = (directory: Inode, prefix: string) => {
    for (const [name, inode] of directory.entries ?? []) {
      all.push({ directory, name, inode, path: prefix + nameText(name) });
    }
  };
  list(top, "");
  for (let i = 0; i < all.length; i++) {
    const { inode, path } = all[i] as Entry;
    list(inode, `${path}/`);
  }
  return all;
}

/** Takes a name away from an inode, which has or will have another, or a user. */
function leave(tree: MemoryTree, directory: Inode, name: string, inode: Inode): void {
  entriesOf(directory).delete(name);
  inode.links--;
  if (inode.isDirectory) directory.links--;
  tree.touch(directory, inode);
}

/** Removes a name, and the inode when nobody uses it any more. A directory must be empty. */
export function unlink(tree: MemoryTree, directory: Inode, name: string, inode: Inode): void {
  leave(tree, directory, name, inode);
  if (inode.isDirectory) {
    inode.links = 0;
    inode.parent = null;
  }
  tree.free(inode);
}

/** Moves a name over another, as rename(2) does. */
export function move(
  tree: MemoryTree,
  source: Inode,
  name: string,
  target: Inode,
  newName: string,
): void {
  const moved = childOf(source, name);
  const replaced = entriesOf(target).get(newName);
  if (isAbove(moved, target)) throw failure("EINVAL", "a directory into itself");
  if (replaced === moved) return;
  if (isAbove(replaced, source)) throw failure("ENOTEMPTY", nameText(newName));
  if (replaced !== undefined) {
    const isFull = moved.isDirectory && entriesOf(replaced).size > 0;
    if (isFull) throw failure("ENOTEMPTY", nameText(newName));
    if (!moved.isDirectory && replaced.isDirectory) throw failure("EISDIR", nameText(newName));
    unlink(tree, target, newName, replaced);
  }
  tree.enter(target, newName, moved);
  leave(tree, source, name, moved);
  if (moved.isDirectory) moved.parent = target;
}

/** Is it the directory, or one that the directory is in? */
function isAbove(inode: Inode | undefined, directory: Inode): boolean {
  for (let one: Inode | null = directory; one !== null; one = one.parent) {
    if (one === inode) return true;
  }
  return false;
}
