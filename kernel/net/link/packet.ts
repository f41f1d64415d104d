// Packets: a record, the 44-byte wire header after it, and a payload in one of three places: right
// after the header, so that one descriptor covers both; in pages of its own; or in buffers of the
// sender, listed after the header.
import { VsockHdr } from "../../../abi/vsock";
import { IoVec } from "../../iovec";

@unmanaged
export class Packet {
  // Link layer and driver.
  next: Packet | null; // in its queue
  iface: usize; // its NetworkInterface (see interfaceOf); 0: the first one
  payload: usize; // unless it is in the sender's buffers
  capacity: u32; // payload bytes that fit
  length: u32; // payload bytes
  pooled: bool; // goes back to the pool, not to the heap
  size: u8; // of a pooled one: its class (pool.ts)
  received: bool; // comes from a receive ring
  queue: u8; // of a card with several: which one
  parts: Packet | null; // further buffers of one frame, linked by `next`; driver only
  // The sender, before it hands the packet over.
  segments: u32; // IoVecs after the header that list the sender's buffers; 0: own payload
  completion: u32; // table index of a function (arg: usize, bytes: u32): void that FreePacket
  // calls with the packet's length; 0: nobody waits
  completionArg: usize;
  isLazy: bool; // nobody waits for the completion: it is called when the driver next looks.
  // This and the completion stay as they are while the driver has the packet.
  // The socket that received the packet.
  offset: u32; // payload bytes that the reader has consumed
  marks: u32; // EOM and EOR of a part of a message
  isRecords: bool; // holds small parts of messages, each after a word (message.ts)
  owner: i32; // handle of the socket that lent it to the application
  epoch: u32; // of that socket, at that time
}

const HEADER: usize = offsetof<Packet>();
const PAYLOAD: usize = HEADER + VsockHdr.sizeof;
/** Bytes that a packet takes beside its payload. */
export const PACKET_OVERHEAD: u32 = <u32>PAYLOAD;

if (HEADER % 4 != 0) ERROR("packet: the wire header is not aligned");
if (PAYLOAD % 4 != 0) ERROR("packet: the payload is not aligned");

/** The wire header; the sender fills it. */
export function headerOf(packet: Packet): usize {
  return changetype<usize>(packet) + HEADER;
}

/** The place of a device's header of `bytes` bytes: it ends where an inline payload begins. */
export function wireHeaderOf(packet: Packet, bytes: u32): usize {
  return headerOf(packet) + VsockHdr.sizeof - bytes;
}

export function payloadOf(packet: Packet): usize {
  return packet.payload;
}

/** Is the payload right after the header? */
export function isInline(packet: Packet): bool {
  return packet.payload == changetype<usize>(packet) + PAYLOAD;
}

/** Entry `i` of the table of the sender's buffers. */
export function segmentOf(packet: Packet, i: u32): IoVec {
  assert(i < packet.segments, "too many segments");
  return changetype<IoVec>(changetype<usize>(packet) + PAYLOAD + i * offsetof<IoVec>());
}

/** Makes a packet empty; where its payload is stays as it was. */
export function resetPacket(packet: Packet): void {
  packet.next = null;
  packet.iface = 0;
  packet.length = 0;
  packet.offset = 0;
  packet.segments = 0;
  packet.completion = 0;
  packet.isLazy = false;
  packet.parts = null;
  packet.received = false;
  packet.queue = 0;
  packet.isRecords = false;
  packet.marks = 0;
}

/** A FIFO of packets. Zeroed is empty. */
@unmanaged
export class PacketQueue {
  first: Packet | null;
  last: Packet | null;
  count: u32;

  /** Puts a packet back at the front. */
  unshift(packet: Packet): void {
    assert(!packet.next, "in a list");
    packet.next = this.first;
    this.first = packet;
    if (!this.last) this.last = packet;
    this.count++;
  }

  push(packet: Packet): void {
    assert(!packet.next, "in a list");
    const last = this.last;
    if (last) last.next = packet;
    else this.first = packet;
    this.last = packet;
    this.count++;
  }

  pop(): Packet | null {
    const packet = this.first;
    if (!packet) return null;
    this.first = packet.next;
    if (!this.first) this.last = null;
    packet.next = null;
    this.count--;
    return packet;
  }
}
