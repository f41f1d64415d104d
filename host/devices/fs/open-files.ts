// What is done to open files of the host, the same whether inodes are descriptors or paths.
import * as fs from "node:fs";
import { FUSE_O_WRONLY } from "../../../drivers/abi/fuse.ts";
import { readAt } from "./read-at.ts";
import { writeAt } from "./write-at.ts";

export abstract class OpenFiles {
  readonly #isRoot = process.geteuid?.() === 0;

  abstract open(inode: number, flags: number): number;

  /** A descriptor of a directory that can be synced, the caller's to close. */
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
    fs.read(descriptor, view, 0, view.length, offset, done);
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
    fs.write(descriptor, view, 0, view.length, offset, done);
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
    if (dataOnly) fs.fdatasync(descriptor, done);
    else fs.fsync(descriptor, done);
  }

  syncDirectory(inode: number, done: (error: Error | null) => void): void {
    const descriptor = this.openDirectory(inode);
    const end = (error: Error | null) => {
      try {
        fs.closeSync(descriptor);
      } catch (fault) {
        return done(error ?? (fault as Error));
      }
      done(error);
    };
    try {
      fs.fsync(descriptor, end);
    } catch (error) {
      end(error as Error);
    }
  }
}
