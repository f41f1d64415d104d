// The host's file calls as the server makes them: directly, or, in an operation that may have to
// wait for a slow host, through its record of answers (replay.ts). Inodes and descriptors of calls
// in the thread pool stay open, because their numbers would be reused.
import { equalBytes } from "../../../bytes.ts";
import type {
  DirectoryName,
  FileChanges,
  FileStat,
  FileSystemStat,
  Files,
  FileTime,
  LaterCall,
  LaterDone,
} from "../../../ports/files.ts";
import type { Runs } from "../nodes/runs.ts";
import { quietly } from "../undo.ts";
import { broughtBy, Replay, SUSPENDED } from "./replay.ts";

type Host = Files & FileChanges;
type Views = readonly Uint8Array[];

export class HostCalls implements Files, FileChanges, Runs {
  /** If the guest may only read, its changes are never called. */
  readonly #host: Host;
  readonly #slow: () => boolean;
  #replay: Replay | null = null;
  readonly #inodes = new Pins((inode) => quietly(() => this.#host.drop(inode)));
  readonly #descriptors = new Pins((descriptor) => this.#close(descriptor));

  /** While `slow` returns true, calls go to the thread pool; never unless they can wait. */
  constructor(files: Files, slow: () => boolean) {
    this.#host = files as Host;
    this.#slow = slow;
    if (files.openAt === undefined) return;
    const host = files as Required<Files>;
    this.openAt = (directory, name) => host.openAt(directory, name);
    this.holdOpen = (descriptor) => host.holdOpen(descriptor);
  }

  /** Can calls go to the thread pool? */
  get canWait(): boolean {
    return "later" in this.#host;
  }

  /** Is an operation running that may be repeated? */
  get replaying(): boolean {
    return this.#replay !== null;
  }

  newReplay(): Replay {
    return new Replay((call, result) => this.#discard(call, result));
  }

  /** Runs `body`. null: it has to wait for `replay.wanted`. */
  run<T>(replay: Replay, body: () => T): T | null {
    this.#replay = replay;
    replay.begin();
    try {
      const result = body();
      if (replay.suspended) return null;
      this.#replay = null;
      replay.end();
      return result;
    } catch (error) {
      if (error !== SUSPENDED) throw error;
      return null;
    } finally {
      this.#replay = null;
    }
  }

  /** Runs body outside of the current run. */
  outside(body: () => void): void {
    const replay = this.#replay;
    this.#replay = null;
    try {
      body();
    } finally {
      this.#replay = replay;
    }
  }

  mark(): number {
    return this.#replay?.mark ?? 0;
  }

  keep(mark: number): void {
    this.#replay?.keep(mark);
  }

  effect(body: () => void): void {
    this.#replay?.effect(body);
  }

  untilEnd(owner: object, release: () => void): boolean {
    return this.#replay?.untilEnd(owner, release) === true;
  }

  /** Makes a call in the thread pool. The caller has called pin() for it. */
  later(call: LaterCall, args: readonly unknown[], done: LaterDone): void {
    // A copy: guest memory may only be touched while the device owns the request.
    const own = call === "read" ? [args[0], [new Uint8Array(bytesOf(args))], args[2]] : args;
    this.#host.later?.(call, own, (error, result) => {
      const isRead = call === "read" && error === null;
      const views = own[1] as Views;
      done(error, isRead ? views[0]?.subarray(0, result as number) : result);
    });
  }

  #call<K extends LaterCall>(call: K, args: Parameters<Host[K]>): ReturnType<Host[K]> {
    const host = this.#host as unknown as Record<K, (...args: unknown[]) => ReturnType<Host[K]>>;
    if (this.#replay === null) return host[call](...(args as unknown[]));
    const ask = () => host[call](...(args as unknown[]));
    return this.#replay.call(call, args, this.#slow() ? null : ask) as ReturnType<Host[K]>;
  }

  /** Releases what an unused answer holds. */
  #discard(call: LaterCall, result: unknown): void {
    const { inode, descriptor } = broughtBy(call, result);
    if (inode !== undefined) this.#inodes.release(inode);
    if (descriptor !== undefined) this.#descriptors.release(descriptor);
  }

  /** Keeps the call's inodes and descriptors open until the returned function is called. */
  pin(call: LaterCall, args: readonly unknown[]): () => void {
    const byDescriptor =
      call === "read" || call === "write" || call === "truncate" || call === "close";
    const pins = byDescriptor ? this.#descriptors : this.#inodes;
    const numbers = call === "root" ? [] : [args[0] as number];
    if (call === "link" || call === "rename") numbers.push(args[2] as number);
    for (const number of numbers) pins.add(number);
    return () => {
      for (const number of numbers) pins.remove(number);
    };
  }

  /** With a slow host, without waiting: FSYNC reports failed writes. */
  #close(descriptor: number): void {
    if (this.#slow()) {
      this.#host.later?.("close", [descriptor], () => {});
      return;
    }
    quietly(() => this.#host.close(descriptor));
  }

  // ---- Files

  /** Not in an operation that may be repeated. */
  readonly openAt?: NonNullable<Files["openAt"]>;
  /** Waits for nothing. */
  readonly holdOpen?: NonNullable<Files["holdOpen"]>;

  descriptorsMax(): number {
    return this.#host.descriptorsMax();
  }
  sameBytes(a: Uint8Array, b: Uint8Array): boolean {
    return this.#host.sameBytes?.(a, b) ?? equalBytes(a, b);
  }
  root(path: string): number {
    return this.#call("root", [path]);
  }
  peek(directory: number, name: Uint8Array): FileStat | null {
    if (this.#replay === null) return this.#host.peek(directory, name);
    return this.#call("peek", [directory, name]);
  }
  hold(directory: number, name: Uint8Array): { inode: number; stat: FileStat } {
    if (this.#replay === null) return this.#host.hold(directory, name);
    return this.#call("hold", [directory, name]);
  }
  drop(inode: number): void {
    if (this.#replay?.hasBrought("inode", inode) === true) {
      this.#replay.effect(() => this.#inodes.release(inode));
    } else {
      this.#inodes.release(inode);
    }
  }
  stat(inode: number): FileStat {
    if (this.#replay === null) return this.#host.stat(inode);
    return this.#call("stat", [inode]);
  }
  access(inode: number, mask: number): void {
    this.#call("access", [inode, mask]);
  }
  statfs(inode: number): FileSystemStat {
    return this.#call("statfs", [inode]);
  }
  readlink(directory: number, name: Uint8Array): Uint8Array {
    return this.#call("readlink", [directory, name]);
  }
  list(directory: number, max: number): DirectoryName[] {
    return this.#call("list", [directory, max]);
  }
  open(inode: number, flags: number): number {
    if (this.#replay === null) return this.#host.open(inode, flags);
    return this.#call("open", [inode, flags]);
  }
  read(descriptor: number, views: Views, offset: number | bigint): number {
    if (this.#replay === null) return this.#host.read(descriptor, views, offset);
    return this.#call("read", [descriptor, views, offset]);
  }
  readLater(...args: Parameters<Files["readLater"]>): void {
    this.#host.readLater(...args);
  }
  close(descriptor: number): void {
    if (this.#replay?.hasBrought("descriptor", descriptor) === true) {
      this.#replay.effect(() => this.#descriptors.release(descriptor));
    } else {
      this.#descriptors.release(descriptor);
    }
  }

  // ---- FileChanges

  keepsSetId(): boolean {
    return this.#host.keepsSetId();
  }
  create(directory: number, name: Uint8Array, flags: number, mode: number) {
    return this.#call("create", [directory, name, flags, mode]);
  }
  write(descriptor: number, views: Views, offset: number): number {
    if (this.#replay === null) return this.#host.write(descriptor, views, offset);
    return this.#call("write", [descriptor, views, offset]);
  }
  writeLater(...args: Parameters<FileChanges["writeLater"]>): void {
    this.#host.writeLater(...args);
  }
  truncate(descriptor: number, size: number): void {
    this.#call("truncate", [descriptor, size]);
  }
  resize(inode: number, size: number): void {
    this.#call("resize", [inode, size]);
  }
  chmod(inode: number, mode: number): void {
    this.#call("chmod", [inode, mode]);
  }
  chown(inode: number, uid: number, gid: number): void {
    this.#call("chown", [inode, uid, gid]);
  }
  setTimes(inode: number, atime: FileTime, mtime: FileTime): void {
    this.#call("setTimes", [inode, atime, mtime]);
  }
  makeDirectory(directory: number, name: Uint8Array, mode: number): void {
    this.#call("makeDirectory", [directory, name, mode]);
  }
  symlink(directory: number, name: Uint8Array, target: Uint8Array): void {
    this.#call("symlink", [directory, name, target]);
  }
  link(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    this.#call("link", [from, name, to, newName]);
  }
  unlink(directory: number, name: Uint8Array): void {
    this.#call("unlink", [directory, name]);
  }
  removeDirectory(directory: number, name: Uint8Array): void {
    this.#call("removeDirectory", [directory, name]);
  }
  rename(from: number, name: Uint8Array, to: number, newName: Uint8Array): void {
    this.#call("rename", [from, name, to, newName]);
  }
  sync(...args: Parameters<FileChanges["sync"]>): void {
    this.#host.sync(...args);
  }
  syncDirectory(...args: Parameters<FileChanges["syncDirectory"]>): void {
    this.#host.syncDirectory(...args);
  }
}

function bytesOf(args: readonly unknown[]): number {
  return (args[1] as Views).reduce((sum, view) => sum + view.length, 0);
}

/** Numbers in use by calls in the thread pool, and which of them to release afterwards. */
class Pins {
  readonly #counts = new Map<number, number>();
  readonly #released = new Set<number>();
  readonly #letGo: (number: number) => void;

  constructor(letGo: (number: number) => void) {
    this.#letGo = letGo;
  }

  add(number: number): void {
    this.#counts.set(number, (this.#counts.get(number) ?? 0) + 1);
  }

  remove(number: number): void {
    const count = (this.#counts.get(number) ?? 1) - 1;
    if (count > 0) {
      this.#counts.set(number, count);
      return;
    }
    this.#counts.delete(number);
    if (this.#released.delete(number)) this.#letGo(number);
  }

  release(number: number): void {
    if (this.#counts.has(number)) this.#released.add(number);
    else this.#letGo(number);
  }
}
