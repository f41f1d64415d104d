// Virtio network device (virtio 5.1): the wire.

/** 5.1.2 Virtqueues of a device without multiple pairs and control queue. */
export const NET_QUEUE_RX = 0;
export const NET_QUEUE_TX = 1;

/** 5.1.3 Feature bits. Bit numbers. */
export const VIRTIO_NET_F_CSUM = 0;
export const VIRTIO_NET_F_GUEST_CSUM = 1;
export const VIRTIO_NET_F_MTU = 3;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_GUEST_TSO4 = 7;
export const VIRTIO_NET_F_HOST_TSO4 = 11;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_STATUS = 16;
export const VIRTIO_NET_F_CTRL_VQ = 17;
export const VIRTIO_NET_F_CTRL_RX = 18;
export const VIRTIO_NET_F_GUEST_ANNOUNCE = 21;
export const VIRTIO_NET_F_MQ = 22;

/** 5.1.4 struct virtio_net_config, as far as those features make it valid. Byte offsets. */
export const enum NetConfig {
  mac = 0, // 6 octets; MAC
  status = 6, // le16; STATUS
  max_virtqueue_pairs = 8, // le16; MQ
  mtu = 10, // le16; MTU
}
export const NET_CONFIG_BYTES = 12;

/** 5.1.4 Bits of the status. */
export const VIRTIO_NET_S_LINK_UP = 1;
export const VIRTIO_NET_S_ANNOUNCE = 2;

/** 5.1.6 struct virtio_net_hdr, in front of each frame. Byte offsets. */
export const enum NetHdr {
  flags = 0, // u8
  gso_type = 1, // u8
  hdr_len = 2, // le16, a hint
  gso_size = 4, // le16
  csum_start = 6, // le16
  csum_offset = 8, // le16
  num_buffers = 10, // le16; receive: buffers of this packet, transmit: 0
  sizeof = 12,
}
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;
export const VIRTIO_NET_HDR_GSO_NONE = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;

/** 5.1.4.1 The least MTU. */
export const NET_MTU_MIN: u32 = 68;
/** The MTU of a device that does not say. */
export const NET_MTU_DEFAULT: u32 = 1500;
/** 5.1.6.3.1: of the longest frame, one of many segments. */
export const NET_FRAME_BYTES_MAX: u32 = 65550;

/** 5.1.2: two queues of each pair, and then the control queue. */
export const NET_QUEUE_CONTROL = 2; // without MQ

/** 5.1.6.5 struct virtio_net_ctrl: class, command, data; then the device's answer. */
export const enum NetControl {
  class_ = 0, // u8
  command = 1, // u8
  data = 2,
}
export const VIRTIO_NET_OK = 0;
export const VIRTIO_NET_ERR = 1;
/** Classes and their commands. */
export const VIRTIO_NET_CTRL_RX = 0;
export const VIRTIO_NET_CTRL_RX_PROMISC = 0; // u8: on or off
export const VIRTIO_NET_CTRL_RX_ALLMULTI = 1; // u8
export const VIRTIO_NET_CTRL_MAC = 1;
export const VIRTIO_NET_CTRL_MAC_TABLE_SET = 0; // twice: le32 entries, and their MACs
export const VIRTIO_NET_CTRL_ANNOUNCE = 3;
export const VIRTIO_NET_CTRL_ANNOUNCE_ACK = 0;
export const VIRTIO_NET_CTRL_MQ = 4;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0; // le16
/** 5.1.5: pairs of queues, as a device may have. */
export const NET_PAIRS_MAX: u32 = 0x8000;
