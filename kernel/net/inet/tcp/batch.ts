// Connections that segments of this batch have given something to do: an acknowledgement, or data
// that the window allows now. They are served once, when the batch is over.
import { NO_SOCKET, Socket } from "../../socket/socket";
import { tcbOf } from "./tcb";

let first: Socket = NO_SOCKET;

export function addDue(s: Socket): void {
  const t = tcbOf(s);
  if (t.isDue) return;
  t.isDue = true;
  t.nextDue = first;
  first = s;
}

/** A connection that has something to do, or NO_SOCKET. */
export function takeDue(): Socket {
  const s = first;
  if (s == NO_SOCKET) return s;
  const t = tcbOf(s);
  first = changetype<Socket>(changetype<usize>(t.nextDue));
  t.nextDue = null;
  t.isDue = false;
  return s;
}

/** The connection is gone. */
export function dropDue(s: Socket): void {
  if (!tcbOf(s).isDue) return;
  if (first == s) {
    takeDue();
    return;
  }
  let before = first;
  while (tcbOf(before).nextDue != s) before = tcbOf(before).nextDue as Socket;
  tcbOf(before).nextDue = tcbOf(s).nextDue;
  tcbOf(s).nextDue = null;
  tcbOf(s).isDue = false;
}
