// The feature bits that the virtio-net driver accepts (virtio 5.1.3), by what its buffers hold.
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MAC,
  VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_NET_F_MTU,
  VIRTIO_NET_F_STATUS,
} from "../../abi/net";
import { CardBuffers, cardBuffers } from "../../kernel/net/link/card-settings";

const ALWAYS: u64 =
  (1 << VIRTIO_NET_F_MTU) |
  (1 << VIRTIO_NET_F_MAC) |
  (1 << VIRTIO_NET_F_STATUS) |
  (1 << VIRTIO_NET_F_CSUM) |
  (1 << VIRTIO_NET_F_GUEST_CSUM);

/** NW1: none without those that it needs. NW17: long frames only into buffers that hold them. */
export function wantedFeatures(offered: u64): u64 {
  let wanted = ALWAYS;
  const has = (offered >> VIRTIO_NET_F_MRG_RXBUF) & 1;
  const merges = cardBuffers == CardBuffers.Mergeable && has != 0;
  if (merges) wanted |= 1 << VIRTIO_NET_F_MRG_RXBUF;
  if (((offered >> VIRTIO_NET_F_CSUM) & 1) != 0) wanted |= 1 << VIRTIO_NET_F_HOST_TSO4;
  if (((offered >> VIRTIO_NET_F_GUEST_CSUM) & 1) != 0 && (merges || holdsSegments())) {
    wanted |= 1 << VIRTIO_NET_F_GUEST_TSO4;
  }
  return wanted;
}

/** Does one buffer hold a frame of many segments? */
function holdsSegments(): bool {
  return (
    cardBuffers == CardBuffers.Large ||
    cardBuffers == CardBuffers.Paged ||
    cardBuffers == CardBuffers.Mixed
  );
}
