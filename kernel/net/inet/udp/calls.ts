// The calls of datagram sockets.
import { Errno } from "../../../../abi/errno";
import { IPPROTO_UDP } from "../../../../abi/ip";
import { NetStats } from "../../../../abi/stats";
import { deadlineAfterNs } from "../../../clock";
import { wait } from "../../../scheduler";
import { waitForSendRoom } from "../../link/interface";
import { SocketAddress, SysSocketBind } from "../../socket/calls";
import { spend } from "../../socket/credit";
import { MSG_DONTWAIT, MSG_TRUNC } from "../../socket/flags";
import { readMessage } from "../../socket/message";
import { hasData, takeUnread } from "../../socket/receive-queue";
import {
  NO_SOCKET,
  packetsOf,
  readersOf,
  Socket,
  SocketState,
  statsOf,
} from "../../socket/socket";
import { copyPayload, tally } from "../../socket/stats";
import { socketOf } from "../../socket/table";
import { isBroadcast, isOwn } from "../local";
import { originAddress, originPort } from "./queue";
import { allocateUdp, sendUdp, udpBytesMax, udpPayload } from "./udp";

const PORT_MAX: u32 = 0xffff;

/**
 * Sends a datagram of `length` bytes to `port` of `address`, an IPv4 address whose first octet is
 * the highest. A socket without a port gets one. The buffer is free again on return. Yields while
 * the card has no room. Returns `length`, -EMSGSIZE (the network carries less), -EINVAL (there is
 * no such port), -EACCES (a broadcast), -EADDRNOTAVAIL (we have no address yet: SysWaitForAddress,
 * or no port is free), -ENETUNREACH, -ENETDOWN, -EAGAIN, -ENOMEM, -EOPNOTSUPP (no datagram socket)
 * or -EBADF. That a datagram was sent does not mean that it arrives.
 */
export function SysSocketSendTo(
  socket: i32,
  buffer: usize,
  length: u32,
  address: u32,
  port: u32,
  flags: u32,
): i32 {
  const error = prepare(socket, flags, isOwn(address));
  if (error < 0) return error;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (port == 0 || port > PORT_MAX) return -Errno.EINVAL;
  if (isBroadcast(address)) return -Errno.EACCES;
  if (length > udpBytesMax()) return -Errno.EMSGSIZE;
  const packet = allocateUdp(length);
  if (!packet) return -Errno.ENOMEM;
  copyPayload(statsOf(s), NetStats.userToPacket, udpPayload(packet), buffer, length);
  const sent = sendUdp(packet, s.localPort, address, port);
  if (sent < 0) return sent;
  tally(statsOf(s), NetStats.sent, length);
  return length;
}

/** The socket has a port, and the card room for a frame, which the loopback does not need. */
function prepare(socket: i32, flags: u32, isLocal: bool): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol != IPPROTO_UDP) return -Errno.EOPNOTSUPP;
  const bound = s.state == SocketState.Created ? SysSocketBind(socket, 0) : 0;
  if (bound < 0 || isLocal) return bound;
  const mayWait = !s.nonBlocking && (flags & MSG_DONTWAIT) == 0;
  return waitForSendRoom(s.iface, mayWait ? deadlineAfterNs(s.sendTimeoutNs) : 0);
}

/**
 * Receives a datagram of up to `length` bytes; the part beyond is lost. Waits for one. Writes where
 * it comes from to `address`, a SocketAddress, unless that is 0. Yields. Returns the number of
 * bytes, which may be 0, with MSG_TRUNC the length of the datagram; -EAGAIN, -EINVAL (no port, or a
 * length of 2 GiB), -EOPNOTSUPP (no datagram socket) or -EBADF.
 */
export function SysSocketRecvFrom(
  socket: i32,
  buffer: usize,
  length: u32,
  address: usize,
  flags: u32,
): i32 {
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  const error = waitForDatagram(socket, flags);
  if (error < 0) return error;
  const s = socketOf(socket);
  if (address != 0) storeOrigin(s, changetype<SocketAddress>(address));
  const bytes = readMessage(s, buffer, length, true);
  takeUnread(s, bytes);
  spend(s, bytes);
  return (flags & MSG_TRUNC) != 0 ? bytes : min(bytes, length);
}

function storeOrigin(s: Socket, address: SocketAddress): void {
  const packet = packetsOf(s).first;
  if (!packet) return;
  address.address = originAddress(packet);
  address.port = originPort(packet);
}

/** Returns 0 when one is queued, or an error. Yields. */
function waitForDatagram(socket: i32, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol != IPPROTO_UDP) return -Errno.EOPNOTSUPP;
  if (s.state == SocketState.Created) return -Errno.EINVAL;
  const until = deadlineAfterNs(s.receiveTimeoutNs);
  while (!hasData(s)) {
    if (s.nonBlocking || (flags & MSG_DONTWAIT) != 0) return -Errno.EAGAIN;
    const waited = wait(readersOf(s), until);
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
    if (waited < 0 && !hasData(s)) return -Errno.EAGAIN;
  }
  return 0;
}
