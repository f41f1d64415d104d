// The time that a retransmission waits (RFC 6298), from the round trips that were measured.
import { nowMs } from "./clocks";
import { Tcb } from "./tcb";

const US_PER_MS: u32 = 1000;
const RTO_FIRST_US: u32 = 1_000_000;
/**
 * TC40: less than RFC 6298 says. It is added to the round trip where that hardly varies: otherwise
 * each acknowledgement that a peer delays, over a long way, comes just too late.
 */
const RTO_MIN_US: u32 = 200_000;
const RTO_MAX_US: u32 = 60_000_000;

export function startRoundTrips(t: Tcb): void {
  t.srtt = t.rttvar = 0;
  t.rto = RTO_FIRST_US;
  t.isTimed = false;
}

/**
 * A timestamp of ours has come back (RFC 7323, 4.1). 0, and one that is older than any segment, is
 * made up.
 */
export function addEcho(t: Tcb, echo: u32): void {
  const ms = nowMs() + t.tsOffset - echo;
  if (echo != 0 && ms <= RTO_MAX_US / US_PER_MS * 2) addRoundTrip(t, ms * US_PER_MS);
}

/** A segment and its acknowledgement took `us`. */
export function addRoundTrip(t: Tcb, us: u32): void {
  const sample = max<u32>(us, 1);
  if (t.srtt == 0) {
    t.srtt = sample;
    t.rttvar = sample >> 1;
  } else {
    const distance = sample > t.srtt ? sample - t.srtt : t.srtt - sample;
    t.rttvar = t.rttvar - (t.rttvar >> 2) + (distance >> 2);
    t.srtt = max<u32>(t.srtt - (t.srtt >> 3) + (sample >> 3), 1);
  }
  restoreTimeout(t);
}

/** The time-out without the doubling of earlier ones. */
export function restoreTimeout(t: Tcb): void {
  if (t.srtt == 0) return;
  const us = <u64>t.srtt + max<u64>(RTO_MIN_US, <u64>t.rttvar << 2);
  t.rto = <u32>min<u64>(us - (us % US_PER_MS), RTO_MAX_US); // in the unit of timestamps
}

export function doubleTimeout(t: Tcb): void {
  t.rto = min(t.rto << 1, RTO_MAX_US);
}
