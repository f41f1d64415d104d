// A ring that sends packets: of vsock (virtio 5.10.6.4) and of network cards (5.1.6.2). Consumed
// packets are freed when the next one is sent or at any interrupt; the device is asked to interrupt
// for that only while somebody waits for a packet, or a packet takes much memory.
import { VECTOR_MAX } from "../kernel/iovec";
import {
  freeSent,
  LINGER_BYTES_MAX,
  NetworkInterface,
  ringHasRoom,
} from "../kernel/net/link/interface";
import { isInline, Packet, payloadOf, segmentOf, wireHeaderOf } from "../kernel/net/link/packet";
import { VirtQueue } from "./virtqueue";

/** The header, and the buffers of a gather send. */
export const TX_SEGMENTS_MAX: u32 = 1 + VECTOR_MAX;

/** A queue whose tokens are packets; embedded in a driver. */
@unmanaged
export class SendRing extends VirtQueue {
  iface: NetworkInterface;
  headerBytes: u32; // of the device's header; it ends where the payload of an inline packet begins
  awaited: u32; // packets in the ring that somebody waits for
  isSingle: bool; // has one packet in the ring at most
  awaitsAll: bool; // asks for an interrupt for each packet
}

function isAwaited(tx: SendRing, packet: Packet): bool {
  if (tx.awaitsAll) return true;
  return !packet.isLazy && (packet.completion != 0 || packet.capacity > LINGER_BYTES_MAX);
}

/**
 * Gives `packet` to the device. Returns false when the ring has no room for it, or the device has
 * failed.
 */
export function sendPacket(tx: SendRing, packet: Packet): bool {
  freeUsed(tx);
  const segments = segmentsOf(packet);
  while (!tx.device.failed && !mayAdd(tx, segments)) {
    if (!tx.enableInterrupts()) return false;
    freeUsed(tx);
  }
  if (tx.device.failed) return false;
  assert(packet.length <= packet.capacity || packet.segments != 0, "too large");
  const bytes = tx.headerBytes;
  const header = wireHeaderOf(packet, bytes);
  tx.begin(segments);
  if (packet.segments != 0) {
    tx.readable(header, bytes);
    for (let i: u32 = 0; i < packet.segments; i++) {
      const segment = segmentOf(packet, i);
      tx.readable(segment.base, segment.length);
    }
  } else if (isInline(packet)) {
    tx.readable(header, bytes + packet.length);
  } else {
    tx.readable(header, bytes);
    tx.readable(payloadOf(packet), packet.length);
  }
  tx.add(changetype<usize>(packet));
  if (isAwaited(tx, packet)) {
    tx.awaited++;
    tx.enableInterrupts();
  }
  tx.kick();
  return true;
}

function mayAdd(tx: SendRing, segments: u32): bool {
  return tx.hasRoom(segments) && (!tx.isSingle || tx.inFlight == 0);
}

function segmentsOf(packet: Packet): u32 {
  return packet.segments != 0 ? packet.segments + 1 : isInline(packet) ? 1 : 2;
}

/** Returns false when there was nothing to free. */
function freeUsed(tx: SendRing): bool {
  let freed = false;
  for (let token = tx.take(); token != 0; token = tx.take()) {
    const packet = changetype<Packet>(token);
    if (isAwaited(tx, packet)) {
      assert(tx.awaited != 0, "wrong count");
      tx.awaited--;
    }
    freeSent(packet);
    freed = true;
  }
  return freed;
}

/** Does anybody wait for a packet to be consumed, or a packet for room in the ring? */
function isWaitedFor(tx: SendRing): bool {
  return tx.awaited != 0 || tx.iface.outgoing.count != 0;
}

/** Frees packets that the device has consumed, and lets senders go on. */
export function collectSent(tx: SendRing): void {
  tx.disableInterrupts();
  let freed = freeUsed(tx);
  while (isWaitedFor(tx) && !tx.device.failed && tx.enableInterrupts()) {
    freed = freeUsed(tx) || freed;
  }
  if (freed && !tx.device.failed) ringHasRoom(tx.iface);
}

/** The device is reset: frees the packets that it had. */
export function freeUnsent(tx: SendRing): void {
  for (let p = tx.reclaim(); p != 0; p = tx.reclaim()) freeSent(changetype<Packet>(p));
}
