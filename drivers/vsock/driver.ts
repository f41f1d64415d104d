// What the parts of the virtio-vsock driver share.
import { NetworkInterface } from "../../kernel/net/link/interface";
import { Timer } from "../../kernel/timer";
import { VirtioDevice } from "../virtio";
import { VirtQueue } from "../virtqueue";

@unmanaged
export class VsockDriver {
  device: VirtioDevice;
  rx: VirtQueue;
  tx: VirtQueue;
  event: VirtQueue;
  iface: NetworkInterface;
  events: usize; // the event queue's buffers
  end: Timer; // runs when a send has found that the device failed
  largeWanted: u32; // receive buffers of the large class that the ring should hold
  large: u32; // that it holds
  awaited: u32; // sent packets whose end somebody waits for
}
