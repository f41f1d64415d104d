// The window that we advertise (RFC 9293, 3.8.6; RFC 7323, 2).
import { growWindow } from "../../socket/credit";
import { Socket } from "../../socket/socket";
import { isAfter } from "./sequence";
import { Tcb, tcbOf } from "./tcb";

/** The largest window without a shift: what a SYN can say. */
export const WINDOW_MAX: u32 = 0xffff;

/** The shift with which windows of up to `bytes` bytes can be advertised. */
export function shiftFor(bytes: u32): u8 {
  let shift: u8 = 0;
  while (bytes >> shift > WINDOW_MAX) shift++;
  return shift;
}

/** The right edge that the room in the buffer allows. */
function edgeOf(s: Socket): u32 {
  const used = s.rxCnt - s.fwdCnt;
  return tcbOf(s).rcvNxt + (used < s.bufAlloc ? s.bufAlloc - used : 0);
}

/** TC45: bytes by which the edge moves at least. */
function stepOf(s: Socket, t: Tcb): u32 {
  return min(t.mss, s.bufAlloc >> 1);
}

/**
 * The window field of a segment that is sent now; the edge moves to what it says. A window that the
 * shift cannot express is rounded up, so that the edge never goes back.
 */
export function windowToAdvertise(s: Socket): u32 {
  const t = tcbOf(s);
  const edge = edgeOf(s);
  if (<i32>(edge - t.edge) >= <i32>stepOf(s, t)) {
    t.edge = edge;
    s.lastFwdCnt = s.fwdCnt;
  }
  const window = isAfter(t.edge, t.rcvNxt) ? t.edge - t.rcvNxt : 0;
  const unit: u32 = 1 << t.receiveShift;
  const field = min((window + unit - 1) >> t.receiveShift, WINDOW_MAX);
  const said = t.rcvNxt + (field << t.receiveShift);
  if (isAfter(said, t.edge)) t.edge = said;
  return field;
}

/** The application has read: should the peer learn of the room now? */
export function hasOpened(s: Socket): bool {
  const t = tcbOf(s);
  const known = isAfter(t.edge, t.rcvNxt) ? t.edge - t.rcvNxt : 0;
  if (known > s.bufAlloc >> 1) return false;
  growWindow(s);
  return <i32>(edgeOf(s) - t.edge) >= <i32>stepOf(s, t);
}
