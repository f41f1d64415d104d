// Toro's socket calls. Each takes a handle and looks it up again after every wait: another thread
// may have closed the socket meanwhile. Time-outs and MSG_DONTWAIT end in -EAGAIN, as on Linux.
import { Errno } from "../../drivers/abi/errno";
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VSOCK_PACKET_BYTES_MAX,
  VMADDR_PORT_ANY,
  VsockOp,
} from "../../drivers/abi/vsock";
import { NEVER, nowNs, NS_PER_MS } from "../clock";
import { wait } from "../scheduler";
import { startTimer } from "../timer";
import { takePending } from "./backlog";
import { atEnd, close, endIfDrained, shutdown } from "./end";
import { hasSendRoom, releasePacket, theInterface, waitForSendRoom } from "./interface";
import { forgive } from "./owed";
import { AllocatePacket, payloadOf } from "./packet";
import {
  addHandle,
  connectionError,
  consumed,
  createSocket,
  creditOf,
  destroySocket,
  dropReceived,
  findSocket,
  hash,
  NO_SOCKET,
  openWindow,
  packetsOf,
  readersOf,
  removeHandle,
  sendIsShut,
  Socket,
  socketOf,
  SocketState,
  timerOf,
  unhash,
  writersOf,
} from "./socket";
import { claimInterface, fillHeader, reset, sendControl, sendFilled, sendSoon } from "./stream";

export const SOCK_STREAM: i32 = 1;
export const MSG_DONTWAIT: u32 = 0x40;
/** Options of SysSocketSetOption; the time-outs are in milliseconds, 0 waits for ever. */
export const SO_RCVTIMEO: i32 = 20;
export const SO_SNDTIMEO: i32 = 21;
export const SO_CONNECT_TIMEOUT: i32 = 6;
export const SO_NONBLOCK: i32 = 0x800;
const BACKLOG_MAX: u32 = 4096;
const EPHEMERAL_FIRST: u32 = 0xc000;
const EPHEMERAL_LAST: u32 = 0xffff;
let nextEphemeral: u32 = EPHEMERAL_FIRST;

function deadline(timeoutNs: u64): u64 {
  return timeoutNs == NEVER ? NEVER : nowNs() + timeoutNs;
}

/** Makes a socket. Returns its handle, -EPROTONOSUPPORT, -ENETDOWN, -ENOMEM or -ENFILE. */
export function SysSocket(type: i32): i32 {
  if (type != SOCK_STREAM) return -Errno.EPROTONOSUPPORT;
  if (changetype<usize>(theInterface()) == 0) return -Errno.ENETDOWN;
  const s = createSocket();
  if (s == NO_SOCKET) return -Errno.ENOMEM;
  const handle = addHandle(s);
  if (handle < 0) destroySocket(s);
  else claimInterface();
  return handle;
}

/**
 * Sets an option; listeners hand their time-outs down. Returns 0, -EBADF or -EINVAL.
 */
export function SysSocketSetOption(socket: i32, option: i32, value: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const timeoutNs = value == 0 ? NEVER : <u64>value * NS_PER_MS;
  switch (option) {
    case SO_RCVTIMEO:
      s.receiveTimeoutNs = timeoutNs;
      return 0;
    case SO_SNDTIMEO:
      s.sendTimeoutNs = timeoutNs;
      return 0;
    case SO_CONNECT_TIMEOUT:
      s.connectTimeoutNs = timeoutNs;
      return 0;
    case SO_NONBLOCK:
      s.nonBlocking = value != 0;
      return 0;
    default:
      return -Errno.EINVAL;
  }
}

/** Gives the socket its local port; VMADDR_PORT_ANY picks one. Returns 0 or an error. */
export function SysSocketBind(socket: i32, port: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state != SocketState.Created) return -Errno.EINVAL;
  if (port == VMADDR_PORT_ANY) {
    port = ephemeralPort(0, 0);
    if (port == 0) return -Errno.EADDRNOTAVAIL;
  } else if (findSocket(port, 0, 0) != NO_SOCKET) {
    return -Errno.EADDRINUSE;
  }
  s.localPort = port;
  s.state = SocketState.Bound;
  hash(s);
  return 0;
}

/**
 * A port that no bound socket has, nor a connection to that peer, or 0. A connection's port is free
 * again for other peers.
 */
function ephemeralPort(remoteCid: u32, remotePort: u32): u32 {
  for (let port = EPHEMERAL_FIRST; port <= EPHEMERAL_LAST; port++) {
    const local = nextEphemeral;
    nextEphemeral = local == EPHEMERAL_LAST ? EPHEMERAL_FIRST : local + 1;
    if (findSocket(local, 0, 0) != NO_SOCKET) continue;
    if (findSocket(local, remoteCid, remotePort) == NO_SOCKET) return local;
  }
  return 0;
}

/**
 * Accepts connections from now on, `backlog` of which may wait (1 to 4096). Returns 0 or an error.
 */
export function SysSocketListen(socket: i32, backlog: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state != SocketState.Bound && s.state != SocketState.Listening) return -Errno.EINVAL;
  s.backlog = min<u32>(max<i32>(backlog, 1), BACKLOG_MAX);
  s.state = SocketState.Listening;
  return 0;
}

/**
 * Takes the oldest connection that waits, or waits for one. Yields. Returns its handle, -EAGAIN,
 * -EBADF, -EINVAL (not a listener), -ENFILE or -ENOMEM: then the connection stays in the queue.
 */
export function SysSocketAccept(socket: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const until = deadline(s.receiveTimeoutNs);
  while (true) {
    const listener = socketOf(socket);
    if (listener == NO_SOCKET) return -Errno.EBADF;
    if (listener.state != SocketState.Listening) return -Errno.EINVAL;
    const oldest = listener.nextPending;
    if (oldest) {
      const handle = addHandle(oldest);
      if (handle > 0) takePending(listener);
      return handle;
    }
    if (listener.nonBlocking) return -Errno.EAGAIN;
    if (wait(readersOf(listener), until) < 0) return -Errno.EAGAIN;
  }
}

/**
 * Connects to `port` of `cid`. Yields. Returns 0, -ETIMEDOUT, -ECONNRESET (refused), -EPROTO,
 * -EISCONN, -EALREADY, -EINPROGRESS (non-blocking: select for POLLOUT), -EADDRINUSE,
 * -EADDRNOTAVAIL, -EINVAL (a listener), -EAGAIN (non-blocking, and the device has no room),
 * -ENETDOWN, -ENOMEM or -EBADF; after an error the socket may try again. An attempt goes on to its
 * time-out without the caller, too.
 */
export function SysSocketConnect(socket: i32, cid: u32, port: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const room = waitForSendRoom(s.nonBlocking ? 0 : deadline(s.connectTimeoutNs));
  s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (room < 0) return room == -Errno.EAGAIN && !s.nonBlocking ? -Errno.ETIMEDOUT : room;
  const requested = request(s, cid, port);
  if (requested < 0) return requested;
  if (s.nonBlocking) return -Errno.EINPROGRESS;
  while (s.state == SocketState.Connecting) {
    wait(readersOf(s), NEVER);
    s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
  }
  return -s.error;
}

/** Sends REQUEST, for which there is room. */
function request(s: Socket, cid: u32, port: u32): i32 {
  if (s.state == SocketState.Connected) return -Errno.EISCONN;
  if (s.state == SocketState.Connecting) return -Errno.EALREADY;
  if (s.state == SocketState.Listening) return -Errno.EINVAL;
  if (s.state == SocketState.Disconnected) recycle(s);
  const local = s.state == SocketState.Bound ? s.localPort : ephemeralPort(cid, port);
  if (local == 0) return -Errno.EADDRNOTAVAIL;
  if (findSocket(local, cid, port) != NO_SOCKET) return -Errno.EADDRINUSE;
  if (s.bufAlloc == 0 && !openWindow(s)) return -Errno.ENOMEM;
  unhash(s);
  s.localPort = local;
  s.remoteCid = cid;
  s.remotePort = port;
  s.state = SocketState.Connecting;
  hash(s);
  const sent = sendControl(s, VsockOp.REQUEST);
  if (sent < 0) {
    unhash(s);
    recycle(s);
    return sent;
  }
  const timer = timerOf(s);
  timer.handler = (connectTimedOut as (arg: usize) => void).index;
  startTimer(timer, deadline(s.connectTimeoutNs));
  return 0;
}

function connectTimedOut(arg: usize): void {
  reset(changetype<Socket>(arg), Errno.ETIMEDOUT);
}

/** Makes a disconnected socket as new, but for its port if that is still free. */
function recycle(s: Socket): void {
  forgive(s);
  dropReceived(s);
  s.remoteCid = s.remotePort = 0;
  s.error = 0;
  s.localShutdown = s.peerShutdown = 0;
  s.received = s.fwdCnt = s.fwdTold = 0;
  s.txCnt = s.peerFwdCnt = s.peerBufAlloc = 0;
  if (findSocket(s.localPort, 0, 0) == NO_SOCKET) {
    s.state = SocketState.Bound;
    hash(s);
  } else {
    s.state = SocketState.Created;
  }
}

/**
 * Receives up to `length` bytes, as soon as there are any. Yields. Returns bytes; 0 at the end of
 * the stream, behind all data; -ECONNRESET, -ENOTCONN, -EAGAIN or -EBADF.
 */
export function SysSocketRecv(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  const ready = waitForData(socket, length, flags);
  if (ready <= 0) return ready;
  const s = socketOf(socket);
  const copied = copyOut(s, buffer, length, true);
  if (consumed(s, copied) && s.state == SocketState.Connected) sendSoon(s, VsockOp.CREDIT_UPDATE);
  endIfDrained(s);
  return <i32>copied;
}

/** As SysSocketRecv, but the data stay for the next call. */
export function SysSocketPeek(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  const ready = waitForData(socket, length, flags);
  return ready <= 0 ? ready : <i32>copyOut(socketOf(socket), buffer, length, false);
}

/** Returns 1 when data are queued, 0 at the end of the stream, or an error. Yields. */
function waitForData(socket: i32, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length == 0) return 0;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  const until = deadline(s.receiveTimeoutNs);
  while (true) {
    if (packetsOf(s).count != 0) return 1;
    if (atEnd(s)) return 0;
    const error = connectionError(s);
    if (error < 0) return error;
    if (s.nonBlocking || (flags & MSG_DONTWAIT) != 0) return -Errno.EAGAIN;
    if (wait(readersOf(s), until) < 0) return -Errno.EAGAIN;
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
    memory.copy(buffer + copied, payloadOf(packet) + packet.offset, bytes);
    copied += bytes;
    const next = packet.next;
    if (consume) {
      packet.offset += bytes;
      if (packet.offset == packet.length) {
        packets.pop();
        releasePacket(packet);
      }
    }
    packet = next;
  }
  return copied;
}

/**
 * Sends `length` bytes, which are copied and free again on return. Yields while the peer has no
 * credit for us or the device no room. Returns the bytes sent: fewer than asked for only when it
 * was cut short by a time-out, a reset or an end of memory; with none sent that is the error:
 * -EAGAIN, -ECONNRESET, -EPIPE (shut down), -ENOTCONN, -ENOMEM or -EBADF.
 */
export function SysSocketSend(socket: i32, buffer: usize, length: u32, flags: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (length > 0x7fff_ffff) return -Errno.EINVAL;
  const waits = !s.nonBlocking && (flags & MSG_DONTWAIT) == 0;
  const until = waits ? deadline(s.sendTimeoutNs) : 0;
  let sent: u32 = 0;
  let error: i32 = 0;
  while (sent < length) {
    error = waitForCredit(socket, until);
    if (error < 0) break;
    s = socketOf(socket);
    const bytes = min(min(creditOf(s), length - sent), VSOCK_PACKET_BYTES_MAX);
    const packet = AllocatePacket(bytes);
    if (!packet) {
      error = -Errno.ENOMEM;
      break;
    }
    memory.copy(payloadOf(packet), buffer + sent, bytes);
    packet.length = bytes;
    fillHeader(s, packet, VsockOp.RW);
    error = sendFilled(s, packet);
    if (error < 0) break;
    s.txCnt += bytes;
    sent += bytes;
  }
  return sent == 0 ? error : <i32>sent;
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
    if (creditOf(s) != 0) {
      if (hasSendRoom()) return 0;
      const room = waitForSendRoom(until);
      if (room < 0) return room;
      continue;
    }
    if (until == 0) return -Errno.EAGAIN;
    if (!s.creditAsked) {
      s.creditAsked = true;
      sendSoon(s, VsockOp.CREDIT_REQUEST);
    }
    if (wait(writersOf(s), until) < 0) return -Errno.EAGAIN;
  }
}

/**
 * Ends one direction or both: how is 0 (no more receiving), 1 (no more sending: the peer finds the
 * end of the stream behind all data) or 2. Does not yield. Returns 0, -EINVAL, -EBADF, -ENOTCONN or
 * the error that ended the connection.
 */
export function SysSocketShutdown(socket: i32, how: i32): i32 {
  if (how < 0 || how > 2) return -Errno.EINVAL;
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const error = connectionError(s);
  if (error < 0) return error;
  if (how == 2) shutdown(s, VIRTIO_VSOCK_SHUTDOWN_BOTH);
  else shutdown(s, how == 0 ? VIRTIO_VSOCK_SHUTDOWN_RCV : VIRTIO_VSOCK_SHUTDOWN_SEND);
  return 0;
}

/**
 * Closes the socket: the handle is gone at once, data already sent still arrive, received data are
 * dropped, threads in calls on it get -EBADF. Does not yield. Returns 0 or -EBADF.
 */
export function SysSocketClose(socket: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  removeHandle(s);
  close(s);
  return 0;
}
