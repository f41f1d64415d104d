// SysSocketConnect, also on a socket whose last attempt or connection has failed.
import { Errno } from "../../../abi/errno";
import { VsockOp } from "../../../abi/vsock";
import { deadlineAfterNs, NEVER } from "../../clock";
import { wait } from "../../scheduler";
import { startTimer } from "../../timer";
import { carries, NetworkInterface, waitForSendRoom } from "../link/interface";
import { openWindow, restartCredit } from "./credit";
import { reset } from "./end";
import { sendControl } from "./output";
import { settleAll } from "./owed";
import { dropReceived } from "./receive-queue";
import { isVsock, NO_SOCKET, readersOf, Socket, SocketState, timerOf } from "./socket";
import { enterState } from "./state";
import { ephemeralPort, findSocket, hash, socketOf, unhash } from "./table";
import { connectTransport, routeOf, transportPortOffset } from "./transport";

/**
 * Connects to `port` of `address`, a CID or an IPv4 address. Yields. Returns 0, -ETIMEDOUT,
 * -ECONNRESET (refused; by TCP -ECONNREFUSED, -EHOSTUNREACH or -ENETUNREACH), -EPROTO,
 * -EISCONN, -EALREADY, -EINPROGRESS (non-blocking: select for POLLOUT), -EADDRINUSE,
 * -EADDRNOTAVAIL, -EINVAL (a listener), -EAGAIN (non-blocking, and the device has no room),
 * -EPROTONOSUPPORT, -ENETDOWN, -ENOMEM or -EBADF; after an error the socket may try again. If the
 * caller is killed the attempt goes on to its time-out.
 */
export function SysSocketConnect(socket: i32, address: u32, port: u32): i32 {
  let s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const iface = routeOf(s);
  const room = waitForSendRoom(iface, s.nonBlocking ? 0 : deadlineAfterNs(s.connectTimeoutNs));
  s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (room < 0) return room == -Errno.EAGAIN && !s.nonBlocking ? -Errno.ETIMEDOUT : room;
  if (isVsock(s) && !carries(iface, s.type)) return -Errno.EPROTONOSUPPORT;
  const requested = request(s, iface, address, port);
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
function request(s: Socket, iface: NetworkInterface, address: u32, port: u32): i32 {
  if (s.state == SocketState.Connected) return -Errno.EISCONN;
  if (s.state == SocketState.Connecting) return -Errno.EALREADY;
  if (s.state == SocketState.Listening) return -Errno.EINVAL;
  if (s.state == SocketState.Disconnected) makeNew(s);
  const local = s.state == SocketState.Bound ? s.localPort : freePort(s, iface, address, port);
  if (local == 0) return -Errno.EADDRNOTAVAIL;
  if (findSocket(s.protocol, iface, local, address, port) != NO_SOCKET) return -Errno.EADDRINUSE;
  if (s.bufAlloc == 0 && !openWindow(s)) return -Errno.ENOMEM;
  unhash(s);
  s.iface = iface;
  s.localPort = local;
  s.remoteAddress = address;
  s.remotePort = port;
  enterState(s, SocketState.Connecting);
  hash(s);
  const sent = isVsock(s) ? sendControl(s, VsockOp.REQUEST) : connectTransport(s);
  if (sent < 0) {
    unhash(s);
    makeNew(s);
    return sent;
  }
  if (!isVsock(s)) return 0; // its protocol keeps the time
  const timer = timerOf(s);
  timer.handler = (connectTimedOut as (arg: usize) => void).index;
  startTimer(timer, deadlineAfterNs(s.connectTimeoutNs));
  return 0;
}

/** A local port for a connection, or 0. */
function freePort(s: Socket, iface: NetworkInterface, address: u32, port: u32): u32 {
  const offset = isVsock(s) ? 0 : transportPortOffset(s.protocol, address, port);
  return ephemeralPort(s.protocol, iface, address, port, offset);
}

function connectTimedOut(arg: usize): void {
  reset(changetype<Socket>(arg), Errno.ETIMEDOUT);
}

/** Makes a socket that is not in the table as new. It keeps its port if that is still free. */
function makeNew(s: Socket): void {
  assert(s.listener == null && s.pending == 0, "in a list");
  settleAll(s);
  dropReceived(s);
  restartCredit(s);
  s.remoteAddress = s.remotePort = 0;
  s.error = 0;
  s.localShutdown = s.peerShutdown = 0;
  s.sendLeast = 1;
  if (findSocket(s.protocol, s.iface, s.localPort, 0, 0) == NO_SOCKET) {
    enterState(s, SocketState.Bound);
    hash(s);
  } else {
    enterState(s, SocketState.Created);
  }
}
