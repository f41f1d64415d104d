// Received packets that a socket holds, and the counts of them. All bytes that the application has
// not consumed are in the queue or lent.
import { releasePacket } from "../link/interface";
import { Packet } from "../link/packet";
import { consumeAll } from "./credit";
import { isSeqpacket, packetsOf, Socket } from "./socket";

/** Is there something to read? */
export function hasData(s: Socket): bool {
  return isSeqpacket(s) ? s.messages != 0 : packetsOf(s).count != 0;
}

/** May the socket keep a receive buffer as it is? */
export function mayPin(s: Socket, packet: Packet): bool {
  return <u64>s.pinned + packet.capacity <= <u64>s.bufAlloc << 1;
}

/** Queues a receive buffer as it is. */
export function pinPacket(s: Socket, packet: Packet): void {
  assert(packet.received, "no receive buffer");
  s.pinned += packet.capacity;
  packetsOf(s).push(packet);
}

/** Counts `bytes` that have arrived, for which credit was spent. */
export function addUnread(s: Socket, bytes: u32): void {
  s.unread += bytes;
  assert(s.unread <= s.rxCnt - s.fwdCnt, "more than there is");
}

/** `bytes` have been read or lent. */
export function takeUnread(s: Socket, bytes: u32): void {
  assert(s.unread >= bytes, "more than there is");
  s.unread -= bytes;
}

/** A packet has left the queue for good. */
export function dropPacket(s: Socket, packet: Packet): void {
  if (packet.received) {
    assert(s.pinned >= packet.capacity, "wrong count");
    s.pinned -= packet.capacity;
  }
  releasePacket(packet);
}

/** A packet has left the queue, and the application has it. */
export function lendPacket(s: Socket, packet: Packet): void {
  assert(s.handle != 0 && !packet.next, "not its handle");
  packet.owner = s.handle;
  packet.epoch = s.epoch;
  s.loans++;
  takeUnread(s, packet.length - packet.offset);
}

/** The application has given a packet back. Returns the bytes that it has consumed by that. */
export function returnPacket(s: Socket, packet: Packet): u32 {
  assert(s.loans != 0 && packet.epoch == s.epoch, "not its loan");
  s.loans--;
  const bytes = packet.length - packet.offset;
  dropPacket(s, packet);
  return bytes;
}

/**
 * Drops all received data, which nobody will read. Lent packets stay with the application, but no
 * longer count.
 */
export function dropReceived(s: Socket): void {
  const packets = packetsOf(s);
  for (let p = packets.pop(); p; p = packets.pop()) releasePacket(p);
  consumeAll(s);
  s.pinned = s.loans = s.messages = s.unread = 0;
  s.partial = false;
  assert(packets.count == 0, "wrong count");
  s.epoch++;
}
