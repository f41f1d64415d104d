// Payload on its way from the receive ring to the application. A receive buffer is queued on the
// socket as it is; its bytes are copied when the socket may not pin it, or when few of them fit
// behind the packet before.
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import {
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  vsockCredit,
  VsockOp,
} from "../../../abi/vsock";
import { wait, wakeAll } from "../../scheduler";
import { MSG_DONTWAIT, MSG_TRUNC } from "./calls";
import { atEnd, endIfDrained } from "./end";
import { enqueuePart, isEndless, readMessage } from "./message";
import { AllocatePacket, Packet, payloadOf } from "../link/packet";
import { rxCopybreak } from "../link/settings";
import {
  connectionError,
  deadlineOf,
  dropPacket,
  hasData,
  isSeqpacket,
  NO_SOCKET,
  packetsOf,
  readersOf,
  receiveIsShut,
  Socket,
  socketOf,
  SocketState,
  statsOf,
} from "./socket";
import { copyPayload, tally } from "./stats";
import { reset, sendSoon } from "./input";
import { consumed, mayPin } from "./credit";

/** A packet of up to this many bytes goes into the free end of the one before it. */
const COALESCE_BYTES_MAX: u32 = 2048;

/** RW: takes the payload of a packet into the socket. Returns true when it keeps the packet. */
export function receiveData(s: Socket, packet: Packet): bool {
  const bytes = packet.length;
  if (bytes == 0 && !s.partial) return false; // V34
  const tooMuch = s.received + bytes - s.fwdCnt > s.bufAlloc;
  if (tooMuch || (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0) {
    reset(s, Errno.EPROTO); // V35, D11
    return false;
  }
  s.received += bytes;
  tally(statsOf(s), NetStats.received, bytes);
  if ((s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
    s.fwdCnt += bytes; // nobody reads any more: consumed here, so that the peer can end
    return false;
  }
  s.unread += bytes;
  const kept = isSeqpacket(s) ? enqueuePart(s, packet) : enqueue(s, packet);
  if (isSeqpacket(s) && isEndless(s)) reset(s, Errno.EMSGSIZE);
  wakeAll(readersOf(s));
  return kept;
}

function enqueue(s: Socket, packet: Packet): bool {
  const packets = packetsOf(s);
  const bytes = packet.length;
  const last = packets.last;
  const few = !s.keepsApart && bytes <= COALESCE_BYTES_MAX;
  if (last && few && last.length + bytes <= last.capacity) {
    const end = payloadOf(last) + last.length;
    copyPayload(statsOf(s), NetStats.ringToSocket, end, payloadOf(packet), bytes);
    last.length += bytes;
    return false;
  }
  const small = s.keepsApart && bytes <= rxCopybreak;
  const copy = small || !mayPin(s, packet) ? AllocatePacket(bytes) : null;
  if (copy) {
    copyPayload(statsOf(s), NetStats.ringToSocket, payloadOf(copy), payloadOf(packet), bytes);
    copy.length = bytes;
    packets.push(copy);
    return false;
  }
  s.pinned += packet.capacity;
  packets.push(packet);
  return true;
}

/**
 * Receives up to `length` bytes, as soon as there are any; of a seqpacket socket one message, once
 * all of it is there, whose rest is lost when it is longer. Yields. Returns bytes, with MSG_TRUNC
 * the length of the message; 0 at the end of the stream, behind all data; -ECONNRESET, -ENOTCONN,
 * -EMSGSIZE (the peer sent a message larger than the window), -EAGAIN or -EBADF.
 */
export function SysSocketRecv(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  const ready = waitForData(socket, length, flags);
  if (ready <= 0) return ready;
  const s = socketOf(socket);
  if (isSeqpacket(s)) return receiveMessage(s, buffer, length, flags, true);
  const copied = copyOut(s, buffer, length, true);
  s.unread -= copied;
  giveCredit(s, copied);
  return <i32>copied;
}

function receiveMessage(s: Socket, buffer: usize, length: u32, flags: u32, consumes: bool): i32 {
  const bytes = readMessage(s, buffer, length, consumes);
  if (consumes) {
    s.unread -= bytes;
    giveCredit(s, bytes);
  }
  return (flags & MSG_TRUNC) != 0 ? bytes : min(bytes, length);
}

/**
 * Of the message that was read last: MSG_EOR if it ended a record, MSG_TRUNC if its rest is lost.
 * -EBADF for no socket.
 */
export function SysSocketMessageFlags(socket: i32): i32 {
  const s = socketOf(socket);
  return s == NO_SOCKET ? -Errno.EBADF : s.messageFlags;
}

/** As SysSocketRecv, but the data stay for the next call. */
export function SysSocketPeek(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  const ready = waitForData(socket, length, flags);
  if (ready <= 0) return ready;
  const s = socketOf(socket);
  if (isSeqpacket(s)) return receiveMessage(s, buffer, length, flags, false);
  return <i32>copyOut(s, buffer, length, false);
}

/** The application has consumed `bytes`: the peer may be told, or the connection be over. */
export function giveCredit(s: Socket, bytes: u32): void {
  if (consumed(s, bytes) && s.state == SocketState.Connected) sendSoon(s, VsockOp.CREDIT_UPDATE);
  endIfDrained(s);
}

/** Bytes that a receive of up to `length` waits for: no more than the window can bring. */
function leastOf(s: Socket, length: u32): u32 {
  const possible = s.unread + vsockCredit(s.bufAlloc, s.received, s.fwdCnt);
  return min(min(s.receiveLeast, length), possible);
}

/** Would a receive of up to `length` return with data? */
export function isReadable(s: Socket, length: u32): bool {
  if (!hasData(s)) return false;
  if (isSeqpacket(s) || s.unread >= leastOf(s, length)) return true;
  return receiveIsShut(s) || s.state != SocketState.Connected;
}

/** Who waits for data tells a peer that may send them, and does not know it (V39). */
export function tellRoom(s: Socket, length: u32): void {
  if (s.state != SocketState.Connected || s.fwdCnt == s.fwdTold) return;
  const believed = vsockCredit(s.bufAlloc, s.received, s.fwdTold);
  const isUntold = isSeqpacket(s)
    ? s.partial && !hasData(s) && believed == 0
    : hasData(s) && believed < leastOf(s, length) - s.unread;
  if (isUntold) sendSoon(s, VsockOp.CREDIT_UPDATE);
}

/** Returns 1 when data are queued, 0 at the end of the stream, or an error. Yields. */
export function waitForData(socket: i32, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length == 0) return 0;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  const until = deadlineOf(s.receiveTimeoutNs);
  let waited: i32 = 0;
  while (true) {
    if (isReadable(s, length)) return 1;
    if (atEnd(s)) return 0;
    const error = connectionError(s);
    if (error < 0) return error;
    tellRoom(s, length);
    if (waited < 0 || s.nonBlocking || (flags & MSG_DONTWAIT) != 0) {
      return hasData(s) ? 1 : -Errno.EAGAIN; // less than SO_RCVLOWAT, but something
    }
    waited = wait(readersOf(s), until);
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
  }
}

function copyOut(s: Socket, buffer: usize, length: u32, consume: bool): u32 {
  const packets = packetsOf(s);
  let copied: u32 = 0;
  let packet = packets.first;
  while (packet && copied < length) {
    const bytes = min(packet.length - packet.offset, length - copied);
    const from = payloadOf(packet) + packet.offset;
    copyPayload(statsOf(s), NetStats.socketToUser, buffer + copied, from, bytes);
    copied += bytes;
    const next = packet.next;
    if (consume) {
      packet.offset += bytes;
      if (packet.offset == packet.length) {
        packets.pop();
        dropPacket(s, packet);
      }
    }
    packet = next;
  }
  return copied;
}
