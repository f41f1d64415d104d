// Sends a response. The part that fits the client's credit goes at once; while the rest waits, the
// connection holds its thread, its socket and its place in the file, and nothing else.
import {
  Errno,
  FIONSPACE,
  IoVec,
  POLLOUT,
  SelectEntry,
  SIOCOUTQ,
  Sleep,
  SO_SNDLOWAT,
  SysReadFileAt,
  SysSocketGetOption,
  SysSocketSelect,
  SysSocketSend,
  SysSocketSendVector,
  SysSocketSetOption,
  ToroFreeMem,
  ToroGetMem,
} from "torito/kernel/api";
import { Connection, pollOf, vectorOf } from "./connections";
import { Ending } from "./ending";
import { closeWork } from "./hold";
import { beginPace, endPace } from "./pace";
import { Parts } from "./parts";
import { giveTurn, pieceBytesMax, takeTurn } from "./turns";
import { outputOf } from "./work";

/** Longer sends happen in place: the device may hold them until the client has taken them. */
const HELD_BYTES_MAX: u64 = 65535;
/** Only the last piece may be smaller. */
const PIECE_BYTES_MIN: u32 = 8192;
/** Pause when there is no memory for a packet; other responses free theirs. */
const PAUSE_MS: u32 = 10;

/**
 * Sends the first `bytes` of the output, for which there is room, and of the file one part, or
 * several with their heads. Yields.
 * If that takes time the connection gives its work back. False: the client has gone.
 */
export function deliver(c: Connection, bytes: u32): bool {
  const sent = deliverFirst(c, bytes);
  const parts = c.parts;
  return parts && sent ? deliverParts(c, parts) : sent;
}

/** The head, and what follows it if that is one part of a file or less. */
function deliverFirst(c: Connection, bytes: u32): bool {
  const output = outputOf(c.work);
  const head = bytes - c.joined;
  const body = c.end - c.at;
  if (body == 0) return took(c, SysSocketSend(c.socket, output, bytes, 0), head) == c.joined;
  const content = c.entry.content;
  if (content != 0 && bytes + body <= min<u64>(HELD_BYTES_MAX, roomOf(c))) {
    const vector = fillVector(c, output, bytes, content + <usize>c.at, <u32>body);
    return took(c, SysSocketSendVector(c.socket, vector, 2, 0), head) == <i32>body;
  }
  beginPace(c);
  const sent = deliverHead(c, bytes) && deliverBody(c);
  endPace(c);
  return sent;
}

/**
 * Counts what a send has handed over, of which `head` bytes are no body. Returns the bytes of body,
 * or a negative number: not even the head.
 */
function took(c: Connection, sent: i32, head: u32): i32 {
  const body = sent - <i32>head;
  if (body > 0) c.bodySent += body;
  return body;
}

function roomOf(c: Connection): u32 {
  return SysSocketGetOption(c.socket, FIONSPACE);
}

function fillVector(c: Connection, head: usize, bytes: u32, body: usize, length: u32): usize {
  const vector = vectorOf(c);
  const first = changetype<IoVec>(vector);
  const second = changetype<IoVec>(vector + offsetof<IoVec>());
  first.base = head;
  first.length = bytes;
  second.base = body;
  second.length = length;
  return vector;
}

/** Sends the head, and with it as much of a file in memory as there is room for. */
function deliverHead(c: Connection, bytes: u32): bool {
  const content = c.entry.content;
  const head: usize = content == 0 ? 0 : ToroGetMem(bytes);
  if (head == 0) {
    const sent = SysSocketSend(c.socket, outputOf(c.work), bytes, 0);
    closeWork(c);
    return sent == <i32>bytes;
  }
  memory.copy(head, outputOf(c.work), bytes);
  closeWork(c);
  takeTurn();
  const room = roomOf(c);
  const length = <u32>min<u64>(c.end - c.at, room > bytes ? room - bytes : 0);
  const vector = fillVector(c, head, bytes, content + <usize>c.at, length);
  const sent = SysSocketSendVector(c.socket, vector, 2, 0);
  giveTurn();
  ToroFreeMem(head);
  const taken = took(c, sent, bytes);
  if (taken < 0) return false;
  c.at += taken;
  return true;
}

/** Sends the rest, as the client takes it. */
function deliverBody(c: Connection): bool {
  while (c.at < c.end) {
    if (!awaitSpace(c, <u32>min<u64>(c.end - c.at, pieceBytes(c)))) return false;
    takeTurn();
    const bytes = <u32>min<u64>(c.end - c.at, roomOf(c));
    const sent = c.entry.content == 0
      ? sendRead(c, min(bytes, pieceBytesMax()))
      : SysSocketSend(c.socket, c.entry.content + <usize>c.at, bytes, 0);
    giveTurn();
    if (sent >= 0) c.at += took(c, sent, 0);
    else if (sent == -Errno.ENOMEM) Sleep(PAUSE_MS);
    else return false;
  }
  return true;
}

/** Sends parts of the file, and the end of the body. */
function deliverParts(c: Connection, parts: Parts): bool {
  closeWork(c);
  beginPace(c);
  let isOpen = true;
  for (let i: u32 = 0; i <= parts.count && isOpen; i++) {
    const head = parts.scratch;
    const bytes = <i32>(parts.putHead(head, i) - head);
    isOpen = took(c, SysSocketSend(c.socket, head, bytes, 0), 0) == bytes;
    if (i == parts.count || !isOpen) break;
    c.at = parts.range(i).first;
    c.end = parts.range(i).last + 1;
    isOpen = deliverBody(c);
  }
  endPace(c);
  return isOpen;
}

/** The room that a piece waits for: half of the window, while the other half is on its way. */
function pieceBytes(c: Connection): u32 {
  const window = roomOf(c) + SysSocketGetOption(c.socket, SIOCOUTQ);
  return max(min(window >> 1, pieceBytesMax()), PIECE_BYTES_MIN);
}

/** Reads and sends a piece of a file. Returns its bytes, or an error. */
function sendRead(c: Connection, bytes: u32): i32 {
  const piece = ToroGetMem(bytes);
  if (piece == 0) return -Errno.ENOMEM;
  const got = SysReadFileAt(c.entry.file, piece, bytes, c.at);
  const sent = got > 0 ? SysSocketSend(c.socket, piece, got, 0) : got;
  ToroFreeMem(piece);
  if (got != 0 || bytes == 0) return sent;
  c.ending = Ending.File; // HF15: it is shorter than announced, so the connection must end
  return -Errno.EIO;
}

/**
 * Waits until the client has room for `bytes`, holding no work. Yields. False: it has gone or was
 * cut, or there was no memory to keep its requests.
 */
export function awaitRoom(c: Connection, bytes: u32): bool {
  if (roomOf(c) >= bytes) return true;
  if (!closeWork(c)) return false;
  beginPace(c);
  const open = awaitSpace(c, bytes);
  endPace(c);
  return open;
}

function awaitSpace(c: Connection, bytes: u32): bool {
  if (roomOf(c) >= bytes) return true;
  SysSocketSetOption(c.socket, SO_SNDLOWAT, bytes);
  const poll = changetype<SelectEntry>(pollOf(c));
  poll.socket = c.socket;
  poll.events = <u16>POLLOUT;
  return SysSocketSelect(pollOf(c), 1, -1) > 0 && (poll.revents & POLLOUT) != 0;
}
