// Modes that lend the rights of a file's owner or group to whoever runs it. A guest cannot give
// them to a file, and takes them from one that it writes to: as root, this process would keep them.
import { FuseType } from "../../../drivers/abi/fuse.ts";
import { S_IALLUGO, S_ISGID, S_ISUID, S_IXGRP } from "../../../drivers/abi/fuse-write.ts";
import type { FileChanges, Files } from "../../files.ts";
import type { OpenFile } from "./handles.ts";
import type { Node } from "./nodes.ts";
import type { FuseServer } from "./server.ts";

/** Permission bits that a guest may ask for. */
export function permissionsOf(mode: number, type: number): number {
  const bits = mode & S_IALLUGO;
  return type === FuseType.DIR ? bits : bits & ~(S_ISUID | S_ISGID);
}

/** U21, before a file is written, cut or given away. */
export function clearSetId(changes: FileChanges, files: Files, node: Node): void {
  if (node.type !== FuseType.REG) return;
  const mode = Number(files.stat(node.inode).mode) & S_IALLUGO;
  const lent = (mode & S_ISUID) | ((mode & S_IXGRP) !== 0 ? mode & S_ISGID : 0);
  if (lent !== 0) changes.chmod(node.inode, mode & ~lent);
}

/**
 * Set-id bits go when a file is written. Where the host's kernel leaves that to us they are looked
 * for as often as attributes are: only programs of the host can have set them meanwhile.
 */
export function disarm(changes: FileChanges, server: FuseServer, file: OpenFile): void {
  if (!changes.keepsSetId()) return;
  const nowNs = server.now();
  if (nowNs - file.harmlessNs < server.validMs * 1e6) return;
  clearSetId(changes, server.files, file.node);
  file.harmlessNs = nowNs;
}
