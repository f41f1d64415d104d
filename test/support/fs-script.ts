// A virtio-fs device that a test scripts: it answers as a small sane server does (a root with
// "file", "link" and "sub"), except where the test says otherwise.
import { Errno } from "../../abi/errno.ts";
import {
  FsConfig,
  FuseAttr,
  FuseAttrOut,
  FuseDirent,
  FuseEntryOut,
  FuseInHeader,
  FuseInitOut,
  FuseOpcode,
  FuseReadIn,
  FuseType,
  fuseDirentBytes,
} from "../../abi/fuse.ts";
import { VIRTIO_ID_FS } from "../../abi/virtio.ts";
import type { DeviceHost, VirtioDevice } from "../../host/device.ts";
import type { Chain, VirtQueue } from "../../host/virtqueue.ts";

export interface Request {
  queue: number;
  opcode: number;
  nodeid: number;
  unique: bigint;
  /** in_header.len, and the bytes that there are. */
  length: number;
  readableBytes: number;
  writableBytes: number;
  /** uid, gid, pid and total_extlen with its padding. */
  identity: number[];
  arguments: Buffer;
}

/** Replies to give; each field in place of the truth. */
export interface Answer {
  error?: number;
  payload?: Uint8Array;
  unique?: bigint;
  length?: number;
  used?: number;
  /** Milliseconds to wait before the reply; -1: for ever. */
  afterMs?: number;
}

export type Script = (request: Request) => Answer | undefined;

export const FILE = 2;
export const LINK = 3;
export const SUB = 4;
const TYPES = new Map<number, number>([
  [1, FuseType.DIR],
  [FILE, FuseType.REG],
  [LINK, FuseType.LNK],
  [SUB, FuseType.DIR],
]);
const NODES = new Map([
  ["file", FILE],
  ["link", LINK],
  ["sub", SUB],
]);
const CONTENT = Buffer.from("content!");

function bytes(size: number, fill: (view: DataView) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  fill(view);
  return new Uint8Array(view.buffer);
}

function putAttr(view: DataView, at: number, nodeid: number, type: number): void {
  view.setBigUint64(at + FuseAttr.ino, BigInt(nodeid), true);
  view.setBigUint64(at + FuseAttr.size, BigInt(CONTENT.length), true);
  view.setUint32(at + FuseAttr.mode, (type << 12) | 0o644, true);
  view.setUint32(at + FuseAttr.nlink, 1, true);
}

export interface EntryOptions {
  type?: number;
  validS?: number;
  size?: bigint;
}

export function entry(nodeid: number, options: EntryOptions = {}): Uint8Array {
  const { type = TYPES.get(nodeid) ?? FuseType.REG, validS = 1, size } = options;
  return bytes(FuseEntryOut.sizeof, (view) => {
    view.setBigUint64(FuseEntryOut.nodeid, BigInt(nodeid), true);
    view.setBigUint64(FuseEntryOut.entry_valid, BigInt(validS), true);
    view.setBigUint64(FuseEntryOut.attr_valid, BigInt(validS), true);
    putAttr(view, FuseEntryOut.attr, nodeid, type);
    if (size !== undefined) view.setBigUint64(FuseEntryOut.attr + FuseAttr.size, size, true);
  });
}

export function attributes(nodeid: number, type = TYPES.get(nodeid) ?? FuseType.REG): Uint8Array {
  return bytes(FuseAttrOut.sizeof, (view) => {
    view.setBigUint64(FuseAttrOut.attr_valid, 1n, true);
    putAttr(view, FuseAttrOut.attr, nodeid, type);
  });
}

export interface InitOptions {
  major?: number;
  minor?: number;
  maxWrite?: number;
  maxPages?: number;
}

export function init(options: InitOptions = {}): Uint8Array {
  const { major = 7, minor = 31, maxWrite = 1 << 20, maxPages = 256 } = options;
  return bytes(FuseInitOut.sizeof, (view) => {
    view.setUint32(FuseInitOut.major, major, true);
    view.setUint32(FuseInitOut.minor, minor, true);
    view.setUint32(FuseInitOut.flags, 0xffffffff, true);
    view.setUint32(FuseInitOut.max_write, maxWrite, true);
    view.setUint16(FuseInitOut.max_pages, maxPages, true);
  });
}

/** One FUSE directory entry; `namelen` may lie. */
export function dirent(name: string, off: number, namelen = name.length): Uint8Array {
  return bytes(fuseDirentBytes(name.length), (view) => {
    view.setBigUint64(FuseDirent.ino, 77n, true);
    view.setBigUint64(FuseDirent.off, BigInt(off), true);
    view.setUint32(FuseDirent.namelen, namelen, true);
    view.setUint32(FuseDirent.type, FuseType.REG, true);
    new Uint8Array(view.buffer).set(Buffer.from(name, "latin1"), FuseDirent.name);
  });
}

function sane(request: Request): Answer {
  const { opcode, nodeid, arguments: args } = request;
  switch (opcode) {
    case FuseOpcode.INIT:
      return { payload: init() };
    case FuseOpcode.GETATTR:
      return { payload: attributes(nodeid) };
    case FuseOpcode.LOOKUP: {
      const found = NODES.get(args.subarray(0, -1).toString("latin1"));
      return found === undefined ? { error: -Errno.ENOENT } : { payload: entry(found) };
    }
    case FuseOpcode.OPEN:
    case FuseOpcode.OPENDIR:
      return { payload: new Uint8Array(16) };
    case FuseOpcode.READ: {
      const offset = Number(args.readBigUInt64LE(FuseReadIn.offset));
      const end = offset + args.readUInt32LE(FuseReadIn.size);
      return { payload: CONTENT.subarray(offset, end) };
    }
    case FuseOpcode.READDIR:
      return args.readBigUInt64LE(FuseReadIn.offset) === 0n ? { payload: dirent("file", 1) } : {};
    case FuseOpcode.READLINK:
      return { payload: Buffer.from("file") };
    default:
      return {};
  }
}

export interface ScriptOptions {
  tag?: string;
  requestQueues?: number;
  queueSizesMax?: number[];
  script?: Script;
  /** Kicks of the high-priority queue that are left unserved. */
  hiprioDeafFor?: number;
}

export class ScriptedFs implements VirtioDevice {
  readonly id = VIRTIO_ID_FS;
  readonly name = "fs scripted";
  readonly features = 0n;
  readonly queueSizesMax: readonly number[];
  readonly queueNames = ["hiprio", "request"];
  readonly config = new Uint8Array(FsConfig.sizeof);
  readonly requests: Request[] = [];
  resets = 0;
  #deafFor: number;
  readonly #script: Script;
  #host: DeviceHost | null = null;
  #queues: readonly (VirtQueue | null)[] = [];

  constructor(options: ScriptOptions = {}) {
    const { tag = "site", requestQueues = 1, queueSizesMax = [64, 64], script } = options;
    this.queueSizesMax = queueSizesMax;
    this.config.set(Buffer.from(tag));
    new DataView(this.config.buffer).setUint32(FsConfig.num_request_queues, requestQueues, true);
    this.#script = script ?? (() => undefined);
    this.#deafFor = options.hiprioDeafFor ?? 0;
  }

  /** Names of the opcodes that came, in order. */
  opcodes(): number[] {
    return this.requests.map(({ opcode }) => opcode);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
  }

  activate(queues: readonly (VirtQueue | null)[]): void {
    this.#queues = queues;
  }

  notify(index: number): void {
    if (index === 0 && this.#deafFor > 0) {
      this.#deafFor--;
      this.#host?.after(1, () => this.notifyLater());
      return;
    }
    const queue = this.#queues[index];
    if (queue) for (const chain of queue) this.#serve(index, queue, chain);
  }

  /** Looks at the high-priority queue after all. */
  notifyLater(): void {
    this.notify(0);
    this.#queues[0]?.signal();
    this.#host?.turn();
  }

  halted(): void {}

  reset(): void {
    this.resets++;
    this.#queues = [];
  }

  dispose(): void {
    this.#queues = [];
  }

  #serve(index: number, queue: VirtQueue, chain: Chain): void {
    const request = parse(index, chain);
    this.requests.push(request);
    if (index === 0) {
      chain.release(0);
      return;
    }
    const answer = { ...sane(request), ...this.#script(request) };
    const { afterMs = 0 } = answer;
    if (afterMs === 0) say(chain, request, answer);
    if (afterMs > 0) {
      this.#host?.after(afterMs, () => {
        say(chain, request, answer);
        queue.signal();
        this.#host?.turn();
      });
    }
  }
}

function parse(queue: number, chain: Chain): Request {
  const { readableBytes, writableBytes } = chain;
  const all = Buffer.alloc(readableBytes);
  chain.copyFrom(0, all);
  return {
    queue,
    opcode: all.readUInt32LE(FuseInHeader.opcode),
    nodeid: Number(all.readBigUInt64LE(FuseInHeader.nodeid)),
    unique: all.readBigUInt64LE(FuseInHeader.unique),
    length: all.readUInt32LE(FuseInHeader.len),
    readableBytes,
    writableBytes,
    identity: [24, 28, 32, 36].map((at) => all.readUInt32LE(at)),
    arguments: all.subarray(FuseInHeader.sizeof),
  };
}

function say(chain: Chain, request: Request, answer: Answer): void {
  const { error = 0, unique = request.unique } = answer;
  const payload =
    error !== 0 && answer.length === undefined
      ? Buffer.alloc(0)
      : (answer.payload ?? Buffer.alloc(0));
  const header = Buffer.alloc(16);
  header.writeUInt32LE(answer.length ?? 16 + payload.length, 0);
  header.writeInt32LE(error, 4);
  header.writeBigUInt64LE(unique, 8);
  chain.copyTo(0, header);
  chain.copyTo(16, payload);
  chain.release(answer.used ?? 16 + payload.length);
}
