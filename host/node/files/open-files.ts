// Operations on open files, which are the same whether inodes are descriptors or paths.
import * as fs from "node:fs";
import { FUSE_O_WRONLY } from "../../../abi/fuse.ts";
import { Threads } from "./threads.ts";

export abstract class OpenFiles {
  readonly #isRoot = process.geteuid?.() === 0;
  protected readonly threads = new Threads();

  abstract open(inode: number, flags: number): number;

  /** A descriptor of a directory, for fsync. The caller closes it. */
  protected abstract openDirectory(inode: number): number;

  read(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
    return readAt(descriptor, views, offset);
  }

  readLater(
    descriptor: number,
    view: Uint8Array,
    offset: number | bigint,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    this.threads.run((end) => {
      fs.read(descriptor, view, 0, view.length, offset, (error, bytes) => {
        end();
        done(error, bytes);
      });
    });
  }

  sameBytes(a: Uint8Array, b: Uint8Array): boolean {
    return Buffer.compare(a, b) === 0;
  }

  close(descriptor: number): void {
    fs.closeSync(descriptor);
  }

  keepsSetId(): boolean {
    return this.#isRoot;
  }

  write(descriptor: number, views: readonly Uint8Array[], offset: number): number {
    return writeAt(descriptor, views, offset);
  }

  writeLater(
    descriptor: number,
    view: Uint8Array,
    offset: number,
    done: (error: Error | null, bytes: number) => void,
  ): void {
    this.threads.run((end) => {
      fs.write(descriptor, view, 0, view.length, offset, (error, bytes) => {
        end();
        done(error, bytes);
      });
    });
  }

  truncate(descriptor: number, size: number): void {
    fs.ftruncateSync(descriptor, size);
  }

  resize(inode: number, size: number): void {
    const descriptor = this.open(inode, FUSE_O_WRONLY);
    try {
      fs.ftruncateSync(descriptor, size);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  sync(descriptor: number, dataOnly: boolean, done: (error: Error | null) => void): void {
    this.threads.run((end) => {
      const ended = (error: Error | null) => {
        end();
        done(error);
      };
      if (dataOnly) fs.fdatasync(descriptor, ended);
      else fs.fsync(descriptor, ended);
    }, true);
  }

  syncDirectory(inode: number, done: (error: Error | null) => void): void {
    const descriptor = this.openDirectory(inode);
    const closed = (error: Error | null) => {
      try {
        fs.closeSync(descriptor);
      } catch (fault) {
        return done(error ?? (fault as Error));
      }
      done(error);
    };
    try {
      this.sync(descriptor, false, closed);
    } catch (error) {
      closed(error as Error);
    }
  }
}

/** Exact for every offset of 64 bits. */
function readAt(descriptor: number, views: readonly Uint8Array[], offset: number | bigint): number {
  if (views.length === 1) return readOne(descriptor, views[0] as Uint8Array, offset);
  // readv accepts numbers only, and reads at the current position for anything else.
  if (typeof offset === "number") return fs.readvSync(descriptor, views, offset);
  let done = 0;
  for (const view of views) {
    const n = readOne(descriptor, view, offset + BigInt(done));
    done += n;
    if (n < view.length) break;
  }
  return done;
}

function readOne(descriptor: number, view: Uint8Array, offset: number | bigint): number {
  return fs.readSync(descriptor, view, 0, view.length, offset);
}

/** Returns the bytes written. */
function writeAt(descriptor: number, views: readonly Uint8Array[], offset: number): number {
  if (views.length > 1) return fs.writevSync(descriptor, views, offset);
  const [view] = views;
  return view === undefined ? 0 : fs.writeSync(descriptor, view, 0, view.length, offset);
}

/** Closes a file that was just created, and removes it if the path still leads to it. */
export function removeMade(descriptor: number, path: Buffer): void {
  try {
    const made = fs.fstatSync(descriptor, { bigint: true });
    const now = fs.lstatSync(path, { bigint: true });
    if (made.dev === now.dev && made.ino === now.ino) fs.unlinkSync(path);
  } finally {
    fs.closeSync(descriptor);
  }
}
