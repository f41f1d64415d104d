// Toro's socket calls. Each takes a handle and looks it up again after every wait: another thread
// may have closed the socket meanwhile. Time-outs and MSG_DONTWAIT end in -EAGAIN, as on Linux.
import { Errno } from "../../../abi/errno";
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_ANY,
  VMADDR_PORT_ANY,
  VsockOp,
} from "../../../abi/vsock";
import { NEVER } from "../../clock";
import { wait } from "../../scheduler";
import { startTimer } from "../../timer";
import { takePending } from "./backlog";
import { close, shutdown } from "./end";
import {
  carries,
  firstInterface,
  isCarried,
  NetworkInterface,
  NO_INTERFACE,
  waitForSendRoom,
} from "../link/interface";
import { forgive } from "./owed";
import {
  addHandle,
  connectionError,
  createSocket,
  deadlineOf,
  destroySocket,
  dropReceived,
  findSocket,
  hash,
  NO_SOCKET,
  readersOf,
  removeHandle,
  Socket,
  socketOf,
  SocketState,
  statsOf,
  timerOf,
  unhash,
  writersOf,
} from "./socket";
import { copyStats } from "./stats";
import { claimPackets, reset, sendControl } from "./input";
import { openWindow } from "./credit";

export const SOCK_STREAM: i32 = 1;
/** Messages, which arrive whole. */
export const SOCK_SEQPACKET: i32 = 5;
/** SysSocketRecv: say how long the message is, not how much of it fitted. */
export const MSG_TRUNC: u32 = 0x20;
/** SysSocketSend: the message ends a record. */
export const MSG_EOR: u32 = 0x80;
export const MSG_DONTWAIT: u32 = 0x40;
/** Do not wait for the buffer: SysSocketSendCompletion tells when it is free. */
export const MSG_ZEROCOPY: u32 = 0x400_0000;

/** Where a socket is, as SysSocketLocalAddress and SysSocketPeerAddress write it. */
@unmanaged
export class SocketAddress {
  cid: u32;
  port: u32;
}

const BACKLOG_MAX: u32 = 4096;
const EPHEMERAL_FIRST: u32 = 0xc000;
const EPHEMERAL_LAST: u32 = 0xffff;
let nextEphemeral: u32 = EPHEMERAL_FIRST;

/**
 * Makes a socket, SOCK_STREAM or SOCK_SEQPACKET. Returns its handle, -EPROTONOSUPPORT (also when no
 * device carries such packets), -ENETDOWN, -ENOMEM or -ENFILE.
 */
export function SysSocket(type: i32): i32 {
  if (type != SOCK_STREAM && type != SOCK_SEQPACKET) return -Errno.EPROTONOSUPPORT;
  if (firstInterface() == NO_INTERFACE) return -Errno.ENETDOWN;
  const wire = type == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM : VIRTIO_VSOCK_TYPE_SEQPACKET;
  if (!isCarried(wire)) return -Errno.EPROTONOSUPPORT;
  const s = createSocket(wire);
  if (s == NO_SOCKET) return -Errno.ENOMEM;
  const handle = addHandle(s);
  if (handle < 0) destroySocket(s);
  else claimPackets();
  return handle;
}

/** Gives the socket its local port; VMADDR_PORT_ANY picks one. Returns 0 or an error. */
export function SysSocketBind(socket: i32, port: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state != SocketState.Created) return -Errno.EINVAL;
  if (port == VMADDR_PORT_ANY) {
    port = ephemeralPort(s.iface, 0, 0);
    if (port == 0) return -Errno.EADDRNOTAVAIL;
  } else if (findSocket(s.iface, port, 0, 0) != NO_SOCKET) {
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
function ephemeralPort(iface: NetworkInterface, remoteCid: u32, remotePort: u32): u32 {
  for (let port = EPHEMERAL_FIRST; port <= EPHEMERAL_LAST; port++) {
    const local = nextEphemeral;
    nextEphemeral = local == EPHEMERAL_LAST ? EPHEMERAL_FIRST : local + 1;
    if (findSocket(iface, local, 0, 0) != NO_SOCKET) continue;
    if (findSocket(iface, local, remoteCid, remotePort) == NO_SOCKET) return local;
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
  const until = deadlineOf(s.receiveTimeoutNs);
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
 * -EPROTONOSUPPORT, -ENETDOWN, -ENOMEM or -EBADF; after an error the socket may try again. An
 * attempt goes on to its time-out without the caller, too.
 */
export function SysSocketConnect(socket: i32, cid: u32, port: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const iface = s.iface == NO_INTERFACE ? firstInterface() : s.iface;
  const room = waitForSendRoom(iface, s.nonBlocking ? 0 : deadlineOf(s.connectTimeoutNs));
  s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (room < 0) return room == -Errno.EAGAIN && !s.nonBlocking ? -Errno.ETIMEDOUT : room;
  if (!carries(iface, s.type)) return -Errno.EPROTONOSUPPORT;
  const requested = request(s, iface, cid, port);
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
function request(s: Socket, iface: NetworkInterface, cid: u32, port: u32): i32 {
  if (s.state == SocketState.Connected) return -Errno.EISCONN;
  if (s.state == SocketState.Connecting) return -Errno.EALREADY;
  if (s.state == SocketState.Listening) return -Errno.EINVAL;
  if (s.state == SocketState.Disconnected) recycle(s);
  const local = s.state == SocketState.Bound ? s.localPort : ephemeralPort(iface, cid, port);
  if (local == 0) return -Errno.EADDRNOTAVAIL;
  if (findSocket(iface, local, cid, port) != NO_SOCKET) return -Errno.EADDRINUSE;
  if (s.bufAlloc == 0 && !openWindow(s)) return -Errno.ENOMEM;
  unhash(s);
  s.iface = iface;
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
  startTimer(timer, deadlineOf(s.connectTimeoutNs));
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
  s.creditAsked = s.answerDue = false;
  s.noted = 0;
  s.sendLeast = 1;
  if (findSocket(s.iface, s.localPort, 0, 0) == NO_SOCKET) {
    s.state = SocketState.Bound;
    hash(s);
  } else {
    s.state = SocketState.Created;
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
 * Ends a connection at once: the peer gets RST, what it has not got yet is lost, and calls of other
 * threads end in -ECONNABORTED, as later ones do. The handle stays, to be closed. Does not yield.
 * Returns 0, -EBADF, -ENOTCONN or the error that had ended the connection.
 */
export function SysSocketReset(socket: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const error = connectionError(s);
  if (error == 0) reset(s, Errno.ECONNABORTED);
  return error;
}

/** Copies the socket's statistics, a NetStats, to `block`. Returns 0 or -EBADF. */
export function SysSocketStat(socket: i32, block: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  copyStats(block, statsOf(s));
  return 0;
}

/**
 * The address of a u32 that counts the payload bytes that have arrived, so that waiting for more
 * can be a load. It is good until the socket is closed. Returns 0 for no socket.
 */
export function SysSocketReceiveCounter(socket: i32): usize {
  const s = socketOf(socket);
  return s == NO_SOCKET ? 0 : changetype<usize>(s) + offsetof<Socket>("received");
}

/** Writes the socket's own address; what it has not got yet is ANY. Returns 0 or -EBADF. */
export function SysSocketLocalAddress(socket: i32, address: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const own = changetype<SocketAddress>(address);
  own.cid = s.iface == NO_INTERFACE ? VMADDR_CID_ANY : s.iface.cid;
  own.port = s.state == SocketState.Created ? VMADDR_PORT_ANY : s.localPort;
  return 0;
}

/** Writes the address of the peer. Returns 0, -ENOTCONN or -EBADF. */
export function SysSocketPeerAddress(socket: i32, address: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state < SocketState.Connected) return -Errno.ENOTCONN;
  const peer = changetype<SocketAddress>(address);
  peer.cid = s.remoteCid;
  peer.port = s.remotePort;
  return 0;
}

/**
 * Closes the socket: the handle is gone at once, data already sent still arrive, received data are
 * dropped, threads in calls on it get -EBADF. Buffers of MSG_ZEROCOPY whose completion was not read
 * must not change any more: read it first. Does not yield, unless SO_LINGER says that it waits
 * until the peer has taken all. Returns 0, -EAGAIN (it has not, in that time) or -EBADF.
 */
export function SysSocketClose(socket: i32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  let result: i32 = 0;
  if (s.lingerNs != 0 && s.state == SocketState.Connected && !s.nonBlocking) {
    shutdown(s, VIRTIO_VSOCK_SHUTDOWN_BOTH);
    const until = deadlineOf(s.lingerNs);
    while (s.state == SocketState.Connected && result == 0) {
      if (wait(writersOf(s), until) < 0) result = -Errno.EAGAIN;
      s = socketOf(socket);
      if (s == NO_SOCKET) return -Errno.EBADF;
    }
  }
  removeHandle(s);
  close(s);
  return result;
}
