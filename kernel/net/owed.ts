// Sockets that owe their peer packets without payload, for which there was no room or no memory:
// a bit for each operation, paid in turn (see stream.ts).
import { Socket } from "./socket";

let first: Socket | null = null;
let last: Socket | null = null;

/** The socket that has owed longest, or null. */
export function firstOwing(): Socket | null {
  return first;
}

export function owe(s: Socket, op: u32): void {
  const listed = s.owed != 0;
  s.owed |= 1 << op;
  if (listed) return;
  const before = last;
  s.prevOwing = before;
  s.nextOwing = null;
  if (before) before.nextOwing = s;
  else first = s;
  last = s;
}

/** `op` was sent, or need not be any more. */
export function paid(s: Socket, op: u32): void {
  if ((s.owed & (1 << op)) == 0) return;
  s.owed &= ~(1 << op);
  if (s.owed == 0) leave(s);
}

/** The socket owes nothing any more. */
export function forgive(s: Socket): void {
  if (s.owed == 0) return;
  s.owed = 0;
  leave(s);
}

function leave(s: Socket): void {
  const prev = s.prevOwing;
  const next = s.nextOwing;
  if (prev) prev.nextOwing = next;
  else first = next;
  if (next) next.prevOwing = prev;
  else last = prev;
}
