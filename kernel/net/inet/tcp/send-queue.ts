// The bytes that a connection has taken over and that its peer has not acknowledged, in chunks:
// copies, or buffers of the sender. A segment in the ring refers to its chunks, so a chunk is freed
// when it is acknowledged and no segment refers to it any more.
import { NetStats } from "../../../../abi/stats";
import { heapBytes, ToroFreeMem, ToroGetMem } from "../../../memory";
import { Packet, payloadOf } from "../../link/packet";
import { AllocatePacket, FreePacket } from "../../link/pool";
import { Socket, statsOf } from "../../socket/socket";
import { copyPayload } from "../../socket/stats";
import { holdUserBuffers, releaseUserBuffers, UserBuffers } from "../../socket/zerocopy";
import { Tcb, tcbOf } from "./tcb";

/** Packets of one chunk: what a packet can carry. */
const CHUNK_BYTES_MAX: u32 = 65536;
/** A small chunk has room for what is sent next. */
const CHUNK_BYTES_MIN: u32 = 512;

@unmanaged
export class Chunk {
  next: Chunk | null;
  base: usize;
  length: u32; // bytes that are queued, from `base` on
  room: u32; // bytes after them that more can be copied to
  refs: u32; // segments in the ring that refer to it
  isDone: bool; // acknowledged, or nobody's any more
  packet: usize; // whose payload it is, or 0
  buffers: usize; // the UserBuffers whose bytes it is, or 0
}

const NO_CHUNK: Chunk = changetype<Chunk>(0);

let queuedBytes: u64 = 0; // of all connections

/** Bytes that all connections have queued. */
export function sendQueuesBytes(): u64 {
  return queuedBytes;
}

/** Do the send queues of all connections have their share of the memory? */
export function areQueuesFull(): bool {
  return queuedBytes > heapBytes() >> 3;
}

function createChunk(base: usize, length: u32): Chunk {
  const address = ToroGetMem(offsetof<Chunk>());
  if (address == 0) return NO_CHUNK;
  memory.fill(address, 0, offsetof<Chunk>());
  const chunk = changetype<Chunk>(address);
  chunk.base = base;
  chunk.length = length;
  return chunk;
}

function append(t: Tcb, chunk: Chunk): void {
  const address = changetype<usize>(chunk);
  if (t.tail == 0) t.head = address;
  else changetype<Chunk>(t.tail).next = chunk;
  t.tail = address;
  if (t.cursor == 0) {
    t.cursor = address;
    t.cursorAt = t.end;
  }
}

function grow(t: Tcb, bytes: u32): void {
  t.end += bytes;
  queuedBytes += bytes;
}

/** Copies up to `bytes` bytes from `from`. Returns how many, 0: no memory. */
export function queueCopy(s: Socket, from: usize, bytes: u32): u32 {
  const t = tcbOf(s);
  const last = changetype<Chunk>(t.tail);
  if (t.tail != 0 && last.room != 0) {
    const part = min(bytes, last.room);
    copyPayload(statsOf(s), NetStats.userToPacket, last.base + last.length, from, part);
    last.length += part;
    last.room -= part;
    grow(t, part);
    return part;
  }
  const part = min(bytes, CHUNK_BYTES_MAX);
  const packet = AllocatePacket(max(part, CHUNK_BYTES_MIN));
  if (!packet) return 0;
  const chunk = createChunk(payloadOf(packet), part);
  if (chunk == NO_CHUNK) {
    FreePacket(packet);
    return 0;
  }
  copyPayload(statsOf(s), NetStats.userToPacket, chunk.base, from, part);
  chunk.packet = changetype<usize>(packet);
  chunk.room = packet.capacity - part;
  append(t, chunk);
  grow(t, part);
  return part;
}

/** Takes bytes of the sender's where they lie. Returns false when there is no memory. */
export function queueInPlace(s: Socket, base: usize, bytes: u32, buffers: UserBuffers): bool {
  const chunk = createChunk(base, bytes);
  if (chunk == NO_CHUNK) return false;
  holdUserBuffers(buffers);
  chunk.buffers = changetype<usize>(buffers);
  append(tcbOf(s), chunk);
  grow(tcbOf(s), bytes);
  return true;
}

/** The peer has acknowledged `bytes` bytes at the front. */
export function dropAcknowledged(t: Tcb, bytes: u32): void {
  let left = bytes;
  while (left != 0) {
    const chunk = changetype<Chunk>(t.head);
    assert(t.head != 0, "more than there is");
    const part = min(left, chunk.length);
    chunk.base += part;
    chunk.length -= part;
    left -= part;
    if (t.cursor == t.head) t.cursorAt += part;
    if (chunk.length != 0) break;
    pop(t, chunk);
  }
  queuedBytes -= bytes;
}

function pop(t: Tcb, chunk: Chunk): void {
  const next = changetype<usize>(chunk.next);
  t.head = next;
  if (next == 0) t.tail = 0;
  if (t.cursor == changetype<usize>(chunk)) {
    t.cursor = next;
    t.cursorAt += chunk.length;
  }
  chunk.isDone = true;
  if (chunk.refs == 0) destroyChunk(chunk);
}

/** Drops all that is queued. */
export function dropQueue(t: Tcb): void {
  while (t.head != 0) {
    const chunk = changetype<Chunk>(t.head);
    queuedBytes -= chunk.length;
    pop(t, chunk);
  }
  t.cursor = 0;
}

function destroyChunk(chunk: Chunk): void {
  assert(chunk.refs == 0 && chunk.isDone, "in use");
  if (chunk.packet != 0) FreePacket(changetype<Packet>(chunk.packet));
  const buffers = chunk.buffers;
  ToroFreeMem(changetype<usize>(chunk));
  if (buffers != 0) releaseUserBuffers(changetype<UserBuffers>(buffers));
}

/** A segment in the ring refers to the chunk, until releaseChunk(). */
export function holdChunk(chunk: Chunk): void {
  chunk.refs++;
}

export function releaseChunk(chunk: Chunk): void {
  assert(chunk.refs != 0, "nobody refers to it");
  if (--chunk.refs == 0 && chunk.isDone) destroyChunk(chunk);
}

// Reading.

/** The byte that findByte() found last. */
export let foundChunk: Chunk = NO_CHUNK;
export let foundOffset: u32 = 0;

/**
 * Finds the chunk with the byte of number `seq`, which is queued, and its place there. It looks
 * from where it found one last, so sending in order costs nothing.
 */
export function findByte(t: Tcb, firstSeq: u32, seq: u32): void {
  if (t.cursor == 0 || <i32>(seq - t.cursorAt) < 0) {
    t.cursor = t.head;
    t.cursorAt = firstSeq;
  }
  let chunk = changetype<Chunk>(t.cursor);
  while (seq - t.cursorAt >= chunk.length) {
    t.cursorAt += chunk.length;
    t.cursor = changetype<usize>(chunk.next);
    assert(t.cursor != 0, "beyond the queue");
    chunk = changetype<Chunk>(t.cursor);
  }
  foundChunk = chunk;
  foundOffset = seq - t.cursorAt;
}

/** Entries of a vector that list `bytes` bytes from the found one on, `most` at most. */
export function countParts(bytes: u32, most: u32): u32 {
  let chunk: Chunk | null = foundChunk;
  let left = bytes;
  let at = foundOffset;
  let parts: u32 = 0;
  while (left != 0 && chunk && parts < most) {
    left -= min(left, chunk.length - at);
    at = 0;
    parts++;
    chunk = chunk.next;
  }
  return parts;
}
