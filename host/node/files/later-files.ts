// The calls of ProcFiles, made by Node's thread pool. They are as safe, because an inode is the
// same descriptor; the caller must not close that meanwhile.
import * as fs from "node:fs";
import { promisify } from "node:util";
import { FUSE_O_WRONLY } from "../../../abi/fuse.ts";
import type { DirectoryName, FileChanges, FileStat, Files, LaterCall } from "../../ports/files.ts";
import { hostFlags } from "./host-flags.ts";
import { LIST_OPTIONS, listed, tooManyNames } from "./list-names.ts";
import { removeMade } from "./open-files.ts";
import { timesOf } from "./times.ts";

const BIGINT = { bigint: true } as const;
const O_PATH = 0o10000000;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
/** Descriptors are numbers here. Those of fs.promises are objects, which close themselves. */
const open = promisify(fs.open);
const close = promisify(fs.close);
const ftruncate = promisify(fs.ftruncate);
const fstat = promisify(fs.fstat) as (fd: number, options: object) => Promise<FileStat>;
const readv = promisify(fs.readv);
const writev = promisify(fs.writev);
const { access, chmod, chown, link, lstat, mkdir, readlink, rename } = fs.promises;
const { rmdir, statfs, symlink, unlink, utimes } = fs.promises;

type Calls = Files & FileChanges & { close(descriptor: number): void };
type Twins = {
  [K in LaterCall]: (...args: Parameters<Calls[K]>) => Promise<ReturnType<Calls[K]>>;
};

/** `descriptors` is this process's fd directory in /proc. */
export function laterCalls(descriptors: string): Twins {
  const self = (inode: number) => descriptors + inode;
  const child = (directory: number, name: Uint8Array) =>
    Buffer.concat([Buffer.from(`${descriptors}${directory}/`, "latin1"), name]);
  const openInode = (inode: number, flags: number) =>
    open(self(inode), hostFlags(flags) | O_NONBLOCK | O_NOCTTY);
  return {
    root: (path) => open(path, O_PATH | O_DIRECTORY),
    async peek(directory, name) {
      try {
        return await lstat(child(directory, name), BIGINT);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    async hold(directory, name) {
      const inode = await open(child(directory, name), O_PATH | O_NOFOLLOW);
      try {
        return { inode, stat: await fstat(inode, BIGINT) };
      } catch (error) {
        fs.closeSync(inode);
        throw error;
      }
    },
    stat: (inode) => fstat(inode, BIGINT),
    access: (inode, mask) => access(self(inode), mask),
    statfs: (inode) => statfs(self(inode), BIGINT),
    readlink: (directory, name) => readlink(child(directory, name), "buffer"),
    list: (directory, max) => listLater(self(directory), max),
    open: openInode,
    close,
    async read(descriptor, views, offset) {
      // READ beyond 2^52 goes through readLater(): no bigints here.
      const { bytesRead } = await readv(descriptor, views, Number(offset));
      return bytesRead;
    },
    async create(directory, name, flags, mode) {
      const path = child(directory, name);
      const how = hostFlags(flags) | O_CREAT | O_EXCL | O_NOFOLLOW;
      const descriptor = await open(path, how, mode);
      let inode = -1;
      try {
        inode = await open(self(descriptor), O_PATH);
        return { descriptor, inode, stat: await fstat(inode, BIGINT) };
      } catch (error) {
        if (inode >= 0) fs.closeSync(inode);
        removeMade(descriptor, path);
        throw error;
      }
    },
    async write(descriptor, views, offset) {
      const { bytesWritten } = await writev(descriptor, views, offset);
      return bytesWritten;
    },
    truncate: (descriptor, size) => ftruncate(descriptor, size),
    async resize(inode, size) {
      const descriptor = await openInode(inode, FUSE_O_WRONLY);
      try {
        await ftruncate(descriptor, size);
      } finally {
        await close(descriptor);
      }
    },
    chmod: (inode, mode) => chmod(self(inode), mode),
    chown: (inode, uid, gid) => chown(self(inode), uid, gid),
    async setTimes(inode, atime, mtime) {
      const stat = await fstat(inode, BIGINT);
      await utimes(self(inode), ...timesOf(atime, mtime, () => stat));
    },
    async makeDirectory(directory, name, mode) {
      await mkdir(child(directory, name), mode);
    },
    symlink: (directory, name, target) => symlink(Buffer.from(target), child(directory, name)),
    link: (from, name, to, newName) => link(child(from, name), child(to, newName)),
    unlink: (directory, name) => unlink(child(directory, name)),
    removeDirectory: (directory, name) => rmdir(child(directory, name)),
    rename: (from, name, to, newName) => rename(child(from, name), child(to, newName)),
  };
}

async function listLater(path: string, max: number): Promise<DirectoryName[]> {
  const directory = await fs.promises.opendir(path, LIST_OPTIONS);
  const names: DirectoryName[] = [];
  try {
    for (let one = await directory.read(); one !== null; one = await directory.read()) {
      if (names.length === max) throw tooManyNames(max);
      names.push(listed(one));
    }
  } finally {
    await directory.close();
  }
  return names;
}
