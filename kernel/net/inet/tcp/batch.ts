// Connections that segments of this batch have given something to do: an acknowledgement, or data
// that the window allows now. They are served once, when the batch is over; those whose
// acknowledgement may go with an answer of the application once more, at the end of the turn.
import { NO_SOCKET, Socket } from "../../socket/socket";
import { tcbOf } from "./tcb";

let first: Socket = NO_SOCKET;
let firstLate: Socket = NO_SOCKET; // at the end of the turn

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
  first = nextOf(s);
  t.nextDue = null;
  t.isDue = false;
  return s;
}

/** The connection, which the batch is done with, is served again at the end of the turn. */
export function addLate(s: Socket): void {
  const t = tcbOf(s);
  if (t.isDue) return;
  t.isDue = true;
  t.nextDue = firstLate;
  firstLate = s;
}

/** The turn ends: those that wait for that have something to do. */
export function hastenLate(): void {
  assert(first == NO_SOCKET, "in a batch");
  first = firstLate;
  firstLate = NO_SOCKET;
}

/** The connection is gone. */
export function dropDue(s: Socket): void {
  if (!tcbOf(s).isDue) return;
  first = without(first, s);
  firstLate = without(firstLate, s);
  tcbOf(s).nextDue = null;
  tcbOf(s).isDue = false;
}

function nextOf(s: Socket): Socket {
  return changetype<Socket>(changetype<usize>(tcbOf(s).nextDue));
}

/** The list that begins with `list`, without `s`. Returns its first one. */
function without(list: Socket, s: Socket): Socket {
  if (list == s) return nextOf(s);
  for (let at = list; at != NO_SOCKET; at = nextOf(at)) {
    if (nextOf(at) == s) tcbOf(at).nextDue = tcbOf(s).nextDue;
  }
  return list;
}
