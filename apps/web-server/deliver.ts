// A response on its way to the client. What fits in the client's credit goes at once; while the
// rest waits, the connection holds its thread, its socket and its place in the file, and nothing
// else.
import { Errno } from "../../drivers/abi/errno";
import { SysReadFileAt } from "../../kernel/fs/calls";
import { IoVec } from "../../kernel/iovec";
import { ToroFreeMem, ToroGetMem } from "../../kernel/memory";
import {
  FIONSPACE,
  SO_SNDLOWAT,
  SysSocketGetOption,
  SysSocketSetOption,
} from "../../kernel/net/options";
import { POLLOUT, SelectEntry, SysSocketSelect } from "../../kernel/net/select";
import { SysSocketSend, SysSocketSendVector } from "../../kernel/net/send";
import { Sleep } from "../../kernel/process";
import { giveBuffer, pieceBytesMax, takeBuffer } from "./buffers";
import { Connection, pollOf, vectorOf } from "./connections";
import { closeWork } from "./hold";
import { beginPace, endPace } from "./pace";
import { outputOf } from "./work";

/** More is lent to the device, for as long as the client takes to have it. */
const HELD_BYTES_MAX: u64 = 65535;
/** No piece is smaller but the last one, for the sake of those who take a little now and then. */
const PIECE_BYTES_MIN: u64 = 8192;
/** When memory for a packet is out: other responses give theirs back. */
const PAUSE_MS: u32 = 10;

/**
 * Sends the first `bytes` of the output, for which there is room, and what of the file follows
 * them. Yields. The connection has its work no more if that took time. False: the client has gone.
 */
export function deliver(c: Connection, bytes: u32): bool {
  const output = outputOf(c.work);
  const body = c.end - c.at;
  if (body == 0) return SysSocketSend(c.socket, output, bytes, 0) == <i32>bytes;
  const content = c.entry.content;
  if (content != 0 && bytes + body <= min<u64>(HELD_BYTES_MAX, roomOf(c))) {
    const vector = fillVector(c, output, bytes, content + <usize>c.at, <u32>body);
    return SysSocketSendVector(c.socket, vector, 2, 0) == <i32>(bytes + body);
  }
  beginPace(c);
  const sent = content == 0 ? deliverPieces(c, bytes) : deliverContent(c, bytes);
  endPace(c);
  return sent;
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

/** Of a file in memory: in one call, with its head in a place of its own. */
function deliverContent(c: Connection, bytes: u32): bool {
  const body = c.entry.content + <usize>c.at;
  const length = <u32>(c.end - c.at);
  const head = ToroGetMem(bytes);
  if (head != 0) memory.copy(head, outputOf(c.work), bytes);
  else if (SysSocketSend(c.socket, outputOf(c.work), bytes, 0) != <i32>bytes) return false;
  closeWork(c);
  let left = length;
  if (head != 0) {
    const vector = fillVector(c, head, bytes, body, length);
    const sent = SysSocketSendVector(c.socket, vector, 2, 0);
    ToroFreeMem(head);
    if (sent < <i32>bytes) return false;
    left -= <u32>sent - bytes;
  }
  while (left != 0) {
    const sent = SysSocketSend(c.socket, body + length - left, left, 0);
    if (sent > 0) left -= sent;
    else if (sent != -Errno.ENOMEM) return false;
    else Sleep(PAUSE_MS);
  }
  return true;
}

/** Of a file that is read as its client takes it. */
function deliverPieces(c: Connection, bytes: u32): bool {
  if (SysSocketSend(c.socket, outputOf(c.work), bytes, 0) != <i32>bytes) return false;
  closeWork(c);
  while (c.at < c.end) {
    const wanted = min<u64>(c.end - c.at, pieceBytesMax());
    if (!awaitSpace(c, <u32>min(wanted, PIECE_BYTES_MIN))) return false;
    const piece = <u32>min<u64>(wanted, roomOf(c));
    if (piece == 0) continue; // the device's room went to others
    const buffer = takeBuffer(piece);
    if (buffer == 0) return false;
    const got = SysReadFileAt(c.entry.file, buffer, piece, c.at);
    const sent = got > 0 ? SysSocketSend(c.socket, buffer, got, 0) : 0;
    giveBuffer(buffer, piece);
    if (sent > 0) c.at += sent;
    // A file that has become shorter cannot be sent as announced: the connection ends instead.
    else if (got <= 0 || sent != -Errno.ENOMEM) return false;
    else Sleep(PAUSE_MS);
  }
  return true;
}

/**
 * Waits until the client has credit for `bytes`, and holds nothing meanwhile. Yields. False: it has
 * gone, or was cut.
 */
export function awaitRoom(c: Connection, bytes: u32): bool {
  if (roomOf(c) >= bytes) return true;
  closeWork(c);
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
  let found = SysSocketSelect(pollOf(c), 1, -1);
  while (found == -Errno.ENOMEM) {
    Sleep(PAUSE_MS);
    found = SysSocketSelect(pollOf(c), 1, -1);
  }
  return found > 0 && (poll.revents & POLLOUT) != 0;
}
