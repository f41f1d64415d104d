// Set-id bits, which give the rights of a file's owner or group to whoever executes it. A guest
// cannot set them, and writing to a file clears them. The kernel does that too, unless this process
// is root.
import { FuseType } from "../../../../abi/fuse.ts";
import { S_IALLUGO, S_ISGID, S_ISUID, S_IXGRP } from "../../../../abi/fuse-write.ts";
import type { FileChanges, Files } from "../../../ports/files.ts";
import { orUndo, quietly } from "../undo.ts";
import type { Node } from "./node.ts";

const NOTHING = () => {};

/** Permission bits that a guest may set. */
export function permissionsOf(mode: number, type: number): number {
  const bits = mode & S_IALLUGO;
  return type === FuseType.DIR ? bits : bits & ~(S_ISUID | S_ISGID);
}

/**
 * Clears them before a file is written, truncated or given away (U21), so that new content never
 * has them. Returns what restores them, in case nothing happens.
 */
export function clearSetId(changes: FileChanges, files: Files, node: Node): () => void {
  if (node.type !== FuseType.REG) return NOTHING;
  const mode = Number(files.stat(node.inode).mode) & S_IALLUGO;
  const lent = (mode & S_ISUID) | ((mode & S_IXGRP) !== 0 ? mode & S_ISGID : 0);
  if (lent === 0) return NOTHING;
  changes.chmod(node.inode, mode & ~lent);
  return () => quietly(() => changes.chmod(node.inode, mode));
}

/** Runs body, which does one of these things with the file. */
export function withoutSetId<T>(changes: FileChanges, files: Files, node: Node, body: () => T): T {
  return orUndo(body, clearSetId(changes, files, node));
}
