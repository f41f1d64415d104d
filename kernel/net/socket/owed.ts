// Sockets that owe their peer packets without payload, for which there was no room or no memory:
// a bit for each operation, paid in turn, interface by interface (see stream.ts).
import { NetworkInterface } from "../link/interface";
import { Socket } from "./socket";

/** The socket of the interface that has owed longest, or null. */
export function firstOwing(iface: NetworkInterface): Socket | null {
  return iface.firstOwing;
}

export function owe(s: Socket, op: u32): void {
  const listed = s.owed != 0;
  s.owed |= 1 << op;
  if (listed) return;
  const iface = s.iface;
  const before = iface.lastOwing;
  s.prevOwing = before;
  s.nextOwing = null;
  if (before) before.nextOwing = s;
  else iface.firstOwing = s;
  iface.lastOwing = s;
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
  const iface = s.iface;
  const prev = s.prevOwing;
  const next = s.nextOwing;
  if (prev) prev.nextOwing = next;
  else iface.firstOwing = next;
  if (next) next.prevOwing = prev;
  else iface.lastOwing = prev;
}
