// The guest's TCP under test, and a peer by hand: scripts say what arrives and what must leave.
//
//   in  S seq=0 win=65535 mss=1460 scale=7 sack ts=100:0     a segment of the peer
//   out SA seq=0 ack=1 mss=1460                              the next one of the guest
//   none                                                     the guest has sent nothing more
//   +200                                                     milliseconds pass
//
// Numbers are relative to both sides' first ones. Flags are S, A, F, R, P and U, or a dot for none.
// `bytes=N` is payload: the byte of number n is n & 255, in both directions. Fields that an `out`
// does not name are not compared, flags always are, but for P unless it is named.
import { afterEach, expect } from "vitest";
import { NetStats } from "../../abi/stats.ts";
import { type GuestStats, statsAt } from "../../host/stats.ts";
import { card, internetChecksum, ip, ipFrame, whoHas } from "./frames.ts";
import { compileGuest, type GuestImage } from "./guest.ts";
import { NetGuest, type NetGuestOptions } from "./net-guest.ts";

const [OWN, PEER] = ["10.0.0.1", "10.0.0.2"];
const FLAGS = "FSRPAU";
export const SOCK_STREAM = 1;
export const AF_INET = 2;

/** A segment of TCP, its numbers as they are on the wire. */
export interface Segment {
  source: number;
  dest: number;
  seq: number;
  ack: number;
  flags: number;
  win: number;
  mss?: number;
  scale?: number;
  sack: boolean;
  blocks: [number, number][];
  ts?: [number, number];
  payload: Buffer;
  /** Are both checksums right? */
  isGood: boolean;
}

const flagsOf = (text: string): number =>
  [...text.replace(".", "")].reduce((sum, one) => sum | (1 << FLAGS.indexOf(one)), 0);
const flagNames = (flags: number): string =>
  [..."SFRPAU"].filter((one) => (flags & (1 << FLAGS.indexOf(one))) !== 0).join("") || ".";

/** The bytes from number `seq` on. */
export const pattern = (seq: number, bytes: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, i) => (seq + i) & 255));

function readOptions(options: Buffer): Partial<Segment> {
  const found: Partial<Segment> = { blocks: [] };
  for (let at = 0; at < options.length; ) {
    const kind = options[at] as number;
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    const bytes = options[at + 1] as number;
    if (kind === 2) found.mss = options.readUInt16BE(at + 2);
    if (kind === 3) found.scale = options[at + 2] as number;
    if (kind === 4) found.sack = true;
    if (kind === 8) found.ts = [options.readUInt32BE(at + 2), options.readUInt32BE(at + 6)];
    for (let block = at + 2; kind === 5 && block < at + bytes; block += 8) {
      found.blocks?.push([options.readUInt32BE(block), options.readUInt32BE(block + 4)]);
    }
    at += bytes;
  }
  return found;
}

const pseudo = (from: Uint8Array, bytes: number) =>
  Buffer.concat([from, Buffer.from([0, 6, bytes >> 8, bytes & 255])]);

export function readSegment(bytes: Uint8Array): Segment {
  const b = Buffer.from(bytes);
  const at = 14 + ((b[14] as number) & 15) * 4;
  const tcp = b.subarray(at, 14 + b.readUInt16BE(16));
  const header = ((tcp[12] as number) >> 4) * 4;
  const sum = internetChecksum(Buffer.concat([pseudo(b.subarray(26, 34), tcp.length), tcp]));
  return {
    source: tcp.readUInt16BE(0),
    dest: tcp.readUInt16BE(2),
    seq: tcp.readUInt32BE(4),
    ack: tcp.readUInt32BE(8),
    flags: tcp[13] as number,
    win: tcp.readUInt16BE(14),
    sack: false,
    blocks: [],
    ...readOptions(tcp.subarray(20, header)),
    payload: tcp.subarray(header),
    isGood: sum === 0 && internetChecksum(b.subarray(14, at)) === 0,
  };
}

export interface Written extends Partial<Omit<Segment, "isGood">> {
  /** Options as they are, instead of those above. */
  options?: Uint8Array;
  /** Octets of the header that are not as they should be; the checksum is made right after. */
  wrong?: Readonly<Record<number, number>>;
  checksum?: number;
}

function optionBytes(w: Written): Buffer {
  const u32 = (n: number) => {
    const b = Buffer.alloc(4);
    b.writeUInt32BE(n >>> 0);
    return [...b];
  };
  const list: number[] = [];
  if (w.mss !== undefined) list.push(2, 4, w.mss >> 8, w.mss & 255);
  if (w.sack) list.push(4, 2);
  if (w.ts) list.push(8, 10, ...w.ts.flatMap(u32));
  if (w.scale !== undefined) list.push(3, 3, w.scale);
  if (w.blocks?.length) list.push(5, 2 + w.blocks.length * 8, ...w.blocks.flat().flatMap(u32));
  while (list.length % 4 !== 0) list.push(1);
  return Buffer.from(list);
}

/** A frame of the peer. */
export function writeSegment(w: Written): Buffer {
  const options = w.options ?? optionBytes(w);
  const header = Buffer.alloc(20 + options.length);
  header.writeUInt16BE(w.source ?? 0, 0);
  header.writeUInt16BE(w.dest ?? 0, 2);
  header.writeUInt32BE((w.seq ?? 0) >>> 0, 4);
  header.writeUInt32BE((w.ack ?? 0) >>> 0, 8);
  header[12] = (header.length / 4) << 4;
  header[13] = w.flags ?? 0;
  header.writeUInt16BE(w.win ?? 65535, 14);
  header.set(options, 20);
  for (const [at, octet] of Object.entries(w.wrong ?? {})) header[Number(at)] = octet;
  const tcp = Buffer.concat([header, w.payload ?? Buffer.alloc(0)]);
  const addresses = Buffer.concat([ip(PEER), ip(OWN)]);
  tcp.writeUInt16BE(internetChecksum(Buffer.concat([pseudo(addresses, tcp.length), tcp])), 16);
  if (w.checksum !== undefined) tcp.writeUInt16BE(w.checksum, 16);
  return ipFrame({
    to: card(1),
    from: card(2),
    source: PEER,
    destination: OWN,
    protocol: 6,
    payload: tcp,
  });
}

/** Fragmentation needed: the peer says that a frame of the guest does not fit `mtu`. */
export function tooLong(frame: Uint8Array, mtu: number): Buffer {
  const quoted = frame.subarray(14, 14 + 28);
  const message = Buffer.concat([Buffer.from([3, 4, 0, 0, 0, 0, mtu >> 8, mtu & 255]), quoted]);
  message.writeUInt16BE(internetChecksum(message), 2);
  const ends = { to: card(1), from: card(2), source: PEER, destination: OWN };
  return ipFrame({ ...ends, protocol: 1, payload: message });
}

/** Calls of the kernel, as test/guest/sockets.ts numbers them. */
const OPS = {
  ...{ accept: 0, connect: 1, recv: 2, peek: 3, send: 4, select: 5, shutdown: 6, close: 7 },
  ...{ loan: 8, sendVector: 9, completion: 10, echo: 11 },
};

/** A call that runs in a thread of its own. */
export interface Running {
  /** Undefined: it has not returned. */
  result(): number | undefined;
  readonly thread: number;
}

export class TcpGuest extends NetGuest {
  /** Of the present conversation. */
  localPort = 80;
  peerPort = 40000;
  iss = 0;
  /** The peer's first number. */
  irs = 7_000_000;
  #out: Segment[] = [];
  #tsBase: number | undefined;

  /** The peer asks for the guest's MAC, and the guest learns the peer's. */
  meet(): void {
    this.inject(whoHas(OWN, PEER, card(2)));
  }

  start(op: keyof typeof OPS, ...args: number[]): Running {
    const at = this.call("start", OPS[op], args[0] ?? 0, args[1] ?? 0, args[2] ?? 0, args[3] ?? 0);
    return {
      thread: this.machine.memory.view.getInt32((at >>> 0) + 8, true),
      result: () => {
        const { view } = this.machine.memory;
        return view.getUint32(at >>> 0, true) === 0
          ? undefined
          : view.getInt32((at >>> 0) + 4, true);
      },
    };
  }

  /** A listener on the local port. */
  listen(backlog = 8): number {
    const socket = this.call("SysSocket", SOCK_STREAM, AF_INET);
    expect(this.call("SysSocketBind", socket, this.localPort)).toBe(0);
    expect(this.call("SysSocketListen", socket, backlog)).toBe(0);
    return socket;
  }

  accept(listener: number): number {
    const handle = this.start("accept", listener).result();
    expect(handle).toBeGreaterThan(0);
    return handle as number;
  }

  /** A connection that the peer has asked for, with these options of its SYN. */
  serve(options = "mss=1460", win = 65535): { listener: number; socket: number } {
    const listener = this.listen();
    const ts = /ts=\d+/.exec(options)?.[0];
    this.script(`
      in  S  seq=0 win=${win} ${options}
      out SA seq=0 ack=1
      in  A  seq=1 ack=1 win=${win} ${ts === undefined ? "" : `${ts}:0`}
    `);
    const socket = this.accept(listener);
    this.script("none");
    return { listener, socket };
  }

  /** Memory of the guest with the bytes of numbers from `seq` on. */
  bytes(seq: number, length: number): number {
    const at = this.call("ToroGetMem", Math.max(length, 1)) >>> 0;
    new Uint8Array(this.machine.memory.view.buffer).set(pattern(seq, length), at);
    return at;
  }

  /** Sends bytes of the pattern, without waiting for room. Returns the result. */
  send(socket: number, seq: number, length: number, flags = 0): Running {
    return this.start("send", socket, this.bytes(seq, length), length, flags);
  }

  /** Receives what there is. Returns the bytes, or the error. */
  recv(socket: number, length = 65536, flags = 0x40): Buffer | number {
    const at = this.call("ToroGetMem", length) >>> 0;
    const result = this.start("recv", socket, at, length, flags).result();
    const bytes =
      result !== undefined && result >= 0
        ? Buffer.from(this.machine.memory.view.buffer.slice(at, at + result))
        : (result as number);
    this.call("ToroFreeMem", at);
    return bytes;
  }

  /** Words that the guest has at an address. */
  words(at: number, count: number): number[] {
    const { view } = this.machine.memory;
    return Array.from({ length: count }, (_, i) => view.getUint32(at + i * 4, true));
  }

  /** Memory of the guest with these words. */
  place(...words: number[]): number {
    const at = this.call("ToroGetMem", words.length * 4) >>> 0;
    for (const [i, word] of words.entries()) {
      this.machine.memory.view.setUint32(at + i * 4, word, true);
    }
    return at;
  }

  /** The bytes that a socket has moved, and how. */
  moved(socket: number): GuestStats {
    const at = this.call("ToroGetMem", NetStats.sizeof) >>> 0;
    expect(this.call("SysSocketStat", socket, at)).toBe(0);
    const stats = statsAt(this.machine.memory, at);
    this.call("ToroFreeMem", at);
    return stats;
  }

  /** The device breaks its ring, and the driver gives the card up when it sends next. */
  breakCard(): void {
    const { view } = this.machine.memory;
    const { rings, size } = this.device.queue(1);
    const idx = view.getUint16(rings.used + 2, true);
    view.setUint32(rings.used + 4 + (idx & (size - 1)) * 8, 5000, true);
    view.setUint16(rings.used + 2, idx + 1, true);
    this.meet();
    this.advance(1);
  }

  /** The segments that the guest has sent since the last call. */
  segments(): Segment[] {
    for (const one of this.device.sent.splice(0)) {
      const b = Buffer.from(one.frame);
      if (b.readUInt16BE(12) !== 0x0800 || b[23] !== 6) continue;
      this.#out.push(readSegment(b));
    }
    return this.#out.splice(0);
  }

  peer(w: Written): void {
    this.inject(writeSegment({ source: this.peerPort, dest: this.localPort, ...w }));
  }

  /** Runs a script; see above. */
  script(text: string): void {
    for (const line of text.split("\n").map((one) => one.replace(/#.*/, "").trim())) {
      if (line !== "") this.#step(line);
    }
  }

  #step(line: string): void {
    const [verb = "", ...words] = line.split(/\s+/);
    const [flags = "", ...fields] = words;
    const of = Object.fromEntries(fields.map((one) => one.split("=", 2)));
    if (verb === "none") this.#expectNone(line);
    else if (verb.startsWith("+")) this.advance(Number(verb.slice(1)));
    else if (verb === "in") this.#arrive(flags, of);
    else if (verb === "out") this.#expect(line, flags, of);
    else throw new Error(`no such line: ${line}`);
  }

  #arrive(flags: string, of: Record<string, string | undefined>): void {
    const number = (name: string) => (of[name] === undefined ? undefined : Number(of[name]));
    const seq = number("seq") ?? 0;
    const w: Written = {
      flags: flagsOf(flags),
      seq: this.irs + seq,
      ack: of.ack === undefined ? 0 : this.iss + Number(of.ack),
      win: number("win") ?? 65535,
      sack: "sack" in of,
      payload: pattern(seq, number("bytes") ?? 0),
    };
    for (const name of ["mss", "scale"] as const) if (of[name]) w[name] = Number(of[name]);
    if (of.ts) {
      const [value = 0, echo = 0] = of.ts.split(":").map(Number);
      w.ts = [value, this.#tsBase === undefined ? 0 : this.#tsBase + echo];
    }
    if (of.blocks) {
      const blocks = of.blocks.split(",").map((one) => one.split("-").map(Number));
      w.blocks = blocks.map(([a = 0, b = 0]) => [this.iss + a, this.iss + b]);
    }
    this.peer(w);
  }

  #expectNone(line: string): void {
    expect(
      this.segments().map((one) => this.show(one)),
      line,
    ).toEqual([]);
  }

  #expect(line: string, flags: string, of: Record<string, string | undefined>): void {
    const [next, ...rest] = this.segments();
    this.#out.push(...rest);
    expect(next, `${line}: the guest has sent nothing`).toBeDefined();
    const one = next as Segment;
    if ((one.flags & 2) !== 0) {
      this.iss = one.seq;
      if (one.ts) this.#tsBase = one.ts[0];
    }
    const seen: Record<string, unknown> = { flags: this.#flags(one.flags, flags) };
    const wanted: Record<string, unknown> = { flags: this.#flags(flagsOf(flags), flags) };
    const fields = this.#fields(one);
    for (const [name, value] of Object.entries(of)) {
      seen[name] = fields[name];
      wanted[name] = value === undefined ? true : /^\d+$/.test(value) ? Number(value) : value;
    }
    expect({ line, ...seen }, `${line}\n  got ${this.show(one)}`).toEqual({ line, ...wanted });
    const from = (one.seq - this.iss) >>> 0;
    expect(one.isGood, `${line}: its checksums`).toBe(true);
    expect(one.payload, `${line}: its payload`).toEqual(pattern(from, one.payload.length));
  }

  #flags(flags: number, named: string): string {
    return flagNames(named.includes("P") ? flags : flags & ~8);
  }

  #fields(one: Segment): Record<string, unknown> {
    const block = ([a, b]: [number, number]) => `${(a - this.irs) >>> 0}-${(b - this.irs) >>> 0}`;
    return {
      seq: (one.seq - this.iss) >>> 0,
      ack: (one.ack - this.irs) >>> 0,
      win: one.win,
      mss: one.mss,
      scale: one.scale,
      sack: one.sack,
      bytes: one.payload.length,
      ts:
        one.ts === undefined
          ? undefined
          : `${(one.ts[0] - (this.#tsBase ?? 0)) >>> 0}:${one.ts[1]}`,
      blocks: one.blocks.map(block).join(",") || undefined,
    };
  }

  show(one: Segment): string {
    const fields = Object.entries(this.#fields(one)).filter(([, value]) => value !== undefined);
    return `${flagNames(one.flags)} ${fields.map(([name, value]) => `${name}=${value}`).join(" ")}`;
  }
}

let images: Promise<GuestImage> | undefined;

/** Boots guests for the tests of one file; they are disposed of after each test. */
export async function tcpGuests() {
  images ??= compileGuest("test/guest/tcp.ts");
  const image = await images;
  const guests: TcpGuest[] = [];
  afterEach(() => {
    for (const guest of guests.splice(0)) {
      expect(guest.faults()).toBe(0);
      guest.dispose();
    }
  });
  return async (options: NetGuestOptions = {}) => {
    const guest = new TcpGuest(image, options);
    await guest.boot(options);
    guests.push(guest);
    guest.meet();
    return guest;
  };
}
