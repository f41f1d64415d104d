// Toro's socket calls. Each takes a handle and looks it up again after every wait: another thread
// may have closed the socket meanwhile. Time-outs and MSG_DONTWAIT end in -EAGAIN, as on Linux.
import { Errno } from "../../../abi/errno";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../abi/ip";
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_ANY,
  VMADDR_PORT_ANY,
} from "../../../abi/vsock";
import { deadlineAfterNs } from "../../clock";
import { wait } from "../../scheduler";
import { firstInterface, isCarried, NO_INTERFACE } from "../link/interface";
import { firstPending, takePending } from "./backlog";
import { close, reset, shutdown } from "./end";
import { AF_INET, AF_UNSPEC, AF_VSOCK, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "./flags";
import { claimPackets } from "./input";
import { createSocket, destroySocket } from "./life";
import {
  isVsock,
  NO_SOCKET,
  readersOf,
  Socket,
  SocketState,
  statsOf,
  VSOCK,
  writersOf,
} from "./socket";
import { connectionError, enterState } from "./state";
import { copyStats } from "./stats";
import { addHandle, ephemeralPort, findSocket, hash, removeHandle, socketOf } from "./table";
import {
  hasTransport,
  isTransportDrained,
  transportHasPort,
  transportPortOffset,
  transportRoute,
} from "./transport";

/** The address of a socket, as SysSocketLocalAddress and SysSocketPeerAddress write it. */
@unmanaged
export class SocketAddress {
  address: u32; // CID, or IPv4 address with its first octet highest
  port: u32;
}

if (offsetof<SocketAddress>() != 8) ERROR("calls: wrong layout of an address");

const BACKLOG_MAX: u32 = 4096;
/** On AF_INET. */
const PORT_MAX: u32 = 0xffff;

/**
 * Makes a socket: SOCK_STREAM or SOCK_SEQPACKET of AF_VSOCK, SOCK_STREAM (TCP) or SOCK_DGRAM (UDP)
 * of AF_INET, if the image has TCP/IP. Returns its handle, -EPROTONOSUPPORT (also when no device
 * carries such packets), -EAFNOSUPPORT, -ENETDOWN, -ENOMEM or -ENFILE.
 */
export function SysSocket(type: i32, family: i32 = AF_VSOCK): i32 {
  if (family == AF_INET) return internetSocket(type);
  if (family != AF_VSOCK && family != AF_UNSPEC) return -Errno.EAFNOSUPPORT;
  if (type != SOCK_STREAM && type != SOCK_SEQPACKET) return -Errno.EPROTONOSUPPORT;
  if (firstInterface() == NO_INTERFACE) return -Errno.ENETDOWN;
  const wire = type == SOCK_STREAM ? VIRTIO_VSOCK_TYPE_STREAM : VIRTIO_VSOCK_TYPE_SEQPACKET;
  if (!isCarried(wire)) return -Errno.EPROTONOSUPPORT;
  const handle = newHandle(createSocket(VSOCK, wire));
  if (handle > 0) claimPackets();
  return handle;
}

function internetSocket(type: i32): i32 {
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return -Errno.EPROTONOSUPPORT;
  const protocol: u32 = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
  if (!hasTransport(protocol)) return -Errno.EAFNOSUPPORT;
  const iface = transportRoute(protocol);
  if (iface == NO_INTERFACE) return -Errno.ENETDOWN;
  const s = createSocket(protocol, 0);
  if (s != NO_SOCKET) s.iface = iface;
  return newHandle(s);
}

/** The handle of a new socket, or an error; NO_SOCKET: there was no memory. */
function newHandle(s: Socket): i32 {
  if (s == NO_SOCKET) return -Errno.ENOMEM;
  const handle = addHandle(s);
  if (handle < 0) destroySocket(s);
  return handle;
}

/**
 * Gives the socket its local port; VMADDR_PORT_ANY picks one, 0 as well on AF_INET. Returns 0 or an
 * error.
 */
export function SysSocketBind(socket: i32, port: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state != SocketState.Created) return -Errno.EINVAL;
  if (port == VMADDR_PORT_ANY || (port == 0 && !isVsock(s))) {
    const offset = isVsock(s) ? 0 : transportPortOffset(s.protocol, 0, 0);
    port = ephemeralPort(s.protocol, s.iface, 0, 0, offset);
    if (port == 0) return -Errno.EADDRNOTAVAIL;
  } else if (port > PORT_MAX && !isVsock(s)) {
    return -Errno.EINVAL;
  } else if (isPortInUse(s, port)) {
    return -Errno.EADDRINUSE;
  }
  s.localPort = port;
  enterState(s, SocketState.Bound);
  hash(s);
  return 0;
}

function isPortInUse(s: Socket, port: u32): bool {
  if (findSocket(s.protocol, s.iface, port, 0, 0) != NO_SOCKET) return true;
  return !isVsock(s) && transportHasPort(s.protocol, port);
}

/**
 * Accepts connections, of which `backlog` may wait (1 to 4096). Returns 0 or an error,
 * -EOPNOTSUPP for datagrams.
 */
export function SysSocketListen(socket: i32, backlog: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol == IPPROTO_UDP) return -Errno.EOPNOTSUPP;
  if (s.state != SocketState.Bound && s.state != SocketState.Listening) return -Errno.EINVAL;
  s.backlog = min<u32>(max<i32>(backlog, 1), BACKLOG_MAX);
  enterState(s, SocketState.Listening);
  return 0;
}

/**
 * Takes the connection that has waited longest, or waits for one. Yields. Returns its handle,
 * -EAGAIN, -EBADF, -EINVAL (not a listener), -ENFILE or -ENOMEM: then the connection stays in the
 * queue.
 */
export function SysSocketAccept(socket: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const until = deadlineAfterNs(s.receiveTimeoutNs);
  while (true) {
    const listener = socketOf(socket);
    if (listener == NO_SOCKET) return -Errno.EBADF;
    if (listener.state != SocketState.Listening) return -Errno.EINVAL;
    const oldest = firstPending(listener);
    if (oldest != NO_SOCKET) {
      const handle = addHandle(oldest);
      if (handle > 0) takePending(listener);
      return handle;
    }
    if (listener.nonBlocking) return -Errno.EAGAIN;
    if (wait(readersOf(listener), until) < 0) return -Errno.EAGAIN;
  }
}

/**
 * Ends one direction or both: how is 0 (no more receiving), 1 (no more sending: the peer finds the
 * end of the stream after all data) or 2. Does not yield. Returns 0, -EINVAL, -EBADF, -ENOTCONN or
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
 * Ends a connection at once: the peer gets RST, data that have not reached it are lost, and calls
 * of other threads and later ones fail with -ECONNABORTED. The handle must still be closed. Does
 * not yield. Returns 0, -EBADF, -ENOTCONN or the error that had ended the connection.
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
 * The address of a u32 that counts received payload bytes: a load shows whether more have come. It
 * is valid until the socket is closed. Returns 0 for no socket.
 */
export function SysSocketReceiveCounter(socket: i32): usize {
  const s = socketOf(socket);
  return s == NO_SOCKET ? 0 : changetype<usize>(s) + offsetof<Socket>("rxCnt");
}

/**
 * Writes the socket's own address; parts that it does not have yet are ANY. Returns 0 or -EBADF.
 */
export function SysSocketLocalAddress(socket: i32, address: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const own = changetype<SocketAddress>(address);
  own.address = s.iface == NO_INTERFACE ? VMADDR_CID_ANY : s.iface.address;
  own.port = s.state == SocketState.Created ? VMADDR_PORT_ANY : s.localPort;
  return 0;
}

/** Writes the address of the peer. Returns 0, -ENOTCONN or -EBADF. */
export function SysSocketPeerAddress(socket: i32, address: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.state < SocketState.Connected) return -Errno.ENOTCONN;
  const peer = changetype<SocketAddress>(address);
  peer.address = s.remoteAddress;
  peer.port = s.remotePort;
  return 0;
}

/**
 * Closes the socket: the handle is gone at once, sent data still arrive, received data are dropped,
 * threads in calls on it get -EBADF. Read the completions of MSG_ZEROCOPY first: buffers without
 * one must never change again. Yields only with SO_LINGER, until the peer has taken all data.
 * Returns 0, -EAGAIN (it has not, in that time) or -EBADF.
 */
export function SysSocketClose(socket: i32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  let result: i32 = 0;
  if (s.lingerNs != 0 && s.state == SocketState.Connected && !s.nonBlocking) {
    shutdown(s, VIRTIO_VSOCK_SHUTDOWN_BOTH);
    const until = deadlineAfterNs(s.lingerNs);
    while (s.state == SocketState.Connected && !isDrained(s) && result == 0) {
      if (wait(writersOf(s), until) < 0) result = -Errno.EAGAIN;
      s = socketOf(socket);
      if (s == NO_SOCKET) return -Errno.EBADF;
    }
  }
  removeHandle(s);
  close(s);
  return result;
}

/** Has the peer all that was sent, by its protocol? On vsock it ends the connection instead. */
function isDrained(s: Socket): bool {
  return !isVsock(s) && isTransportDrained(s);
}
