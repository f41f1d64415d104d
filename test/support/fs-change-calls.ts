// FUSE requests that change something, as functions; those that read are in fs-calls.ts.
import { FuseAttr, FuseAttrOut, FuseEntryOut, FuseOpcode } from "../../abi/fuse.ts";
import { FuseSetattrIn, FuseWriteIn } from "../../abi/fuse-write.ts";
import { named, words } from "./fs-calls.ts";
import type { FsPuppet, Reply, Shape } from "./fs-puppet.ts";

const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
const quads = (...values: (number | bigint)[]) =>
  new Uint8Array(BigUint64Array.from(values.map(BigInt)).buffer);

export interface Made {
  error: number;
  nodeid: number;
  size: bigint;
  mode: number;
  /** Of CREATE. */
  fh: number;
}

function made(reply: Reply): Made {
  const { error, view } = reply;
  if (error !== 0) return { error, nodeid: 0, size: 0n, mode: 0, fh: 0 };
  const attr = FuseEntryOut.attr;
  return {
    error,
    nodeid: Number(view.getBigUint64(FuseEntryOut.nodeid, true)),
    size: view.getBigUint64(attr + FuseAttr.size, true),
    mode: view.getUint32(attr + FuseAttr.mode, true),
    fh:
      view.byteLength > FuseEntryOut.sizeof
        ? Number(view.getBigUint64(FuseEntryOut.sizeof, true))
        : 0,
  };
}

export function create(fs: FsPuppet, parent: number, name: string, flags: number, mode: number) {
  const args = join(words(flags, mode, 0, 0), named(name));
  return made(fs.request(FuseOpcode.CREATE, args, { nodeid: parent }));
}

export function mknod(fs: FsPuppet, parent: number, name: string, mode: number) {
  const args = join(words(mode, 0, 0, 0), named(name));
  return made(fs.request(FuseOpcode.MKNOD, args, { nodeid: parent }));
}

export function mkdir(fs: FsPuppet, parent: number, name: string, mode: number) {
  const args = join(words(mode, 0), named(name));
  return made(fs.request(FuseOpcode.MKDIR, args, { nodeid: parent }));
}

export function symlink(fs: FsPuppet, parent: number, name: string, target: string) {
  const args = join(named(name), named(target));
  return made(fs.request(FuseOpcode.SYMLINK, args, { nodeid: parent }));
}

export function link(fs: FsPuppet, nodeid: number, parent: number, name: string) {
  return made(fs.request(FuseOpcode.LINK, join(quads(nodeid), named(name)), { nodeid: parent }));
}

/** UNLINK or RMDIR. */
export function remove(fs: FsPuppet, parent: number, name: string, opcode: number): number {
  return fs.request(opcode, named(name), { nodeid: parent }).error;
}

export function rename(fs: FsPuppet, parent: number, name: string, to: number, newName: string) {
  const args = join(quads(to), named(name), named(newName));
  return fs.request(FuseOpcode.RENAME, args, { nodeid: parent }).error;
}

export function rename2(
  fs: FsPuppet,
  parent: number,
  name: string,
  to: number,
  newName: string,
  flags: number,
): number {
  const args = join(quads(to), words(flags, 0), named(name), named(newName));
  return fs.request(FuseOpcode.RENAME2, args, { nodeid: parent }).error;
}

/** Bytes written, or the error. `size` is what the request says, when it is not the truth. */
export function write(
  fs: FsPuppet,
  nodeid: number,
  fh: number,
  offset: number | bigint,
  data: string,
  shape: Shape = {},
  size = data.length,
): number {
  const head = new DataView(new ArrayBuffer(FuseWriteIn.sizeof));
  head.setBigUint64(FuseWriteIn.fh, BigInt(fh), true);
  head.setBigUint64(FuseWriteIn.offset, BigInt(offset), true);
  head.setUint32(FuseWriteIn.size, size, true);
  const args = join(new Uint8Array(head.buffer), Buffer.from(data, "latin1"));
  const reply = fs.request(FuseOpcode.WRITE, args, { nodeid, ...shape });
  return reply.error === 0 ? reply.view.getUint32(0, true) : reply.error;
}

export interface Attributes {
  valid: number;
  fh?: number;
  size?: bigint;
  /** Seconds and nanoseconds. */
  atime?: [bigint, number];
  mtime?: [bigint, number];
  mode?: number;
  uid?: number;
  gid?: number;
}

export function setattr(fs: FsPuppet, nodeid: number, attributes: Attributes) {
  const { valid, fh = 0, size = 0n, atime = [0n, 0], mtime = [0n, 0] } = attributes;
  const args = new DataView(new ArrayBuffer(FuseSetattrIn.sizeof));
  args.setUint32(FuseSetattrIn.valid, valid, true);
  args.setBigUint64(FuseSetattrIn.fh, BigInt(fh), true);
  args.setBigUint64(FuseSetattrIn.size, size, true);
  args.setBigInt64(FuseSetattrIn.atime, atime[0], true);
  args.setBigInt64(FuseSetattrIn.mtime, mtime[0], true);
  args.setUint32(FuseSetattrIn.atimensec, atime[1], true);
  args.setUint32(FuseSetattrIn.mtimensec, mtime[1], true);
  args.setUint32(FuseSetattrIn.mode, attributes.mode ?? 0, true);
  args.setUint32(FuseSetattrIn.uid, attributes.uid ?? 0, true);
  args.setUint32(FuseSetattrIn.gid, attributes.gid ?? 0, true);
  const reply = fs.request(FuseOpcode.SETATTR, new Uint8Array(args.buffer), { nodeid });
  const { error, view } = reply;
  if (error !== 0) return { error, size: 0n, mode: 0, view };
  const attr = FuseAttrOut.attr;
  const size_ = view.getBigUint64(attr + FuseAttr.size, true);
  return { error, size: size_, mode: view.getUint32(attr + FuseAttr.mode, true), view };
}

/** From and to: node, handle, offset. Bytes copied, or the error. */
export function copyFileRange(
  fs: FsPuppet,
  [nodeIn, fhIn, offIn]: [number, number, number],
  [nodeOut, fhOut, offOut]: [number, number, number],
  length: number,
): number {
  const args = quads(fhIn, offIn, nodeOut, fhOut, offOut, length, 0);
  const reply = fs.request(FuseOpcode.COPY_FILE_RANGE, args, { nodeid: nodeIn });
  return reply.error === 0 ? reply.view.getUint32(0, true) : reply.error;
}

export function fsync(
  fs: FsPuppet,
  nodeid: number,
  fh: number,
  flags: number,
  opcode = FuseOpcode.FSYNC,
): Promise<Reply> {
  return fs.requestLater(opcode, join(quads(fh), words(flags, 0)), { nodeid });
}
