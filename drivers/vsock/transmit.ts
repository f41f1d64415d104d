// The send side of the virtio-vsock driver (virtio 5.10.6.4). Packets that the device has consumed
// are freed when the next one is sent or anything interrupts; it is asked to interrupt for them
// only while somebody waits for that, or much memory does.
import { NetStats } from "../../abi/stats";
import { VsockHdr } from "../../abi/vsock";
import { nowNs } from "../../kernel/clock";
import { freeSent, LINGER_BYTES_MAX, ringHasRoom } from "../../kernel/net/link/interface";
import {
  AllocatePacket,
  FreePacket,
  headerOf,
  isInline,
  Packet,
  payloadOf,
  segmentOf,
} from "../../kernel/net/link/packet";
import { VECTOR_MAX } from "../../kernel/iovec";
import { findSocket, NO_SOCKET, statsOf } from "../../kernel/net/socket/socket";
import { copyPayload, NO_STATS } from "../../kernel/net/socket/stats";
import { startTimer } from "../../kernel/timer";
import { VsockDriver } from "./driver";

/** The header, and what a gather send may consist of. */
export const TX_SEGMENTS_MAX: u32 = 1 + VECTOR_MAX;

function isAwaited(packet: Packet): bool {
  return packet.lending != null || packet.capacity > LINGER_BYTES_MAX || packet.sender != 0;
}

/**
 * Gives `packet` to the device. Returns false when the ring has no room for it, or the device has
 * failed: it is given up behind this, for connections are not to end under those who send on them.
 */
export function transmit(driver: VsockDriver, packet: Packet): bool {
  const tx = driver.tx;
  freeUsed(driver);
  const segments = segmentsOf(packet);
  while (!driver.device.failed && !tx.hasRoom(segments)) {
    if (!tx.enableInterrupts()) return false;
    freeUsed(driver);
  }
  if (driver.device.failed) {
    startTimer(driver.end, nowNs());
    return false;
  }
  const sent = packet.bounced ? bounce(packet) : packet;
  tx.begin(segmentsOf(sent));
  if (sent.segments != 0) {
    tx.readable(headerOf(sent), VsockHdr.sizeof);
    for (let i: u32 = 0; i < sent.segments; i++) {
      const segment = segmentOf(sent, i);
      tx.readable(segment.base, segment.length);
    }
  } else if (isInline(sent)) {
    tx.readable(headerOf(sent), VsockHdr.sizeof + sent.length);
  } else {
    tx.readable(headerOf(sent), VsockHdr.sizeof);
    tx.readable(payloadOf(sent), sent.length);
  }
  tx.add(changetype<usize>(sent));
  if (isAwaited(sent)) {
    driver.awaited++;
    tx.enableInterrupts();
  }
  tx.kick();
  return true;
}

function segmentsOf(packet: Packet): u32 {
  return packet.segments != 0 ? packet.segments + 1 : isInline(packet) ? 1 : 2;
}

/**
 * The second copy of two: into a buffer of the driver's own, like the packet, which is free then.
 */
function bounce(packet: Packet): Packet {
  const buffer = AllocatePacket(packet.capacity);
  if (!buffer) return packet; // without memory it goes as it is
  const header = headerOf(packet);
  memory.copy(headerOf(buffer), header, VsockHdr.sizeof);
  const s = findSocket(
    packet.iface,
    load<u32>(header, VsockHdr.src_port),
    load<u32>(header, VsockHdr.dst_cid),
    load<u32>(header, VsockHdr.dst_port),
  );
  const stats = s == NO_SOCKET ? NO_STATS : statsOf(s);
  const from = payloadOf(packet);
  copyPayload(stats, NetStats.packetToRing, payloadOf(buffer), from, packet.length);
  buffer.iface = packet.iface;
  buffer.sender = packet.sender;
  buffer.length = packet.length;
  FreePacket(packet);
  return buffer;
}

/** Returns false when there was nothing to free. */
function freeUsed(driver: VsockDriver): bool {
  const tx = driver.tx;
  let freed = false;
  for (let token = tx.take(); token != 0; token = tx.take()) {
    const packet = changetype<Packet>(token);
    if (isAwaited(packet)) driver.awaited--;
    freeSent(packet);
    freed = true;
  }
  return freed;
}

/** Does anybody wait for the device to consume packets, or packets for room in the ring? */
function isWaitedFor(driver: VsockDriver): bool {
  return driver.awaited != 0 || driver.iface.outgoing.count != 0;
}

/** Frees what the device has consumed, and lets senders go on. */
export function collect(driver: VsockDriver): void {
  const tx = driver.tx;
  tx.disableInterrupts();
  let freed = freeUsed(driver);
  while (isWaitedFor(driver) && !driver.device.failed && tx.enableInterrupts()) {
    freed = freeUsed(driver) || freed;
  }
  if (freed && !driver.device.failed) ringHasRoom(driver.iface);
}
