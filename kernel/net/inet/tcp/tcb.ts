// A TCP connection (RFC 9293, 3.3.1): its state lies after its socket. Fields are grouped by the
// file that writes them.
import { Timer } from "../../../timer";
import { PacketQueue } from "../../link/packet";
import { Socket, SOCKET_BYTES } from "../../socket/socket";

/**
 * RFC 9293, 3.3.2. LISTEN is a state of the socket; a connection that a peer asks for is a record
 * until its handshake is done (half-open.ts), and one in TIME-WAIT as well (time-wait.ts).
 */
export const enum TcpState {
  Closed,
  SynSent,
  SynReceived, // of both, when they ask each other
  Established,
  FinWait1,
  FinWait2,
  CloseWait,
  Closing,
  LastAck,
}

/** Why the connection's timer runs: one thing at a time. */
export const enum TimerKind {
  None,
  Retransmit,
  Persist, // the window is too small for what waits, or a part of a segment is held back
  KeepAlive,
  FinWait2,
}

/** A probe for the loss of the last segments (tail-probe.ts), until its answer. */
export const enum Probing {
  None,
  New, // it was a new segment, or none could be sent
  Again, // it was sent before
}

@unmanaged
export class Tcb {
  state: TcpState; // life.ts
  // handshake.ts
  iss: u32;
  irs: u32;
  mss: u32; // payload bytes of a segment to the peer; the timestamps are taken off
  sendShift: u8; // RFC 7323: of the windows that the peer advertises
  receiveShift: u8; // of ours
  hasTimestamps: bool;
  hasSack: bool; // the peer takes SACK
  tsOffset: u32; // added to our clock
  connectUntilNs: u64;
  // output.ts, acknowledge.ts: what we send. [una, nxt) is in flight, [una, end) is queued.
  una: u32;
  nxt: u32;
  top: u32; // after the last number that was ever sent
  end: u32; // after the last byte that the application has given; the number of our FIN
  isFinQueued: bool;
  isMore: bool; // the application is about to give more
  isAwaited: bool; // a sender waits for its buffers: the end of them does not wait
  isDue: bool; // in the list of connections with something to do (batch.ts)
  wnd: u32; // that the peer has advertised
  wl1: u32; // the segment that did, and its acknowledgement
  wl2: u32;
  wndMax: u32; // the largest that it ever advertised
  sentMs: u32; // when data were sent last
  waitingMs: u32; // since when the peer owes us an acknowledgement
  // receive.ts, output.ts: what we receive
  rcvNxt: u32;
  edge: u32; // the right edge of the window that we have advertised; it never goes back
  lastAck: u32; // that we sent
  fin: u32; // the number of the peer's FIN, if hasFin
  hasFin: bool;
  isTimed: bool; // round-trip.ts
  isRecovering: bool; // congestion.ts
  isAckDue: bool; // at the end of the batch
  isAckLate: bool; // at the end of the turn
  unacked: u32; // full segments that have arrived since we acknowledged
  quickAcks: u8; // segments that are still acknowledged at once (TC47)
  tsRecent: u32; // RFC 7323: the peer's clock, and when that was
  tsRecentMs: u32;
  // round-trip.ts, microseconds
  srtt: u32; // 0: nothing measured
  rttvar: u32;
  rto: u32;
  timed: u32; // without timestamps, if isTimed: a number, and since when
  timedUs: u32;
  // congestion.ts
  cwnd: u32;
  ssthresh: u32;
  credited: u32; // bytes acknowledged since cwnd grew by one segment
  dupAcks: u32;
  recover: u32; // RFC 6582: what was in flight when the last loss was found
  board: usize; // scoreboard.ts; 0: none
  probing: Probing; // tail-probe.ts
  probeEnd: u32; // after all that was sent when the probe was
  // timers.ts
  timerKind: TimerKind;
  isProbeDue: bool; // TimerKind.Retransmit: a probe goes before the time-out
  retries: u8; // of what is sent now
  probes: u8; // that were not answered
  keepAliveSent: u8;
  heardMs: u32; // when the peer was heard last
  // options: tcp/options-calls.ts
  noDelay: bool;
  keepsAlive: bool;
  keepIdleMs: u32;
  keepIntervalMs: u32;
  keepCount: u8;
  userTimeoutMs: u32;
  // half-open.ts, of a listener
  halfOpen: u32;
  // reassembly.ts
  gapBytes: u32;
  sackFirst: u32; // the block that changed last, and a duplicate to be reported (RFC 2883)
  dupFrom: u32;
  dupTo: u32;
  // counters (TC51)
  retransmits: u32;
  outOfOrder: u32;
  dupsReceived: u32;
  segmentsIn: u32;
  segmentsOut: u32;
  probesSent: u32;
  challenges: u8; // in this second
  challengeS: u32;
  nextDue: Socket | null; // batch.ts
  // send-queue.ts
  cursorAt: u32; // the number of the cursor's first byte
  head: usize; // Chunk
  tail: usize;
  cursor: usize;
}

// Embedded parts.
const GAPS: usize = (offsetof<Tcb>() + 7) & ~7;
const DELAYED: usize = (GAPS + offsetof<PacketQueue>() + 7) & ~7;
export const TCB_BYTES: u32 = <u32>(DELAYED + offsetof<Timer>());
const TCB: usize = (SOCKET_BYTES + 7) & ~7;
/** Bytes after SOCKET_BYTES. */
export const TCP_BYTES: u32 = <u32>(TCB - SOCKET_BYTES) + TCB_BYTES;

/** Where it begins, from its socket on. */
export const TCB_OFFSET: usize = TCB;

export function tcbOf(s: Socket): Tcb {
  return changetype<Tcb>(changetype<usize>(s) + TCB);
}

/** Segments that arrived out of order, by their numbers. */
export function gapsOf(s: Socket): PacketQueue {
  return changetype<PacketQueue>(changetype<usize>(tcbOf(s)) + GAPS);
}

/** The timer of an acknowledgement that waits for company. */
export function delayedTimerOf(s: Socket): Timer {
  return changetype<Timer>(changetype<usize>(tcbOf(s)) + DELAYED);
}
