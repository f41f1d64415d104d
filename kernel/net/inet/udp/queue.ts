// Datagrams that wait for their reader. A queue is bounded, and the new one is dropped (TC11). They
// are copied out of the card's buffers, so that whoever does not read takes none of them away.
import { headerOf, Packet, PACKET_OVERHEAD, PacketQueue, payloadOf } from "../../link/packet";
import { AllocatePacket, FreePacket } from "../../link/pool";
import { inetStats } from "../stats";
import { Datagram } from "./ports";

/** Of one queue: datagrams, and bytes of memory, with what each takes beside its own. */
const DATAGRAMS_MAX: u32 = 64;
const BYTES_MAX: u32 = 256 * 1024;

/** Where a datagram in a queue comes from: over the header of its packet, which no device sees. */
@unmanaged
class Origin {
  address: u32;
  port: u32;
}

function originOf(packet: Packet): Origin {
  return changetype<Origin>(headerOf(packet));
}

/** The address that a queued datagram comes from. */
export function originAddress(packet: Packet): u32 {
  return originOf(packet).address;
}

/** The port that a queued datagram comes from. */
export function originPort(packet: Packet): u32 {
  return originOf(packet).port;
}

/** Copies a datagram into the queue. Returns it, or null if there is no room: that is counted. */
export function keepDatagram(queue: PacketQueue, datagram: Datagram): Packet | null {
  const packet = roomFor(queue, datagram.bytes);
  if (!packet) {
    inetStats().udpFull++;
    return null;
  }
  memory.copy(payloadOf(packet), datagram.payload, datagram.bytes);
  packet.length = datagram.bytes;
  originOf(packet).address = datagram.source;
  originOf(packet).port = datagram.sourcePort;
  queue.push(packet);
  return packet;
}

function roomFor(queue: PacketQueue, bytes: u32): Packet | null {
  if (queue.count >= DATAGRAMS_MAX) return null;
  const packet = AllocatePacket(bytes);
  if (!packet || heldBy(queue) + heldByOne(packet) <= BYTES_MAX) return packet;
  FreePacket(packet);
  return null;
}

function heldBy(queue: PacketQueue): u32 {
  let bytes: u32 = 0;
  let packet = queue.first;
  while (packet) {
    bytes += heldByOne(packet);
    packet = packet.next;
  }
  return bytes;
}

function heldByOne(packet: Packet): u32 {
  return packet.capacity + PACKET_OVERHEAD;
}
