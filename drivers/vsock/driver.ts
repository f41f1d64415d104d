// The state of the virtio-vsock driver.
import { NetworkInterface } from "../../kernel/net/link/interface";
import { Timer } from "../../kernel/timer";
import { SendRing } from "../send-ring";
import { VirtioDevice } from "../virtio";
import { VirtQueue } from "../virtqueue";

@unmanaged
export class VsockDriver {
  device: VirtioDevice;
  rx: VirtQueue;
  tx: SendRing;
  event: VirtQueue;
  iface: NetworkInterface;
  events: usize; // the event queue's buffers
  end: Timer; // runs giveUp() after a send has found that the device failed
  // receive.ts
  largeWanted: u32; // large buffers that the receive ring should hold
  large: u32; // that it holds
}
