// The feature bits that the virtio-net driver accepts (virtio 5.1.3), by what its buffers hold.
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
} from "../../abi/net";
import { CardBuffers, cardBuffers, cardPairs } from "../../kernel/net/link/card-settings";

const ALWAYS: u64 =
  (1 << VIRTIO_NET_F_MTU) |
  (1 << VIRTIO_NET_F_MAC) |
  (1 << VIRTIO_NET_F_STATUS) |
  (1 << VIRTIO_NET_F_CSUM) |
  (1 << VIRTIO_NET_F_GUEST_CSUM);

function isOffered(offered: u64, bit: u32): bool {
  return ((offered >> bit) & 1) != 0;
}

/** NW1: none without those that it needs. NW17: long frames only into buffers that hold them. */
export function wantedFeatures(offered: u64): u64 {
  let wanted = ALWAYS;
  const merges = mayMerge() && isOffered(offered, VIRTIO_NET_F_MRG_RXBUF);
  if (merges) wanted |= 1 << VIRTIO_NET_F_MRG_RXBUF;
  if (isOffered(offered, VIRTIO_NET_F_CSUM)) wanted |= 1 << VIRTIO_NET_F_HOST_TSO4;
  if (isOffered(offered, VIRTIO_NET_F_GUEST_CSUM) && (merges || holdsSegments())) {
    wanted |= 1 << VIRTIO_NET_F_GUEST_TSO4;
  }
  return isOffered(offered, VIRTIO_NET_F_CTRL_VQ) ? wanted | controlFeatures(offered) : wanted;
}

/** The control queue, if there is a use for it (NW33). */
function controlFeatures(offered: u64): u64 {
  let wanted: u64 = 0;
  if (cardPairs > 1) wanted |= 1 << VIRTIO_NET_F_MQ;
  if (isOffered(offered, VIRTIO_NET_F_STATUS)) wanted |= 1 << VIRTIO_NET_F_GUEST_ANNOUNCE;
  wanted &= offered;
  return wanted != 0 ? wanted | (1 << VIRTIO_NET_F_CTRL_VQ) : 0;
}

/** Large ones serve a device that merges as well: a frame takes one then. */
function mayMerge(): bool {
  return cardBuffers == CardBuffers.Mergeable || cardBuffers == CardBuffers.Fitting;
}

/** Does one buffer hold a frame of many segments? */
function holdsSegments(): bool {
  return (
    cardBuffers == CardBuffers.Large ||
    cardBuffers == CardBuffers.Paged ||
    cardBuffers == CardBuffers.Mixed
  );
}
