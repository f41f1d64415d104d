// Drives a file system device through real rings in guest memory, as a driver would: one request at
// a time.
import { FuseInHeader, FuseInitIn, FuseOpcode, FuseOutHeader } from "../../abi/fuse.ts";
import type { DirectoryDevice } from "../../host/devices/fs/device.ts";
import { GuestMemory, PAGE_BYTES } from "../../host/memory.ts";
import { FsDevice, type FsOptions } from "../../host/node/devices.ts";
import { VirtQueue } from "../../host/virtqueue.ts";

const QUEUE_SIZE = 64;
const REQUEST_AT = 0x10000;
const REPLY_AT = 0x200000;
/** Memory and descriptors of requests that may be answered later. */
const SLOTS_AT = 0x300000;
const SLOT_BYTES = 0x4000;
const SLOT_DESCRIPTORS = 3;
export const WINDOW_AT = 64 * PAGE_BYTES;
const RINGS_AT = [0x1000, 0x4000];

export const HIPRIO = 0;
export const REQUESTS = 1;

export interface Reply {
  /** used.len. */
  used: number;
  /** out_header; all 0 when the chain came back empty. */
  length: number;
  error: number;
  unique: bigint;
  /** A copy of what follows the header, up to used.len. */
  data: Uint8Array<ArrayBuffer>;
  view: DataView;
}

export interface Shape {
  queue?: number;
  /** Sizes of the readable and the writable segments; the last takes what is left. */
  readable?: number[];
  writable?: number[];
  /** Bytes of the writable part; default: header and 4096. */
  room?: number;
  /** Value of in_header.len when it is not the truth. */
  length?: number;
  nodeid?: number | bigint;
}

export class FsPuppet {
  /** The RAM that a guest would have; the window lies above it. */
  readonly memory: GuestMemory;
  readonly device: DirectoryDevice;
  readonly queues: VirtQueue[];
  unique = 0x1122334455667700n;
  /** The machine's clock. */
  nowNs = 0;
  /** The last callback that the device has asked for. */
  alarm: () => void = () => {};
  readonly #waiting = new Map<number, (reply: Reply) => void>(); // by head
  readonly #sent = new Map<number, { replyAt: number; room: number }>();
  #late = 0; // slots of requests that may be answered later
  #avail = [0, 0];
  #used = [0, 0];

  constructor(
    directory: string,
    options: Partial<FsOptions> = {},
    make: (options: FsOptions) => DirectoryDevice = (all) => new FsDevice(all),
  ) {
    this.device = make({ directory, tag: "site", readOnly: true, ...options });
    this.memory = new GuestMemory(
      (WINDOW_AT + (options.windowBytes ?? 0)) / PAGE_BYTES,
      false,
      WINDOW_AT,
    );
    this.queues = RINGS_AT.map((at, index) => this.#queue(at, index));
    this.device.attach({
      memory: this.memory,
      sharedMemory: this.device.sharedMemory.map(() => WINDOW_AT),
      turn: () => this.#collect(REQUESTS),
      now: () => this.nowNs,
      after: (_ms, callback) => {
        this.alarm = callback;
        return () => {};
      },
      defer: setImmediate,
      log: () => {},
    });
    this.device.activate(this.queues);
  }

  /** Sends one request and returns what came back for it. */
  request(opcode: number, args: Uint8Array = new Uint8Array(0), shape: Shape = {}): Reply {
    return this.raw(this.#encode(opcode, args, shape), shape);
  }

  #encode(opcode: number, args: Uint8Array, shape: Shape): Uint8Array {
    const bytes = new Uint8Array(FuseInHeader.sizeof + args.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(FuseInHeader.len, shape.length ?? bytes.length, true);
    view.setUint32(FuseInHeader.opcode, opcode, true);
    view.setBigUint64(FuseInHeader.unique, ++this.unique, true);
    view.setBigUint64(FuseInHeader.nodeid, BigInt(shape.nodeid ?? 1), true);
    bytes.set(args, FuseInHeader.sizeof);
    return bytes;
  }

  /** As request(), which the device may answer later; others may be asked meanwhile. */
  requestLater(opcode: number, args: Uint8Array, shape: Shape = {}): Promise<Reply> {
    const queue = shape.queue ?? REQUESTS;
    this.#post(this.#encode(opcode, args, shape), shape, ++this.#late);
    return new Promise((resolve) => {
      this.#waiting.set(this.#late * SLOT_DESCRIPTORS, resolve);
      this.#collect(queue);
    });
  }

  /** Sends these bytes as the readable part. */
  raw(bytes: Uint8Array, shape: Shape = {}): Reply {
    let reply: Reply | undefined;
    this.#waiting.set(0, (one) => {
      reply = one;
    });
    this.#post(bytes, shape, 0);
    this.#collect(shape.queue ?? REQUESTS);
    if (reply === undefined) throw new Error("the request did not come back at once");
    return reply;
  }

  /** Slot 0 is for what is answered at once; a late request has a slot, and memory, of its own. */
  #post(bytes: Uint8Array, shape: Shape, slot: number): void {
    const queue = shape.queue ?? REQUESTS;
    const room = shape.room ?? FuseOutHeader.sizeof + 4096;
    const requestAt = slot === 0 ? REQUEST_AT : SLOTS_AT + slot * SLOT_BYTES;
    const replyAt = slot === 0 ? REPLY_AT : requestAt + SLOT_BYTES / 2;
    this.memory.u8.set(bytes, requestAt);
    this.memory.u8.fill(0xee, replyAt, replyAt + room + 64);
    const segments = [
      ...split(requestAt, bytes.length, shape.readable ?? [], 0),
      ...split(replyAt, room, shape.writable ?? [], 2),
    ];
    const first = slot * SLOT_DESCRIPTORS;
    this.#sent.set(first, { replyAt, room });
    const rings = RINGS_AT[queue] as number;
    const { view } = this.memory;
    segments.forEach(({ at, length, flags }, i) => {
      const last = i === segments.length - 1;
      const descriptor = rings + (first + i) * 16;
      view.setBigUint64(descriptor, BigInt(at), true);
      view.setUint32(descriptor + 8, length, true);
      view.setUint16(descriptor + 12, flags | (last ? 0 : 1), true);
      view.setUint16(descriptor + 14, first + i + 1, true);
    });
    const avail = rings + 0x800;
    const index = this.#avail[queue] as number;
    view.setUint16(avail + 4 + (index % QUEUE_SIZE) * 2, first, true);
    this.#avail[queue] = (index + 1) & 0xffff;
    view.setUint16(avail + 2, (index + 1) & 0xffff, true);
    this.device.notify(queue);
  }

  /** INIT as a driver of this version and these flags says it. */
  init(major = 7, minor = 38, flags = 0xffffffff): Reply {
    const args = new DataView(new ArrayBuffer(FuseInitIn.sizeof));
    args.setUint32(FuseInitIn.major, major, true);
    args.setUint32(FuseInitIn.minor, minor, true);
    args.setUint32(FuseInitIn.max_readahead, 0x20000, true);
    args.setUint32(FuseInitIn.flags, flags, true);
    return this.request(FuseOpcode.INIT, new Uint8Array(args.buffer), { nodeid: 0 });
  }

  #queue(at: number, index: number): VirtQueue {
    const fail = (error: Error) => {
      throw error;
    };
    return new VirtQueue(this.memory, {
      name: `fs ${index}`,
      size: QUEUE_SIZE,
      desc: at,
      avail: at + 0x800,
      used: at + 0x1000,
      indirect: true,
      eventIdx: false,
      interrupt: () => {},
      rejected: fail,
      broken: fail,
    });
  }

  /** Takes what came back, each to whoever waits for it. */
  #collect(queue: number): void {
    const { view } = this.memory;
    const used = (RINGS_AT[queue] as number) + 0x1000;
    while (view.getUint16(used + 2, true) !== this.#used[queue]) {
      const index = this.#used[queue] as number;
      this.#used[queue] = (index + 1) & 0xffff;
      const element = used + 4 + (index % QUEUE_SIZE) * 8;
      const head = view.getUint32(element, true);
      const waiting = this.#waiting.get(head);
      if (waiting === undefined) throw new Error("a request came back twice");
      this.#waiting.delete(head);
      waiting(this.#reply(head, view.getUint32(element + 4, true)));
    }
  }

  #reply(head: number, length: number): Reply {
    const { replyAt, room } = this.#sent.get(head) as { replyAt: number; room: number };
    const bytes = this.memory.u8.slice(replyAt, replyAt + length);
    const rest = this.memory.u8.subarray(replyAt + room, replyAt + room + 64);
    if (length > room || rest.some((byte) => byte !== 0xee)) {
      throw new Error("the device wrote outside the chain");
    }
    const header = new DataView(new ArrayBuffer(FuseOutHeader.sizeof));
    new Uint8Array(header.buffer).set(bytes.subarray(0, FuseOutHeader.sizeof));
    const data = bytes.slice(FuseOutHeader.sizeof);
    return {
      used: length,
      length: header.getUint32(FuseOutHeader.len, true),
      error: header.getInt32(FuseOutHeader.error, true),
      unique: header.getBigUint64(FuseOutHeader.unique, true),
      data,
      view: new DataView(data.buffer),
    };
  }
}

interface Segment {
  at: number;
  length: number;
  flags: number;
}

function split(at: number, bytes: number, sizes: number[], flags: number): Segment[] {
  const segments: Segment[] = [];
  for (const size of sizes) {
    segments.push({ at, length: size, flags });
    at += size;
    bytes -= size;
  }
  if (bytes > 0) segments.push({ at, length: bytes, flags });
  return segments;
}
