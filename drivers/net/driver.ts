// The state of the virtio-net driver.
import { EthernetCard } from "../../kernel/net/link/card";
import { NetworkInterface } from "../../kernel/net/link/interface";
import { Timer } from "../../kernel/timer";
import { SendRing } from "../send-ring";
import { VirtioDevice } from "../virtio";
import { VirtQueue } from "../virtqueue";

@unmanaged
export class NetDriver {
  device: VirtioDevice;
  rx: VirtQueue;
  tx: SendRing;
  iface: NetworkInterface;
  card: EthernetCard;
  end: Timer; // runs giveUp() after a send has found that the device failed
  // plan.ts
  size: u32; // pool class of the buffers
  large: u32; // of the large ones in a mixed ring
  largeWanted: u32; // large ones that the device should have
  parts: u32; // pages of a buffer after its first
  segments: u32; // descriptors of a buffer at most
  wanted: u32; // buffers that the device should have
  // buffers.ts
  posted: u32; // buffers that the device has
  larges: u32; // of those
}
