// Names what threads of the guest wait for. A wait queue has no name: it is known by the object of
// the kernel that it is part of. The guest may lie, so an object counts only if the kernel's own
// tables agree.
import { IPPROTO_TCP } from "../../abi/ip.ts";
import { TraceWait } from "../../abi/trace.ts";
import { u32 } from "../memory.ts";
import { fuseName } from "../operation-names.ts";
import { type ConnectionKey, connectionKey, tcpKey } from "../trace/connection-key.ts";
import { EventKind, THREADS } from "../trace/event.ts";
import type { Wait } from "../trace/tracer.ts";
import type { GuestReader } from "./guest-reader.ts";
import { SocketState } from "./guest-states.ts";
import type { Layout } from "./layout.ts";
import { isVsock, socketName } from "./peers.ts";

const SLOT_MASK = 0xffff;

/** `queue` is the address of a WaitQueue, or a TraceWait. "": the thread does not wait. */
export function describeWait(
  reader: GuestReader,
  layout: Layout,
  queue: number,
  withPeer = true,
): string {
  if (queue === TraceWait.None) return "";
  if (queue === TraceWait.Time) return "time";
  const { interfaces, interfaces_max, request, socket, thread } = layout;
  for (let i = 0; i < interfaces_max; i++) {
    const at = reader.u32(interfaces + 4 * i);
    if (at !== 0 && queue === at + layout.interface.space) return `room to send, device ${i}`;
  }
  const card = reader.u32(layout.card);
  if (card !== 0 && queue === card + layout.interface.space) return "room to send, network card";
  if (queue === layout.address.waiters) return "an address of this machine";
  const asked = queue - request.waiter;
  if (reader.u32(asked + request.transfer) === asked + request.transferAt) {
    return `file: ${fuseName(reader.u32(asked + request.opcode))}`;
  }
  const joined = queue - thread.joiners;
  if (isIn(reader, layout, layout.threads, reader.u32(joined + thread.id), joined)) {
    return `end of thread ${reader.i32(joined + thread.id)}`;
  }
  const found = socketOf(reader, layout, queue);
  if (found !== null) {
    const { at, isReader } = found;
    const isListener = reader.u32(at + socket.state) === SocketState.Listening;
    const what = isListener ? "accept" : isReader ? "read" : "send";
    return `${nameOf(reader, layout, at, withPeer)} to ${what}`;
  }
  if (queue === layout.console.writers) return "the console's reader";
  const sent = queue - layout.buffers.waiters;
  if (isBlock(reader, layout, sent, layout.buffers.bytes)) return "buffers lent to a device";
  return "another thread";
}

/** In a trace the peer is an argument, so that waits for all connections have one name. */
const PEER = ["remotePort"];

/** Waits for connections that are known by their queues: the most that are kept. */
const WAITS_MAX = 4096;

interface KnownWait {
  readonly at: number; // of the socket
  readonly handle: number;
  readonly wait: Wait;
}

/**
 * What threads wait for. Nearly all wait for a connection, again and again for the same: those are
 * kept, by their queues.
 */
export class Waits {
  readonly #reader: GuestReader;
  readonly #layout: Layout;
  readonly #known = new Map<number, KnownWait>(); // by queue as an int32: those are found faster
  readonly #kinds = new Map<string, EventKind>(); // by title

  constructor(reader: GuestReader, layout: Layout) {
    this.#reader = reader;
    this.#layout = layout;
  }

  /** null: nothing. */
  of(queue: number): Wait | null {
    if (queue === TraceWait.None) return null;
    const [reader, layout] = [this.#reader, this.#layout];
    const known = this.#known.get(queue | 0);
    if (known !== undefined && isSocket(reader, layout, known.handle, known.at)) return known.wait;
    const at = socketOf(reader, layout, queue)?.at ?? 0;
    const title = `waits: ${describeWait(reader, layout, queue, false)}`;
    const kind = this.#kindOf(title, at === 0 ? [] : PEER);
    const connection = at === 0 ? null : connectionOf(reader, layout, at);
    const remotePort = at === 0 ? 0 : reader.u32(at + layout.socket.remotePort);
    const wait: Wait = { kind, connection, remotePort };
    if (connection === null) return wait;
    if (this.#known.size === WAITS_MAX) this.#known.clear();
    const handle = reader.u32(at + layout.socket.handle);
    this.#known.set(queue | 0, { at, handle, wait });
    return wait;
  }

  #kindOf(title: string, keys: readonly string[]): EventKind {
    let kind = this.#kinds.get(title);
    if (kind === undefined) {
      if (this.#kinds.size === WAITS_MAX) this.#kinds.clear();
      kind = new EventKind("X", THREADS, title, keys, { cat: "wait" });
      this.#kinds.set(title, kind);
    }
    return kind;
  }
}

/** Handles have generations: no two sockets have had the same one. */
function isSocket(reader: GuestReader, layout: Layout, handle: number, at: number): boolean {
  if (reader.u32(at + layout.socket.handle) !== handle) return false;
  return isIn(reader, layout, layout.sockets, handle, at);
}

/** null: the socket has no peer. */
function connectionOf(reader: GuestReader, { socket }: Layout, at: number): ConnectionKey | null {
  const remote = reader.u32(at + socket.remotePort);
  if (remote === 0) return null;
  const protocol = reader.u32(at + socket.protocol);
  const address = reader.u32(at + socket.remoteAddress);
  const local = reader.u32(at + socket.localPort);
  if (isVsock(protocol)) return connectionKey(address, remote, local);
  return protocol === IPPROTO_TCP ? tcpKey(address, remote, local) : null;
}

/** The socket that has the queue. */
function socketOf(
  reader: GuestReader,
  layout: Layout,
  queue: number,
): { readonly at: number; readonly isReader: boolean } | null {
  const { socket } = layout;
  for (const offset of [socket.readers, socket.writers]) {
    const at = queue - offset;
    const handle = reader.u32(at + socket.handle);
    if (isIn(reader, layout, layout.sockets, handle, at)) {
      return { at, isReader: offset === socket.readers };
    }
  }
  return null;
}

/** Is this a block of the heap, in use and of that length? */
function isBlock(reader: GuestReader, { block }: Layout, at: number, bytes: number): boolean {
  const header = at - block.bytes;
  const check = u32(reader.u32(header + block.check) ^ at);
  return check === u32(block.used) && reader.u32(header + block.length) === bytes;
}

function nameOf(reader: GuestReader, { socket }: Layout, at: number, withPeer: boolean): string {
  const field = (offset: number) => reader.u32(at + offset);
  return socketName(
    field(socket.protocol),
    field(socket.type),
    field(socket.localPort),
    field(socket.remoteAddress),
    withPeer ? field(socket.remotePort) : 0,
  );
}

/** Does the handle of that table lead to this object? */
function isIn(
  reader: GuestReader,
  { table, slot }: Layout,
  at: number,
  handle: number,
  object: number,
): boolean {
  const index = handle & SLOT_MASK;
  if (handle === 0 || index >= reader.u32(at + table.capacity)) return false;
  return reader.u32(reader.u32(at + table.slots) + index * slot.bytes + slot.object) === object;
}
