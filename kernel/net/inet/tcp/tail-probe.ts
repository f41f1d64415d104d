// The tail loss probe (RFC 8985, 7): when no acknowledgement comes for two round trips, one more
// segment goes, so that the peer tells what it lacks long before the time-out. Nothing but a probe
// finds the loss of the last segments of a flight. When one is due, and what its answer means, is
// said here; expiry.ts sends it.
import { loadBe32 } from "../bytes";
import { reduceWindow } from "./congestion";
import { boardOf, toAt } from "./scoreboard";
import { lengthOf, Segment } from "./segment";
import { isBefore } from "./sequence";
import { Probing, Tcb, TcpState } from "./tcb";

/** A peer, or its host, may be busy for that long. */
const PROBE_MIN_US: u32 = 10_000;
/** Of one segment alone the acknowledgement may be delayed by this (WCDelAckT). */
const DELAYED_ACK_US: u32 = 200_000;

/**
 * Microseconds of silence after which a probe is due; 0: none is, for the time-out comes first, or
 * the losses are known already.
 */
export function probeUs(t: Tcb): u32 {
  if (!t.hasSack || t.srtt == 0 || t.state < TcpState.Established) return 0;
  if (t.una == t.top || t.nxt != t.top || t.retries != 0) return 0; // nothing, or a time-out was
  if (t.probing != Probing.None || t.board != 0 || isBefore(t.una, t.recover)) return 0;
  const alone = t.top - t.una <= t.mss ? DELAYED_ACK_US : 0;
  const us = max<u64>(<u64>t.srtt << 1, PROBE_MIN_US) + alone;
  return us < t.rto ? <u32>us : 0;
}

/**
 * RFC 8985, 7.4: does the segment, before it is taken, end the matter of a probe? If that has
 * repaired a loss, the network was as full as if it had been found otherwise.
 */
export function takeProbeAnswer(t: Tcb, g: Segment): void {
  if (t.probing == Probing.None || isBefore(g.ack, t.probeEnd)) return;
  if (t.probing == Probing.Again && !hasComeTwice(t, g)) {
    if (g.ack == t.probeEnd) return; // for the segment, or for the probe: the next one tells
    reduceWindow(t);
  }
  t.probing = Probing.None;
}

/** The peer reports a duplicate (RFC 2883), or acknowledges once more what it has acknowledged. */
function hasComeTwice(t: Tcb, g: Segment): bool {
  if (g.blocks != 0) return t.probeEnd - loadBe32(g.blocksAt, 4) <= 1; // with a FIN, or without
  return g.ack == t.una && lengthOf(g) == 0 && g.window << t.sendShift == t.wnd;
}

/**
 * The peer has the probe, and lacks what was sent two round trips before: that is lost, however
 * little lies above it (RFC 8985, 3.1).
 */
export function hasProbeArrived(t: Tcb): bool {
  if (t.probing == Probing.None || t.board == 0) return false;
  const b = boardOf(t);
  return b.count != 0 && !isBefore(toAt(b, b.count - 1), t.probeEnd);
}
