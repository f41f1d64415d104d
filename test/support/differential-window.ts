// One random call after the other on files that a guest maps: a few in a row, or several at once.
import * as fs from "node:fs";
import { Errno } from "../../abi/errno.ts";
import type { PendingFileCall } from "./file-guest.ts";
import type { MappedFile } from "./mapped-files.ts";
import {
  appends,
  canRead,
  canWrite,
  MAPPED_MAX,
  MappingGuest,
  type Open,
  PART_MAX,
  SIZE_MAX,
} from "./mapping-guest.ts";

const VECTOR_MAX = 4;
/** The calls of one step, and how many. */
const DOINGS = ["write", "read", "map", "store", "pool", "sync"];
const PARTS = 12;

/** A call that was begun, and what it must return. */
interface Begun {
  readonly call: PendingFileCall;
  /** The fault in its result. */
  readonly end: (result: number) => string;
}

export class WindowTwins extends MappingGuest {
  /** A random step: what was done, and what is wrong then; nothing, if all is well. */
  async step(): Promise<{ what: string; faults: string[] }> {
    const random = this.random;
    this.faults = [];
    const open = this.open.length > 0 ? random.any(this.open) : undefined;
    const mapping = this.mappings.length > 0 ? random.any(this.mappings) : undefined;
    const dice = random.next();
    if (dice < 0.06) await this.changeOnHost();
    else if (mapping !== undefined && dice < 0.2) await this.store(mapping);
    else if (mapping !== undefined && dice < 0.3) this.look(mapping);
    else if (mapping !== undefined && dice < 0.36) await this.unmap(mapping);
    else if (open !== undefined && dice < 0.88) await this.onOpenFile(open);
    else await this.byName();
    for (const file of this.files) this.expect(file.faultOnHost(), "");
    for (const one of this.mappings) this.look(one);
    return { what: this.what, faults: this.faults };
  }

  async onOpenFile(open: Open): Promise<void> {
    const random = this.random;
    const { file } = open;
    switch (random.below(12)) {
      case 0:
        return this.closeFile(open);
      case 1:
        return this.end(this.beginRead(open, open.position, this.length(), true));
      case 2:
        return this.end(this.beginRead(open, this.place(SIZE_MAX), this.length(), false));
      case 3:
        if (open.position > SIZE_MAX || (appends(open) && file.size > SIZE_MAX)) break;
        return this.end(this.beginWrite(open, open.position, this.length(), true));
      case 4:
        if (appends(open) && file.size > SIZE_MAX) break;
        return this.end(this.beginWrite(open, this.place(SIZE_MAX), this.length(), false));
      case 5:
        return this.writeVector(open);
      case 6:
        return this.copy(open, random.any(this.open));
      case 7:
        return this.truncate(open, this.place(SIZE_MAX));
      case 8:
        return this.sync(open);
      case 9:
        return this.together(open);
      default:
        return this.map(open);
    }
    return this.truncate(open, this.place(SIZE_MAX));
  }

  async end(begun: Begun): Promise<void> {
    while (begun.call.result === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      this.guest.settle();
    }
    this.expect(begun.end(Number(begun.call.result)), "");
  }

  beginRead(open: Open, at: number, length: number, advances: boolean): Begun {
    const { file, handle } = open;
    const guest = this.guest;
    this.what = `read ${file.name} ${at} ${length}`;
    const buffer = guest.allocate(length + 1);
    const call = advances
      ? guest.start("SysReadFile", handle, buffer, length)
      : guest.start("SysReadFileAt", handle, buffer, length, at);
    const wanted = canRead(open) ? Math.max(0, Math.min(length, file.size - at)) : -Errno.EBADF;
    const end = (got: number): string => {
      if (canRead(open) && length > 0) file.settle();
      const fault = got > 0 ? file.fault(guest.bytes(buffer, got), at) : "";
      guest.free(buffer);
      if (advances && got > 0) open.position += got;
      return got === wanted ? fault : `read ${got}, not ${wanted}`;
    };
    return { call, end };
  }

  beginWrite(open: Open, at: number, length: number, advances: boolean): Begun {
    const { file, handle } = open;
    const guest = this.guest;
    const place = appends(open) ? file.size : at;
    this.what = `write ${file.name} ${place} ${length}`;
    const bytes = this.bytes(length);
    const buffer = guest.allocate(length + 1);
    guest.bytes(buffer, length).set(bytes);
    const call = advances
      ? guest.start("SysWriteFile", handle, buffer, length)
      : guest.start("SysWriteFileAt", handle, buffer, length, at);
    const end = (got: number): string => {
      guest.free(buffer);
      if (canWrite(open) && length > 0) this.written(file, place, bytes);
      if (advances && got > 0) open.position = place + got;
      const wanted = canWrite(open) ? length : -Errno.EBADF;
      return got === wanted ? "" : `wrote ${got}, not ${wanted}`;
    };
    return { call, end };
  }

  written(file: MappedFile, at: number, bytes: Uint8Array): void {
    file.settle();
    file.write(at, bytes);
  }

  async writeVector(open: Open): Promise<void> {
    const guest = this.guest;
    const { file } = open;
    if (file.size > SIZE_MAX || open.position > SIZE_MAX) return this.truncate(open, 0);
    const parts = Array.from({ length: this.random.between(1, VECTOR_MAX) }, () =>
      this.bytes(this.length() >> 1),
    );
    const all = Buffer.concat(parts);
    const at = appends(open) ? file.size : open.position;
    this.what = `write ${file.name} ${at} ${parts.map(({ length }) => length)}`;
    const vector = guest.allocate(parts.length * 8);
    const buffer = guest.allocate(all.length + 1);
    guest.bytes(buffer, all.length).set(all);
    let done = 0;
    parts.forEach(({ length }, i) => {
      guest.machine.memory.view.setUint32(vector + i * 8, buffer + done, true);
      guest.machine.memory.view.setUint32(vector + i * 8 + 4, length, true);
      done += length;
    });
    const got = await this.call("SysWriteVector", open.handle, vector, parts.length);
    guest.free(vector);
    guest.free(buffer);
    this.expect(got, canWrite(open) ? all.length : -Errno.EBADF);
    if (got <= 0) return;
    this.written(file, at, all);
    open.position = at + got;
  }

  async copy(from: Open, to: Open): Promise<void> {
    const [source, target] = [this.place(SIZE_MAX), this.place(SIZE_MAX)];
    const length = this.length() + 1;
    this.what = `copy ${from.file.name} ${source} to ${to.file.name} ${target} ${length}`;
    const args = [from.handle, source, to.handle, target, length];
    const got = await this.call("SysCopyFile", ...args);
    if (!canRead(from) || !canWrite(to) || appends(to)) return this.expect(got, -Errno.EBADF);
    if (from.file === to.file && Math.abs(source - target) < length) {
      return this.expect(got, -Errno.EINVAL);
    }
    const bytes = Buffer.from(from.file.bytes.subarray(source, source + length));
    this.expect(got, bytes.length);
    from.file.settle();
    to.file.settle();
    if (bytes.length > 0) to.file.write(target, bytes);
  }

  async truncate(open: Open, size: number): Promise<void> {
    this.what = `truncate ${open.file.name} ${size}`;
    const got = await this.call("SysTruncateOpenFile", open.handle, size);
    this.expect(got, canWrite(open) ? 0 : -Errno.EINVAL);
    if (got !== 0) return;
    open.file.settle();
    open.file.resize(size);
  }

  /** Stores are on the host, and in the times. */
  async sync(open: Open): Promise<void> {
    this.what = `sync ${open.file.name}`;
    this.expect(await this.call("SysSyncFile", open.handle, 1), 0);
    open.file.settle();
    if (canWrite(open)) await this.stat(open);
  }

  async stat(open: Open): Promise<void> {
    const guest = this.guest.stat(open.handle);
    const { size, mtimeNs, nlink } = fs.fstatSync(open.file.descriptor, { bigint: true });
    if (typeof guest === "number") return this.expect(guest, 0);
    const times = `${guest.size} ${guest.mtimeNs} ${guest.nlink}`;
    this.expect(times, `${size} ${mtimeNs} ${nlink}`);
  }

  async closeFile(open: Open): Promise<void> {
    this.what = `close ${open.file.name}`;
    this.open.splice(this.open.indexOf(open), 1);
    this.expect(await this.call("SysCloseFile", open.handle), 0);
    open.file.settle();
    const other = this.open.find(({ file }) => file === open.file);
    if (canWrite(open) && other !== undefined) await this.stat(other);
  }

  /** Calls at once, and stores between them, each to a part of its own of the same few pages. */
  async together(open: Open): Promise<void> {
    const { file } = open;
    if (file.size < 1000 || !canRead(open) || !canWrite(open) || appends(open)) return;
    await this.settle(file);
    const random = this.random;
    const from = random.below(file.size - 900);
    const reach = Math.min(file.size - from, random.any([900, 9000, PART_MAX]));
    const part = Math.floor(reach / PARTS);
    const doing: string[] = [];
    const begun: Begun[] = [];
    for (let i = 0; i < PARTS; i++) {
      const at = from + i * part;
      const dice = random.below(DOINGS.length);
      doing.push(DOINGS[dice] as string);
      if (dice === 0) begun.push(this.beginWrite(open, at, part, false));
      else if (dice === 1) begun.push(this.beginRead(open, at, part, false));
      else if (dice === 2) await this.mapBetween(open, from, reach);
      else if (dice === 3) await this.storeBetween(file, at, part);
      else if (dice === 4) this.poolWorks();
      else begun.push(this.beginSync(open));
    }
    for (const one of begun) await this.end(one);
    await this.settle(file);
    this.what = `together ${file.name} ${from} by ${part} ${doing}`;
  }

  beginSync({ file, handle }: Open): Begun {
    this.what = `sync ${file.name}`;
    const call = this.guest.start("SysSyncFile", handle, 1);
    return { call, end: (got) => (got === 0 ? "" : `${got}`) };
  }

  /** Its content is known when the calls in progress have ended. */
  async mapBetween(open: Open, at: number, length: number): Promise<void> {
    if (this.mappings.length >= MAPPED_MAX) return;
    const got = await this.mapAt(open, at, length, true);
    if (got > 0) this.note(got, open.file, at, length, true);
    else this.expect(got, -Errno.ENOSPC);
  }

  async storeBetween(file: MappedFile, at: number, length: number): Promise<void> {
    const mapping = this.mappings.find(
      (one) =>
        one.file === file &&
        one.writable &&
        one.offset <= at &&
        one.offset + one.length >= at + length,
    );
    if (mapping !== undefined) await this.storeAt(mapping, at, length);
  }
}
