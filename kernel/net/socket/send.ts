// SysSocketSend in its modes. A send that copies builds packets of its own and returns. One that
// sends in place lists the sender's buffers after a header, and waits until the device has given
// the last of them back, or, with MSG_ZEROCOPY, returns and leaves a completion to be read.
import { Errno } from "../../../abi/errno";
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR } from "../../../abi/vsock";
import { deadlineAfterNs, nowNs, NS_PER_S } from "../../clock";
import { VECTOR_MAX } from "../../iovec";
import { isKilled, setInterruptible, shield, unshield, wait, wakeAll } from "../../scheduler";
import { creditOf } from "./credit";
import { reset } from "./end";
import { MSG_DONTWAIT, MSG_EOR, MSG_MORE, MSG_ZEROCOPY } from "./flags";
import { askForCredit } from "./output";
import { sendSpaceOf } from "./send-buffer";
import { sendPackets, vectorAt } from "./send-packets";
import { SendMode, txCopybreak } from "./settings";
import { isSeqpacket, NO_SOCKET, Socket, SocketState, userBuffersOf, writersOf } from "./socket";
import { sendIsShut } from "./state";
import { socketOf } from "./table";
import {
  closeUserBuffers,
  createUserBuffers,
  freeUserBuffers,
  hasCompletionRoom,
  takeCompletion,
  UserBuffers,
  waitersOf,
} from "./zerocopy";

/** How long a killed thread waits for buffers with a peer that takes nothing. */
const KILL_PATIENCE_NS: u64 = 8 * NS_PER_S;

/** A range of finished calls, as SysSocketSendCompletion writes it: they are numbered from 0. */
@unmanaged
export class Completion {
  first: u32;
  last: u32;
  flags: u32;
}

if (offsetof<Completion>("flags") != 8) ERROR("send: wrong layout of a completion");

/** The bytes were copied after all. */
export const COMPLETION_COPIED: u32 = 1;

/**
 * Sends `length` bytes. The buffer is free again on return, but with MSG_ZEROCOPY on a socket with
 * SO_ZEROCOPY only once SysSocketSendCompletion says so. Yields while the peer gives no credit, the
 * device has no room, or the device has the buffer. Returns the bytes sent: fewer than `length`
 * only if a time-out, a reset or an end of memory cut the call short; if none were sent, the error:
 * -EAGAIN, -ECONNRESET, -EPIPE (shut down), -ENOTCONN, -ENOMEM, -ENOBUFS (64 completions were not
 * read) or -EBADF. A peer that takes nothing of a buffer that is sent in place is reset after the
 * time-out, and the next call gets -ETIMEDOUT: there is no other way to get the buffer back.
 */
export function SysSocketSend(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  return send(socket, buffer, 0, length, flags);
}

/**
 * SysSocketSend of up to 16 buffers, one after the other: `vector` is an array of `entries` IoVec,
 * which must not change meanwhile. -EINVAL for more, or for 2 GiB of them.
 */
export function SysSocketSendVector(socket: i32, vector: usize, entries: u32, flags: u32): i32 {
  if (entries > VECTOR_MAX) return -Errno.EINVAL;
  let length: u64 = 0;
  for (let i: u32 = 0; i < entries; i++) length += vectorAt(vector, i).length;
  return length > 0x7fff_ffff ? -Errno.EINVAL : send(socket, vector, entries, <u32>length, flags);
}

/**
 * Sends `entries` buffers that the vector at `source` lists; 0 entries: one buffer, at `source`.
 */
function send(socket: i32, source: usize, entries: u32, length: u32, flags: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  if (isSeqpacket(s)) return sendMessage(socket, source, entries, length, flags);
  return sendBytes(socket, source, entries, length, flags);
}

function mayWait(s: Socket, flags: u32): bool {
  return !s.nonBlocking && (flags & MSG_DONTWAIT) == 0;
}

/** Sends bytes of a stream or of the message in s.sendMarks. The socket exists. */
function sendBytes(socket: i32, source: usize, entries: u32, length: u32, flags: u32): i32 {
  const s = socketOf(socket);
  const waits = mayWait(s, flags);
  const untilNs = waits || s.sendMarks != 0 ? deadlineAfterNs(s.sendTimeoutNs) : 0;
  const more = (flags & MSG_MORE) != 0;
  const completes = s.zeroCopy && (flags & MSG_ZEROCOPY) != 0;
  const inPlace = maySendInPlace(s, length) && (completes || (waits && isZeroCopy(s)));
  if (completes && !hasCompletionRoom(s)) return -Errno.ENOBUFS;
  const buffers = inPlace || completes ? createUserBuffers(completes, !inPlace) : null;
  if (buffers) return sendBuffers(socket, source, entries, length, untilNs, more, buffers);
  if (completes) return -Errno.ENOMEM;
  return sendPackets(socket, source, entries, length, untilNs, more, null);
}

function isZeroCopy(s: Socket): bool {
  return s.sendMode == SendMode.ZeroCopy;
}

/** Is it worth while to send in place, and can the device take such packets? */
function maySendInPlace(s: Socket, length: u32): bool {
  return length >= txCopybreak && s.state == SocketState.Connected && s.iface.segmentsMax > 1;
}

/**
 * sendPackets() of buffers that the device may hold. It frees `buffers`, at the latest when done.
 */
function sendBuffers(
  socket: i32,
  source: usize,
  entries: u32,
  length: u32,
  untilNs: u64,
  more: bool,
  buffers: UserBuffers,
): i32 {
  assert(buffers.open && buffers.pending == 0, "in use");
  shield(); // the device may read the buffers
  setInterruptible(true);
  const sent = sendPackets(socket, source, entries, length, untilNs, more, buffers);
  if (!buffers.detached) awaitBuffers(socket, buffers);
  if (buffers.numbered) closeUserBuffers(buffers);
  else freeUserBuffers(buffers);
  setInterruptible(false);
  unshield();
  return sent;
}

/**
 * Sends one message, whole or not at all: without credit for all of it a call that may not wait
 * fails, and once it has started it waits for the device alone. A message that is cut short ends
 * the connection, for the peer has seen its start.
 */
function sendMessage(socket: i32, source: usize, entries: u32, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (length == 0) return 0;
  assert(isSeqpacket(s), "no messages");
  const waits = mayWait(s, flags);
  const untilNs = deadlineAfterNs(s.sendTimeoutNs);
  while (s.sendMarks != 0) {
    if (!waits || wait(writersOf(s), untilNs) < 0) return -Errno.EAGAIN;
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
  shield(); // the next message must learn that this one is over
  setInterruptible(true);
  s.sendMarks = VIRTIO_VSOCK_SEQ_EOM | ((flags & MSG_EOR) != 0 ? VIRTIO_VSOCK_SEQ_EOR : 0);
  const sent = sendBytes(socket, source, entries, length, flags);
  const isTorn = sent > 0 && sent < <i32>length;
  s = socketOf(socket);
  if (s != NO_SOCKET) {
    assert(s.sendMarks != 0, "no message");
    s.sendMarks = 0;
    wakeAll(writersOf(s));
    if (isTorn && s.state == SocketState.Connected) reset(s, Errno.ECONNABORTED);
  }
  setInterruptible(false);
  unshield();
  return isTorn ? -Errno.ECONNABORTED : sent;
}

/**
 * Waits until the device has given every packet back. A peer that takes nothing for the socket's
 * time-out is reset, upon which the device drops its packets. Yields.
 */
function awaitBuffers(socket: i32, buffers: UserBuffers): void {
  buffers.open = false;
  while (buffers.pending != 0) {
    const pending = buffers.pending;
    const killed = isKilled();
    if (killed) setInterruptible(false);
    const s = socketOf(socket);
    let untilNs = killed ? nowNs() + KILL_PATIENCE_NS : u64.MAX_VALUE;
    if (s != NO_SOCKET) untilNs = min(untilNs, deadlineAfterNs(s.sendTimeoutNs));
    const waited = wait(waitersOf(buffers), untilNs);
    if (waited != -Errno.ETIMEDOUT || buffers.pending != pending) continue;
    const stuck = socketOf(socket);
    if (stuck != NO_SOCKET && stuck.state == SocketState.Connected) reset(stuck, Errno.ETIMEDOUT);
  }
}

/**
 * Reports one range of finished sends with MSG_ZEROCOPY, whose buffers are free, as a Completion at
 * `range`. Waits for it, unless non-blocking; select shows POLLERR when there is one. Yields.
 * Returns 1; 0 if no such send is left to report; -EAGAIN or -EBADF.
 */
export function SysSocketSendCompletion(socket: i32, range: usize, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const untilNs = deadlineAfterNs(s.sendTimeoutNs);
  while (true) {
    const done = takeCompletion(s);
    if (done) {
      const completion = changetype<Completion>(range);
      completion.first = done.first;
      completion.last = done.last;
      completion.flags = done.copied ? COMPLETION_COPIED : 0;
      freeUserBuffers(done);
      return 1;
    }
    if (!userBuffersOf(s).first) return 0;
    if (s.nonBlocking || (flags & MSG_DONTWAIT) != 0) return -Errno.EAGAIN;
    if (wait(writersOf(s), untilNs) < 0) return -Errno.EAGAIN;
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
  }
}
