// The file calls of this host, which a test can make fail one by one; and what is held by them.
import nodefs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { FileChanges, Files } from "../../host/ports/files.ts";

type Call = (...args: unknown[]) => unknown;

const CALLS = [
  ["openSync", "closeSync", "fstatSync", "lstatSync", "statfsSync", "accessSync", "readlinkSync"],
  ["readdirSync", "readSync", "readvSync", "writeSync", "writevSync", "ftruncateSync"],
  ["truncateSync", "chmodSync", "chownSync", "lchownSync", "utimesSync", "lutimesSync"],
  ["mkdirSync", "symlinkSync", "linkSync", "unlinkSync", "rmdirSync", "renameSync", "fsync"],
  ["fdatasync", "read", "write"],
].flat();
const real = nodefs as unknown as Record<string, Call>;
const originals = new Map(CALLS.map((name) => [name, real[name] as Call]));

/** Makes the `failing`th call from now on throw EIO, counted from 1; restore() ends it. */
export class FaultyHost {
  calls = 0;
  /** The call that failed, if one did. */
  failed: string | null = null;

  constructor(failing: number) {
    for (const [name, original] of originals) {
      real[name] = (...args) => {
        if (++this.calls !== failing) return original(...args);
        this.failed = name;
        // As with close(2), the descriptor is gone when it fails.
        if (name === "closeSync") original(...args);
        throw Object.assign(new Error(`${name} fails`), { code: "EIO" });
      };
    }
    syncBuiltinESMExports();
  }

  restore(): void {
    for (const [name, original] of originals) real[name] = original;
    syncBuiltinESMExports();
  }
}

/** Arguments of the calls of one function while `body` runs. */
export function callsOf(name: string, body: () => void): unknown[][] {
  const seen: unknown[][] = [];
  const original = originals.get(name) as Call;
  real[name] = (...args) => {
    seen.push(args);
    return original(...args);
  };
  syncBuiltinESMExports();
  try {
    body();
  } finally {
    real[name] = original;
    syncBuiltinESMExports();
  }
  return seen;
}

/** Files that count the inodes held by them. */
export function counted(files: Files & FileChanges) {
  const held = new Set<number>();
  const take = <T>(inode: number, result: T): T => {
    held.add(inode);
    return result;
  };
  const own: Partial<Files & FileChanges> = {
    root: (path) => {
      const inode = files.root(path);
      return take(inode, inode);
    },
    hold: (...args) => {
      const result = files.hold(...args);
      return take(result.inode, result);
    },
    holdOpen: (descriptor) => {
      const inode = (files as Required<Files>).holdOpen(descriptor);
      return take(inode, inode);
    },
    create: (...args) => {
      const result = files.create(...args);
      return take(result.inode, result);
    },
    drop: (inode) => {
      if (!held.delete(inode)) throw new Error(`inode ${inode} is not held`);
      files.drop(inode);
    },
  };
  const proxy = new Proxy(files, {
    get: (target, key) => {
      const theirs = Reflect.get(target, key);
      return theirs && (Reflect.get(own, key) ?? theirs.bind(target));
    },
  });
  return { files: proxy, held };
}
