// The accept queue of a listener: connections that wait, oldest first.
import { backlogOf, NO_SOCKET, pendingOf, Socket, SocketState } from "./socket";

export function addPending(listener: Socket, s: Socket): void {
  assert(listener.state == SocketState.Listening, "not a listener");
  assert(s.state == SocketState.Connected && s.handle == 0, "wrong state");
  s.listener = listener;
  backlogOf(listener).append(pendingOf(s));
  listener.pending++;
}

export function removePending(listener: Socket, s: Socket): void {
  assert(s.listener == listener && listener.pending != 0, "not in the list");
  backlogOf(listener).remove(pendingOf(s));
  listener.pending--;
  s.listener = null;
}

/** The connection that has waited longest, or NO_SOCKET. */
export function firstPending(listener: Socket): Socket {
  const node = backlogOf(listener).first;
  assert((node == null) == (listener.pending == 0), "wrong count");
  return node ? changetype<Socket>(node.object) : NO_SOCKET;
}

/** Takes it out of the queue. */
export function takePending(listener: Socket): Socket {
  const s = firstPending(listener);
  if (s != NO_SOCKET) removePending(listener, s);
  return s;
}
