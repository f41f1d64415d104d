// The rings of a card: those of each pair (virtio 5.1.2), and the control queue.
import { Errno } from "../../abi/errno";
import {
  NET_PAIRS_MAX,
  NET_QUEUE_CONTROL,
  NetConfig,
  NetHdr,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_MQ,
} from "../../abi/net";
import { ToroAllocMem, ToroFreeMem } from "../../kernel/memory";
import {
  CardCompletion,
  cardCompletion,
  cardIndirect,
  cardPairs,
  cardRxRing,
  cardTxRing,
} from "../../kernel/net/link/card-settings";
import { Packet } from "../../kernel/net/link/packet";
import { FreePacket } from "../../kernel/net/link/pool";
import { freeUnsent, TX_SEGMENTS_MAX } from "../send-ring";
import { initPair, NetDriver, NetPair, PAIR_BYTES, pairAt } from "./driver";
import { countBuffers, planBuffers } from "./plan";

/** A frame is a header and a payload, and no chain is longer than the ring (2.7.5.2). */
const RING_MIN: u32 = 2;
/** One command is on its way at a time: what the device reads, and what it writes. */
const CONTROL_SIZE: u32 = 2;

/** Makes all rings. Returns 0, -ENODEV, -EINVAL or -ENOMEM. */
export function makeRings(driver: NetDriver): i32 {
  const device = driver.device;
  const hasPairs = device.has(VIRTIO_NET_F_MQ);
  const most = hasPairs ? device.readConfig16(NetConfig.max_virtqueue_pairs) : 1;
  if (most == 0 || most > NET_PAIRS_MAX) return -Errno.EINVAL; // ND9
  driver.pairs = ToroAllocMem(min(most, cardPairs) * PAIR_BYTES);
  if (driver.pairs == 0) return -Errno.ENOMEM;
  driver.pairCount = min(most, cardPairs);
  driver.activePairs = 1;
  planBuffers(driver);
  for (let i: u32 = 0; i < driver.pairCount; i++) {
    initPair(driver, i);
    const made = attachPair(driver, pairAt(driver, i));
    if (made < 0) return made;
  }
  countBuffers(driver, pairAt(driver, 0).rx.size);
  if (!device.has(VIRTIO_NET_F_CTRL_VQ)) return 0;
  return driver.control.attach(device, hasPairs ? 2 * most : NET_QUEUE_CONTROL, CONTROL_SIZE, 0);
}

function attachPair(driver: NetDriver, pair: NetPair): i32 {
  const rx = pair.rx;
  const tx = pair.tx;
  const rxTable = cardIndirect ? driver.segments : 0;
  const txTable = cardIndirect ? TX_SEGMENTS_MAX : 0;
  let status = rx.attach(driver.device, 2 * pair.index, cardRxRing, rxTable);
  if (status == 0) status = tx.attach(driver.device, 2 * pair.index + 1, cardTxRing, txTable);
  if (status < 0) return status;
  tx.headerBytes = NetHdr.sizeof;
  tx.isSingle = cardCompletion == CardCompletion.Sync;
  tx.awaitsAll = cardCompletion == CardCompletion.Interrupt;
  return min(rx.size, tx.size) < RING_MIN ? -Errno.ENODEV : 0;
}

/** The device has failed and is reset: frees the packets that it had. */
export function reclaimPackets(driver: NetDriver): void {
  for (let i: u32 = 0; i < driver.pairCount; i++) {
    const rx = pairAt(driver, i).rx;
    for (let p = rx.reclaim(); p != 0; p = rx.reclaim()) FreePacket(changetype<Packet>(p));
    freeUnsent(pairAt(driver, i).tx);
  }
}

/** The device has been reset: frees the rings. */
export function destroyRings(driver: NetDriver): void {
  for (let i: u32 = 0; i < driver.pairCount; i++) {
    const pair = pairAt(driver, i);
    if (!pair.driver) continue; // it was not made
    pair.rx.destroy();
    pair.tx.destroy();
  }
  driver.control.destroy();
  ToroFreeMem(driver.pairs);
}
