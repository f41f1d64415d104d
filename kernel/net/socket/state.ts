// The states of a socket and the steps between them.
//
//   Created ──► Bound ──► Listening
//      │ ▲        │ ▲
//      │ └────────┼─┴─────────────┐ another attempt
//      ├──────────┴► Connecting ──┤
//      │                 │        │
//      └► Connected ◄────┘        │        any of the three ──► Closing (the application has
//             └──────────────► Disconnected                              closed it)
import { Errno } from "../../../abi/errno";
import { VIRTIO_VSOCK_SHUTDOWN_RCV, VIRTIO_VSOCK_SHUTDOWN_SEND } from "../../../abi/vsock";
import { Socket, SocketState } from "./socket";

/** Sets of states. */
const CREATED: u32 = 1 << SocketState.Created;
const BOUND: u32 = 1 << SocketState.Bound;
const LISTENING: u32 = 1 << SocketState.Listening;
const CONNECTING: u32 = 1 << SocketState.Connecting;
const CONNECTED: u32 = 1 << SocketState.Connected;
const DISCONNECTED: u32 = 1 << SocketState.Disconnected;
const CLOSING: u32 = 1 << SocketState.Closing;

/** The states that may follow. */
function followersOf(state: SocketState): u32 {
  switch (state) {
    case SocketState.Created:
      return BOUND | CONNECTING | CONNECTED; // the last: a listener has accepted it
    case SocketState.Bound:
      return LISTENING | CONNECTING;
    case SocketState.Listening:
      return LISTENING; // with another backlog
    case SocketState.Connecting:
      return CONNECTED | DISCONNECTED | CLOSING | CREATED | BOUND; // the last two: nothing was sent
    case SocketState.Connected:
      return DISCONNECTED | CLOSING;
    case SocketState.Disconnected:
      return CREATED | BOUND | CLOSING;
    default:
      return CLOSING; // the RST finds no room again
  }
}

/** Changes the state: the only way to. */
export function enterState(s: Socket, state: SocketState): void {
  assert(((followersOf(s.state) >> state) & 1) != 0, "no such step");
  const isConnection = state == SocketState.Connecting || state == SocketState.Connected;
  assert(!isConnection || s.bufAlloc != 0, "no window");
  assert(state != SocketState.Closing || s.handle == 0, "has a handle");
  s.state = state;
}

/** 0, or the error of a socket that is not connected, as calls return it. */
export function connectionError(s: Socket): i32 {
  if (s.state == SocketState.Disconnected) return s.error == 0 ? -Errno.ENOTCONN : -s.error;
  return s.state == SocketState.Connected ? 0 : -Errno.ENOTCONN;
}

export function sendIsShut(s: Socket): bool {
  return (
    (s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 ||
    (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0
  );
}

/** Has the stream towards us ended? Data may still be queued. */
export function receiveIsShut(s: Socket): bool {
  return (
    (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 ||
    (s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0
  );
}
