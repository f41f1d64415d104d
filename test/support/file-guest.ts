// The kernel's file calls under test: a machine with test/guest/files-ops.ts, and the real device
// over a directory of the host (or any other device with the tag "site").
import { afterEach } from "vitest";
import type { VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { FsDevice, type FsOptions } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { collectHits, compileGuest, type GuestImage } from "./guest.ts";

/** In the order of Op in test/guest/files-ops.ts. */
const CALLS = [
  "SysMount",
  "SysOpenFile",
  "SysCreateFile",
  "SysCloseFile",
  "SysReadFile",
  "SysReadFileAt",
  "SysReadVector",
  "SysWriteFile",
  "SysWriteFileAt",
  "SysWriteVector",
  "SysCopyFile",
  "SysSyncFile",
  "SysSeekFile",
  "SysReadDirectory",
  "SysCreateDir",
  "SysRemoveDir",
  "SysUnlink",
  "SysRename",
  "SysLink",
  "SysSymlink",
  "SysReadLink",
  "SysStatFile",
  "SysStatLink",
  "SysStatOpenFile",
  "SysStatFileSystem",
  "SysTruncateFile",
  "SysTruncateOpenFile",
  "SysSetMode",
  "SysSetOwner",
  "SysSetTimes",
  "SysAccessFile",
  "SysMapFile",
  "SysUnmapFile",
] as const;
export type FileCall = (typeof CALLS)[number];
/** Text stands for its bytes in guest memory and their number: two arguments. */
type Argument = number | bigint | string | Uint8Array;

const SCRATCH_BYTES = 1 << 16;
/** Layout of FileStat (kernel/fs/stat.ts). */
const STAT_BYTES = 80;

export interface GuestStat {
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
  atimeNs: bigint;
  mode: number;
  nlink: number;
  blocks: bigint;
  uid: number;
  gid: number;
}

/** A call that runs in a thread of the guest. */
export class PendingFileCall {
  readonly #machine: Machine;
  /** Its address in the guest. */
  readonly record: number;

  constructor(machine: Machine, record: number) {
    this.#machine = machine;
    this.record = record;
  }
  /** Its result; undefined: it has not returned. */
  get result(): bigint | undefined {
    const { view } = this.#machine.memory;
    if (view.getUint32(this.record + 48, true) === 0) return undefined;
    return view.getBigInt64(this.record, true);
  }
  get thread(): number {
    return this.#machine.memory.view.getInt32(this.record + 52, true);
  }
}

export interface FileGuestOptions extends Partial<Omit<FsOptions, "tag">> {
  /** In place of the real device over `directory`. */
  device?: VirtioDevice;
  /** More devices, in front of it. */
  others?: VirtioDevice[];
  memoryBytes?: number;
  withheld?: bigint;
  /** False: "site" is not mounted at "/". */
  mounts?: boolean;
}

export class FileGuest {
  readonly machine: Machine;
  readonly clock: ManualClock;
  readonly #image: GuestImage;
  #scratch = 0;
  #used = 0;

  /** Boots with `options.directory` as "site", for writing unless told otherwise, at "/". */
  static async boot(image: GuestImage, options: FileGuestOptions): Promise<FileGuest> {
    const { directory = "", device, others = [], memoryBytes, withheld, mounts, ...rest } = options;
    const clock = new ManualClock();
    const site = device ?? new FsDevice({ readOnly: false, ...rest, directory, tag: "site" });
    const machine = await Machine.create({
      image: image.module,
      sourceMap: image.map,
      memoryBytes: memoryBytes ?? 16 * 1024 * 1024,
      clock,
      devices: [...others, site],
      entropy: (into) => into.fill(7),
      withheldFeatures: withheld ?? 0n,
    });
    machine.boot();
    const guest = new FileGuest(image, machine, clock);
    if (mounts !== false) {
      const status = await guest.call("SysMount", "site", "/");
      if (status !== 0n) throw new Error(`SysMount: ${status}`);
    }
    return guest;
  }

  /** Goes on from a snapshot of another guest, with `options.directory` as "site". */
  static async restore(
    from: FileGuest,
    snapshot: Snapshot,
    options: FileGuestOptions,
  ): Promise<FileGuest> {
    const { directory = "", device, withheld, ...rest } = options;
    const clock = new ManualClock();
    const site = device ?? new FsDevice({ readOnly: false, ...rest, directory, tag: "site" });
    const machine = await Machine.restore(snapshot, {
      clock,
      devices: [site],
      withheldFeatures: withheld ?? 0n,
    });
    const guest = new FileGuest(from.#image, machine, clock, from.#scratch);
    guest.settle();
    return guest;
  }

  private constructor(image: GuestImage, machine: Machine, clock: ManualClock, scratch?: number) {
    this.#image = image;
    this.machine = machine;
    this.clock = clock;
    this.#scratch = scratch ?? this.allocate(SCRATCH_BYTES);
  }

  /** Begins a call; what it needs of its strings is good until 64 KiB more were given. */
  start(name: FileCall, ...args: Argument[]): PendingFileCall {
    const words = args.flatMap((one) =>
      typeof one === "bigint" || typeof one === "number" ? [BigInt(one)] : this.#put(one),
    );
    while (words.length < 5) words.push(0n);
    const op = CALLS.indexOf(name);
    const record = Number(this.machine.call("start", op, ...words)) | 0;
    this.settle();
    return new PendingFileCall(this.machine, record);
  }

  /** Makes a call and waits for its result, for the host's thread pool too. */
  async call(name: FileCall, ...args: Argument[]): Promise<bigint> {
    const pending = this.start(name, ...args);
    while (pending.result === undefined) {
      await new Promise((resolve) => setImmediate(resolve));
      this.settle();
    }
    return pending.result;
  }

  /** A call that must not wait; returns its result. */
  now(name: FileCall, ...args: Argument[]): number {
    const { result } = this.start(name, ...args);
    if (result === undefined) throw new Error(`${name} waits`);
    return Number(result);
  }

  /** Copies text into guest memory; its address and its bytes. */
  #put(text: string | Uint8Array): [bigint, bigint] {
    const bytes = typeof text === "string" ? Buffer.from(text) : text;
    if (this.#used + bytes.length > SCRATCH_BYTES) this.#used = 0;
    const at = this.#scratch + this.#used;
    this.#used += bytes.length;
    this.machine.memory.bytes(at, bytes.length).set(bytes);
    return [BigInt(at), BigInt(bytes.length)];
  }

  /** Memory of the guest's heap. */
  allocate(bytes: number): number {
    const address = Number(this.machine.call("ToroGetMem", bytes));
    if (address === 0) throw new Error("the guest has no memory");
    return address;
  }

  free(address: number): void {
    this.machine.call("ToroFreeMem", address);
  }

  bytes(address: number, length: number): Uint8Array {
    return this.machine.memory.bytes(address, length);
  }

  write(file: number, text: string | Uint8Array): number {
    return this.now("SysWriteFile", file, text);
  }

  /** Up to `length` bytes from the file's position on, or an error. */
  read(file: number, length = 4096): string | number {
    const buffer = this.allocate(length);
    const got = this.now("SysReadFile", file, buffer, length);
    const text = Buffer.from(this.bytes(buffer, Math.max(got, 0))).toString("latin1");
    this.free(buffer);
    return got < 0 ? got : text;
  }

  /** The text of a symbolic link, or an error. */
  readLink(path: string): string | number {
    const buffer = this.allocate(4096);
    const got = this.now("SysReadLink", path, buffer, 4096);
    const text = Buffer.from(this.bytes(buffer, Math.max(got, 0))).toString();
    this.free(buffer);
    return got < 0 ? got : text;
  }

  /** By path, or by handle; or an error. */
  stat(what: string | number, call: FileCall = "SysStatFile"): GuestStat | number {
    const at = this.allocate(STAT_BYTES);
    const status =
      typeof what === "number" ? this.now("SysStatOpenFile", what, at) : this.now(call, what, at);
    const { view } = this.machine.memory;
    const long = (offset: number) => view.getBigUint64(at + offset, true);
    const time = (offset: number) => view.getBigInt64(at + offset, true);
    const word = (offset: number) => view.getUint32(at + offset, true);
    const stat = {
      ino: long(0),
      size: long(8),
      mtimeNs: time(16),
      ctimeNs: time(24),
      mode: word(32),
      nlink: word(36),
      atimeNs: time(40),
      blocks: long(48),
      uid: word(56),
      gid: word(60),
    };
    this.free(at);
    return status < 0 ? status : stat;
  }

  settle(): void {
    while (this.clock.settle() > 0);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  dispose(): void {
    collectHits(this.#image, this.machine);
    this.machine.dispose();
  }
}

/** Boots guests that can be saved, and restores them. */
export async function savedFileGuests() {
  const image = await compileGuest("test/guest/files-ops.ts", {}, "release");
  const guests = disposedGuests();
  return {
    boot: async (options: FileGuestOptions) => guests(await FileGuest.boot(image, options)),
    restore: async (from: FileGuest, snapshot: Snapshot, options: FileGuestOptions) =>
      guests(await FileGuest.restore(from, snapshot, options)),
  };
}

function disposedGuests() {
  const guests: FileGuest[] = [];
  afterEach(() => {
    for (const guest of guests.splice(0)) guest.dispose();
  });
  return (guest: FileGuest) => {
    guests.push(guest);
    return guest;
  };
}

/** Boots guests for the tests of one file; they are disposed of after each test. */
export async function fileGuests() {
  const image = await compileGuest("test/guest/files-ops.ts");
  const guests = disposedGuests();
  return async (options: FileGuestOptions) => {
    return guests(await FileGuest.boot(image, options));
  };
}
