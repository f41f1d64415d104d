// SysSocketSend in its modes. A copied send builds packets of its own and returns; one that lends
// puts the sender's buffers behind a header of its own, and waits until the device has given the
// last of them back.
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import {
  VIRTIO_VSOCK_SEQ_EOM,
  VIRTIO_VSOCK_SEQ_EOR,
  VSOCK_PACKET_BYTES_MAX,
  VsockHdr,
  VsockOp,
} from "../../../abi/vsock";
import { nowNs, NS_PER_S } from "../../clock";
import { IoVec, VECTOR_MAX } from "../../iovec";
import { isKilled, setInterruptible, shield, unshield, wait, wakeAll } from "../../scheduler";
import { MSG_DONTWAIT, MSG_EOR, MSG_ZEROCOPY } from "./calls";
import { sendersOf } from "../link/interface";
import {
  announce,
  closeLending,
  createLending,
  freeLending,
  hasCompletionRoom,
  Lending,
  takeCompletion,
  waitersOf,
} from "./zerocopy";
import {
  AllocatePacket,
  allocateLentPacket,
  headerOf,
  Packet,
  payloadOf,
  segmentOf,
} from "../link/packet";
import { countUnsent, sendRoomOf, sendSpaceOf } from "./send-buffer";
import { SendMode, txCopybreak } from "../link/settings";
import {
  connectionError,
  deadlineOf,
  isSeqpacket,
  NO_SOCKET,
  sendIsShut,
  Socket,
  socketOf,
  SocketState,
  statsOf,
  writersOf,
} from "./socket";
import { copyPayload, tally } from "./stats";
import { askForCredit, fillHeader, reset, sendFilled } from "./input";
import { creditOf } from "./credit";

/** How long a killed thread waits for buffers with a peer that takes nothing. */
const KILL_PATIENCE_NS: u64 = 8 * NS_PER_S;

/** What SysSocketSendCompletion writes: calls, by number from 0 in the order they were made. */
@unmanaged
export class Completion {
  first: u32;
  last: u32;
  flags: u32;
}
/** The bytes were copied after all. */
export const COMPLETION_COPIED: u32 = 1;

/**
 * Sends `length` bytes. The buffer is free again on return, unless MSG_ZEROCOPY was given on a
 * socket with SO_ZEROCOPY: then when SysSocketSendCompletion says so. Yields while the peer has no
 * credit for us, the device no room, or the device the buffer. Returns the bytes sent: fewer than
 * asked for only when it was cut short by a time-out, a reset or an end of memory; with none sent
 * that is the error: -EAGAIN, -ECONNRESET, -EPIPE (shut down), -ENOTCONN, -ENOMEM, -ENOBUFS (64
 * completions were not read) or -EBADF. A peer that takes nothing of a lent buffer for the time-out
 * is reset, and the next call gets -ETIMEDOUT: there is no other way to get the buffer back.
 */
export function SysSocketSend(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  return send(socket, buffer, 0, length, flags);
}

/**
 * SysSocketSend of up to 16 buffers, one behind the other: `vector` is an array of `entries` IoVec,
 * which must not change meanwhile. -EINVAL for more, or for 2 GiB of them.
 */
export function SysSocketSendVector(socket: i32, vector: usize, entries: u32, flags: u32): i32 {
  if (entries > VECTOR_MAX) return -Errno.EINVAL;
  let length: u64 = 0;
  for (let i: u32 = 0; i < entries; i++) length += entry(vector, i).length;
  return length > 0x7fff_ffff ? -Errno.EINVAL : send(socket, vector, entries, <u32>length, flags);
}

function entry(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

/** Of `entries` buffers at `source`; of one, which `source` is itself, for 0. */
function send(socket: i32, source: usize, entries: u32, length: u32, flags: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  if (isSeqpacket(s)) return sendMessage(socket, source, entries, length, flags);
  return sendBytes(socket, source, entries, length, flags, 0);
}

/** As send(), of a socket that exists. The last packet is marked with `end`. */
function sendBytes(
  socket: i32,
  source: usize,
  entries: u32,
  length: u32,
  flags: u32,
  end: u32,
): i32 {
  const s = socketOf(socket);
  const waits = !s.nonBlocking && (flags & MSG_DONTWAIT) == 0;
  const until = waits || end != 0 ? deadlineOf(s.sendTimeoutNs) : 0;
  const told = s.zeroCopy && (flags & MSG_ZEROCOPY) != 0;
  if (told && !hasCompletionRoom(s)) return -Errno.ENOBUFS;
  const large = length >= txCopybreak && s.state == SocketState.Connected;
  const lends = large && s.iface.segmentsMax > 1 && (told || (waits && isZeroCopy(s)));
  const lending = lends || told ? createLending() : null;
  if (!lending) {
    return told ? -Errno.ENOMEM : sendCopies(socket, source, entries, length, until, null, end);
  }
  lending.copied = !lends;
  lending.detached = told;
  shield(); // the device may read the buffers as long as they are lent
  setInterruptible(true);
  const sent = lends
    ? sendLent(socket, source, entries, length, until, lending, end)
    : sendCopies(socket, source, entries, length, until, lending, end);
  if (!told) takeBack(socket, lending);
  if (lending.announced) closeLending(lending);
  else freeLending(lending);
  setInterruptible(false);
  unshield();
  return sent;
}

/**
 * Sends one message, whole or not at all: without credit for all of it a call that may not wait
 * fails; once it has begun it waits for the device alone. One that is cut short ends the
 * connection, for the peer has seen its begin.
 */
function sendMessage(socket: i32, source: usize, entries: u32, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (length == 0) return 0;
  const waits = !s.nonBlocking && (flags & MSG_DONTWAIT) == 0;
  const until = deadlineOf(s.sendTimeoutNs);
  while (s.sendsMessage) {
    if (!waits || wait(writersOf(s), until) < 0) return -Errno.EAGAIN;
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
  }
  const isOpen = s.state == SocketState.Connected;
  if (isOpen && length > min(s.peerBufAlloc, s.sendBuffer)) return -Errno.EMSGSIZE; // V37
  if (isOpen && !waits && length > sendSpaceOf(s) && !sendIsShut(s)) {
    s.sendLeast = length;
    if (length > creditOf(s)) askForCredit(s);
    return -Errno.EAGAIN;
  }
  s.sendLeast = 1;
  const end: u32 = VIRTIO_VSOCK_SEQ_EOM | ((flags & MSG_EOR) != 0 ? VIRTIO_VSOCK_SEQ_EOR : 0);
  shield(); // the next message must learn that this one is over
  setInterruptible(true);
  s.sendsMessage = true;
  const sent = sendBytes(socket, source, entries, length, flags, end);
  s = socketOf(socket);
  if (s != NO_SOCKET) {
    s.sendsMessage = false;
    wakeAll(writersOf(s));
    const isTorn = sent > 0 && sent < <i32>length;
    if (isTorn && s.state == SocketState.Connected) reset(s, Errno.ECONNABORTED);
  }
  setInterruptible(false);
  unshield();
  return sent > 0 && sent < <i32>length ? -Errno.ECONNABORTED : sent;
}

function isZeroCopy(s: Socket): bool {
  return s.sendMode == SendMode.ZeroCopy;
}

function sendCopies(
  socket: i32,
  source: usize,
  entries: u32,
  length: u32,
  until: u64,
  told: Lending | null,
  end: u32,
): i32 {
  let sent: u32 = 0;
  let error: i32 = 0;
  while (sent < length) {
    error = waitForCredit(socket, until);
    if (error < 0) break;
    const s = socketOf(socket);
    const room = min(creditOf(s), sendRoomOf(s));
    const bytes = min(min(room, length - sent), VSOCK_PACKET_BYTES_MAX);
    const packet = AllocatePacket(bytes);
    if (!packet) {
      error = -Errno.ENOMEM;
      break;
    }
    copyIn(s, packet, source, entries, sent, bytes);
    error = sendPayload(s, packet, sent + bytes == length ? end : 0);
    if (error < 0) break;
    if (sent == 0 && told) announce(s, told);
    sent += bytes;
  }
  return sent == 0 ? error : <i32>sent;
}

/** Copies `bytes` of the source, from `offset` on, into a packet. */
function copyIn(
  s: Socket,
  packet: Packet,
  source: usize,
  entries: u32,
  offset: u32,
  bytes: u32,
): void {
  const stats = statsOf(s);
  const to = payloadOf(packet);
  packet.length = bytes;
  packet.bounced = s.sendMode == SendMode.TwoCopy;
  if (entries == 0) {
    copyPayload(stats, NetStats.userToPacket, to, source + offset, bytes);
    return;
  }
  let done: u32 = 0;
  for (let i: u32 = 0; done < bytes; i++) {
    const one = entry(source, i);
    if (offset < one.length) {
      const part = min(one.length - offset, bytes - done);
      copyPayload(stats, NetStats.userToPacket, to + done, one.base + offset, part);
      done += part;
      offset = 0;
    } else {
      offset -= one.length;
    }
  }
}

function sendLent(
  socket: i32,
  source: usize,
  entries: u32,
  length: u32,
  until: u64,
  lending: Lending,
  end: u32,
): i32 {
  let sent: u32 = 0;
  let error: i32 = 0;
  while (sent < length) {
    error = waitForCredit(socket, until);
    if (error < 0) break;
    const s = socketOf(socket);
    const bytes = min(min(creditOf(s), length - sent), VSOCK_PACKET_BYTES_MAX);
    const packet = lend(s, source, entries, sent, bytes);
    if (!packet) {
      error = -Errno.ENOMEM;
      break;
    }
    packet.lending = lending;
    lending.pending++;
    const told = sent == 0 && lending.detached;
    const lent = packet.length; // the packet is the device's from here on
    error = sendPayload(s, packet, sent + lent == length ? end : 0);
    if (error < 0) break;
    countLent(s, lent);
    if (told) announce(s, lending);
    sent += lent;
  }
  return sent == 0 ? error : <i32>sent;
}

function countLent(s: Socket, bytes: u32): void {
  tally(statsOf(s), NetStats.lent, bytes);
}

/** A packet of up to `bytes` of the source, from `offset` on, in place; null: no memory. */
function lend(s: Socket, source: usize, entries: u32, offset: u32, bytes: u32): Packet | null {
  const most = min(max(entries, 1), s.iface.segmentsMax - 1);
  const packet = allocateLentPacket(most);
  if (!packet) return null;
  if (entries == 0) {
    lendSegment(packet, source + offset, bytes);
    return packet;
  }
  for (let i: u32 = 0; packet.length < bytes && packet.segments < most; i++) {
    const one = entry(source, i);
    if (offset < one.length) {
      lendSegment(packet, one.base + offset, min(one.length - offset, bytes - packet.length));
      offset = 0;
    } else {
      offset -= one.length;
    }
  }
  return packet;
}

function lendSegment(packet: Packet, base: usize, bytes: u32): void {
  const segment = segmentOf(packet, packet.segments++);
  segment.base = base;
  segment.length = bytes;
  packet.length += bytes;
}

/** Sends RW with these flags. On failure the packet is freed. */
function sendPayload(s: Socket, packet: Packet, flags: u32): i32 {
  const bytes = packet.length;
  const counted = countUnsent(s, packet);
  fillHeader(s, packet, VsockOp.RW);
  store<u32>(headerOf(packet), flags, VsockHdr.flags);
  const error = sendFilled(s, packet);
  if (error < 0) {
    s.unsent -= counted;
    return error;
  }
  s.txCnt += bytes;
  tally(statsOf(s), NetStats.sent, bytes);
  return 0;
}

/**
 * Waits until a byte may be sent on `socket`, at most until `until` (0: not at all). Yields.
 * Returns 0 or an error.
 */
function waitForCredit(socket: i32, until: u64): i32 {
  while (true) {
    const s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
    if (sendIsShut(s)) return -Errno.EPIPE;
    const error = connectionError(s);
    if (error < 0) return error;
    const hasCredit = creditOf(s) != 0;
    if (hasCredit && sendRoomOf(s) != 0) return 0;
    if (!hasCredit) askForCredit(s);
    if (until == 0) return -Errno.EAGAIN;
    const waited = wait(hasCredit ? sendersOf(s.iface) : writersOf(s), until);
    if (waited < 0) return waited == -Errno.EINTR ? waited : -Errno.EAGAIN;
  }
}

/**
 * Waits until the device has given every packet back. A peer that takes nothing for the socket's
 * time-out is reset, upon which the device drops what it holds. Yields.
 */
function takeBack(socket: i32, lending: Lending): void {
  lending.open = false;
  while (lending.pending != 0) {
    const pending = lending.pending;
    const killed = isKilled();
    if (killed) setInterruptible(false);
    const s = socketOf(socket);
    let until = killed ? nowNs() + KILL_PATIENCE_NS : u64.MAX_VALUE;
    if (s != NO_SOCKET) until = min(until, deadlineOf(s.sendTimeoutNs));
    const waited = wait(waitersOf(lending), until);
    if (waited != -Errno.ETIMEDOUT || lending.pending != pending) continue;
    const stuck = socketOf(socket);
    if (stuck != NO_SOCKET && stuck.state == SocketState.Connected) reset(stuck, Errno.ETIMEDOUT);
  }
}

/**
 * Tells which sends with MSG_ZEROCOPY are done, their buffers free: one range of them, at `range`
 * (a Completion). Waits for it, unless non-blocking; select shows POLLERR when there is one.
 * Yields. Returns 1; 0 when no such send is left to be told of; -EAGAIN or -EBADF.
 */
export function SysSocketSendCompletion(socket: i32, range: usize, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const until = deadlineOf(s.sendTimeoutNs);
  while (true) {
    const done = takeCompletion(s);
    if (done) {
      const completion = changetype<Completion>(range);
      completion.first = done.first;
      completion.last = done.last;
      completion.flags = done.copied ? COMPLETION_COPIED : 0;
      freeLending(done);
      return 1;
    }
    if (!s.lendings) return 0;
    if (s.nonBlocking || (flags & MSG_DONTWAIT) != 0) return -Errno.EAGAIN;
    if (wait(writersOf(s), until) < 0) return -Errno.EAGAIN;
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
  }
}
