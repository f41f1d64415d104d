// From the sender's bytes to RW packets: copied into packets of the kernel's, or listed in place.
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import { VSOCK_PACKET_BYTES_MAX, VsockHdr, VsockOp } from "../../../abi/vsock";
import { IoVec } from "../../iovec";
import { wait } from "../../scheduler";
import { sendersOf } from "../link/interface";
import { headerOf, Packet, payloadOf, segmentOf } from "../link/packet";
import { allocateGatherPacket, AllocatePacket, FreePacket } from "../link/pool";
import { creditOf, spendCredit } from "./credit";
import { askForCredit, fillHeader, sendFilled } from "./output";
import { chargePacket, sendRoomOf } from "./send-buffer";
import { SendMode } from "./settings";
import { isVsock, NO_SOCKET, Socket, statsOf, writersOf } from "./socket";
import { connectionError, sendIsShut } from "./state";
import { copyPayload, tally } from "./stats";
import { socketOf } from "./table";
import { sendTransport } from "./transport";
import { addPacket, numberCall, UserBuffers } from "./zerocopy";

if (offsetof<IoVec>("length") != 4 || offsetof<IoVec>() != 8) ERROR("iovec: wrong layout");

export function vectorAt(vector: usize, i: u32): IoVec {
  return changetype<IoVec>(vector + i * offsetof<IoVec>());
}

/**
 * Sends `length` bytes packet by packet, waiting for credit and room until `untilNs` (0: not at
 * all). `entries` buffers are listed in the vector at `source`; 0 entries: one buffer, at `source`.
 * `more` as MSG_MORE. `buffers` is the record of a call that sends in place, or has a completion,
 * or both. Yields.
 * Returns the bytes sent, or the error if there are none.
 */
export function sendPackets(
  socket: i32,
  source: usize,
  entries: u32,
  length: u32,
  untilNs: u64,
  more: bool,
  buffers: UserBuffers | null,
): i32 {
  let sent: u32 = 0;
  let error: i32 = 0;
  while (sent < length) {
    error = waitForRoom(socket, untilNs);
    if (error < 0) break;
    const s = socketOf(socket);
    const most = min(min(creditOf(s), length - sent), VSOCK_PACKET_BYTES_MAX);
    assert(most != 0, "no bytes");
    if (!isVsock(s)) {
      const inPlace = buffers && !buffers.copied ? changetype<usize>(buffers) : 0;
      const room = min(most, sendRoomOf(s));
      error = sendTransport(s, source, entries, sent, room, more || sent + room < length, inPlace);
      if (error < 0) break;
      if (buffers && buffers.detached && sent == 0) numberCall(s, buffers);
      sent += error;
      continue;
    }
    const packet =
      buffers && !buffers.copied
        ? gather(s, source, entries, sent, most)
        : copy(s, source, entries, sent, min(most, sendRoomOf(s)));
    if (!packet) {
      error = -Errno.ENOMEM;
      break;
    }
    const bytes = packet.length; // the packet is the device's from here on
    if (buffers && !buffers.copied) addPacket(buffers, packet);
    error = sendPayload(s, packet, sent + bytes == length ? s.sendMarks : 0);
    if (error < 0) break;
    if (buffers && !buffers.copied) tally(statsOf(s), NetStats.lent, bytes);
    if (buffers && buffers.detached && sent == 0) numberCall(s, buffers);
    sent += bytes;
  }
  return sent == 0 ? error : <i32>sent;
}

/** A packet with a copy of `bytes` of the source, from `offset` on; null: no memory. */
function copy(s: Socket, source: usize, entries: u32, offset: u32, bytes: u32): Packet | null {
  const packet = AllocatePacket(bytes);
  if (!packet) return null;
  assert(packet.capacity >= bytes, "too large");
  const stats = statsOf(s);
  const to = payloadOf(packet);
  packet.length = bytes;
  if (entries == 0) {
    copyPayload(stats, NetStats.userToPacket, to, source + offset, bytes);
    return s.sendMode == SendMode.TwoCopy ? copyAgain(s, packet) : packet;
  }
  let done: u32 = 0;
  for (let i: u32 = 0; done < bytes; i++) {
    const one = vectorAt(source, i);
    if (offset < one.length) {
      const part = min(one.length - offset, bytes - done);
      copyPayload(stats, NetStats.userToPacket, to + done, one.base + offset, part);
      done += part;
      offset = 0;
    } else {
      offset -= one.length;
    }
  }
  return s.sendMode == SendMode.TwoCopy ? copyAgain(s, packet) : packet;
}

/** The second copy of two, into the buffer that the ring gets; without memory there is only one. */
function copyAgain(s: Socket, packet: Packet): Packet {
  const buffer = AllocatePacket(packet.capacity);
  if (!buffer) return packet;
  const bytes = packet.length;
  copyPayload(statsOf(s), NetStats.packetToRing, payloadOf(buffer), payloadOf(packet), bytes);
  buffer.length = bytes;
  FreePacket(packet);
  return buffer;
}

/** A packet that lists up to `bytes` of the source, from `offset` on; null: no memory. */
function gather(s: Socket, source: usize, entries: u32, offset: u32, bytes: u32): Packet | null {
  const most = min(max(entries, 1), s.iface.segmentsMax - 1);
  const packet = allocateGatherPacket(most);
  if (!packet) return null;
  if (entries == 0) {
    addSegment(packet, source + offset, bytes);
    return packet;
  }
  for (let i: u32 = 0; packet.length < bytes && packet.segments < most; i++) {
    const one = vectorAt(source, i);
    if (offset < one.length) {
      addSegment(packet, one.base + offset, min(one.length - offset, bytes - packet.length));
      offset = 0;
    } else {
      offset -= one.length;
    }
  }
  return packet;
}

function addSegment(packet: Packet, base: usize, bytes: u32): void {
  assert(bytes != 0 && packet.capacity == 0, "no bytes");
  const segment = segmentOf(packet, packet.segments++);
  segment.base = base;
  segment.length = bytes;
  packet.length += bytes;
}

/** Sends RW with these flags. On failure the packet is freed. */
function sendPayload(s: Socket, packet: Packet, flags: u32): i32 {
  const bytes = packet.length;
  chargePacket(s, packet);
  fillHeader(s, packet, VsockOp.RW);
  store<u32>(headerOf(packet), flags, VsockHdr.flags);
  const error = sendFilled(s, packet);
  if (error < 0) return error;
  spendCredit(s, bytes);
  tally(statsOf(s), NetStats.sent, bytes);
  return 0;
}

/**
 * Waits until a byte may be sent on `socket`, at most until `untilNs` (0: not at all). Yields.
 * Returns 0 or an error.
 */
function waitForRoom(socket: i32, untilNs: u64): i32 {
  while (true) {
    const s = socketOf(socket);
    if (s == NO_SOCKET) return -Errno.EBADF;
    if (sendIsShut(s)) return -Errno.EPIPE;
    const error = connectionError(s);
    if (error < 0) return error;
    const hasCredit = creditOf(s) != 0;
    if (hasCredit && sendRoomOf(s) != 0) return 0;
    if (!hasCredit) askForCredit(s);
    if (untilNs == 0) return -Errno.EAGAIN;
    const waited = wait(hasCredit ? sendersOf(s.iface) : writersOf(s), untilNs);
    if (waited < 0) return waited == -Errno.EINTR ? waited : -Errno.EAGAIN;
  }
}
