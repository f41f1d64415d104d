// SO_SNDBUF: how many bytes of copies a socket may have with the device. What the peer has room for
// is another matter (window.ts): these come back as soon as the device has taken them.
import { hasPayloadRoom } from "../link/interface";
import { Packet } from "../link/packet";
import { NO_SOCKET, sendIsShut, Socket, socketOf, SocketState } from "./socket";
import { creditOf } from "./credit";

/** Of a socket that was not told otherwise: the memory of all of them is bounded anyhow. */
export const UNBOUNDED: u32 = u32.MAX_VALUE;

/** Payload bytes that the socket may hand over now; 0: it has to wait for its interface. */
export function sendRoomOf(s: Socket): u32 {
  if (!hasPayloadRoom(s.iface) || s.unsent >= s.sendBuffer) return 0;
  return s.sendBuffer - s.unsent;
}

/** Bytes that POLLOUT promises room for: no more than there can ever be. */
export function leastToSend(s: Socket): u32 {
  return max(min(s.sendLeast, min(s.peerBufAlloc, s.sendBuffer)), 1);
}

/** Bytes that a send which does not wait would take now; 0 also when there can be no more. */
export function sendSpaceOf(s: Socket): u32 {
  if (s.state != SocketState.Connected || sendIsShut(s) || s.sendsMessage) return 0;
  return min(creditOf(s), sendRoomOf(s));
}

/**
 * A packet is to be handed over. Returns the bytes that count until then: what is lent is its
 * owner's memory, and does not.
 */
export function countUnsent(s: Socket, packet: Packet): u32 {
  if (s.sendBuffer == UNBOUNDED || packet.segments != 0) return 0;
  packet.sender = s.handle;
  s.unsent += packet.length;
  return packet.length;
}

/** The device has it no more. */
export function countSent(packet: Packet): void {
  const s = socketOf(packet.sender);
  if (s != NO_SOCKET) s.unsent -= packet.length;
}
