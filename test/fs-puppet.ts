// Drives an FsDevice through real rings in guest memory, as a driver would: one request at a time.
import { FuseInHeader, FuseInitIn, FuseOpcode, FuseOutHeader } from "../drivers/abi/fuse.ts";
import { FsDevice, type FsOptions } from "../host/devices/fs.ts";
import { GuestMemory } from "../host/memory.ts";
import { VirtQueue } from "../host/virtqueue.ts";

const QUEUE_SIZE = 64;
const REQUEST_AT = 0x10000;
const REPLY_AT = 0x200000;
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
  /** What follows the header, up to used.len: a copy. */
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
  readonly memory = new GuestMemory(64);
  readonly device: FsDevice;
  readonly queues: VirtQueue[];
  unique = 0x1122334455667700n;
  #turn = () => {};
  #avail = [0, 0];
  #used = [0, 0];

  constructor(directory: string, options: Partial<FsOptions> = {}) {
    this.device = new FsDevice({ directory, tag: "site", readOnly: true, ...options });
    this.queues = RINGS_AT.map((at, index) => this.#queue(at, index));
    this.device.attach({
      memory: this.memory,
      turn: () => this.#turn(),
      now: () => 0,
      after: () => () => {},
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

  /** As request(), which the device may answer later. */
  requestLater(opcode: number, args: Uint8Array, shape: Shape = {}): Promise<Reply> {
    const queue = shape.queue ?? REQUESTS;
    const room = shape.room ?? FuseOutHeader.sizeof + 4096;
    this.#post(this.#encode(opcode, args, shape), shape);
    if (this.#isAnswered(queue)) return Promise.resolve(this.#collect(queue, room));
    return new Promise((resolve) => {
      this.#turn = () => resolve(this.#collect(queue, room));
    });
  }

  /** Sends these bytes as the readable part. */
  raw(bytes: Uint8Array, shape: Shape = {}): Reply {
    this.#post(bytes, shape);
    return this.#collect(shape.queue ?? REQUESTS, shape.room ?? FuseOutHeader.sizeof + 4096);
  }

  #post(bytes: Uint8Array, shape: Shape): void {
    const queue = shape.queue ?? REQUESTS;
    const room = shape.room ?? FuseOutHeader.sizeof + 4096;
    this.memory.u8.set(bytes, REQUEST_AT);
    this.memory.u8.fill(0xee, REPLY_AT, REPLY_AT + room + 64);
    const segments = [
      ...split(REQUEST_AT, bytes.length, shape.readable ?? [], 0),
      ...split(REPLY_AT, room, shape.writable ?? [], 2),
    ];
    const rings = RINGS_AT[queue] as number;
    const { view } = this.memory;
    segments.forEach(({ at, length, flags }, i) => {
      const last = i === segments.length - 1;
      view.setBigUint64(rings + i * 16, BigInt(at), true);
      view.setUint32(rings + i * 16 + 8, length, true);
      view.setUint16(rings + i * 16 + 12, flags | (last ? 0 : 1), true);
      view.setUint16(rings + i * 16 + 14, i + 1, true);
    });
    const avail = rings + 0x800;
    const index = this.#avail[queue] as number;
    view.setUint16(avail + 4 + (index % QUEUE_SIZE) * 2, 0, true);
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

  #isAnswered(queue: number): boolean {
    const used = (RINGS_AT[queue] as number) + 0x1000;
    return this.memory.view.getUint16(used + 2, true) !== this.#used[queue];
  }

  #collect(queue: number, room: number): Reply {
    const { view } = this.memory;
    const used = (RINGS_AT[queue] as number) + 0x1000;
    const index = this.#used[queue] as number;
    if (view.getUint16(used + 2, true) !== ((index + 1) & 0xffff)) {
      throw new Error("the request did not come back exactly once");
    }
    this.#used[queue] = (index + 1) & 0xffff;
    const length = view.getUint32(used + 4 + (index % QUEUE_SIZE) * 8 + 4, true);
    const bytes = this.memory.u8.slice(REPLY_AT, REPLY_AT + length);
    const rest = this.memory.u8.subarray(REPLY_AT + room, REPLY_AT + room + 64);
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
