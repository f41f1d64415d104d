// The send side of the virtio-net driver (virtio 5.1.6.2).
import { EthernetHdr } from "../../abi/ethernet";
import { nowNs } from "../../kernel/clock";
import { frameBytesMax } from "../../kernel/net/link/card";
import { assertOffload, segmentBytesOf } from "../../kernel/net/link/offload";
import { Packet } from "../../kernel/net/link/packet";
import { startTimer } from "../../kernel/timer";
import { sendPacket } from "../send-ring";
import { NetDriver, pairAt } from "./driver";
import { flowOf } from "./flow";

/**
 * Gives a frame to the device. Returns false when the ring has no room for it, or the device has
 * failed: then a timer gives the device up, so that nothing ends under its sender.
 */
export function transmit(driver: NetDriver, packet: Packet): bool {
  const card = driver.card;
  const isCut = segmentBytesOf(packet) != 0;
  const bytesMax = isCut ? card.segmentsBytesMax + EthernetHdr.sizeof : frameBytesMax(card);
  assert(packet.length <= bytesMax, "too large"); // NW6
  assertOffload(packet, card);
  const pair = driver.activePairs == 1 ? 0 : flowOf(packet) % driver.activePairs;
  if (sendPacket(pairAt(driver, pair).tx, packet)) return true;
  if (driver.device.failed) startTimer(driver.end, nowNs());
  return false;
}
