// From a half-open record to a connection that waits for its listener's accept.
import { IPPROTO_TCP } from "../../../../abi/ip";
import { wakeAll } from "../../../scheduler";
import { addPending } from "../../socket/backlog";
import { firstWindow, openWindow, WINDOW_MIN } from "../../socket/credit";
import { inheritOptions } from "../../socket/input";
import { createSocket, destroySocket } from "../../socket/life";
import { NO_SOCKET, readersOf, Socket, SocketState } from "../../socket/socket";
import { enterState } from "../../socket/state";
import { hash } from "../../socket/table";
import { inetStats } from "../stats";
import { nowMs } from "./clocks";
import { startCongestion } from "./congestion";
import { mssFor, startStream } from "./handshake";
import { enterTcpState } from "./life";
import { addEcho, startRoundTrips } from "./round-trip";
import { Segment } from "./segment";
import { tcbOf, TcpState } from "./tcb";
import { inheritTcpOptions } from "./tcp-options";

/** A connection that a peer has asked for, until its last acknowledgement (half-open.ts). */
@unmanaged
export class HalfOpen {
  next: HalfOpen | null;
  listener: Socket;
  remoteAddress: u32;
  ports: u32; // local, remote
  iss: u32;
  irs: u32;
  tsRecent: u32;
  tsOffset: u32;
  dueMs: u32; // when SYN and ACK are sent again
  mss: u16; // as the peer says it
  window: u16; // that SYN and ACK have promised
  shift: u8;
  receiveShift: u8;
  tries: u8;
  hasShift: bool;
  hasTimestamps: bool;
  hasSack: bool;
}

if (offsetof<HalfOpen>() > 64) ERROR("half-open: a record is larger than 64 bytes");

/** The handshake is done: makes the socket. NO_SOCKET: no room, the peer will come back. */
export function acceptHalfOpen(h: HalfOpen, g: Segment): Socket {
  const listener = h.listener;
  if (listener.pending >= listener.backlog) return NO_SOCKET;
  const s = createSocket(IPPROTO_TCP, 0);
  if (s == NO_SOCKET) {
    inetStats().noTcpMemory++;
    return s;
  }
  inheritOptions(s, listener);
  inheritTcpOptions(s, listener);
  if (!openFirst(s, h.window)) {
    inetStats().noTcpMemory++;
    destroySocket(s);
    return NO_SOCKET;
  }
  s.iface = listener.iface;
  s.localPort = h.ports >> 16;
  s.remoteAddress = h.remoteAddress;
  s.remotePort = h.ports & 0xffff;
  take(s, h, g);
  enterState(s, SocketState.Connected);
  hash(s);
  addPending(listener, s);
  wakeAll(readersOf(listener));
  return s;
}

/**
 * Opens what the listener wants and the memory has, and what SYN and ACK have promised; with many
 * connections at once that is too much, and the peer sends again what exceeds the least window.
 */
function openFirst(s: Socket, promised: u32): bool {
  s.windowFirst = max(firstWindow(s.windowFirst), promised);
  if (openWindow(s)) return true;
  s.windowFirst = WINDOW_MIN;
  return openWindow(s);
}

function take(s: Socket, h: HalfOpen, g: Segment): void {
  const t = tcbOf(s);
  t.iss = h.iss;
  t.irs = h.irs;
  t.una = t.nxt = t.top = t.end = h.iss + 1;
  t.rcvNxt = h.irs + 1;
  t.mss = mssFor(h.mss, h.hasTimestamps);
  t.sendShift = h.shift;
  t.receiveShift = h.receiveShift;
  t.hasTimestamps = h.hasTimestamps;
  t.hasSack = h.hasSack;
  t.tsOffset = h.tsOffset;
  t.tsRecent = h.tsRecent;
  t.tsRecentMs = nowMs();
  startRoundTrips(t);
  if (h.hasTimestamps) {
    addEcho(t, g.tsEcr);
  } else if (h.tries != 0) {
    t.rto *= 3; // RFC 6298, 5.7
  }
  startCongestion(t, h.tries != 0);
  startStream(s, g);
  enterTcpState(t, TcpState.Established);
}
