// vsock streams (virtio 5.10.6): what a packet does to a socket, and the packets that sockets send.
// Runs in interrupts, so nothing here yields.
//
// A connection begins with REQUEST and RESPONSE (or RST) and ends with SHUTDOWN of both directions
// answered by RST, or with an RST at any time. Each packet carries buf_alloc and fwd_cnt of its
// sender; a sender may have buf_alloc bytes in flight beyond the peer's fwd_cnt.
import { Errno } from "../../../abi/errno";
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VSOCK_PROGRESS_BYTES,
  VsockHdr,
  VsockOp,
} from "../../../abi/vsock";
import { wakeAll } from "../../scheduler";
import { stopTimer } from "../../timer";
import { addPending, removePending } from "./backlog";
import {
  claimInterfaces,
  hasSendRoom,
  NetworkInterface,
  releasePacket,
  SysNetworkSend,
} from "../link/interface";
import { firstOwing, forgive, owe, paid } from "./owed";
import { AllocatePacket, FreePacket, headerOf, Packet } from "../link/packet";
import { receiveData } from "./receive";
import {
  BUCKETS,
  createSocket,
  destroySocket,
  disconnect,
  dropReceived,
  findSocket,
  firstInBucket,
  hasData,
  hash,
  NO_SOCKET,
  readersOf,
  receiveIsShut,
  sendIsShut,
  Socket,
  SocketState,
  timerOf,
  wakeSleepers,
  writersOf,
} from "./socket";
import { leastToSend } from "./send-buffer";
import { creditOf, openWindow } from "./credit";

/**
 * Makes the socket layer the owner of all packets; what came before is looked at now.
 */
export function claimPackets(): void {
  claimInterfaces(
    (drain as (iface: NetworkInterface) => void).index,
    (resetConnections as (iface: NetworkInterface) => void).index,
  );
}

/**
 * Handles what has arrived. Sockets can owe an answer; a packet for none is taken only while it can
 * be answered, so that a full tx ring stops reception there (5.10.6.1) and goes on here.
 */
function drain(iface: NetworkInterface): void {
  payOwed(iface);
  const arrived = iface.incoming;
  for (let p = arrived.first; p && (hasSendRoom(iface) || isForSocket(p)); p = arrived.first) {
    arrived.pop();
    if (!receive(p)) releasePacket(p);
  }
}

function isForSocket(packet: Packet): bool {
  return addressee(packet) != NO_SOCKET;
}

/** The connection that a packet belongs to, by its type as well (V33), or NO_SOCKET. */
function addressee(packet: Packet): Socket {
  const header = headerOf(packet);
  const s = findSocket(
    packet.iface,
    load<u32>(header, VsockHdr.dst_port),
    load<u32>(header, VsockHdr.src_cid),
    load<u32>(header, VsockHdr.src_port),
  );
  return s != NO_SOCKET && s.type == load<u16>(header, VsockHdr.type) ? s : NO_SOCKET;
}

// What we send.

/** Addresses a packet and fills its header, with the present credit of `s`. */
export function fillHeader(s: Socket, packet: Packet, op: u32): void {
  const header = headerOf(packet);
  packet.iface = s.iface;
  address(packet, s.remoteCid, s.localPort, s.remotePort);
  store<u32>(header, packet.length, VsockHdr.len);
  store<u16>(header, <u16>s.type, VsockHdr.type);
  store<u16>(header, <u16>op, VsockHdr.op);
  store<u32>(header, op == VsockOp.SHUTDOWN ? s.localShutdown : 0, VsockHdr.flags);
  store<u32>(header, s.bufAlloc, VsockHdr.buf_alloc);
  store<u32>(header, s.fwdCnt, VsockHdr.fwd_cnt);
}

function address(packet: Packet, cid: u32, localPort: u32, remotePort: u32): void {
  const header = headerOf(packet);
  store<u64>(header, packet.iface.cid, VsockHdr.src_cid);
  store<u64>(header, cid, VsockHdr.dst_cid);
  store<u32>(header, localPort, VsockHdr.src_port);
  store<u32>(header, remotePort, VsockHdr.dst_port);
}

/** Sends a packet of `s` whose header is filled; frees it on failure. As SysNetworkSend. */
export function sendFilled(s: Socket, packet: Packet): i32 {
  const sent = SysNetworkSend(packet);
  if (sent < 0) FreePacket(packet);
  else s.fwdTold = s.fwdCnt;
  return sent;
}

/** Sends a packet without payload. Returns 0, -ENOMEM, -ENOBUFS or -ENETDOWN. */
export function sendControl(s: Socket, op: u32): i32 {
  const packet = AllocatePacket(0);
  if (!packet) return -Errno.ENOMEM;
  fillHeader(s, packet, op);
  return sendFilled(s, packet);
}

/**
 * Sends a packet without payload as soon as there is room and memory. Returns false while it is
 * still owed.
 */
export function sendSoon(s: Socket, op: u32): bool {
  const sent = sendControl(s, op);
  if (sent < 0 && sent != -Errno.ENETDOWN) {
    owe(s, op);
    return false;
  }
  paid(s, op); // or nobody is there to be told
  return true;
}

/** Whoever waits for credit asks for it, once: the peer need not tell by itself (5.10.6.3). */
export function askForCredit(s: Socket): void {
  if (s.creditAsked) return;
  s.creditAsked = s.answerDue = true;
  sendSoon(s, VsockOp.CREDIT_REQUEST);
}

/** Sends what is owed, as far as there is room. */
function payOwed(iface: NetworkInterface): void {
  for (let s = firstOwing(iface); s && hasSendRoom(iface); s = firstOwing(iface)) {
    const op: u32 = ctz(s.owed);
    if (!sendSoon(s, op)) return; // out of memory
    if (op == VsockOp.RST && s.handle == 0) destroySocket(s);
  }
}

/** Answers `packet`, which belongs to no connection of ours, by RST; an RST is never answered. */
function refuse(packet: Packet): void {
  const header = headerOf(packet);
  if (load<u16>(header, VsockHdr.op) == VsockOp.RST) return;
  const reply = AllocatePacket(0);
  if (!reply) return;
  const h = headerOf(reply);
  memory.fill(h, 0, VsockHdr.sizeof);
  const localPort = load<u32>(header, VsockHdr.dst_port);
  const remotePort = load<u32>(header, VsockHdr.src_port);
  reply.iface = packet.iface;
  address(reply, load<u32>(header, VsockHdr.src_cid), localPort, remotePort);
  const type = load<u16>(header, VsockHdr.type);
  const isKnown = type == VIRTIO_VSOCK_TYPE_SEQPACKET;
  store<u16>(h, isKnown ? type : <u16>VIRTIO_VSOCK_TYPE_STREAM, VsockHdr.type);
  store<u16>(h, VsockOp.RST, VsockHdr.op);
  if (SysNetworkSend(reply) < 0) FreePacket(reply);
}

/** The peer broke the rules, or is not wanted any more: RST, and the application learns `error`. */
export function reset(s: Socket, error: i32): void {
  forgive(s); // nothing else is to be said
  const told = sendSoon(s, VsockOp.RST);
  const listener = s.listener;
  if (listener) removePending(listener, s);
  if (s.handle != 0) disconnect(s, error);
  else if (told) destroySocket(s);
  else linger(s);
}

/** A socket that the application has given up stays until an RST has been received or sent. */
export function linger(s: Socket): void {
  s.state = SocketState.Closing;
  s.localShutdown = VIRTIO_VSOCK_SHUTDOWN_BOTH;
  stopTimer(timerOf(s));
  dropReceived(s);
  wakeSleepers(s);
}

/** The connection is gone. */
function lost(s: Socket, error: i32): void {
  const listener = s.listener;
  if (listener) {
    // Nobody has accepted it, so nobody will miss it.
    removePending(listener, s);
    destroySocket(s);
  } else if (s.handle == 0) {
    destroySocket(s);
  } else {
    forgive(s);
    disconnect(s, error);
  }
}

// What we receive.

/** Returns true when the packet was kept. */
function receive(packet: Packet): bool {
  const header = headerOf(packet);
  const op: u32 = load<u16>(header, VsockHdr.op);
  const s = addressee(packet);
  if (s == NO_SOCKET) {
    if (op != VsockOp.REQUEST || !incoming(packet)) refuse(packet);
    return false;
  }
  if (s.state == SocketState.Connecting) {
    connecting(s, op, header);
    return false;
  }
  if (op == VsockOp.RST) {
    // When both directions had ended it is the answer that closes, not an error.
    lost(s, sendIsShut(s) && receiveIsShut(s) ? 0 : Errno.ECONNRESET);
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

/** CREDIT_UPDATE without news that was not asked for: the peer takes what it has. */
function noteProgress(s: Socket, header: usize): void {
  const isNews =
    load<u32>(header, VsockHdr.fwd_cnt) != s.peerFwdCnt ||
    load<u32>(header, VsockHdr.buf_alloc) != s.peerBufAlloc;
  if (!isNews && !s.answerDue) s.noted += VSOCK_PROGRESS_BYTES;
}

/** Believes the credit in a header. Returns false when it contradicts what was sent (D9). */
function takeCredit(s: Socket, header: usize): bool {
  const fwdCnt = load<u32>(header, VsockHdr.fwd_cnt);
  if (s.txCnt - fwdCnt > s.txCnt - s.peerFwdCnt) return false; // beyond what we sent, or going back
  s.peerFwdCnt = fwdCnt;
  s.answerDue = false;
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
  // An answer without credit is an answer too: asking again at once would go round for ever.
  if (creditOf(s) >= leastToSend(s)) s.creditAsked = false;
  wakeAll(writersOf(s));
  return true;
}

/** REQUEST: returns false when it is refused. */
function incoming(packet: Packet): bool {
  const header = headerOf(packet);
  const listener = findSocket(packet.iface, load<u32>(header, VsockHdr.dst_port), 0, 0);
  if (listener == NO_SOCKET || listener.state != SocketState.Listening) return false;
  if (listener.type != load<u16>(header, VsockHdr.type)) return false; // V33
  if (listener.pending >= listener.backlog) return false;
  const s = createSocket(listener.type);
  if (s == NO_SOCKET) return false;
  s.iface = packet.iface;
  s.localPort = listener.localPort;
  s.remoteCid = load<u32>(header, VsockHdr.src_cid);
  s.remotePort = load<u32>(header, VsockHdr.src_port);
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
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
  s.state = SocketState.Connected;
  if (!openWindow(s) || sendControl(s, VsockOp.RESPONSE) < 0) {
    destroySocket(s);
    return false;
  }
  hash(s);
  addPending(listener, s);
  wakeAll(readersOf(listener));
  return true;
}

/** V32: a packet for a socket that waits for RESPONSE. */
function connecting(s: Socket, op: u32, header: usize): void {
  switch (op) {
    case VsockOp.RESPONSE:
      stopTimer(timerOf(s));
      if (!takeCredit(s, header)) return reset(s, Errno.EPROTO);
      s.state = SocketState.Connected;
      wakeAll(readersOf(s));
      break;
    case VsockOp.RST:
      lost(s, Errno.ECONNRESET);
      break;
    case VsockOp.INVALID:
      break;
    default:
      reset(s, Errno.EPROTO);
  }
}

function peerShutdown(s: Socket, flags: u32): void {
  s.peerShutdown |= flags & VIRTIO_VSOCK_SHUTDOWN_BOTH;
  // V16: both directions are over and nothing is left to read, so RST ends it now.
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH && !hasData(s)) {
    reset(s, 0);
    return;
  }
  wakeSleepers(s);
}

/**
 * The transport was reset, or the device is gone (V21, V22): listeners stay, connections do not.
 */
function resetConnections(iface: NetworkInterface): void {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let s = firstInBucket(i), next = NO_SOCKET; s != NO_SOCKET; s = next) {
      next = changetype<Socket>(changetype<usize>(s.nextInBucket));
      if (s.iface == iface && s.state >= SocketState.Connecting) lost(s, Errno.ECONNRESET);
    }
  }
  for (let s = firstOwing(iface); s; s = firstOwing(iface)) {
    forgive(s);
    if (s.handle == 0) destroySocket(s);
  }
}
