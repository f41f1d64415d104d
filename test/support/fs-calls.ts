// FUSE requests as functions, for tests that care about the file system and not about the bytes.
import { Errno } from "../../abi/errno.ts";
import {
  FuseAttr,
  FuseAttrOut,
  FuseEntryOut,
  FuseOpcode,
  FuseOpenOut,
  FuseReadIn,
  FuseReleaseIn,
} from "../../abi/fuse.ts";
import type { FsPuppet, Reply, Shape } from "./fs-puppet.ts";
import { HIPRIO } from "./fs-puppet.ts";

export const ROOT = 1;

export function words(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** A name with its NUL. Strings are taken as bytes, so that "\xff" is one. */
export function named(name: string | Uint8Array): Uint8Array {
  const bytes = typeof name === "string" ? Buffer.from(name, "latin1") : name;
  return Uint8Array.from([...bytes, 0]);
}

export interface Entry {
  error: number;
  nodeid: number;
  ino: bigint;
  size: bigint;
  mode: number;
}

export function lookup(fs: FsPuppet, parent: number, name: string | Uint8Array): Entry {
  const reply = fs.request(FuseOpcode.LOOKUP, named(name), { nodeid: parent });
  if (reply.error !== 0) return { error: reply.error, nodeid: 0, ino: 0n, size: 0n, mode: 0 };
  const { view } = reply;
  const nodeid = Number(view.getBigUint64(FuseEntryOut.nodeid, true));
  // A negative entry (U17) says the same.
  const error = nodeid === 0 ? -Errno.ENOENT : 0;
  return { error, nodeid, ...attributes(view, FuseEntryOut.attr) };
}

export function getattr(fs: FsPuppet, nodeid: number | bigint): Entry {
  const reply = fs.request(FuseOpcode.GETATTR, new Uint8Array(16), { nodeid });
  if (reply.error !== 0) return { error: reply.error, nodeid: 0, ino: 0n, size: 0n, mode: 0 };
  return { error: 0, nodeid: Number(nodeid), ...attributes(reply.view, FuseAttrOut.attr) };
}

/** The handle, or the error. */
export function open(fs: FsPuppet, nodeid: number, flags = 0, opcode = FuseOpcode.OPEN): number {
  const reply = fs.request(opcode, words(flags, 0), { nodeid });
  return reply.error === 0 ? Number(reply.view.getBigUint64(FuseOpenOut.fh, true)) : reply.error;
}

export function opendir(fs: FsPuppet, nodeid: number): number {
  return open(fs, nodeid, 0, FuseOpcode.OPENDIR);
}

export function readArguments(fh: number, offset: number | bigint, size: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(FuseReadIn.sizeof));
  view.setBigUint64(FuseReadIn.fh, BigInt(fh), true);
  view.setBigUint64(FuseReadIn.offset, BigInt(offset), true);
  view.setUint32(FuseReadIn.size, size, true);
  return new Uint8Array(view.buffer);
}

export function read(
  fs: FsPuppet,
  nodeid: number,
  fh: number,
  offset: number | bigint,
  size: number,
  shape: Shape = {},
): Reply {
  return fs.request(FuseOpcode.READ, readArguments(fh, offset, size), { nodeid, ...shape });
}

export function release(
  fs: FsPuppet,
  nodeid: number,
  fh: number,
  opcode = FuseOpcode.RELEASE,
): number {
  const args = new DataView(new ArrayBuffer(FuseReleaseIn.sizeof));
  args.setBigUint64(FuseReleaseIn.fh, BigInt(fh), true);
  return fs.request(opcode, new Uint8Array(args.buffer), { nodeid }).error;
}

export function forget(fs: FsPuppet, nodeid: number, count: number | bigint): Reply {
  const args = new Uint8Array(BigUint64Array.from([BigInt(count)]).buffer);
  return fs.request(FuseOpcode.FORGET, args, { nodeid, queue: HIPRIO, room: 0 });
}

export function batchForget(fs: FsPuppet, pairs: [number, bigint][], count = pairs.length): Reply {
  const list = BigUint64Array.from(pairs.flatMap(([nodeid, n]) => [BigInt(nodeid), n]));
  const args = new Uint8Array(8 + list.byteLength);
  args.set(words(count, 0));
  args.set(new Uint8Array(list.buffer), 8);
  return fs.request(FuseOpcode.BATCH_FORGET, args, { nodeid: 0, queue: HIPRIO, room: 0 });
}

export interface Dirent {
  name: Buffer;
  ino: bigint;
  off: number;
  type: number;
  /** READDIRPLUS only. */
  nodeid: number;
}

/** The entries of one READDIR or READDIRPLUS, or its error. */
export function readdir(
  fs: FsPuppet,
  nodeid: number,
  fh: number,
  cookie: number | bigint = 0,
  size = 4096,
  plus = false,
): Dirent[] | number {
  const opcode = plus ? FuseOpcode.READDIRPLUS : FuseOpcode.READDIR;
  const reply = fs.request(opcode, readArguments(fh, cookie, size), { nodeid });
  if (reply.error !== 0) return reply.error;
  const entries: Dirent[] = [];
  const { view, data } = reply;
  for (let at = 0; at < data.length; ) {
    const dirent = at + (plus ? FuseEntryOut.sizeof : 0);
    const length = view.getUint32(dirent + 16, true);
    entries.push({
      nodeid: plus ? Number(view.getBigUint64(at, true)) : 0,
      ino: view.getBigUint64(dirent, true),
      off: Number(view.getBigUint64(dirent + 8, true)),
      type: view.getUint32(dirent + 20, true),
      name: Buffer.from(data.subarray(dirent + 24, dirent + 24 + length)),
    });
    at = dirent + ((24 + length + 7) & ~7);
  }
  return entries;
}

function attributes(view: DataView, at: number): { ino: bigint; size: bigint; mode: number } {
  return {
    ino: view.getBigUint64(at + FuseAttr.ino, true),
    size: view.getBigUint64(at + FuseAttr.size, true),
    mode: view.getUint32(at + FuseAttr.mode, true),
  };
}
