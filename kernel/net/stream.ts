// vsock streams (virtio 5.10.6): what a packet does to a socket, and the packets that sockets send.
// Runs in interrupts, so nothing here yields.
//
// A connection begins with REQUEST and RESPONSE (or RST) and ends with SHUTDOWN of both directions
// answered by RST, or with an RST at any time. Each packet carries buf_alloc and fwd_cnt of its
// sender; a sender may have buf_alloc bytes in flight beyond the peer's fwd_cnt.
import { Errno } from "../../drivers/abi/errno";
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHdr,
  VsockOp,
} from "../../drivers/abi/vsock";
import { nowNs, NS_PER_S } from "../clock";
import { wakeAll } from "../scheduler";
import { startTimer } from "../timer";
import { addPending, removePending, takePending } from "./backlog";
import {
  hasSendRoom,
  releasePacket,
  SysNetworkRead,
  SysNetworkSend,
  theInterface,
} from "./interface";
import { AllocatePacket, FreePacket, headerOf, Packet, payloadOf } from "./packet";
import {
  createSocket,
  destroySocket,
  disconnect,
  dropReceived,
  findSocket,
  hash,
  NO_SOCKET,
  openWindow,
  packetsOf,
  readersOf,
  receiveIsShut,
  Socket,
  socketAt,
  socketSlots,
  SocketState,
  timerOf,
  unhash,
  writersOf,
} from "./socket";

/** Linux: a peer that does not answer SHUTDOWN with RST within this time is reset. */
const CLOSE_TIMEOUT_NS: u64 = 8 * NS_PER_S;
/** A packet of up to this many bytes goes into the free end of the one before it. */
const COALESCE_BYTES_MAX: u32 = 2048;

/**
 * Makes the socket layer the owner of the interface's packets; what came before is looked at now.
 */
export function claimInterface(): void {
  const iface = theInterface();
  if (iface.owner != 0) return;
  iface.owner = (drain as () => void).index;
  iface.resetOwner = (resetConnections as () => void).index;
  drain();
}

/**
 * Handles what has arrived. A packet may be answered by at most one other, so it is taken only
 * while that can be sent: a full tx ring stops reception (5.10.6.2), and its completion goes on
 * here.
 */
function drain(): void {
  while (hasSendRoom()) {
    const packet = SysNetworkRead();
    if (!packet) return;
    if (!receive(packet)) releasePacket(packet);
  }
}

// What we send.

/** Fills the header of a packet of `s`, with the present credit. */
export function fillHeader(s: Socket, packet: Packet, op: u32, flags: u32): void {
  const header = headerOf(packet);
  address(header, s.remoteCid, s.localPort, s.remotePort);
  store<u32>(header, packet.length, VsockHdr.len);
  store<u16>(header, VIRTIO_VSOCK_TYPE_STREAM, VsockHdr.type);
  store<u16>(header, <u16>op, VsockHdr.op);
  store<u32>(header, flags, VsockHdr.flags);
  store<u32>(header, s.bufAlloc, VsockHdr.buf_alloc);
  store<u32>(header, s.fwdCnt, VsockHdr.fwd_cnt);
  s.fwdTold = s.fwdCnt;
}

function address(header: usize, cid: u32, localPort: u32, remotePort: u32): void {
  store<u64>(header, theInterface().cid, VsockHdr.src_cid);
  store<u64>(header, cid, VsockHdr.dst_cid);
  store<u32>(header, localPort, VsockHdr.src_port);
  store<u32>(header, remotePort, VsockHdr.dst_port);
}

/** Sends a packet without payload. Returns 0, -ENOMEM, -ENOBUFS or -ENETDOWN. */
export function sendControl(s: Socket, op: u32, flags: u32 = 0): i32 {
  const packet = AllocatePacket(0);
  if (!packet) return -Errno.ENOMEM;
  const told = s.fwdTold;
  fillHeader(s, packet, op, flags);
  const sent = SysNetworkSend(packet);
  if (sent < 0) {
    s.fwdTold = told;
    FreePacket(packet);
  }
  return sent;
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
  address(h, load<u32>(header, VsockHdr.src_cid), localPort, load<u32>(header, VsockHdr.src_port));
  store<u16>(h, VIRTIO_VSOCK_TYPE_STREAM, VsockHdr.type);
  store<u16>(h, VsockOp.RST, VsockHdr.op);
  if (SysNetworkSend(reply) < 0) FreePacket(reply);
}

/** The peer broke the rules, or is not wanted any more: RST, and the application learns `error`. */
export function reset(s: Socket, error: i32): void {
  sendControl(s, VsockOp.RST);
  lost(s, error);
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
    disconnect(s, error);
  }
}

// What we receive.

/** Returns true when the packet was kept. */
function receive(packet: Packet): bool {
  const header = headerOf(packet);
  const op: u32 = load<u16>(header, VsockHdr.op);
  const localPort = load<u32>(header, VsockHdr.dst_port);
  const remoteCid = load<u32>(header, VsockHdr.src_cid);
  const remotePort = load<u32>(header, VsockHdr.src_port);
  if (load<u16>(header, VsockHdr.type) != VIRTIO_VSOCK_TYPE_STREAM) {
    refuse(packet);
    return false;
  }
  const s = findSocket(localPort, remoteCid, remotePort);
  if (s == NO_SOCKET) {
    const accepted = op == VsockOp.REQUEST && incoming(findSocket(localPort, 0, 0), packet);
    if (!accepted) refuse(packet);
    return false;
  }
  if (s.state == SocketState.Connecting) {
    connecting(s, op, header);
    return false;
  }
  if (op == VsockOp.RST) {
    // After an orderly end in either direction it is the answer that closes, not an error.
    const orderly =
      s.localShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH ||
      s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH ||
      (s.localShutdown | s.peerShutdown) == VIRTIO_VSOCK_SHUTDOWN_BOTH;
    lost(s, orderly ? 0 : Errno.ECONNRESET);
    return false;
  }
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
      sendControl(s, VsockOp.CREDIT_UPDATE);
      return false;
    case VsockOp.SHUTDOWN:
      peerShutdown(s, load<u32>(header, VsockHdr.flags));
      return false;
    default:
      reset(s, Errno.EPROTO); // INVALID, unknown, or part of a handshake that is over
      return false;
  }
}

/** Believes the credit in a header. Returns false when it contradicts what was sent (D9). */
function takeCredit(s: Socket, header: usize): bool {
  const fwdCnt = load<u32>(header, VsockHdr.fwd_cnt);
  if (s.txCnt - fwdCnt > s.txCnt - s.peerFwdCnt) return false; // beyond what we sent, or going back
  s.peerFwdCnt = fwdCnt;
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
  s.creditAsked = false;
  wakeAll(writersOf(s));
  return true;
}

/** REQUEST: returns false when it is refused. */
function incoming(listener: Socket, packet: Packet): bool {
  if (listener == NO_SOCKET || listener.state != SocketState.Listening) return false;
  if (listener.pending >= listener.backlog) return false;
  const header = headerOf(packet);
  const s = createSocket();
  if (s == NO_SOCKET) return false;
  s.localPort = listener.localPort;
  s.remoteCid = load<u32>(header, VsockHdr.src_cid);
  s.remotePort = load<u32>(header, VsockHdr.src_port);
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
  s.receiveTimeoutNs = listener.receiveTimeoutNs;
  s.sendTimeoutNs = listener.sendTimeoutNs;
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
      s.state = SocketState.Connected;
      takeCredit(s, header);
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

function receiveData(s: Socket, packet: Packet): bool {
  const bytes = packet.length;
  if (bytes == 0) return false;
  const tooMuch = s.received + bytes - s.fwdCnt > s.bufAlloc;
  if (tooMuch || (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0) {
    reset(s, Errno.EPROTO); // V35, D11
    return false;
  }
  s.received += bytes;
  if ((s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) {
    s.fwdCnt += bytes; // nobody reads any more: consumed here, so that the peer can end
    return false;
  }
  const packets = packetsOf(s);
  const last = packets.last;
  let kept = true;
  if (last && bytes <= COALESCE_BYTES_MAX && last.length + bytes <= last.capacity) {
    memory.copy(payloadOf(last) + last.length, payloadOf(packet), bytes);
    last.length += bytes;
    kept = false;
  } else {
    packets.push(packet);
  }
  wakeAll(readersOf(s));
  return kept;
}

function peerShutdown(s: Socket, flags: u32): void {
  s.peerShutdown |= flags & VIRTIO_VSOCK_SHUTDOWN_BOTH;
  // V16: both directions are over and nothing is left to read, so RST ends it now.
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH && packetsOf(s).count == 0) {
    reset(s, 0);
    return;
  }
  wakeAll(readersOf(s));
  wakeAll(writersOf(s));
}

/**
 * The transport was reset, or the device is gone (V21, V22): listeners stay, connections do not.
 */
function resetConnections(): void {
  for (let i: u32 = 0; i < socketSlots(); i++) {
    const s = socketAt(i);
    if (s == NO_SOCKET) continue;
    const alive = s.state == SocketState.Connected || s.state == SocketState.Connecting;
    if (s.state == SocketState.Listening) dropPending(s, false);
    else if (alive) disconnect(s, Errno.ECONNRESET);
  }
}

function dropPending(listener: Socket, tell: bool): void {
  for (let s = takePending(listener); s != NO_SOCKET; s = takePending(listener)) {
    if (tell) sendControl(s, VsockOp.RST);
    destroySocket(s);
  }
}

// The application's part of a connection's end.

/** Shuts directions down for good; `flags` as on the wire. Returns 0 or an error of sendControl. */
export function shutdown(s: Socket, flags: u32): i32 {
  const added = flags & ~s.localShutdown;
  if (added == 0) return 0;
  const sent = sendControl(s, VsockOp.SHUTDOWN, s.localShutdown | flags);
  if (sent < 0) return sent;
  s.localShutdown |= flags;
  if ((added & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0) dropReceived(s);
  wakeAll(readersOf(s));
  wakeAll(writersOf(s));
  return 0;
}

/** The application has closed a socket and has no handle on it any more. */
export function close(s: Socket): void {
  if (s.state == SocketState.Listening) dropPending(s, true);
  if (s.state == SocketState.Connecting) sendControl(s, VsockOp.RST);
  if (s.state != SocketState.Connected) {
    destroySocket(s);
    return;
  }
  dropReceived(s);
  wakeAll(readersOf(s));
  wakeAll(writersOf(s));
  const both = VIRTIO_VSOCK_SHUTDOWN_BOTH;
  if (s.peerShutdown == both || sendControl(s, VsockOp.SHUTDOWN, both) < 0) {
    sendControl(s, VsockOp.RST);
    destroySocket(s);
    return;
  }
  // V16: until RST the addresses must not be used again.
  s.localShutdown = both;
  s.state = SocketState.Closing;
  const timer = timerOf(s);
  timer.handler = (closeTimedOut as (arg: usize) => void).index;
  startTimer(timer, nowNs() + CLOSE_TIMEOUT_NS);
}

function closeTimedOut(arg: usize): void {
  reset(changetype<Socket>(arg), 0);
}

/** Gives up a connection attempt. */
export function abandonConnect(s: Socket): void {
  sendControl(s, VsockOp.RST);
  unhash(s);
  s.remoteCid = 0;
  s.remotePort = 0;
  s.state = SocketState.Bound;
  hash(s);
}

/** Has the stream ended with nothing more to read? */
export function atEnd(s: Socket): bool {
  if (packetsOf(s).count != 0) return false;
  return s.state == SocketState.Disconnected ? s.error == 0 : receiveIsShut(s);
}

/** After a read: the peer had ended both directions, and the last byte is out. */
export function endIfDrained(s: Socket): void {
  if (s.state != SocketState.Connected || packetsOf(s).count != 0) return;
  if (s.peerShutdown == VIRTIO_VSOCK_SHUTDOWN_BOTH) reset(s, 0);
}
