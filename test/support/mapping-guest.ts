// Files that a guest maps, stores to and names, while programs of the host change them; what comes
// of it is compared with what test/support/mapped-files.ts expects.
import * as fs from "node:fs";
import { join } from "node:path";
import { Errno } from "../../abi/errno.ts";
import type { FileCall, FileGuest } from "./file-guest.ts";
import { MappedFile } from "./mapped-files.ts";
import type { Random } from "./simulation-random.ts";

const NAMES = ["a", "b", "c", "d"];
export const SLOT = 65536;
export const SIZE_MAX = 3 * SLOT;
export const PART_MAX = 30_000;
const OPEN_MAX = 8;
export const MAPPED_MAX = 6;
/** The guest revalidates its cache after this time. */
const FORGOTTEN_MS = 1500;
const MAP_WRITE = 1;
const { O_ACCMODE, O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = {
  ...fs.constants,
  O_ACCMODE: 3,
};
const FLAGS = [
  O_RDONLY,
  O_RDWR,
  O_RDWR,
  O_WRONLY,
  O_RDWR | O_APPEND,
  O_RDWR | O_CREAT,
  O_RDWR | O_CREAT | O_TRUNC,
  O_RDONLY | O_TRUNC,
];

export interface Open {
  readonly handle: number;
  readonly file: MappedFile;
  readonly flags: number;
  position: number;
}

export interface Mapping {
  readonly address: number;
  readonly file: MappedFile;
  readonly offset: number;
  readonly length: number;
  readonly writable: boolean;
  /** The file before programs of the host changed it: a mapping may show that, or not. */
  readonly older: Buffer[];
}

export const canRead = (open: Open) => (open.flags & O_ACCMODE) !== O_WRONLY;
export const canWrite = (open: Open) => (open.flags & O_ACCMODE) !== O_RDONLY;
export const appends = (open: Open) => (open.flags & O_APPEND) !== 0;

export class MappingGuest {
  readonly guest: FileGuest;
  protected readonly directory: string;
  /** Of the same file system, where programs of the host make what they move there. */
  protected readonly elsewhere: string;
  protected readonly random: Random;
  protected readonly poolWorks: () => void;
  protected readonly files = new Set<MappedFile>();
  protected readonly names = new Map<string, MappedFile>();
  protected open: Open[] = [];
  protected mappings: Mapping[] = [];
  protected changes = 0;
  protected what = "";
  protected faults: string[] = [];

  /** `poolWorks` lets the host's thread pool do what it has to do, before it tells. */
  constructor(
    guest: FileGuest,
    directory: string,
    elsewhere: string,
    random: Random,
    poolWorks: () => void,
  ) {
    this.poolWorks = poolWorks;
    this.guest = guest;
    this.directory = directory;
    this.elsewhere = elsewhere;
    this.random = random;
  }

  async close(): Promise<void> {
    for (const { address } of this.mappings.splice(0)) await this.call("SysUnmapFile", address);
    for (const { handle } of this.open.splice(0)) await this.call("SysCloseFile", handle);
    for (const { descriptor } of this.files) fs.closeSync(descriptor);
  }

  protected expect(got: number | string, wanted: number | string): void {
    if (got !== wanted) this.faults.push(`${this.what}: ${got}, not ${wanted}`);
  }

  protected async call(name: FileCall, ...args: (number | string)[]): Promise<number> {
    return Number(await this.guest.call(name, ...args));
  }

  protected bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.random.fill(bytes);
    return bytes;
  }

  /** The place of a file, often the border of a page or a slot. */
  protected place(most: number): number {
    const place = this.random.below(most + 1);
    if (this.random.chance(0.7)) return place;
    const border = this.random.chance(0.5) ? SLOT : 4096;
    return Math.max(0, place - (place % border) + this.random.between(-2, 2));
  }

  protected length(): number {
    return this.random.chance(0.5) ? this.random.below(100) : this.random.below(PART_MAX);
  }

  // ---- mappings

  protected async map(open: Open): Promise<void> {
    if (this.mappings.length === MAPPED_MAX) return this.unmap(this.mappings[0] as Mapping);
    const random = this.random;
    const [offset, length] = [this.place(SIZE_MAX), random.between(1, random.any([100, 3 * SLOT]))];
    const writable = random.chance(0.6);
    this.what = `map ${open.file.name} ${offset} ${length} ${writable ? "to write" : ""}`;
    let got = await this.mapAt(open, offset, length, writable);
    if (got === -Errno.ENOSPC) {
      this.expect(this.mappings.length > 0 ? 1 : 0, 1);
      if (random.chance(0.5)) return;
      while (this.mappings.length > 0) await this.unmap(this.mappings[0] as Mapping);
      this.what = `map ${open.file.name} ${offset} ${length}, nothing else is`;
      got = await this.mapAt(open, offset, length, writable);
    }
    const allowed = canRead(open) && (!writable || canWrite(open));
    this.expect(Math.min(got, 0), allowed ? 0 : -Errno.EACCES);
    if (got < 0) return;
    const mapping = this.note(got, open.file, offset, length, writable);
    this.look(mapping);
    if (writable && random.chance(0.4)) await this.mapLonger(open, mapping);
  }

  /** A longer one needs a range of its own: the same pages are in two, and both are stored to. */
  protected async mapLonger(open: Open, { file, offset, length }: Mapping): Promise<void> {
    this.what = `map ${file.name} ${offset} once more, longer`;
    const got = await this.mapAt(open, offset, length + SLOT, true);
    const full = got === -Errno.ENOSPC || got === -Errno.EFBIG;
    if (got < 0) return this.expect(full ? 0 : got, 0);
    const longer = this.note(got, file, offset, length + SLOT, true);
    this.look(longer);
    await this.storeTwice(longer, offset + this.random.below(length), 1);
  }

  protected mapAt(open: Open, offset: number, length: number, writable: boolean): Promise<number> {
    return this.call("SysMapFile", open.handle, offset, length, writable ? MAP_WRITE : 0);
  }

  protected note(
    address: number,
    file: MappedFile,
    offset: number,
    length: number,
    writable: boolean,
  ): Mapping {
    const zero = address - offset;
    const same = this.mappings.find(
      (one) => one.file === file && one.address - one.offset === zero,
    );
    // A range that may be stored to is found as long as somebody uses it, for reading too.
    const mapping = { address, file, offset, length, writable, older: same?.older.slice() ?? [] };
    this.mappings.push(mapping);
    return mapping;
  }

  protected async unmap(mapping: Mapping): Promise<void> {
    this.what = `unmap ${mapping.file.name} ${mapping.offset}`;
    this.mappings.splice(this.mappings.indexOf(mapping), 1);
    this.expect(await this.call("SysUnmapFile", mapping.address), 0);
  }

  protected look({ address, file, offset, length, older }: Mapping): void {
    this.expect(file.fault(this.guest.bytes(address, length), offset, older), "");
  }

  protected async store(mapping: Mapping): Promise<void> {
    const length = Math.min(this.random.between(1, this.length() + 1), mapping.length);
    const start = this.random.below(mapping.length - length + 1);
    if (mapping.writable) await this.storeTwice(mapping, mapping.offset + start, length);
    else this.look(mapping);
  }

  protected async storeAt(mapping: Mapping, at: number, length: number): Promise<void> {
    const { address, file, offset } = mapping;
    const zero = address - offset;
    if (file.isContested(at, at + length, zero) && !(await this.settle(file))) return;
    this.what = `store ${file.name} ${at} ${length} at ${zero + at}`;
    const bytes = this.bytes(length);
    this.guest.bytes(zero + at, length).set(bytes);
    file.store(at, bytes, zero);
  }

  /** Also where another mapping shows the same page, beside that. */
  protected async storeTwice(mapping: Mapping, at: number, length: number): Promise<void> {
    await this.storeAt(mapping, at, length);
    const after = at + length + this.random.below(50);
    const other = this.mappings.find(
      (one) =>
        one.file === mapping.file &&
        one.writable &&
        one.address - one.offset !== mapping.address - mapping.offset &&
        one.offset <= after &&
        one.offset + one.length >= after + 10,
    );
    if (other !== undefined) await this.storeAt(other, after, 10);
  }

  /** Has what was stored written by reading. False: nobody can read the file. */
  protected async settle(file: MappedFile): Promise<boolean> {
    const name = [...this.names].find(([, one]) => one === file)?.[0];
    const open = this.open.find((one) => one.file === file && canRead(one));
    if (open === undefined && name === undefined) return false;
    const handle = open?.handle ?? (await this.call("SysOpenFile", `/${name}`, O_RDONLY));
    const buffer = this.guest.allocate(8);
    await this.call("SysReadFileAt", handle, buffer, 1, 0);
    this.guest.free(buffer);
    if (open === undefined) await this.call("SysCloseFile", handle);
    file.settle();
    return true;
  }

  // ---- by name, and by programs of the host

  protected async byName(): Promise<void> {
    const [name, other] = [this.random.any(NAMES), this.random.any(NAMES)];
    const [file, target] = [this.names.get(name), this.names.get(other)];
    switch (this.random.below(8)) {
      case 0:
        this.what = `unlink ${name}`;
        this.expect(await this.call("SysUnlink", `/${name}`), file ? 0 : -Errno.ENOENT);
        this.names.delete(name);
        return;
      case 1:
        this.what = `rename ${name} ${other}`;
        this.expect(
          await this.call("SysRename", `/${name}`, `/${other}`, 0),
          file ? 0 : -Errno.ENOENT,
        );
        if (file !== undefined && file !== target) this.moved(name, other, file);
        return;
      case 2: {
        this.what = `link ${name} ${other}`;
        const wanted = target ? -Errno.EEXIST : 0;
        const got = await this.call("SysLink", `/${name}`, `/${other}`);
        this.expect(got, file ? wanted : -Errno.ENOENT);
        if (got === 0 && file !== undefined) this.names.set(other, file);
        return;
      }
      case 3: {
        const size = this.place(SIZE_MAX);
        this.what = `truncate /${name} ${size}`;
        const got = await this.call("SysTruncateFile", `/${name}`, size);
        this.expect(got, file ? 0 : -Errno.ENOENT);
        file?.settle();
        file?.resize(size);
        return;
      }
      default:
        return this.openFile(name, this.random.any(FLAGS));
    }
  }

  protected moved(name: string, other: string, file: MappedFile): void {
    this.names.delete(name);
    this.names.set(other, file);
  }

  protected async openFile(name: string, flags: number): Promise<void> {
    this.what = `open ${name} 0x${flags.toString(16)}`;
    const found = this.names.get(name);
    const handle = await this.call("SysOpenFile", `/${name}`, flags);
    const makes = (flags & O_CREAT) !== 0;
    this.expect(Math.min(handle, 0), found || makes ? 0 : -Errno.ENOENT);
    if (handle <= 0) return;
    const file = found ?? this.made(name);
    if ((flags & O_TRUNC) !== 0) {
      file.settle();
      file.resize(0);
    }
    this.open.push({ handle, file, flags, position: 0 });
    if (this.open.length <= OPEN_MAX) return;
    const oldest = this.open.shift() as Open;
    this.expect(await this.call("SysCloseFile", oldest.handle), 0);
    oldest.file.settle();
  }

  /** The file at the name is none of those that are known. */
  protected made(name: string): MappedFile {
    const file = new MappedFile(`${name}${this.files.size}`, join(this.directory, name));
    this.files.add(file);
    this.names.set(name, file);
    return file;
  }

  /**
   * Whatever was stored is written before, and nobody stores to what a program of the host changes:
   * of one page both would be the last.
   */
  protected async changeOnHost(): Promise<void> {
    const name = this.random.any(NAMES);
    const path = join(this.directory, name);
    const file = this.names.get(name);
    if (file === undefined || this.random.chance(0.3)) {
      this.what = `the host replaces ${name}`;
      const made = join(this.elsewhere, name);
      fs.writeFileSync(made, this.bytes(this.random.below(SIZE_MAX)));
      fs.renameSync(made, path);
      this.made(name);
    } else if (this.random.chance(0.15)) {
      this.what = `the host removes ${name}`;
      fs.unlinkSync(path);
      this.names.delete(name);
    } else {
      await this.changeContents(file, path);
    }
    this.guest.advance(FORGOTTEN_MS);
  }

  async changeContents(file: MappedFile, path: string): Promise<void> {
    const ofFile = (one: Mapping | Open) => one.file === file;
    const seen = this.mappings.find(ofFile);
    for (const one of this.mappings.filter((one) => ofFile(one) && one.writable)) {
      await this.unmap(one);
    }
    await this.settle(file);
    for (const one of this.mappings.filter(ofFile)) one.older.push(Buffer.from(file.bytes));
    const bytes = this.bytes(this.length());
    const inside = seen === undefined ? 0 : seen.offset + this.random.below(seen.length);
    const at = seen === undefined ? this.place(file.size) : Math.min(inside, file.size);
    if (this.random.chance(0.4)) {
      this.what = `the host cuts ${file.name} at ${at}`;
      fs.truncateSync(path, at);
      file.resize(at);
    } else {
      this.what = `the host writes ${file.name} ${at} ${bytes.length}`;
      const descriptor = fs.openSync(path, "r+");
      fs.writeSync(descriptor, bytes, 0, bytes.length, at);
      fs.closeSync(descriptor);
      if (bytes.length > 0) file.write(at, bytes);
    }
    // The clock of the host's kernel may stand still from one change to the next.
    fs.utimesSync(path, 1e9 + ++this.changes, 1e9 + this.changes);
    this.guest.advance(FORGOTTEN_MS);
    const open = this.open.find((one) => ofFile(one) && canRead(one) && canWrite(one));
    if (seen === undefined || open === undefined) return;
    const got = await this.mapAt(open, seen.offset, seen.length, seen.writable);
    if (got > 0) this.note(got, file, seen.offset, seen.length, seen.writable);
    else this.expect(got, -Errno.ENOSPC);
  }
}
