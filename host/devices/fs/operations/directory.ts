// READDIR and READDIRPLUS: whole entries, as many as fit. The names of an open directory are read
// when the guest reads from the start, so cookies (positions in them) outlive an unlink on the
// host. READDIR says the types that came with the names, and asks the host for nothing else: one
// call for each entry would take longer than the whole list.
import { Errno } from "../../../../abi/errno.ts";
import {
  FUSE_ROOT_ID,
  FUSE_UNKNOWN_INO,
  FuseDirent,
  FuseDirentplus,
  FuseType,
  fuseDirentBytes,
} from "../../../../abi/fuse.ts";
import type { DirectoryName, FileStat, Files } from "../../../ports/files.ts";
import { errnoOf } from "../errno.ts";
import type { Handle } from "../nodes/handles.ts";
import { inoOf, typeOf } from "../nodes/node.ts";
import type { NodeTable } from "../nodes/node-table.ts";
import { putEntry } from "./attributes.ts";

const DOT = 46;
const DOTS = [
  { name: Uint8Array.of(DOT), type: FuseType.DIR },
  { name: Uint8Array.of(DOT, DOT), type: FuseType.DIR },
] as const;

/** The reply, and its capacity in bytes. */
export interface DirectoryReply {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly capacity: number;
}

/**
 * Writes the entries from `cookie` on; returns their bytes, 0 at the end, -EINVAL if not even one
 * fits. With `validMs` they are entries of READDIRPLUS, each with a reference on its node. When the
 * host is so slow that the reply is `overdue`, it ends with the entries so far.
 */
export function putEntries(
  { bytes, view, capacity }: DirectoryReply,
  handle: Handle,
  cookie: number,
  files: Files,
  nodes: NodeTable,
  validMs: number | null,
  overdue: () => boolean,
): number {
  const { node, names } = handle;
  const head = validMs === null ? 0 : FuseDirentplus.dirent;
  let written = 0;
  for (let i = cookie; i < names.length + DOTS.length; i++) {
    const entry = DOTS[i] ?? (names[i - DOTS.length] as DirectoryName);
    const { name } = entry;
    const length = head + fuseDirentBytes(name.length);
    if (written + length > capacity) return written > 0 ? written : -Errno.EINVAL;
    if (written > 0 && overdue()) return written;
    bytes.fill(0, written, written + length);
    let ino = BigInt(FUSE_UNKNOWN_INO);
    let { type } = entry;
    if (i >= DOTS.length && (type === 0 || head > 0)) {
      const stat = putChild(name, head === 0 ? null : written);
      if (stat === null) continue; // gone since the names were read
      if (head > 0) ino = stat.ino;
      type = typeOf(stat);
    } else if (i === 0 || (i < DOTS.length && node.id === FUSE_ROOT_ID)) {
      ino = inoOf(node);
    }
    const at = written + head;
    view.setBigUint64(at + FuseDirent.ino, ino, true);
    view.setUint32(at + FuseDirent.off, i + 1, true);
    view.setUint32(at + FuseDirent.namelen, name.length, true);
    view.setUint32(at + FuseDirent.type, type, true);
    bytes.set(name, at + FuseDirent.name);
    written += length;
  }
  return written;

  /** Attributes of an entry; at `entryAt`, if given, its FuseEntryOut with a new reference. */
  function putChild(name: Uint8Array, entryAt: number | null): FileStat | null {
    try {
      // A repeated run would take the reference again (replay.ts).
      if (entryAt === null || nodes.replaying) return files.peek(node.inode, name);
      const found = nodes.lookup(node, name);
      // An entry without a node is legal: the guest looks it up when it needs it.
      if (typeof found === "number") return files.peek(node.inode, name);
      putEntry(view, entryAt, found.id, found.stat, validMs ?? 0);
      return found.stat;
    } catch (error) {
      errnoOf(error); // entries that cannot be examined are left out
      return null;
    }
  }
}
