// Packets: one block with a record, the 44-byte wire header and the payload right behind it, so
// that one descriptor covers what travels.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../drivers/abi/vsock";
import { ToroFreeMem, ToroGetMem } from "../memory";

@unmanaged
export class Packet {
  next: Packet | null; // in whatever queue it stands
  capacity: u32; // payload bytes that fit
  length: u32; // payload bytes
  offset: u32; // of them consumed by the reader
  received: bool; // a receive buffer: it goes back to the interface, not to the heap
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
  return changetype<usize>(packet) + PAYLOAD;
}

/**
 * A packet with room for `capacity` bytes, its length 0, its header undefined; null: no memory, or
 * more than VSOCK_PACKET_BYTES_MAX.
 */
export function AllocatePacket(capacity: u32): Packet | null {
  if (capacity > <u32>VSOCK_PACKET_BYTES_MAX) return null;
  const address = ToroGetMem(PAYLOAD + capacity);
  if (address == 0) return null;
  const packet = changetype<Packet>(address);
  packet.next = null;
  packet.capacity = capacity;
  packet.length = 0;
  packet.offset = 0;
  packet.received = false;
  return packet;
}

/** Frees a packet that AllocatePacket made and that was not sent. */
export function FreePacket(packet: Packet): void {
  ToroFreeMem(changetype<usize>(packet));
}

/** A FIFO of packets. Zeroed is empty. */
@unmanaged
export class PacketQueue {
  first: Packet | null;
  last: Packet | null;
  count: u32;

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
