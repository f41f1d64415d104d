// One random call after the other, on the guest's file system and on a directory of the host, with
// the results of both; and what both look like.
import * as fs from "node:fs";
import { join } from "node:path";
import type { FileGuest } from "./file-guest.ts";
import type { Random } from "./simulation-random.ts";

const NAMES = ["a", "b", "c"];
const DEPTH_MAX = 3;
const OPEN_MAX = 8;
const SIZE_MAX = 20_000;
const MODES = [0o777, 0o755, 0o700, 0o1777, 0o744];
const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
const FLAGS = [
  O_RDONLY,
  O_RDWR,
  O_WRONLY | O_TRUNC,
  O_RDWR | O_APPEND,
  O_RDWR | O_CREAT,
  O_RDWR | O_CREAT | O_EXCL,
  O_WRONLY | O_CREAT | O_TRUNC,
];
/** kernel/fs/stat.ts, DirectoryEntry. */
const [NAME_BYTES_AT, NAME_AT] = [12, 16];
const LIST_BYTES = 4096;
const S_IFMT = 0o170000;
const [S_IFDIR, S_IFREG] = [0o040000, 0o100000];

interface Pair {
  readonly guest: number;
  readonly host: number;
  readonly append: boolean;
  /** Of the host's descriptor; the guest keeps its own. */
  position: number;
}

/** The result of a call: a number or text, or -errno. */
type Result = number | string;
/** A step, with its results in the guest and on the host. */
export type Step = readonly [what: string, guest: Result, host: Result];

export class FileTwins {
  readonly #guest: FileGuest;
  readonly #host: string;
  readonly #random: Random;
  readonly #open: Pair[] = [];

  constructor(guest: FileGuest, host: string, random: Random) {
    this.#guest = guest;
    this.#host = host;
    this.#random = random;
  }

  /** A random call, on both. */
  step(): Promise<Step> | Step {
    const random = this.#random;
    if (this.#open.length > 0 && random.chance(0.45))
      return this.#onOpenFile(random.any(this.#open));
    const path = this.#path();
    switch (random.below(13)) {
      case 0:
      case 1:
        return this.#openFile(path);
      case 2:
        return this.#name(
          "SysCreateDir",
          path,
          (at, mode) => fs.mkdirSync(at, mode),
          random.any(MODES),
        );
      case 3:
        return this.#name("SysRemoveDir", path, (at) => fs.rmdirSync(at));
      case 4:
        return this.#name("SysUnlink", path, (at) => fs.unlinkSync(at));
      case 5:
        return this.#rename(path, this.#path());
      case 6:
        return this.#link(path, this.#path());
      case 7:
        return this.#symlink(path);
      case 8:
        return this.#readLink(path);
      case 9:
        return this.#name(
          "SysSetMode",
          path,
          (at, mode) => fs.chmodSync(at, mode),
          random.any(MODES),
        );
      case 10:
        return this.#name(
          "SysTruncateFile",
          path,
          (at, size) => fs.truncateSync(at, size),
          random.below(SIZE_MAX),
        );
      case 11:
        return this.#setTimes(path);
      default:
        return this.#stat(path);
    }
  }

  close(): void {
    for (const { guest, host } of this.#open.splice(0)) {
      this.#guest.now("SysCloseFile", guest);
      fs.closeSync(host);
    }
  }

  // ---- what both look like

  ofGuest(): string[] {
    return this.#listGuest("/").sort();
  }

  ofHost(root: string, path = ""): string[] {
    const lines = fs.readdirSync(join(root, path)).flatMap((name) => {
      const one = `${path}/${name}`;
      const stat = fs.lstatSync(join(root, one));
      const isFile = stat.isFile();
      const text = isFile ? fs.readFileSync(join(root, one), "latin1") : "";
      const target = stat.isSymbolicLink() ? fs.readlinkSync(join(root, one)) : "";
      const line = describe(one, stat.mode, stat.nlink, stat.isDirectory() ? 0 : stat.size);
      const below = stat.isDirectory() ? this.ofHost(root, one) : [];
      return [`${line} ${target}${digest(text)}`, ...below];
    });
    return path === "" ? lines.sort() : lines;
  }

  #listGuest(path: string): string[] {
    return this.#names(path).flatMap((name) => {
      const one = `${path === "/" ? "" : path}/${name}`;
      const stat = this.#guest.stat(one, "SysStatLink");
      if (typeof stat === "number") return [`${one} ${stat}`];
      const type = stat.mode & S_IFMT;
      const text = type === S_IFREG ? this.#contents(one) : "";
      const target = type === S_IFREG || type === S_IFDIR ? "" : String(this.#guest.readLink(one));
      const line = describe(one, stat.mode, stat.nlink, type === S_IFDIR ? 0 : Number(stat.size));
      return [
        `${line} ${target}${digest(text)}`,
        ...(type === S_IFDIR ? this.#listGuest(one) : []),
      ];
    });
  }

  #names(path: string): string[] {
    const guest = this.#guest;
    const file = guest.now("SysOpenFile", path, O_RDONLY);
    const buffer = guest.allocate(LIST_BYTES);
    const names: string[] = [];
    for (;;) {
      const got = guest.now("SysReadDirectory", file, buffer, LIST_BYTES);
      if (got <= 0) break;
      const bytes = Buffer.from(guest.bytes(buffer, got));
      for (let at = 0; at < got; ) {
        const length = bytes.readUInt32LE(at + NAME_BYTES_AT);
        names.push(bytes.toString("utf8", at + NAME_AT, at + NAME_AT + length));
        at += NAME_AT + ((length + 7) & ~7);
      }
    }
    guest.free(buffer);
    guest.now("SysCloseFile", file);
    return names.filter((name) => name !== "." && name !== "..");
  }

  #contents(path: string): string {
    const guest = this.#guest;
    const file = guest.now("SysOpenFile", path, O_RDONLY);
    const parts: string[] = [];
    for (;;) {
      const part = guest.read(file, 16384);
      if (typeof part === "number") return `${part}`;
      if (part === "") break;
      parts.push(part);
    }
    guest.now("SysCloseFile", file);
    return parts.join("");
  }

  // ---- calls by name

  #path(): string {
    const depth = this.#random.between(1, DEPTH_MAX);
    const parts = Array.from({ length: depth }, () => this.#random.any(NAMES));
    const end = this.#random.chance(0.05) ? "/" : "";
    return `/${parts.join("/")}${end}`;
  }

  /** join() would take the slash from the end. */
  #at(path: string): string {
    return this.#host + path;
  }

  #name(
    call: "SysCreateDir" | "SysRemoveDir" | "SysUnlink" | "SysSetMode" | "SysTruncateFile",
    path: string,
    onHost: (path: string, argument: number) => unknown,
    argument = Number.NaN,
  ): Step {
    const rest = Number.isNaN(argument) ? [] : [argument];
    const guest = this.#guest.now(call, path, ...rest);
    const host = attempt(() => {
      onHost(this.#at(path), argument);
      return 0;
    });
    return [`${call} ${path} ${rest}`, guest, host];
  }

  #rename(from: string, to: string): Step {
    const guest = this.#guest.now("SysRename", from, to, 0);
    const host = attempt(() => {
      fs.renameSync(this.#at(from), this.#at(to));
      return 0;
    });
    return [`SysRename ${from} ${to}`, guest, host];
  }

  #link(from: string, to: string): Step {
    const guest = this.#guest.now("SysLink", from, to);
    const host = attempt(() => {
      fs.linkSync(this.#at(from), this.#at(to));
      return 0;
    });
    return [`SysLink ${from} ${to}`, guest, host];
  }

  /** Up from the root the host would leave the directory, and the guest would not. */
  #symlink(path: string): Step {
    const target = this.#path().slice(1);
    const guest = this.#guest.now("SysSymlink", target, path);
    const host = attempt(() => {
      fs.symlinkSync(target, this.#at(path));
      return 0;
    });
    return [`SysSymlink ${target} ${path}`, guest, host];
  }

  #readLink(path: string): Step {
    const host = attempt(() => fs.readlinkSync(this.#at(path)));
    return [`SysReadLink ${path}`, this.#guest.readLink(path), host];
  }

  #stat(path: string): Step {
    const guest = this.#guest.stat(path);
    const host = attempt(() => {
      const { mode, nlink, size, mtimeNs } = fs.statSync(this.#at(path), { bigint: true });
      const isDirectory = (Number(mode) & S_IFMT) === S_IFDIR;
      return isDirectory ? `${mode} ${nlink}` : `${mode} ${nlink} ${size} ${mtimeNs > 0n}`;
    });
    if (typeof guest === "number") return [`SysStatFile ${path}`, guest, host];
    const { mode, nlink, size, mtimeNs } = guest;
    const isDirectory = (mode & S_IFMT) === S_IFDIR;
    const ours = isDirectory ? `${mode} ${nlink}` : `${mode} ${nlink} ${size} ${mtimeNs > 0n}`;
    return [`SysStatFile ${path}`, ours, host];
  }

  #setTimes(path: string): Step {
    const us = BigInt(this.#random.between(-(2 ** 40), 2 ** 50));
    const text = `${(Number(us) + (us < 0n ? -0.5 : 0.5)) / 1e6}`;
    const status = this.#guest.now("SysSetTimes", path, us * 1000n, us * 1000n);
    const after = this.#guest.stat(path);
    const guest = status < 0 || typeof after === "number" ? status : `${after.mtimeNs}`;
    const host = attempt(() => {
      fs.utimesSync(this.#at(path), text, text);
      return `${fs.statSync(this.#at(path), { bigint: true }).mtimeNs}`;
    });
    return [`SysSetTimes ${path} ${us}`, guest, host];
  }

  // ---- calls by handle

  #openFile(path: string): Step {
    if (this.#open.length === OPEN_MAX) return this.#onOpenFile(this.#open[0] as Pair) as Step;
    const flags = this.#random.any(FLAGS);
    const guest = this.#guest.now("SysOpenFile", path, flags);
    let descriptor = -1;
    const host = attempt(() => {
      descriptor = fs.openSync(this.#at(path), flags, 0o666);
      return 0;
    });
    const what = `SysOpenFile ${path} 0x${flags.toString(16)}`;
    if (guest > 0 && descriptor >= 0) {
      const append = (flags & O_APPEND) !== 0;
      this.#open.push({ guest, host: descriptor, append, position: 0 });
    }
    return [what, Math.min(guest, 0), host];
  }

  #onOpenFile(pair: Pair): Promise<Step> | Step {
    const random = this.#random;
    switch (random.below(7)) {
      case 0:
        return this.#closeFile(pair);
      case 1:
        return this.#read(pair, random.below(SIZE_MAX));
      case 2:
        return this.#readAt(pair, random.below(SIZE_MAX), random.below(SIZE_MAX));
      case 3:
        return this.#write(pair, random.below(SIZE_MAX));
      case 4:
        return this.#writeAt(pair, random.below(SIZE_MAX), random.below(SIZE_MAX));
      case 5:
        return this.#truncate(pair, random.below(SIZE_MAX));
      default:
        return this.#sync(pair);
    }
  }

  #closeFile(pair: Pair): Step {
    this.#open.splice(this.#open.indexOf(pair), 1);
    const guest = this.#guest.now("SysCloseFile", pair.guest);
    fs.closeSync(pair.host);
    return [`SysCloseFile ${pair.guest}`, guest, 0];
  }

  #read(pair: Pair, length: number): Step {
    const ours = this.#guest.read(pair.guest, length);
    const theirs = attempt(() => {
      const buffer = Buffer.alloc(length);
      const got = fs.readSync(pair.host, buffer, 0, length, pair.position);
      pair.position += got;
      return buffer.toString("latin1", 0, got);
    });
    return [`SysReadFile ${pair.guest} ${length}`, digest(ours), digest(theirs)];
  }

  #readAt(pair: Pair, length: number, offset: number): Step {
    const guest = this.#guest;
    const buffer = guest.allocate(length + 1);
    const got = guest.now("SysReadFileAt", pair.guest, buffer, length, offset);
    const ours = got < 0 ? got : Buffer.from(guest.bytes(buffer, got)).toString("latin1");
    guest.free(buffer);
    const theirs = attempt(() => {
      const bytes = Buffer.alloc(length);
      return bytes.toString("latin1", 0, fs.readSync(pair.host, bytes, 0, length, offset));
    });
    return [`SysReadFileAt ${pair.guest} ${length} ${offset}`, digest(ours), digest(theirs)];
  }

  #write(pair: Pair, length: number): Step {
    const bytes = this.#bytes(length);
    const guest = this.#guest.write(pair.guest, bytes);
    const host = attempt(() => {
      const written = fs.writeSync(pair.host, bytes, 0, length, pair.position);
      if (pair.append && written > 0) pair.position = fs.fstatSync(pair.host).size;
      else pair.position += written;
      return written;
    });
    return [`SysWriteFile ${pair.guest} ${length}`, guest, host];
  }

  #writeAt(pair: Pair, length: number, offset: number): Step {
    const bytes = this.#bytes(length);
    const guest = this.#guest.now("SysWriteFileAt", pair.guest, bytes, offset);
    const host = attempt(() => fs.writeSync(pair.host, bytes, 0, length, offset));
    return [`SysWriteFileAt ${pair.guest} ${length} ${offset}`, guest, host];
  }

  #truncate(pair: Pair, size: number): Step {
    const guest = this.#guest.now("SysTruncateOpenFile", pair.guest, size);
    const host = attempt(() => {
      fs.ftruncateSync(pair.host, size);
      return 0;
    });
    return [`SysTruncateOpenFile ${pair.guest} ${size}`, guest, host];
  }

  async #sync(pair: Pair): Promise<Step> {
    const guest = Number(await this.#guest.call("SysSyncFile", pair.guest, 1));
    const host = attempt(() => {
      fs.fdatasyncSync(pair.host);
      return 0;
    });
    return [`SysSyncFile ${pair.guest}`, guest, host];
  }

  #bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.#random.fill(bytes);
    return bytes;
  }
}

/** Result of a call of the host, or its -errno, which on Linux is the guest's. */
function attempt(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    return errno;
  }
}

function describe(path: string, mode: number, nlink: number, size: number): string {
  return `${path} ${mode.toString(8)} ${nlink} ${size}`;
}

/** Long text by its length and a sum, so that a difference can be read. */
function digest(text: Result): Result {
  if (typeof text === "number" || text.length < 40) return text;
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (Math.imul(sum, 31) + text.charCodeAt(i)) | 0;
  return `${text.length} bytes, ${sum}`;
}
