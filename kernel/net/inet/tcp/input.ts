// Segments that arrive (RFC 9293, 3.10.7). Runs in interrupts, so nothing here yields.
import { IpHdr, IPPROTO_TCP } from "../../../../abi/ip";
import { TH_ACK, TH_FIN, TH_RST, TH_SYN } from "../../../../abi/tcp";
import { VIRTIO_VSOCK_SHUTDOWN_SEND } from "../../../../abi/vsock";
import { Errno } from "../../../../abi/errno";
import { isChecksumGood, segmentBytesOf } from "../../link/offload";
import { Packet } from "../../link/packet";
import { reset } from "../../socket/end";
import { NO_SOCKET, Socket, SocketState } from "../../socket/socket";
import { findSocket } from "../../socket/table";
import { fold, sumBytes } from "../checksum";
import { headerBytesOf, totalBytesOf } from "../ip";
import { localCard } from "../local";
import { inetStats } from "../stats";
import { receiveAck } from "./acknowledge";
import { addDue, addLate, hastenLate, takeDue } from "./batch";
import { nowMs } from "./clocks";
import { accepted, receiveHalfOpen, receiveListen } from "./half-open";
import { establish, receiveSynSent, takeAnswer } from "./handshake";
import { endConnection } from "./life";
import { output } from "./output";
import { askForAck, receivePayload } from "./receive";
import { sendRefusal } from "./refuse";
import { noteDuplicate } from "./sack";
import { arriving, lengthOf, parseSegment, Segment } from "./segment";
import { earlier, isAfter, isBefore } from "./sequence";
import { Tcb, tcbOf, TcpState } from "./tcb";
import { receiveTimeWait } from "./time-wait";

/** TC26: challenge acknowledgements of one connection in a second (RFC 5961, 7). */
const CHALLENGES_MAX: u8 = 10;
const MS_PER_S: u32 = 1000;
/** RFC 7323, 5.5: a timestamp is not compared any more after 24 days. */
const TS_RECENT_MS_MAX: u32 = 24 * 24 * 3600 * MS_PER_S;

/** A packet of TCP for us has arrived; `ip` is its header. Returns true when it is kept. */
export function receiveTcp(packet: Packet, ip: usize): bool {
  const tcp = ip + headerBytesOf(ip);
  const bytes = totalBytesOf(ip) - headerBytesOf(ip);
  if (!isChecksumGood(packet) && sumOf(ip, tcp, bytes) != 0xffff) {
    inetStats().badTcp++;
    return false;
  }
  if (!parseSegment(ip, tcp, bytes)) {
    inetStats().badTcp++;
    return false;
  }
  const g = arriving();
  const cut = segmentBytesOf(packet);
  if (cut != 0) g.parts = (g.bytes + cut - 1) / cut; // TC54
  return dispatch(packet, g);
}

function sumOf(ip: usize, tcp: usize, bytes: u32): u16 {
  const pseudo =
    sumBytes(ip + IpHdr.saddr, 8) + bswap<u16>(<u16>IPPROTO_TCP) + bswap<u16>(<u16>bytes);
  return fold(pseudo + sumBytes(tcp, bytes));
}

function dispatch(packet: Packet, g: Segment): bool {
  const iface = localCard().iface;
  let s = findSocket(IPPROTO_TCP, iface, g.destPort, g.source, g.sourcePort);
  if (s == NO_SOCKET && receiveHalfOpen(g)) {
    s = accepted;
    if (s == NO_SOCKET) return false;
  }
  if (s != NO_SOCKET) return receiveSegment(s, packet, g);
  if (receiveTimeWait(g)) return false;
  const listener = findSocket(IPPROTO_TCP, iface, g.destPort, 0, 0);
  if (listener != NO_SOCKET && listener.state == SocketState.Listening) receiveListen(listener, g);
  else sendRefusal(g);
  return false;
}

/** A segment of a connection. Returns true when the packet is kept. */
function receiveSegment(s: Socket, packet: Packet, g: Segment): bool {
  const t = tcbOf(s);
  t.segmentsIn++;
  t.heardMs = nowMs();
  t.keepAliveSent = 0;
  if (t.state == TcpState.SynSent) {
    receiveSynSent(s, g);
    return false;
  }
  takeAnswer(t, g);
  if (isOld(t, g) || !isAcceptable(t, g)) {
    if ((g.flags & TH_RST) != 0) return false;
    if (isBefore(g.seq, t.rcvNxt)) noteOld(t, g);
    if (g.bytes != 0) askForAck(s, t); // our acknowledgement was lost
    else challenge(s, t);
    return false;
  }
  if (t.hasTimestamps && !g.hasTimestamps && (g.flags & TH_RST) == 0) return false; // TC49
  if ((g.flags & TH_RST) != 0) {
    receiveReset(s, t, g);
    return false;
  }
  if ((g.flags & TH_SYN) != 0) {
    challenge(s, t);
    return false;
  }
  if ((g.flags & TH_ACK) == 0) return false;
  trim(t, g);
  if (t.state == TcpState.SynReceived && !isEstablishing(s, t, g)) return false;
  if (!isAckAcceptable(t, g)) {
    challenge(s, t);
    return false;
  }
  noteTimestamp(t, g);
  if (!receiveAck(s, g)) return false;
  return hasPayload(s, t, g) && receivePayload(s, g, packet);
}

/** TC49: PAWS (RFC 7323, 5). */
function isOld(t: Tcb, g: Segment): bool {
  if (!t.hasTimestamps || !g.hasTimestamps || (g.flags & TH_RST) != 0) return false;
  return <i32>(g.tsVal - t.tsRecent) < 0 && nowMs() - t.tsRecentMs < TS_RECENT_MS_MAX;
}

/** TC22: the four cases of RFC 9293, 3.10.7.4. */
function isAcceptable(t: Tcb, g: Segment): bool {
  const window = isAfter(t.edge, t.rcvNxt) ? t.edge - t.rcvNxt : 0;
  const length = lengthOf(g);
  const first = g.seq - t.rcvNxt;
  if (length == 0) return window == 0 ? first == 0 : first < window || first == 0;
  // Without a window only the acknowledgement of a probe counts: trim() takes its bytes away.
  if (window == 0) return first == 0 && (g.flags & TH_SYN) == 0;
  return first < window || g.seq + length - 1 - t.rcvNxt < window;
}

/** RFC 7323, 4.3, with the rule of the last acknowledgement. */
function noteTimestamp(t: Tcb, g: Segment): void {
  if (!t.hasTimestamps || !g.hasTimestamps || isAfter(g.seq, t.lastAck)) return;
  t.tsRecent = g.tsVal;
  t.tsRecentMs = nowMs();
}

/** A segment that came before, or a part of it. */
function noteOld(t: Tcb, g: Segment): void {
  t.dupsReceived++;
  noteDuplicate(t, g.seq, earlier(g.seq + g.bytes, t.rcvNxt));
}

/** TC26: an answer that only a peer which knows our numbers understands. */
function challenge(s: Socket, t: Tcb): void {
  const second = nowMs() / MS_PER_S;
  if (second != t.challengeS) {
    t.challengeS = second;
    t.challenges = 0;
  }
  if (t.challenges == CHALLENGES_MAX) return;
  t.challenges++;
  askForAck(s, t);
}

function receiveReset(s: Socket, t: Tcb, g: Segment): void {
  if (g.seq != t.rcvNxt) return challenge(s, t);
  endConnection(s, t.state == TcpState.SynReceived ? Errno.ECONNREFUSED : Errno.ECONNRESET);
}

/** Cuts off what lies outside of the window: before it, and beyond its edge. */
function trim(t: Tcb, g: Segment): void {
  const before = <i32>(t.rcvNxt - g.seq);
  if (before > 0) {
    noteOld(t, g);
    const cut = min<u32>(before, g.bytes);
    g.payload += cut;
    g.bytes -= cut;
    g.seq += cut;
    t.isAckDue = true; // the peer has not had our answer
  }
  const room = isAfter(t.edge, g.seq) ? t.edge - g.seq : 0;
  if (g.bytes > room) {
    g.bytes = room;
    g.flags &= ~TH_FIN;
    t.isAckDue = true;
  }
}

/** The peer acknowledges our SYN. Returns false when the segment is done with. */
function isEstablishing(s: Socket, t: Tcb, g: Segment): bool {
  if (g.ack != t.iss + 1) {
    sendRefusal(g);
    return false;
  }
  establish(s, g);
  return true;
}

/** TC26: RFC 5961, 5. */
function isAckAcceptable(t: Tcb, g: Segment): bool {
  return !isAfter(g.ack, t.top) && !isBefore(g.ack, t.una - max(t.wndMax, 1));
}

/** Is there payload or a FIN that is to be taken? The connection may be over afterwards. */
function hasPayload(s: Socket, t: Tcb, g: Segment): bool {
  if (t.isAckDue) addDue(s);
  const isOver = (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
  if ((g.bytes == 0 && (g.flags & TH_FIN) == 0) || isOver) return false;
  if (s.handle != 0 || s.listener || g.bytes == 0) return true;
  reset(s, Errno.ECONNRESET); // RFC 9293, 3.10.7.4: nobody reads what comes after a close
  return false;
}

/** All segments of a batch have been received: answers, and sends what has become possible. */
export function finishBatch(): void {
  for (let s = takeDue(); s != NO_SOCKET; s = takeDue()) {
    output(s);
    if (tcbOf(s).isAckLate) addLate(s);
  }
}

/** The applications have had their turn: acknowledges what they have not answered. */
export function finishTurn(): void {
  hastenLate();
  for (let s = takeDue(); s != NO_SOCKET; s = takeDue()) {
    if (tcbOf(s).isAckLate) tcbOf(s).isAckDue = true;
    output(s);
  }
}
