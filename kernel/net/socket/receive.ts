// Payload on its way from the receive ring to the application. A receive buffer is queued on the
// socket as it is; its bytes are copied if the socket may not pin it, or if they are few and fit
// after the packet before.
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import { VIRTIO_VSOCK_SHUTDOWN_RCV, VIRTIO_VSOCK_SHUTDOWN_SEND, VsockOp } from "../../../abi/vsock";
import { deadlineAfterNs } from "../../clock";
import { wait, wakeAll } from "../../scheduler";
import { Packet, payloadOf } from "../link/packet";
import { AllocatePacket } from "../link/pool";
import { advertisedCreditOf, consume, receiveCreditOf, spend, spendReceiveCredit } from "./credit";
import { atEnd, endIfDrained, reset } from "./end";
import { MSG_DONTWAIT, MSG_TRUNC } from "./flags";
import { enqueuePart, isEndless, readMessage } from "./message";
import { sendSoon } from "./output";
import {
  addUnread,
  dropPacket,
  hasData,
  mayPin,
  pinPacket,
  takeUnread,
} from "./receive-queue";
import { rxCopybreak } from "./settings";
import {
  isSeqpacket,
  isVsock,
  NO_SOCKET,
  packetsOf,
  readersOf,
  Socket,
  SocketState,
  statsOf,
} from "./socket";
import { connectionError, receiveIsShut } from "./state";
import { copyPayload, tally } from "./stats";
import { socketOf } from "./table";
import { consumedTransport } from "./transport";

/** A packet of up to this many bytes is appended to the one before it, if that has room. */
const COALESCE_BYTES_MAX: u32 = 2048;
/** A copy of fewer bytes has room for the next ones. */
const COPY_BYTES_MIN: u32 = 512;

/** RW: takes the payload of a packet into the socket. Returns true when it keeps the packet. */
export function receiveData(s: Socket, packet: Packet): bool {
  const bytes = packet.length;
  if (bytes == 0 && !s.partial) return false; // V34
  const isShut = (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
  if (isShut || !spendReceiveCredit(s, bytes)) {
    reset(s, Errno.EPROTO); // V35, D11
    return false;
  }
  tally(statsOf(s), NetStats.received, bytes);
  if ((s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
    consume(s, bytes); // nobody reads any more; the peer needs the credit to end
    return false;
  }
  addUnread(s, bytes);
  const kept = isSeqpacket(s) ? enqueuePart(s, packet) : enqueue(s, packet);
  if (isSeqpacket(s) && isEndless(s)) reset(s, Errno.EMSGSIZE);
  wakeAll(readersOf(s));
  return kept;
}

/**
 * Queues the bytes of a packet from its offset on, for which there is room. Returns true when it
 * keeps the packet itself.
 */
export function enqueue(s: Socket, packet: Packet): bool {
  const packets = packetsOf(s);
  const bytes = packet.length - packet.offset;
  const from = payloadOf(packet) + packet.offset;
  const last = packets.last;
  const few = !s.keepsApart && bytes <= COALESCE_BYTES_MAX;
  if (last && few && last.length + bytes <= last.capacity) {
    const end = payloadOf(last) + last.length;
    copyPayload(statsOf(s), NetStats.ringToSocket, end, from, bytes);
    last.length += bytes;
    return false;
  }
  if (!packet.received) {
    packets.push(packet); // it is a copy already, or came by the loopback
    return true;
  }
  const small = (s.keepsApart || !isVsock(s)) && bytes <= rxCopybreak;
  const room = s.keepsApart || bytes > COALESCE_BYTES_MAX ? bytes : max(bytes, COPY_BYTES_MIN);
  const copy = small || !mayPin(s, packet) ? AllocatePacket(room) : null;
  if (copy) {
    copyPayload(statsOf(s), NetStats.ringToSocket, payloadOf(copy), from, bytes);
    copy.length = bytes;
    packets.push(copy);
    return false;
  }
  pinPacket(s, packet);
  return true;
}

/**
 * Receives up to `length` bytes, as soon as there are any. A seqpacket socket receives one whole
 * message; the part beyond `length` is lost. Yields. Returns the number of bytes, with MSG_TRUNC
 * the length of the message; 0 at the end of the stream, after all data; -ECONNRESET, -ENOTCONN,
 * -EMSGSIZE (the peer sent a message larger than the window), -EAGAIN or -EBADF.
 */
export function SysSocketRecv(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  const ready = waitForData(socket, length, flags);
  if (ready <= 0) return ready;
  const s = socketOf(socket);
  if (isSeqpacket(s)) return receiveMessage(s, buffer, length, flags, true);
  const copied = copyOut(s, buffer, length, true);
  takeUnread(s, copied);
  giveCredit(s, copied);
  return <i32>copied;
}

function receiveMessage(s: Socket, buffer: usize, length: u32, flags: u32, consumes: bool): i32 {
  const bytes = readMessage(s, buffer, length, consumes);
  if (consumes) {
    takeUnread(s, bytes);
    giveCredit(s, bytes);
  }
  return (flags & MSG_TRUNC) != 0 ? bytes : min(bytes, length);
}

/**
 * Flags of the message that was read last: MSG_EOR if it ended a record, MSG_TRUNC if a part of it
 * was lost. -EBADF for no socket.
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

/** The application has consumed `bytes`: gives the peer credit, or ends the connection. */
export function giveCredit(s: Socket, bytes: u32): void {
  if (!isVsock(s)) {
    spend(s, bytes);
    consumedTransport(s);
    return;
  }
  if (consume(s, bytes) && s.state == SocketState.Connected) sendSoon(s, VsockOp.CREDIT_UPDATE);
  endIfDrained(s);
}

/** Bytes that a receive of up to `length` waits for: no more than fit the window. */
function leastOf(s: Socket, length: u32): u32 {
  const possible = s.unread + receiveCreditOf(s);
  return min(min(s.receiveLeast, length), possible);
}

/** Would a receive of up to `length` return with data? */
export function isReadable(s: Socket, length: u32): bool {
  if (!hasData(s)) return false;
  if (isSeqpacket(s) || s.unread >= leastOf(s, length)) return true;
  return receiveIsShut(s) || s.state != SocketState.Connected;
}

/** A reader is about to wait: advertises credit that the peer may need and does not know (V39). */
export function advertiseCredit(s: Socket, length: u32): void {
  if (s.state != SocketState.Connected || s.fwdCnt == s.lastFwdCnt) return;
  if (!isVsock(s)) return consumedTransport(s);
  const advertised = advertisedCreditOf(s);
  const isNeeded = isSeqpacket(s)
    ? s.partial && !hasData(s) && advertised == 0
    : hasData(s) && advertised < leastOf(s, length) - s.unread;
  if (isNeeded) sendSoon(s, VsockOp.CREDIT_UPDATE);
}

/** Returns 1 when data are queued, 0 at the end of the stream, or an error. Yields. */
export function waitForData(socket: i32, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length == 0) return 0;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  const until = deadlineAfterNs(s.receiveTimeoutNs);
  let waited: i32 = 0;
  while (true) {
    if (isReadable(s, length)) return 1;
    if (atEnd(s)) return 0;
    const error = connectionError(s);
    if (error < 0) return error;
    advertiseCredit(s, length);
    if (waited < 0 || s.nonBlocking || (flags & MSG_DONTWAIT) != 0) {
      return hasData(s) ? 1 : -Errno.EAGAIN; // some, if fewer than SO_RCVLOWAT
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
    assert(packet.offset < packet.length, "no bytes");
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
