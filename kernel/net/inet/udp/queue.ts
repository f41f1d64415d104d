// Datagrams that wait for their reader. The queue is bounded, and the new one is dropped (TC11).
import { headerOf, Packet, PACKET_OVERHEAD, PacketQueue, payloadOf } from "../../link/packet";
import { AllocatePacket, FreePacket } from "../../link/pool";
import { inetStats } from "../stats";
import { Datagram } from "./ports";

/** Of one queue: datagrams, and bytes of memory, with what each takes beside its own. */
const DATAGRAMS_MAX: u32 = 64;
const BYTES_MAX: u32 = 256 * 1024;

/** Zeroed is empty. */
@unmanaged
export class DatagramQueue extends PacketQueue {
  held: u32; // bytes
}

/** Where a datagram in a queue comes from: over the header of its packet, which no device sees. */
@unmanaged
class Origin {
  address: u32;
  port: u32;
}

function heldBy(packet: Packet): u32 {
  return packet.capacity + PACKET_OVERHEAD;
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

/** Copies a datagram into the queue. Returns false if there is no room: then it is counted. */
export function keepDatagram(queue: DatagramQueue, datagram: Datagram): bool {
  const packet = roomFor(queue, datagram.bytes);
  if (!packet) {
    inetStats().udpFull++;
    return false;
  }
  memory.copy(payloadOf(packet), datagram.payload, datagram.bytes);
  packet.length = datagram.bytes;
  originOf(packet).address = datagram.source;
  originOf(packet).port = datagram.sourcePort;
  queue.held += heldBy(packet);
  queue.push(packet);
  return true;
}

function roomFor(queue: DatagramQueue, bytes: u32): Packet | null {
  if (queue.count == DATAGRAMS_MAX) return null;
  const packet = AllocatePacket(bytes);
  if (!packet || queue.held + heldBy(packet) <= BYTES_MAX) return packet;
  FreePacket(packet);
  return null;
}

/** The oldest datagram, which is the caller's to free; null: there is none. */
export function takeDatagram(queue: DatagramQueue): Packet | null {
  const packet = queue.pop();
  if (packet) queue.held -= heldBy(packet);
  return packet;
}

/** Frees all of them. */
export function dropDatagrams(queue: DatagramQueue): void {
  for (let packet = takeDatagram(queue); packet; packet = takeDatagram(queue)) FreePacket(packet);
}
