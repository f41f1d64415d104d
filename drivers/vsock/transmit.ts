// The send side of the virtio-vsock driver (virtio 5.10.6.4).
import { nowNs } from "../../kernel/clock";
import { Packet } from "../../kernel/net/link/packet";
import { startTimer } from "../../kernel/timer";
import { sendPacket } from "../send-ring";
import { VsockDriver } from "./driver";

/**
 * Gives `packet` to the device. Returns false when the ring has no room for it, or the device has
 * failed. Then a timer gives the device up: connections must not end under their senders.
 */
export function transmit(driver: VsockDriver, packet: Packet): bool {
  if (sendPacket(driver.tx, packet)) return true;
  if (driver.device.failed) startTimer(driver.end, nowNs());
  return false;
}
