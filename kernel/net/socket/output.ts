// The packets that sockets send (virtio 5.10.6). Nothing here yields: a packet without payload that
// finds no room is owed.
import { Errno } from "../../../abi/errno";
import {
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VsockHdr,
  VsockOp,
} from "../../../abi/vsock";
import { interfaceOf, NO_INTERFACE, SysNetworkSend } from "../link/interface";
import { headerOf, Packet } from "../link/packet";
import { AllocatePacket, FreePacket } from "../link/pool";
import { advertised, startCreditRequest } from "./credit";
import { owe, settle } from "./owed";
import { isVsock, Socket } from "./socket";

if (VsockHdr.sizeof != 44) ERROR("vsock: the header is not 44 bytes");

/** Addresses a packet and fills its header, with the present credit of `s`. */
export function fillHeader(s: Socket, packet: Packet, op: u32): void {
  assert(s.iface != NO_INTERFACE, "no interface");
  const header = headerOf(packet);
  packet.iface = changetype<usize>(s.iface);
  address(packet, s.remoteAddress, s.localPort, s.remotePort);
  store<u32>(header, packet.length, VsockHdr.len);
  store<u16>(header, <u16>s.type, VsockHdr.type);
  store<u16>(header, <u16>op, VsockHdr.op);
  store<u32>(header, op == VsockOp.SHUTDOWN ? s.localShutdown : 0, VsockHdr.flags);
  store<u32>(header, s.bufAlloc, VsockHdr.buf_alloc);
  store<u32>(header, s.fwdCnt, VsockHdr.fwd_cnt);
}

function address(packet: Packet, cid: u32, localPort: u32, remotePort: u32): void {
  const header = headerOf(packet);
  store<u64>(header, interfaceOf(packet).address, VsockHdr.src_cid);
  store<u64>(header, cid, VsockHdr.dst_cid);
  store<u32>(header, localPort, VsockHdr.src_port);
  store<u32>(header, remotePort, VsockHdr.dst_port);
}

/** Sends a packet of `s` whose header is filled; frees it on failure. As SysNetworkSend. */
export function sendFilled(s: Socket, packet: Packet): i32 {
  const sent = SysNetworkSend(packet);
  if (sent < 0) FreePacket(packet);
  else advertised(s);
  return sent;
}

/** Sends a packet without payload. Returns 0, -ENOMEM, -ENOBUFS or -ENETDOWN. */
export function sendControl(s: Socket, op: u32): i32 {
  const packet = AllocatePacket(0);
  if (!packet) return -Errno.ENOMEM;
  fillHeader(s, packet, op);
  return sendFilled(s, packet);
}

/** Sends a packet without payload, now or once there is room and memory. False: it is owed. */
export function sendSoon(s: Socket, op: u32): bool {
  assert(op != VsockOp.RW, "payload is not owed");
  const sent = sendControl(s, op);
  if (sent < 0 && sent != -Errno.ENETDOWN) {
    owe(s, op);
    return false;
  }
  settle(s, op); // or the device is gone, and the peer with it
  return true;
}

/** A sender without credit asks for it, once: the peer need not offer any (5.10.6.3). */
export function askForCredit(s: Socket): void {
  if (isVsock(s) && startCreditRequest(s)) sendSoon(s, VsockOp.CREDIT_REQUEST);
}

/** Answers `packet`, which belongs to none of our connections, by RST; an RST is never answered. */
export function refuse(packet: Packet): void {
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
