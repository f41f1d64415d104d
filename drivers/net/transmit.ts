// The send side of the virtio-net driver (virtio 5.1.6.2).
import { NetHdr } from "../../abi/net";
import { nowNs } from "../../kernel/clock";
import { frameBytesMax } from "../../kernel/net/link/card";
import { Packet } from "../../kernel/net/link/packet";
import { startTimer } from "../../kernel/timer";
import { sendPacket, wireHeaderOf } from "../send-ring";
import { NetDriver } from "./driver";

/**
 * Gives a frame to the device. Returns false when the ring has no room for it, or the device has
 * failed: then a timer gives the device up, so that nothing ends under its sender.
 */
export function transmit(driver: NetDriver, packet: Packet): bool {
  assert(packet.length <= frameBytesMax(driver.card), "too large"); // NW6
  // No offload is negotiated: the whole header is 0 (NW10, NW11).
  memory.fill(wireHeaderOf(packet, NetHdr.sizeof), 0, NetHdr.sizeof);
  if (sendPacket(driver.tx, packet)) return true;
  if (driver.device.failed) startTimer(driver.end, nowNs());
  return false;
}
