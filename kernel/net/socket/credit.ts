// Credit, both ways (virtio 5.10.6.3): what peers may send to a socket, and it to them.
//
// The windows of all sockets together stay within a quarter of the heap, so that what has been
// advertised can be received, with what buffers waste: a socket may hold receive buffers of twice
// its window. Windows grow within half of that: the other half is for connections to come.
import { vsockCredit } from "../../../abi/vsock";
import { heapBytes } from "../../memory";
import { Packet } from "../link/packet";
import { Socket } from "./socket";

/** The first window holds a request's head; a stream that fills it grows it step by step. */
export const WINDOW_MIN: u32 = 4096;

let windowsBytes: u64 = 0; // sum of bufAlloc

/** Opens the first window. Returns false when the budget is spent: the connection is refused. */
export function openWindow(s: Socket): bool {
  return resizeWindow(s, s.windowFirst, heapBytes() >> 2);
}

/** Makes the window `bytes` large, and keeps it so. Returns false when the budget is spent. */
export function setWindow(s: Socket, bytes: u32): bool {
  s.windowMax = bytes;
  return s.bufAlloc >= bytes || resizeWindow(s, bytes, heapBytes() >> 2);
}

function resizeWindow(s: Socket, bytes: u32, budget: u64): bool {
  const total = windowsBytes - s.bufAlloc + bytes;
  if (total > budget) return false;
  windowsBytes = total;
  s.bufAlloc = bytes;
  return true;
}

export function closeWindow(s: Socket): void {
  windowsBytes -= s.bufAlloc;
  s.bufAlloc = 0;
}

/** May the socket keep a receive buffer as it is? */
export function mayPin(s: Socket, packet: Packet): bool {
  return <u64>s.pinned + packet.capacity <= <u64>s.bufAlloc << 1;
}

/** The peer's credit as it knows it. */
function toldWindow(s: Socket): u32 {
  return vsockCredit(s.bufAlloc, s.received, s.fwdTold);
}

/**
 * The application has consumed `bytes`. Returns true when the peer should be told now: it knows of
 * no more than half of its window. A stream that keeps it that low gets a larger one.
 */
export function consumed(s: Socket, bytes: u32): bool {
  s.fwdCnt += bytes;
  if (toldWindow(s) > s.bufAlloc >> 1) return false;
  if (s.bufAlloc < s.windowMax) {
    resizeWindow(s, min(s.bufAlloc << 1, s.windowMax), heapBytes() >> 3);
  }
  return s.fwdCnt != s.fwdTold;
}

/** Bytes that we may send now. */
export function creditOf(s: Socket): u32 {
  return vsockCredit(s.peerBufAlloc, s.txCnt, s.peerFwdCnt);
}
