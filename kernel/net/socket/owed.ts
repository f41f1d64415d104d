// Packets without payload that a socket owes its peer because there was no room or no memory: a bit
// for each op. Sockets pay in turn, interface by interface (see input.ts).
import { NetworkInterface, NO_INTERFACE } from "../link/interface";
import { owingOf, Socket } from "./socket";

/** The socket of the interface that has owed longest, or null. */
export function firstOwing(iface: NetworkInterface): Socket | null {
  const node = iface.owing.first;
  return node ? changetype<Socket>(node.object) : null;
}

export function owe(s: Socket, op: u32): void {
  assert(op < 32 && s.iface != NO_INTERFACE, "no such packet");
  if (s.owed == 0) s.iface.owing.append(owingOf(s));
  s.owed |= 1 << op;
}

/** `op` was sent, or is no longer needed. */
export function settle(s: Socket, op: u32): void {
  if ((s.owed & (1 << op)) == 0) return;
  assert(owingOf(s).list == s.iface.owing, "not in the list");
  s.owed &= ~(1 << op);
  if (s.owed == 0) s.iface.owing.remove(owingOf(s));
}

/** The socket owes nothing any more. */
export function settleAll(s: Socket): void {
  if (s.owed == 0) return;
  s.owed = 0;
  s.iface.owing.remove(owingOf(s));
}
