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
  // receive.ts
  size: u32; // of the buffers
  posted: u32; // buffers that the device has
  wanted: u32; // that it should have
  dropped: u32; // frames that break a rule of the wire
}
