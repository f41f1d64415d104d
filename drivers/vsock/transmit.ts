// The send side of the virtio-vsock driver (virtio 5.10.6.4). Consumed packets are freed when the
// next one is sent or at any interrupt; the device is asked to interrupt for that only while
// somebody waits for a packet, or a packet takes much memory.
import { VsockHdr } from "../../abi/vsock";
import { nowNs } from "../../kernel/clock";
import { VECTOR_MAX } from "../../kernel/iovec";
import { freeSent, LINGER_BYTES_MAX, ringHasRoom } from "../../kernel/net/link/interface";
import {
  headerOf,
  isInline,
  Packet,
  payloadOf,
  segmentOf,
} from "../../kernel/net/link/packet";
import { startTimer } from "../../kernel/timer";
import { VsockDriver } from "./driver";

/** The header, and the buffers of a gather send. */
export const TX_SEGMENTS_MAX: u32 = 1 + VECTOR_MAX;

function isAwaited(packet: Packet): bool {
  return packet.completion != 0 || packet.capacity > LINGER_BYTES_MAX;
}

/**
 * Gives `packet` to the device. Returns false when the ring has no room for it, or the device has
 * failed. Then a timer gives the device up: connections must not end under their senders.
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
  assert(packet.length <= packet.capacity || packet.segments != 0, "too large");
  tx.begin(segments);
  if (packet.segments != 0) {
    tx.readable(headerOf(packet), VsockHdr.sizeof);
    for (let i: u32 = 0; i < packet.segments; i++) {
      const segment = segmentOf(packet, i);
      tx.readable(segment.base, segment.length);
    }
  } else if (isInline(packet)) {
    tx.readable(headerOf(packet), VsockHdr.sizeof + packet.length);
  } else {
    tx.readable(headerOf(packet), VsockHdr.sizeof);
    tx.readable(payloadOf(packet), packet.length);
  }
  tx.add(changetype<usize>(packet));
  if (isAwaited(packet)) {
    driver.awaited++;
    tx.enableInterrupts();
  }
  tx.kick();
  return true;
}

function segmentsOf(packet: Packet): u32 {
  return packet.segments != 0 ? packet.segments + 1 : isInline(packet) ? 1 : 2;
}

/** Returns false when there was nothing to free. */
function freeUsed(driver: VsockDriver): bool {
  const tx = driver.tx;
  let freed = false;
  for (let token = tx.take(); token != 0; token = tx.take()) {
    const packet = changetype<Packet>(token);
    if (isAwaited(packet)) {
      assert(driver.awaited != 0, "wrong count");
      driver.awaited--;
    }
    freeSent(packet);
    freed = true;
  }
  return freed;
}

/** Does anybody wait for a packet to be consumed, or a packet for room in the ring? */
function isWaitedFor(driver: VsockDriver): bool {
  return driver.awaited != 0 || driver.iface.outgoing.count != 0;
}

/** Frees packets that the device has consumed, and lets senders go on. */
export function collect(driver: VsockDriver): void {
  const tx = driver.tx;
  tx.disableInterrupts();
  let freed = freeUsed(driver);
  while (isWaitedFor(driver) && !driver.device.failed && tx.enableInterrupts()) {
    freed = freeUsed(driver) || freed;
  }
  if (freed && !driver.device.failed) ringHasRoom(driver.iface);
}
