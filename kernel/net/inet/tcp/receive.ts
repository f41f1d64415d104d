// Payload and FIN of a segment that has arrived within the window (RFC 9293, 3.10.7.4, seventh and
// eighth).
import { NetStats } from "../../../../abi/stats";
import { VIRTIO_VSOCK_SHUTDOWN_RCV, VIRTIO_VSOCK_SHUTDOWN_SEND } from "../../../../abi/vsock";
import { TH_FIN } from "../../../../abi/tcp";
import { wakeAll } from "../../../scheduler";
import { Packet, payloadOf } from "../../link/packet";
import { releasePacket } from "../../link/interface";
import { spend } from "../../socket/credit";
import { enqueue } from "../../socket/receive";
import { addUnread } from "../../socket/receive-queue";
import { readersOf, Socket, statsOf, wakeSleepers } from "../../socket/socket";
import { tally } from "../../socket/stats";
import { addDue } from "./batch";
import { enterTcpState, enterTimeWait } from "./life";
import { acknowledge } from "./transmit";
import { addGap, seqOf, takeGap } from "./reassembly";
import { Segment } from "./segment";
import { isBefore } from "./sequence";
import { gapsOf, Tcb, tcbOf, TcpState } from "./tcb";
import { delayAck } from "./timers";

/** TC47: segments that are acknowledged in the same turn, before a stream settles. */
export const QUICK_ACKS: u8 = 16;
/** RFC 5681, 4.2: full segments for which an acknowledgement may wait. */
const SEGMENTS_PER_ACK: u32 = 2;

/** Takes the payload. Returns true when it keeps the packet. The connection may be over then. */
export function receivePayload(s: Socket, g: Segment, packet: Packet): bool {
  const t = tcbOf(s);
  if ((g.flags & TH_FIN) != 0) {
    t.hasFin = true;
    t.fin = g.seq + g.bytes;
  }
  let kept = false;
  if (g.bytes != 0 && g.seq == t.rcvNxt) kept = takeInOrder(s, t, g, packet);
  else if (g.bytes != 0) {
    kept = addGap(s, packet, g.payload, g.seq, g.bytes);
    t.outOfOrder++;
    askForAck(s, t);
  }
  if (t.hasFin && !isBefore(t.rcvNxt, t.fin)) receiveFin(s, t);
  else if (t.hasFin) askForAck(s, t); // it came before data that are missing
  return kept;
}

function takeInOrder(s: Socket, t: Tcb, g: Segment, packet: Packet): bool {
  const hadGap = gapsOf(s).count != 0;
  const bytes = hadGap ? bytesToGap(s, t, g.bytes) : g.bytes;
  if (bytes < g.bytes) addGap(s, null, g.payload + bytes, t.rcvNxt + bytes, g.bytes - bytes);
  packet.offset = <u32>(g.payload - payloadOf(packet));
  packet.length = packet.offset + bytes;
  const kept = deliver(s, t, packet);
  for (let p = takeGap(s); p; p = takeGap(s)) if (!deliver(s, t, p)) releasePacket(p);
  wakeAll(readersOf(s));
  t.unacked += g.parts;
  const isQuick = t.quickAcks != 0;
  if (isQuick) t.quickAcks--;
  if (hadGap || t.unacked >= SEGMENTS_PER_ACK) askForAck(s, t);
  else if (isQuick) askForLateAck(s, t);
  else delayAck(s);
  return kept;
}

/** An answer of the application in this turn takes it along; otherwise it goes alone. */
function askForLateAck(s: Socket, t: Tcb): void {
  t.isAckLate = true;
  addDue(s);
}

/** Of bytes that are next: how many come before those that have come already? */
function bytesToGap(s: Socket, t: Tcb, bytes: u32): u32 {
  const first = gapsOf(s).first;
  return first ? min(bytes, seqOf(first) - t.rcvNxt) : bytes;
}

/** Hands the bytes of a packet to the socket. Returns true when that keeps it. */
function deliver(s: Socket, t: Tcb, packet: Packet): bool {
  const bytes = packet.length - packet.offset;
  t.rcvNxt += bytes;
  s.rxCnt += bytes;
  tally(statsOf(s), NetStats.received, bytes);
  if ((s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
    spend(s, bytes); // nobody reads any more
    return false;
  }
  addUnread(s, bytes);
  return enqueue(s, packet);
}

export function askForAck(s: Socket, t: Tcb): void {
  t.isAckDue = true;
  addDue(s);
}

function receiveFin(s: Socket, t: Tcb): void {
  t.rcvNxt++;
  t.hasFin = false;
  askForAck(s, t);
  if (t.state == TcpState.Established) {
    enterTcpState(t, TcpState.CloseWait);
  } else if (t.state == TcpState.FinWait1) {
    enterTcpState(t, TcpState.Closing); // an acknowledgement of our FIN was seen before
  }
  s.peerShutdown |= VIRTIO_VSOCK_SHUTDOWN_SEND;
  wakeSleepers(s);
  if (t.state != TcpState.FinWait2) return;
  acknowledge(s);
  enterTimeWait(s);
}
