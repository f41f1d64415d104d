// FUSE operations that create, move and remove directory entries. A new name is looked up again, so
// that the reply describes what is there.

import { Errno } from "../../../../abi/errno.ts";
import {
  FUSE_O_EXCL,
  FUSE_O_TRUNC,
  FuseEntryOut,
  FuseOpcode,
  FuseType,
} from "../../../../abi/fuse.ts";
import {
  FUSE_RENAME_NOREPLACE,
  FuseCreateIn,
  FuseLinkIn,
  FuseMkdirIn,
  FuseMknodIn,
  FuseRename2In,
  FuseRenameIn,
} from "../../../../abi/fuse-write.ts";
import { equalBytes } from "../../../bytes.ts";
import type { FileChanges } from "../../../ports/files.ts";
import { orThrow, refusal } from "../errno.ts";
import { inoOf, type Node, typeOf } from "../nodes/node.ts";
import { permissionsOf } from "../nodes/set-id.ts";
import { type FuseRequest, nameFault } from "../request.ts";
import type { Share } from "../share.ts";
import { orErrno, orUndo, quietly, unmake } from "../undo.ts";
import { getU64, putEntry, putOpen } from "./attributes.ts";
import { type Change, changing, type Entry } from "./entry.ts";

export const CHANGES: readonly Entry[] = [
  changing(FuseOpcode.CREATE, create),
  changing(FuseOpcode.MKNOD, mknod),
  changing(FuseOpcode.MKDIR, mkdir),
  changing(FuseOpcode.SYMLINK, symlink),
  changing(FuseOpcode.LINK, link),
  changing(FuseOpcode.UNLINK, remove("unlink")),
  changing(FuseOpcode.RMDIR, remove("removeDirectory")),
  changing(FuseOpcode.RENAME, rename(FuseRenameIn.sizeof)),
  changing(FuseOpcode.RENAME2, rename2),
];

/** How often CREATE tries while the name keeps appearing and vanishing. */
const CREATE_TRIES = 100;

/** The name of an entry to create or remove in the directory `parent`; or -Errno. */
function entryName(request: FuseRequest, at: number, parent: Node): Uint8Array | number {
  const name = request.name(at);
  if (typeof name === "number") return name;
  const fault = nameFault(name);
  if (fault < 0) return fault;
  return parent.type === FuseType.DIR ? name : -Errno.ENOTDIR;
}

/** U10: creates the file if it does not exist, and opens it in any case. */
function create(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const name = entryName(request, FuseCreateIn.sizeof, parent);
  if (typeof name === "number") return name;
  const flags = request.arguments.getUint32(FuseCreateIn.flags, true);
  const mode = request.arguments.getUint32(FuseCreateIn.mode, true);
  // Programs of the host may create and remove the name between any two steps.
  for (let tries = 0; tries < CREATE_TRIES; tries++) {
    const made = orErrno(() => createNew(changes, share, parent, name, flags, mode));
    if (typeof made !== "number") return putCreated(share, request, made.node, made.fh);
    if (made !== -Errno.EEXIST || (flags & FUSE_O_EXCL) !== 0) return made;
    const node = orErrno(() => share.nodes.lookup(parent, name));
    if (node === -Errno.ENOENT) continue;
    if (typeof node === "number") return node;
    return orUndo(
      () => putCreated(share, request, node, openExisting(changes, share, node, flags)),
      () => share.dropReferences(node, 1),
    );
  }
  return -Errno.ESTALE;
}

function createNew(
  changes: FileChanges,
  share: Share,
  parent: Node,
  name: Uint8Array,
  flags: number,
  mode: number,
): { node: Node; fh: number } {
  const { files, nodes, handles } = share;
  if (files.peek(parent.inode, name) !== null) throw refusal(-Errno.EEXIST);
  if (nodes.full) throw refusal(-Errno.ENFILE);
  if (handles.full) throw refusal(-Errno.EMFILE);
  const permissions = permissionsOf(mode, FuseType.REG);
  const { descriptor, inode, stat } = changes.create(parent.inode, name, flags, permissions);
  return orUndo(
    () => {
      setPermissions(changes, share, inode, permissions);
      const node = nodes.adopt(inode, files.stat(inode), parent, name);
      return { node, fh: handles.adopt(node, descriptor, flags).id };
    },
    () => {
      nodes.drop(inode);
      quietly(() => files.close(descriptor));
      unmake(changes, share.files, parent, name, stat);
    },
  );
}

/** A handle for a file that existed before. */
function openExisting(changes: FileChanges, share: Share, node: Node, flags: number): number {
  const handle = orThrow(share.handles.open(node, false, flags));
  if ((flags & FUSE_O_TRUNC) === 0) return handle.id;
  return orUndo(
    () => {
      share.empty(changes, node);
      node.stat = share.files.stat(node.inode);
      return handle.id;
    },
    () => share.handles.release(handle),
  );
}

function putCreated(share: Share, request: FuseRequest, node: Node, fh: number): number {
  putEntry(request.reply, 0, node.id, node.stat, share.validMs);
  return FuseEntryOut.sizeof + putOpen(request.reply, FuseEntryOut.sizeof, fh);
}

/** The guest chooses the mode: restores bits that this process's umask has cleared. */
function setPermissions(
  changes: FileChanges,
  { files }: Share,
  inode: number,
  permissions: number,
): void {
  const { mode } = files.stat(inode);
  const got = Number(mode) & 0o777;
  const wanted = permissions & 0o777;
  if (got !== wanted) changes.chmod(inode, (Number(mode) & 0o7000) | wanted);
}

/** Regular files only: a guest has no use for other types of this host. */
function mknod(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const name = entryName(request, FuseMknodIn.sizeof, parent);
  if (typeof name === "number") return name;
  const mode = request.arguments.getUint32(FuseMknodIn.mode, true);
  const type = mode >> 12;
  if (type !== 0 && type !== FuseType.REG) return -Errno.EPERM;
  const made = createNew(changes, share, parent, name, 0, mode);
  const handle = share.handles.get(made.fh, made.node.id);
  if (handle !== undefined) share.handles.release(handle);
  putEntry(request.reply, 0, made.node.id, made.node.stat, share.validMs);
  return FuseEntryOut.sizeof;
}

function mkdir(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const name = entryName(request, FuseMkdirIn.sizeof, parent);
  if (typeof name === "number") return name;
  if (share.nodes.full) return -Errno.ENFILE;
  const mode = request.arguments.getUint32(FuseMkdirIn.mode, true);
  const permissions = permissionsOf(mode, FuseType.DIR);
  changes.makeDirectory(parent.inode, name, permissions);
  return orUndo(
    () => {
      const node = orThrow(share.nodes.lookup(parent, name));
      return orUndo(
        () => {
          if (node.type === FuseType.DIR) setPermissions(changes, share, node.inode, permissions);
          putEntry(request.reply, 0, node.id, share.files.stat(node.inode), share.validMs);
          return FuseEntryOut.sizeof;
        },
        () => share.dropReferences(node, 1),
      );
    },
    () => quietly(() => changes.removeDirectory(parent.inode, name)), // fails unless it is empty
  );
}

function symlink(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const strings = request.twoStrings(0);
  if (typeof strings === "number") return strings;
  const [name, target] = strings;
  const fault = nameFault(name);
  if (fault < 0) return fault;
  if (parent.type !== FuseType.DIR) return -Errno.ENOTDIR;
  if (share.nodes.full) return -Errno.ENFILE;
  changes.symlink(parent.inode, name, target);
  return orUndo(
    () => putNamed(share, request, parent, name),
    () =>
      quietly(() => {
        const text = share.files.readlink(parent.inode, name);
        if (equalBytes(text, target)) changes.unlink(parent.inode, name);
      }),
  );
}

/** By name, because an inode alone cannot be linked: it must still be where it was seen last. */
function link(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const name = entryName(request, FuseLinkIn.sizeof, parent);
  if (typeof name === "number") return name;
  const { nodes } = share;
  const source = nodes.get(getU64(request.arguments, FuseLinkIn.oldnodeid));
  if (source === undefined) return -Errno.EBADF;
  if (source.type === FuseType.DIR) return -Errno.EPERM;
  const place = nodes.placeOf(source);
  if (place === null) return -Errno.ENOENT;
  changes.link(place.parent.inode, place.name, parent.inode, name);
  const identity = { dev: source.key >> 68n, ino: inoOf(source) };
  const made = orUndo(
    () => orThrow(nodes.lookup(parent, name)),
    () => unmake(changes, share.files, parent, name, identity),
  );
  if (made !== source) {
    share.dropReferences(made, 1); // a program of the host has replaced it
    return -Errno.ESTALE;
  }
  putEntry(request.reply, 0, made.id, made.stat, share.validMs);
  return FuseEntryOut.sizeof;
}

/** Replies with the new entry, and a reference for the guest. */
function putNamed(share: Share, request: FuseRequest, parent: Node, name: Uint8Array): number {
  const node = orThrow(share.nodes.lookup(parent, name));
  putEntry(request.reply, 0, node.id, node.stat, share.validMs);
  return FuseEntryOut.sizeof;
}

function remove(how: "unlink" | "removeDirectory"): Change {
  return (changes, _share, request, parent) => {
    const name = entryName(request, 0, parent);
    if (typeof name === "number") return name;
    changes[how](parent.inode, name);
    return 0;
  };
}

function rename(at: number): Change {
  return (changes, share, request, parent) => {
    const move = moveOf(share, request, parent, at);
    if (typeof move === "number") return move;
    changes.rename(parent.inode, move.name, move.to.inode, move.newName);
    share.nodes.moved(move.to, move.newName);
    return 0;
  };
}

interface Move {
  readonly name: Uint8Array;
  readonly to: Node;
  readonly newName: Uint8Array;
}

function moveOf(share: Share, request: FuseRequest, parent: Node, at: number): Move | number {
  const strings = request.twoStrings(at);
  if (typeof strings === "number") return strings;
  const [name, newName] = strings;
  const fault = nameFault(name) || nameFault(newName);
  if (fault < 0) return fault;
  const to = share.nodes.get(getU64(request.arguments, FuseRenameIn.newdir));
  if (to === undefined) return -Errno.EBADF;
  if (parent.type !== FuseType.DIR || to.type !== FuseType.DIR) return -Errno.ENOTDIR;
  return { name, to, newName };
}

/**
 * U20. Node has no renameat2, so RENAME_EXCHANGE is refused, and RENAME_NOREPLACE is emulated with
 * link + unlink. That is equivalent for files, because link never replaces; a directory cannot have
 * two names.
 */
function rename2(changes: FileChanges, share: Share, request: FuseRequest, parent: Node): number {
  const flags = request.arguments.getUint32(FuseRename2In.flags, true);
  if (flags === 0) return rename(FuseRename2In.sizeof)(changes, share, request, parent);
  if (flags !== FUSE_RENAME_NOREPLACE) return -Errno.EINVAL;
  const move = moveOf(share, request, parent, FuseRename2In.sizeof);
  if (typeof move === "number") return move;
  const { files, nodes } = share;
  const source = files.peek(parent.inode, move.name);
  if (source === null) return -Errno.ENOENT;
  if (files.peek(move.to.inode, move.newName) !== null) return -Errno.EEXIST;
  if (typeOf(source) === FuseType.DIR) return -Errno.EINVAL;
  changes.link(parent.inode, move.name, move.to.inode, move.newName);
  orUndo(
    () => changes.unlink(parent.inode, move.name),
    () => unmake(changes, share.files, move.to, move.newName, source),
  );
  nodes.moved(move.to, move.newName);
  return 0;
}
