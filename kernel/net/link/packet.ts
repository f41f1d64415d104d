// Packets: a record with the 44-byte wire header behind it, and a payload in one of three places:
// right behind the header, so that one descriptor covers what travels; in pages of its own; or in
// buffers that the sender lends.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../abi/vsock";
import { IoVec } from "../../iovec";
import { ToroFreeMem, ToroGetMem } from "../../memory";
import { firstInterface, NetworkInterface } from "./interface";
import { Lending, returned } from "../socket/zerocopy";
import { classFor, giveBuffer, NO_CLASS, takeBuffer, trimPool } from "./pool";

@unmanaged
export class Packet {
  next: Packet | null; // in whatever queue it stands
  iface: NetworkInterface;
  payload: usize; // of a packet whose payload is its own
  capacity: u32; // payload bytes that fit
  length: u32; // payload bytes
  offset: u32; // of them consumed by the reader
  segments: u32; // of a payload that is lent: IoVecs behind the header; 0: it is the packet's own
  lending: Lending | null; // whose buffers those are
  owner: i32; // the socket that lent it to the application
  epoch: u32; // of that socket
  sender: i32; // the socket whose send buffer it counts in (send-buffer.ts); 0: none
  pooled: bool; // it goes back to the pool, not to the heap
  received: bool; // it came out of a receive ring
  bounced: bool; // the driver is to copy it into a buffer of the ring
  isRecords: bool; // small parts of messages, behind a word each (message.ts)
  marks: u32; // EOM and EOR of a received part
}

const HEADER: usize = offsetof<Packet>();
const PAYLOAD: usize = HEADER + VsockHdr.sizeof;
/** What a packet costs beside its payload. */
export const PACKET_OVERHEAD: u32 = <u32>PAYLOAD;

/** The wire header; the sender fills it. */
export function headerOf(packet: Packet): usize {
  return changetype<usize>(packet) + HEADER;
}

export function payloadOf(packet: Packet): usize {
  return packet.payload;
}

/** Is the payload right behind the header? */
export function isInline(packet: Packet): bool {
  return packet.payload == changetype<usize>(packet) + PAYLOAD;
}

/** The table of a packet whose payload is lent. */
export function segmentOf(packet: Packet, i: u32): IoVec {
  return changetype<IoVec>(changetype<usize>(packet) + PAYLOAD + i * offsetof<IoVec>());
}

/**
 * A packet with room for `capacity` bytes, its length 0, its header undefined, for the first
 * interface; null: no memory, or more than VSOCK_PACKET_BYTES_MAX.
 */
export function AllocatePacket(capacity: u32): Packet | null {
  if (capacity > <u32>VSOCK_PACKET_BYTES_MAX) return null;
  const kind = classFor(capacity);
  if (kind != NO_CLASS) return takeBuffer(kind);
  const packet = createPacket(capacity);
  return packet || !trimPool() ? packet : createPacket(capacity);
}

/** A packet whose payload will be up to `segments` buffers of the sender's; null: no memory. */
export function allocateLentPacket(segments: u32): Packet | null {
  const packet = createPacket(segments * <u32>offsetof<IoVec>());
  if (packet) packet.capacity = 0;
  return packet;
}

/** A packet in one block of the heap; null: no memory. */
export function createPacket(capacity: u32): Packet | null {
  const address = ToroGetMem(PAYLOAD + capacity);
  if (address == 0) return null;
  const packet = changetype<Packet>(address);
  packet.pooled = false;
  resetPacket(packet);
  packet.payload = address + PAYLOAD;
  packet.capacity = capacity;
  return packet;
}

/** Makes a packet empty, wherever its payload is. */
export function resetPacket(packet: Packet): void {
  packet.next = null;
  packet.iface = firstInterface();
  packet.length = 0;
  packet.offset = 0;
  packet.segments = 0;
  packet.lending = null;
  packet.sender = 0;
  packet.received = false;
  packet.bounced = false;
  packet.isRecords = false;
  packet.marks = 0;
}

/**
 * Frees a packet that was not sent, and gives lent buffers back to their sender. Does not yield.
 */
export function FreePacket(packet: Packet): void {
  const lending = packet.lending;
  if (packet.pooled) giveBuffer(packet);
  else ToroFreeMem(changetype<usize>(packet));
  if (lending) returned(lending);
}

/** A FIFO of packets. Zeroed is empty. */
@unmanaged
export class PacketQueue {
  first: Packet | null;
  last: Packet | null;
  count: u32;

  /** In front of all others. */
  unshift(packet: Packet): void {
    packet.next = this.first;
    this.first = packet;
    if (!this.last) this.last = packet;
    this.count++;
  }

  push(packet: Packet): void {
    packet.next = null;
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
    this.count--;
    return packet;
  }
}
