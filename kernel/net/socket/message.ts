// Messages of seqpacket sockets (virtio 5.10.6.6). The queue holds their parts as packets brought
// them, the last part of each message marked EOM. Small parts share buffers, each after a word with
// its length and marks: a window full of tiny messages takes a multiple of its bytes, not a buffer
// for each.
import { NetStats } from "../../../abi/stats";
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_SEQ_EOR, VsockHdr } from "../../../abi/vsock";
import { headerOf, Packet, payloadOf } from "../link/packet";
import { AllocatePacket } from "../link/pool";
import { receiveCreditOf } from "./credit";
import { MSG_EOR, MSG_TRUNC } from "./flags";
import { dropPacket, mayPin, pinPacket } from "./receive-queue";
import { rxCopybreak } from "./settings";
import { packetsOf, Socket, statsOf } from "./socket";
import { copyPayload } from "./stats";

/** Parts of up to this many bytes share a buffer. */
const RECORD_BYTES_MAX: u32 = 2048;
/** Capacity of a shared buffer. */
const RECORDS_BYTES: u32 = 4096;
/** The word before each part: its length, and above that its marks. */
const RECORD_HEAD: u32 = 4;
const MARKS_SHIFT: u32 = 30;
const LENGTH_MASK: u32 = (1 << MARKS_SHIFT) - 1;
const MARKS: u32 = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;

if (MARKS >> (32 - MARKS_SHIFT) != 0) ERROR("message: marks do not fit above the length");
if (RECORD_HEAD + RECORD_BYTES_MAX > RECORDS_BYTES) ERROR("message: a part exceeds the buffer");

/** Queues a part, for which credit was spent. Returns true when it keeps the packet. */
export function enqueuePart(s: Socket, packet: Packet): bool {
  const bytes = packet.length;
  const marks = load<u32>(headerOf(packet), VsockHdr.flags) & MARKS;
  if (bytes == 0 && !s.partial) return false; // V34: an empty message is none
  const kept = bytes != 0 ? append(s, packet, marks) : markLast(s, packet, marks);
  s.partial = (marks & VIRTIO_VSOCK_SEQ_EOM) == 0;
  if (!s.partial) s.messages++;
  return kept;
}

function append(s: Socket, packet: Packet, marks: u32): bool {
  const bytes = packet.length;
  if (!s.keepsApart && bytes <= RECORD_BYTES_MAX && addRecord(s, packet, marks)) return false;
  const small = s.keepsApart && bytes <= rxCopybreak;
  const copy = small || !mayPin(s, packet) ? AllocatePacket(bytes) : null;
  if (copy) {
    copyPayload(statsOf(s), NetStats.ringToSocket, payloadOf(copy), payloadOf(packet), bytes);
    copy.length = bytes;
    copy.marks = marks;
    packetsOf(s).push(copy);
    return false;
  }
  packet.marks = marks;
  pinPacket(s, packet);
  return true;
}

/** Appends a part to the shared buffer at the end. Returns false when there is no memory. */
function addRecord(s: Socket, packet: Packet, marks: u32): bool {
  const packets = packetsOf(s);
  const bytes = packet.length;
  const size = RECORD_HEAD + ((bytes + 3) & ~3);
  let records = packets.last;
  if (!records || !records.isRecords || records.length + size > records.capacity) {
    records = AllocatePacket(RECORDS_BYTES);
    if (!records) return false;
    records.isRecords = true;
    packets.push(records);
  }
  const at = payloadOf(records) + records.length;
  store<u32>(at, bytes | (marks << MARKS_SHIFT));
  copyPayload(
    statsOf(s), NetStats.ringToSocket, at + RECORD_HEAD, payloadOf(packet), bytes,
  );
  records.length += size;
  assert(records.length <= records.capacity, "too large");
  return true;
}

/** The last part of a message has marks, but no bytes. Returns true when it keeps the packet. */
function markLast(s: Socket, packet: Packet, marks: u32): bool {
  const last = packetsOf(s).last;
  if (!last) return false;
  if (!last.isRecords) {
    last.marks |= marks;
    return false;
  }
  // Where its last record starts is not known any more: an empty record after it has the same
  // effect.
  if (addRecord(s, packet, marks)) return false;
  packet.marks = marks;
  pinPacket(s, packet);
  return true;
}

/**
 * Copies up to `length` bytes of the first message, of which there is one, and takes all of it out
 * of the queue if `consumes`. Returns its length, and leaves its flags in the socket.
 */
export function readMessage(s: Socket, buffer: usize, length: u32, consumes: bool): u32 {
  assert(s.messages != 0, "nothing to read");
  const packets = packetsOf(s);
  let total: u32 = 0;
  let packet = packets.first;
  let at: u32 = packet ? packet.offset : 0;
  while (packet) {
    let from = payloadOf(packet) + at;
    let bytes = packet.length;
    let marks: u32 = packet.marks;
    if (packet.isRecords) {
      const head = load<u32>(from);
      bytes = head & LENGTH_MASK;
      marks = head >> MARKS_SHIFT;
      from += RECORD_HEAD;
      at += RECORD_HEAD + ((bytes + 3) & ~3);
    } else {
      at = bytes;
    }
    const room = total < length ? min(bytes, length - total) : 0;
    copyPayload(statsOf(s), NetStats.socketToUser, buffer + total, from, room);
    total += bytes;
    assert(at <= packet.length, "too large");
    const next = packet.next;
    const isRead = at == packet.length;
    if (consumes) {
      packet.offset = at;
      if (isRead) dropFirst(s);
    }
    if ((marks & VIRTIO_VSOCK_SEQ_EOM) != 0) {
      s.messageFlags = (marks & VIRTIO_VSOCK_SEQ_EOR) != 0 ? MSG_EOR : 0;
      if (total > length) s.messageFlags |= MSG_TRUNC;
      break;
    }
    if (isRead) {
      packet = next;
      at = 0;
    }
  }
  if (consumes) {
    assert(total <= s.unread, "more than there is");
    s.messages--;
  }
  return total;
}

function dropFirst(s: Socket): void {
  const packet = packetsOf(s).pop();
  if (packet) dropPacket(s, packet);
}

/** Takes the first part out of the queue, as a packet of its own; null: no memory. */
export function takePart(s: Socket): Packet | null {
  assert(s.messages != 0, "nothing to read");
  const packet = packetsOf(s).first;
  if (!packet) return null;
  let part = packet;
  if (packet.isRecords) {
    const from = payloadOf(packet) + packet.offset;
    const head = load<u32>(from);
    const bytes = head & LENGTH_MASK;
    const copy = AllocatePacket(bytes);
    if (!copy) return null;
    copyPayload(
      statsOf(s), NetStats.socketToUser, payloadOf(copy), from + RECORD_HEAD, bytes,
    );
    copy.length = bytes;
    copy.marks = head >> MARKS_SHIFT;
    packet.offset += RECORD_HEAD + ((bytes + 3) & ~3);
    if (packet.offset == packet.length) dropFirst(s);
    part = copy;
  } else {
    packetsOf(s).pop();
  }
  if ((part.marks & VIRTIO_VSOCK_SEQ_EOM) != 0) s.messages--;
  return part;
}

/** Undoes takePart(). */
export function putBack(s: Socket, part: Packet): void {
  assert(!part.isRecords, "not a part");
  packetsOf(s).unshift(part);
  if ((part.marks & VIRTIO_VSOCK_SEQ_EOM) != 0) s.messages++;
}

/** Does an unfinished message fill the window, with no other message to read? It cannot end. */
export function isEndless(s: Socket): bool {
  return s.partial && s.messages == 0 && receiveCreditOf(s) == 0;
}
