// How connections end, by our doing or the peer's. Nothing here yields: a packet that finds no room
// is owed.
import { VIRTIO_VSOCK_SHUTDOWN_BOTH, VIRTIO_VSOCK_SHUTDOWN_RCV, VsockOp } from "../../../abi/vsock";
import { nowNs, NS_PER_S } from "../../clock";
import { startTimer, stopTimer } from "../../timer";
import { NetworkInterface } from "../link/interface";
import { removePending, takePending } from "./backlog";
import { destroySocket } from "./life";
import { sendSoon } from "./output";
import { firstOwing, settleAll } from "./owed";
import { dropReceived, hasData } from "./receive-queue";
import { isVsock, NO_SOCKET, Socket, SocketState, timerOf, wakeSleepers } from "./socket";
import { enterState, receiveIsShut } from "./state";
import { BUCKETS, firstInBucket, unhash } from "./table";
import { abortTransport, closeTransport, releaseTransport, shutdownTransport } from "./transport";

/** Linux: a peer that does not answer SHUTDOWN with RST within this time is reset. */
const CLOSE_TIMEOUT_NS: u64 = 8 * NS_PER_S;

/** The peer broke the rules, or the connection is not wanted any more: sends RST. */
export function reset(s: Socket, error: i32): void {
  assert(s.state >= SocketState.Connecting, "no peer");
  settleAll(s); // RST is the last packet
  const sent = sendReset(s);
  const listener = s.listener;
  if (listener) removePending(listener, s);
  if (s.handle != 0) disconnect(s, error);
  else if (sent) destroySocket(s);
  else awaitReset(s);
}

/** Returns false when the packet is owed. */
function sendReset(s: Socket): bool {
  if (isVsock(s)) return sendSoon(s, VsockOp.RST);
  abortTransport(s);
  return true;
}

/** The connection is gone: RST has come, or the device has lost it. */
export function connectionGone(s: Socket, error: i32): void {
  assert(s.state >= SocketState.Connecting, "no peer");
  const listener = s.listener;
  if (listener) {
    // Nobody has accepted it, so nobody will miss it.
    removePending(listener, s);
    destroySocket(s);
  } else if (s.handle == 0) {
    destroySocket(s);
  } else {
    settleAll(s);
    disconnect(s, error);
  }
}

/** All connections of an interface end with `error`; listeners stay. */
export function loseConnections(iface: NetworkInterface, error: i32): void {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let s = firstInBucket(i), next = NO_SOCKET; s != NO_SOCKET; s = next) {
      next = changetype<Socket>(changetype<usize>(s.nextInBucket));
      if (s.iface == iface && s.state >= SocketState.Connecting) connectionGone(s, error);
    }
  }
  for (let s = firstOwing(iface); s; s = firstOwing(iface)) {
    settleAll(s);
    if (s.handle == 0) destroySocket(s);
  }
}

/** Disconnects. Waiters wake, and find `error` (0: end of stream) after the received data. */
function disconnect(s: Socket, error: i32): void {
  enterState(s, SocketState.Disconnected);
  s.error = error;
  unhash(s);
  stopTimer(timerOf(s));
  if (!isVsock(s)) releaseTransport(s);
  assert(s.listener == null, "in a list");
  wakeSleepers(s);
}

/** A socket that the application has closed stays until an RST has been received or sent. */
function awaitReset(s: Socket): void {
  enterState(s, SocketState.Closing);
  s.localShutdown = VIRTIO_VSOCK_SHUTDOWN_BOTH;
  stopTimer(timerOf(s));
  dropReceived(s);
  wakeSleepers(s);
}

/** Shuts directions of a connection down for good; `flags` as on the wire. */
export function shutdown(s: Socket, flags: u32): void {
  assert(s.state == SocketState.Connected, "no peer");
  if ((flags & ~s.localShutdown) == 0) return;
  assert((flags & ~VIRTIO_VSOCK_SHUTDOWN_BOTH) == 0, "no such direction");
  s.localShutdown |= flags;
  if (isVsock(s)) sendSoon(s, VsockOp.SHUTDOWN);
  else shutdownTransport(s);
  if ((flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) dropReceived(s);
  wakeSleepers(s);
  endIfDrained(s);
}

/** The peer has shut directions down. */
export function peerShutdown(s: Socket, flags: u32): void {
  s.peerShutdown |= flags & VIRTIO_VSOCK_SHUTDOWN_BOTH;
  // V16: both directions are over and nothing is left to read, so RST ends it now.
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH && !hasData(s)) reset(s, 0);
  else wakeSleepers(s);
}

/** The application has closed a socket, and its handle is gone. */
export function close(s: Socket): void {
  assert(s.handle == 0, "has a handle");
  const connected = s.state == SocketState.Connected;
  if (s.state == SocketState.Listening) {
    for (let p = takePending(s); p != NO_SOCKET; p = takePending(s)) reset(p, 0);
  }
  if (s.state == SocketState.Connecting) {
    reset(s, 0);
  } else if (!isVsock(s)) {
    closeInternet(s);
  } else if (connected && s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH) {
    reset(s, 0);
  } else if (connected) {
    // V16: until RST the addresses must not be used again.
    awaitReset(s);
    const timer = timerOf(s);
    timer.handler = (closeTimedOut as (arg: usize) => void).index;
    startTimer(timer, nowNs() + CLOSE_TIMEOUT_NS);
    sendSoon(s, VsockOp.SHUTDOWN);
  } else if (s.owed != 0) {
    awaitReset(s); // disconnected, but the peer does not know yet
  } else {
    destroySocket(s);
  }
}

/** Its protocol ends the connection, in order if it can, and destroys the socket then. */
function closeInternet(s: Socket): void {
  if (s.state != SocketState.Connected || !closeTransport(s)) return destroySocket(s);
  enterState(s, SocketState.Closing);
  s.localShutdown = VIRTIO_VSOCK_SHUTDOWN_BOTH;
  dropReceived(s);
  wakeSleepers(s);
}

function closeTimedOut(arg: usize): void {
  reset(changetype<Socket>(arg), 0);
}

/** Has the stream ended with nothing more to read? */
export function atEnd(s: Socket): bool {
  if (hasData(s)) return false;
  return s.state == SocketState.Disconnected ? s.error == 0 : receiveIsShut(s);
}

/** Ends a connection whose directions the peer has both shut down, once all data are read. */
export function endIfDrained(s: Socket): void {
  if (s.state != SocketState.Connected || hasData(s)) return;
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH) reset(s, 0);
}
