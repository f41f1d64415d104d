// Packets that arrive (virtio 5.10.6), and their effect on sockets. Runs in interrupts, so nothing
// here yields.
//
// A connection starts with REQUEST and RESPONSE (or RST) and ends with SHUTDOWN of both directions
// answered by RST, or with an RST at any time. Each packet carries buf_alloc and fwd_cnt of its
// sender; the other side may have buf_alloc bytes in flight beyond fwd_cnt.
import { Errno } from "../../../abi/errno";
import { VsockHdr, VsockOp } from "../../../abi/vsock";
import { wakeAll } from "../../scheduler";
import { stopTimer } from "../../timer";
import {
  claimInterfaces,
  hasSendRoom,
  interfaceOf,
  NetworkInterface,
  NO_INTERFACE,
  releasePacket,
} from "../link/interface";
import { headerOf, Packet } from "../link/packet";
import { addPending } from "./backlog";
import { noteProgress, openWindow, startCredit, updateCredit } from "./credit";
import { connectionGone, loseConnections, peerShutdown, reset } from "./end";
import { createSocket, destroySocket } from "./life";
import { refuse, sendControl, sendSoon } from "./output";
import { firstOwing } from "./owed";
import { receiveData } from "./receive";
import { leastToSend } from "./send-buffer";
import {
  NO_SOCKET,
  readersOf,
  Socket,
  SocketState,
  timerOf,
  VSOCK,
  writersOf,
} from "./socket";
import { enterState, receiveIsShut, sendIsShut } from "./state";
import { findSocket, hash } from "./table";

/** Makes the socket layer the owner of all packets, also of those that have already arrived. */
export function claimPackets(): void {
  claimInterfaces(
    (drain as (iface: NetworkInterface) => void).index,
    (resetConnections as (iface: NetworkInterface) => void).index,
  );
}

/**
 * Handles the packets that have arrived. Sockets can owe an answer; a packet for none of them is
 * taken only while it can be answered, so that a full tx ring stops reception there (5.10.6.1), and
 * room in it lets reception go on.
 */
function drain(iface: NetworkInterface): void {
  payOwed(iface);
  const arrived = iface.incoming;
  for (let p = arrived.first; p && (hasSendRoom(iface) || isForSocket(p)); p = arrived.first) {
    arrived.pop();
    if (!receive(p)) releasePacket(p);
  }
}

/** Sends owed packets, as far as there is room. */
function payOwed(iface: NetworkInterface): void {
  for (let s = firstOwing(iface); s && hasSendRoom(iface); s = firstOwing(iface)) {
    assert(s.owed != 0, "owes nothing");
    const op: u32 = ctz(s.owed);
    if (!sendSoon(s, op)) return; // out of memory
    if (op == VsockOp.RST && s.handle == 0) destroySocket(s);
  }
}

function isForSocket(packet: Packet): bool {
  return addressee(packet) != NO_SOCKET;
}

/** The connection that a packet belongs to, by its type as well (V33), or NO_SOCKET. */
function addressee(packet: Packet): Socket {
  const header = headerOf(packet);
  const s = findSocket(
    VSOCK,
    interfaceOf(packet),
    load<u32>(header, VsockHdr.dst_port),
    load<u32>(header, VsockHdr.src_cid),
    load<u32>(header, VsockHdr.src_port),
  );
  return s != NO_SOCKET && s.type == load<u16>(header, VsockHdr.type) ? s : NO_SOCKET;
}

/** Returns true when the packet was kept. */
function receive(packet: Packet): bool {
  const header = headerOf(packet);
  const op: u32 = load<u16>(header, VsockHdr.op);
  const s = addressee(packet);
  if (s == NO_SOCKET) {
    if (op != VsockOp.REQUEST || !acceptRequest(packet)) refuse(packet);
    return false;
  }
  assert(s.state >= SocketState.Connecting, "no peer");
  assert(s.state != SocketState.Disconnected, "wrong state");
  if (s.state == SocketState.Connecting) {
    receiveConnecting(s, op, header);
    return false;
  }
  if (op == VsockOp.RST) {
    // If both directions had ended this is the answer that closes, not an error.
    connectionGone(s, sendIsShut(s) && receiveIsShut(s) ? 0 : Errno.ECONNRESET);
    return false;
  }
  if (op == VsockOp.CREDIT_UPDATE) noteProgress(s, header);
  if (!takeCredit(s, header)) {
    reset(s, Errno.EPROTO);
    return false;
  }
  switch (op) {
    case VsockOp.RW:
      return receiveData(s, packet);
    case VsockOp.CREDIT_UPDATE:
      return false;
    case VsockOp.CREDIT_REQUEST:
      sendSoon(s, VsockOp.CREDIT_UPDATE);
      return false;
    case VsockOp.SHUTDOWN:
      peerShutdown(s, load<u32>(header, VsockHdr.flags));
      return false;
    default:
      reset(s, Errno.EPROTO); // INVALID, unknown, or part of a handshake that is over
      return false;
  }
}

function takeCredit(s: Socket, header: usize): bool {
  if (!updateCredit(s, header, leastToSend(s))) return false;
  wakeAll(writersOf(s));
  return true;
}

/** REQUEST: makes a connection of the listener. Returns false when it is refused. */
function acceptRequest(packet: Packet): bool {
  const header = headerOf(packet);
  const iface = interfaceOf(packet);
  const listener = findSocket(VSOCK, iface, load<u32>(header, VsockHdr.dst_port), 0, 0);
  if (listener == NO_SOCKET || listener.state != SocketState.Listening) return false;
  if (listener.type != load<u16>(header, VsockHdr.type)) return false; // V33
  if (listener.pending >= listener.backlog) return false;
  const s = createSocket(VSOCK, listener.type);
  if (s == NO_SOCKET) return false;
  assert(iface != NO_INTERFACE, "no interface");
  s.iface = iface;
  s.localPort = listener.localPort;
  s.remoteAddress = load<u32>(header, VsockHdr.src_cid);
  s.remotePort = load<u32>(header, VsockHdr.src_port);
  inheritOptions(s, listener);
  startCredit(s, header);
  if (!openWindow(s) || sendControl(s, VsockOp.RESPONSE) < 0) {
    destroySocket(s);
    return false;
  }
  enterState(s, SocketState.Connected);
  hash(s);
  addPending(listener, s);
  wakeAll(readersOf(listener));
  return true;
}

export function inheritOptions(s: Socket, listener: Socket): void {
  s.receiveTimeoutNs = listener.receiveTimeoutNs;
  s.sendTimeoutNs = listener.sendTimeoutNs;
  s.sendMode = listener.sendMode;
  s.sendBuffer = listener.sendBuffer;
  s.zeroCopy = listener.zeroCopy;
  s.keepsApart = listener.keepsApart;
  s.receiveLeast = listener.receiveLeast;
  s.lingerNs = listener.lingerNs;
  s.windowFirst = listener.windowFirst;
  s.windowMax = listener.windowMax;
}

/** V32: a packet for a socket that waits for RESPONSE. */
function receiveConnecting(s: Socket, op: u32, header: usize): void {
  switch (op) {
    case VsockOp.RESPONSE:
      stopTimer(timerOf(s));
      if (!takeCredit(s, header)) return reset(s, Errno.EPROTO);
      enterState(s, SocketState.Connected);
      wakeAll(readersOf(s));
      break;
    case VsockOp.RST:
      connectionGone(s, Errno.ECONNRESET);
      break;
    case VsockOp.INVALID:
      break;
    default:
      reset(s, Errno.EPROTO);
  }
}

/**
 * The transport was reset, or the device is gone (V21, V22): listeners stay, connections do not.
 */
function resetConnections(iface: NetworkInterface): void {
  loseConnections(iface, Errno.ECONNRESET);
}
