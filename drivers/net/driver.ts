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
  iface: NetworkInterface;
  card: EthernetCard;
  end: Timer; // runs giveUp() after a send has found that the device failed
  // rings.ts
  pairs: usize; // NetPairs of PAIR_BYTES
  pairCount: u32; // those that are set up
  // plan.ts
  size: u32; // pool class of the buffers
  large: u32; // of the large ones in a mixed ring
  largeWanted: u32; // large ones that a queue should have
  parts: u32; // pages of a buffer after its first
  segments: u32; // descriptors of a buffer at most
  wanted: u32; // buffers that a queue should have
  // control.ts
  control: VirtQueue;
  command: usize; // the buffer of commands, and the answer after it
  pending: u32; // the command that the device has
  mustAcknowledge: bool; // that the machine has announced itself
  patience: Timer; // ends with the device's failure
  activePairs: u32; // those that frames are sent on
}

/** Two queues of the device. */
@unmanaged
export class NetPair {
  driver: NetDriver;
  rx: VirtQueue;
  tx: SendRing;
  index: u32;
  // buffers.ts
  posted: u32; // buffers that the device has
  larges: u32; // of those
}

const RX: usize = (offsetof<NetPair>() + 7) & ~7;
const TX: usize = RX + offsetof<VirtQueue>();
/** Bytes of a pair, which embeds its rings. */
export const PAIR_BYTES: u32 = <u32>((TX + offsetof<SendRing>() + 7) & ~7);

export function pairAt(driver: NetDriver, i: u32): NetPair {
  return changetype<NetPair>(driver.pairs + i * PAIR_BYTES);
}

/** Makes pair `i` in its zeroed memory. */
export function initPair(driver: NetDriver, i: u32): void {
  const pair = pairAt(driver, i);
  const address = changetype<usize>(pair);
  pair.driver = driver;
  pair.index = i;
  pair.rx = changetype<VirtQueue>(address + RX);
  pair.tx = changetype<SendRing>(address + TX);
  pair.tx.iface = driver.iface;
}
