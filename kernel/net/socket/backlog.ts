// The accept queue of a listener: connections that wait, oldest first.
import { NO_SOCKET, Socket } from "./socket";

export function addPending(listener: Socket, s: Socket): void {
  s.listener = listener;
  s.nextPending = null;
  const last = listener.lastPending;
  if (last) last.nextPending = s;
  else listener.nextPending = s;
  listener.lastPending = s;
  listener.pending++;
}

export function removePending(listener: Socket, s: Socket): void {
  let before = listener;
  while (before.nextPending != s) before = changetype<Socket>(before.nextPending);
  before.nextPending = s.nextPending;
  if (listener.lastPending == s) listener.lastPending = before == listener ? null : before;
  listener.pending--;
  s.listener = null;
  s.nextPending = null;
}

/** The oldest connection that waits, or NO_SOCKET. */
export function takePending(listener: Socket): Socket {
  const s = listener.nextPending;
  if (!s) return NO_SOCKET;
  removePending(listener, s);
  return s;
}
