// Credit in both directions (virtio 5.10.6.3): how much the peer may send to a socket, and a socket
// to its peer. All counters of it change here; they are running totals of 32 bits and wrap.
//
// The windows of all sockets together stay within a quarter of the heap, so that all advertised
// bytes can be received, with the room that buffers waste: a socket may hold receive buffers of
// twice its window. Windows grow within half of that; the other half is for new connections.
import { VSOCK_PROGRESS_BYTES, vsockCredit, VsockHdr } from "../../../abi/vsock";
import { heapBytes } from "../../memory";
import { Socket } from "./socket";

/** The first window holds the head of a request; a stream that fills it makes it grow. */
export const WINDOW_MIN: u32 = 4096;

/** A first window takes this share of the room for growth at most, unless it is WINDOW_MIN. */
const FIRST_SHIFT = 4;

let windowsBytes: u64 = 0; // sum of bufAlloc
let promisedBytes: u64 = 0; // of handshakes under way

/**
 * The first window of a connection that would have `wanted` bytes: less while there are many, so
 * that others have one as well.
 */
export function firstWindow(wanted: u32): u32 {
  const growth = heapBytes() >> 3;
  const taken = windowsBytes + promisedBytes;
  const room = growth > taken ? growth - taken : 0;
  return <u32>min<u64>(wanted, max<u64>(WINDOW_MIN, room >> FIRST_SHIFT));
}

/** A handshake has told the peer of a window, which is opened when that is done. */
export function promiseWindow(bytes: u32): void {
  promisedBytes += bytes;
}

/** The handshake is done, or is given up. */
export function settlePromise(bytes: u32): void {
  assert(promisedBytes >= bytes, "wrong count");
  promisedBytes -= bytes;
}

/** Opens the first window. Returns false when the budget is spent: the connection is refused. */
export function openWindow(s: Socket): bool {
  assert(s.bufAlloc == 0 && s.rxCnt == s.fwdCnt, "has a window");
  return resizeWindow(s, s.windowFirst, heapBytes() >> 2);
}

/** Makes the window `bytes` large, for good. Returns false when the budget is spent. */
export function setWindow(s: Socket, bytes: u32): bool {
  s.windowMax = bytes;
  return s.bufAlloc >= bytes || resizeWindow(s, bytes, heapBytes() >> 2);
}

function resizeWindow(s: Socket, bytes: u32, budget: u64): bool {
  assert(bytes >= s.rxCnt - s.fwdCnt, "window too small");
  const total = windowsBytes - s.bufAlloc + bytes;
  if (total > budget) return false;
  windowsBytes = total;
  s.bufAlloc = bytes;
  return true;
}

export function closeWindow(s: Socket): void {
  assert(windowsBytes >= s.bufAlloc, "wrong count");
  windowsBytes -= s.bufAlloc;
  s.bufAlloc = 0;
}

/** A new attempt of a socket that was disconnected starts from zero. */
export function restartCredit(s: Socket): void {
  assert(s.rxCnt == s.fwdCnt, "bytes are left");
  s.rxCnt = s.fwdCnt = s.lastFwdCnt = 0;
  s.txCnt = s.peerFwdCnt = s.peerBufAlloc = 0;
  s.creditAsked = s.answerDue = false;
  s.progress = 0;
}

// Receiving.

/** Bytes that the peer may still send. */
export function receiveCreditOf(s: Socket): u32 {
  return vsockCredit(s.bufAlloc, s.rxCnt, s.fwdCnt);
}

/** The same as the peer knows it. */
export function advertisedCreditOf(s: Socket): u32 {
  return vsockCredit(s.bufAlloc, s.rxCnt, s.lastFwdCnt);
}

/** Counts `bytes` that have arrived. Returns false when the peer had no credit for them. */
export function spendReceiveCredit(s: Socket, bytes: u32): bool {
  if (s.rxCnt + bytes - s.fwdCnt > s.bufAlloc) return false;
  s.rxCnt += bytes;
  return true;
}

/** The application has consumed `bytes`. */
export function spend(s: Socket, bytes: u32): void {
  assert(s.rxCnt - s.fwdCnt >= bytes, "more than there is");
  s.fwdCnt += bytes;
}

/** Doubles the window, if it may and the budget allows. */
export function growWindow(s: Socket): void {
  if (s.bufAlloc >= s.windowMax) return;
  resizeWindow(s, min(s.bufAlloc << 1, s.windowMax), heapBytes() >> 3);
}

/**
 * The application has consumed `bytes`. Returns true when the peer should learn of it now: it knows
 * of no more than half of its window. A stream that keeps it that low gets a larger window.
 */
export function consume(s: Socket, bytes: u32): bool {
  spend(s, bytes);
  if (advertisedCreditOf(s) > s.bufAlloc >> 1) return false;
  growWindow(s);
  return s.fwdCnt != s.lastFwdCnt;
}

/** Nobody will read the received bytes: they count as consumed. */
export function consumeAll(s: Socket): void {
  s.fwdCnt = s.rxCnt;
}

/** A packet with the present fwdCnt has been sent. */
export function advertised(s: Socket): void {
  s.lastFwdCnt = s.fwdCnt;
}

// Sending.

/** Bytes that we may send now. */
export function creditOf(s: Socket): u32 {
  return vsockCredit(s.peerBufAlloc, s.txCnt, s.peerFwdCnt);
}

/** `bytes` of payload have been handed to the device. */
export function spendCredit(s: Socket, bytes: u32): void {
  assert(bytes <= creditOf(s), "beyond the credit");
  s.txCnt += bytes;
}

/** Takes over the window in the header of a REQUEST. */
export function startCredit(s: Socket, header: usize): void {
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
}

/**
 * Takes over the credit in a header; `enough` bytes of it allow another CREDIT_REQUEST later.
 * Returns false when it contradicts the bytes that we sent (D9).
 */
export function updateCredit(s: Socket, header: usize, enough: u32): bool {
  const fwdCnt = load<u32>(header, VsockHdr.fwd_cnt);
  if (s.txCnt - fwdCnt > s.txCnt - s.peerFwdCnt) return false; // beyond txCnt, or going back
  s.peerFwdCnt = fwdCnt;
  s.peerBufAlloc = load<u32>(header, VsockHdr.buf_alloc);
  s.answerDue = false;
  // An answer without enough credit is no reason to ask again at once: that would never end.
  if (creditOf(s) >= enough) s.creditAsked = false;
  return true;
}

/** An unrequested CREDIT_UPDATE without news shows that the peer takes the data that it has. */
export function noteProgress(s: Socket, header: usize): void {
  const isNews =
    load<u32>(header, VsockHdr.fwd_cnt) != s.peerFwdCnt ||
    load<u32>(header, VsockHdr.buf_alloc) != s.peerBufAlloc;
  if (!isNews && !s.answerDue) s.progress += VSOCK_PROGRESS_BYTES;
}

/** Notes that credit is asked for. Returns false if it has been since there was enough. */
export function startCreditRequest(s: Socket): bool {
  if (s.creditAsked) return false;
  s.creditAsked = s.answerDue = true;
  return true;
}
