// Selective acknowledgement towards the peer (RFC 2018): which bytes wait, the newest first, and
// before them one that came twice (RFC 2883).
import { Socket } from "../../socket/socket";
import { addBlock, Header } from "./header";
import { endOf, seqOf } from "./reassembly";
import { isAfter, isBefore } from "./sequence";
import { gapsOf, Tcb, tcbOf } from "./tcb";

/** Notes bytes that have come twice, for the next acknowledgement. */
export function noteDuplicate(t: Tcb, from: u32, to: u32): void {
  if (!t.hasSack || from == to) return;
  t.dupFrom = from;
  t.dupTo = to;
}

/** Adds the blocks to a header that has its other options. */
export function addBlocks(s: Socket, h: Header): void {
  const t = tcbOf(s);
  if (t.dupFrom != t.dupTo) {
    addBlock(h, t.dupFrom, t.dupTo);
    t.dupFrom = t.dupTo;
  }
  if (!gapsOf(s).first) return;
  addRuns(s, h, true);
  addRuns(s, h, false);
}

/** Adds the run that changed last, or the others. */
function addRuns(s: Socket, h: Header, changed: bool): void {
  const newest = tcbOf(s).sackFirst;
  let p = gapsOf(s).first;
  while (p) {
    const from = seqOf(p);
    let to = endOf(p);
    p = p.next;
    while (p && seqOf(p) == to) {
      to = endOf(p);
      p = p.next;
    }
    const isNewest = !isAfter(from, newest) && isBefore(newest, to);
    if (isNewest == changed && !addBlock(h, from, to)) return;
  }
}
