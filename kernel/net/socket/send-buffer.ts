// SO_SNDBUF: how many bytes of copies a socket may have with the device, which gives them back as
// soon as it has taken them. How much the peer has room for is credit (credit.ts).
import { hasPayloadRoom } from "../link/interface";
import { Packet } from "../link/packet";
import { creditOf } from "./credit";
import { NO_SOCKET, Socket, SocketState } from "./socket";
import { sendIsShut } from "./state";
import { socketOf } from "./table";

/** The default: the memory of all sockets together is bounded anyway (see hasPayloadRoom). */
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

/** Bytes that a send which does not wait would take now; 0 also if nothing can be sent any more. */
export function sendSpaceOf(s: Socket): u32 {
  if (s.state != SocketState.Connected || sendIsShut(s) || s.sendMarks != 0) return 0;
  return min(creditOf(s), sendRoomOf(s));
}

/** A packet is about to be sent: its bytes count until it is freed, unless they are in place. */
export function chargePacket(s: Socket, packet: Packet): void {
  if (s.sendBuffer == UNBOUNDED || packet.segments != 0) return;
  packet.completion = (packetFreed as (handle: i32, bytes: u32) => void).index;
  packet.completionArg = s.handle;
  s.unsent += packet.length;
}

function packetFreed(handle: i32, bytes: u32): void {
  const s = socketOf(handle);
  if (s == NO_SOCKET) return;
  assert(s.unsent >= bytes, "wrong count");
  s.unsent -= bytes;
}
