// The application's part of a connection's end. Nothing here yields: what finds no room is owed.
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VsockOp,
} from "../../../abi/vsock";
import { nowNs, NS_PER_S } from "../../clock";
import { startTimer } from "../../timer";
import { takePending } from "./backlog";
import {
  destroySocket,
  dropReceived,
  hasData,
  NO_SOCKET,
  receiveIsShut,
  Socket,
  SocketState,
  timerOf,
  wakeSleepers,
} from "./socket";
import { linger, reset, sendSoon } from "./input";

/** Linux: a peer that does not answer SHUTDOWN with RST within this time is reset. */
const CLOSE_TIMEOUT_NS: u64 = 8 * NS_PER_S;

/** Shuts directions of a connection down for good; `flags` as on the wire. */
export function shutdown(s: Socket, flags: u32): void {
  if ((flags & ~s.localShutdown) == 0) return;
  s.localShutdown |= flags;
  sendSoon(s, VsockOp.SHUTDOWN);
  if ((flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) dropReceived(s);
  wakeSleepers(s);
  endIfDrained(s);
}

/** The application has closed a socket and has no handle on it any more. */
export function close(s: Socket): void {
  const connected = s.state == SocketState.Connected;
  if (s.state == SocketState.Listening) {
    for (let p = takePending(s); p != NO_SOCKET; p = takePending(s)) reset(p, 0);
  }
  if (s.state == SocketState.Connecting) {
    reset(s, 0);
  } else if (connected && s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH) {
    reset(s, 0);
  } else if (connected) {
    // V16: until RST the addresses must not be used again.
    linger(s);
    const timer = timerOf(s);
    timer.handler = (closeTimedOut as (arg: usize) => void).index;
    startTimer(timer, nowNs() + CLOSE_TIMEOUT_NS);
    sendSoon(s, VsockOp.SHUTDOWN);
  } else if (s.owed != 0) {
    linger(s); // disconnected, but the peer does not know yet
  } else {
    destroySocket(s);
  }
}

function closeTimedOut(arg: usize): void {
  reset(changetype<Socket>(arg), 0);
}

/** Has the stream ended with nothing more to read? */
export function atEnd(s: Socket): bool {
  if (hasData(s)) return false;
  return s.state == SocketState.Disconnected ? s.error == 0 : receiveIsShut(s);
}

/** After a read: the peer had ended both directions, and the last byte is out. */
export function endIfDrained(s: Socket): void {
  if (s.state != SocketState.Connected || hasData(s)) return;
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH) reset(s, 0);
}
