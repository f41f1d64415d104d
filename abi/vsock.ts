// Virtio socket device (virtio 5.10): the wire.

export const VSOCK_QUEUE_RX = 0;
export const VSOCK_QUEUE_TX = 1;
export const VSOCK_QUEUE_EVENT = 2;

/** 5.10.3 Feature bits. Bit numbers. */
export const VIRTIO_VSOCK_F_STREAM = 0;
export const VIRTIO_VSOCK_F_SEQPACKET = 1;
/** Without it, SEQPACKET does not say that there are no streams. */
export const VIRTIO_VSOCK_F_NO_IMPLIED_STREAM = 2;

/** 5.10.4 struct virtio_vsock_config. Byte offsets. */
export const enum VsockConfig {
  guest_cid = 0, // le64, upper half 0
  sizeof = 8,
}

export const VMADDR_CID_HOST = 2;
/** The lowest CID that a guest may have: 0, 1 and 2 are reserved. */
export const VMADDR_CID_MIN = 3;
export const VMADDR_CID_ANY = 0xffffffff;
export const VMADDR_PORT_ANY = 0xffffffff;

/** 5.10.6 struct virtio_vsock_hdr. Byte offsets. */
export const enum VsockHdr {
  src_cid = 0, // le64, upper half 0
  dst_cid = 8, // le64, upper half 0
  src_port = 16, // le32
  dst_port = 20, // le32
  len = 24, // le32, payload bytes
  type = 28, // le16
  op = 30, // le16
  flags = 32, // le32
  buf_alloc = 36, // le32, sender's receive buffer for this connection
  fwd_cnt = 40, // le32, running total of payload bytes that the sender has consumed
  sizeof = 44,
}

/** 5.10.6.2 */
export const VIRTIO_VSOCK_TYPE_STREAM = 1;
export const VIRTIO_VSOCK_TYPE_SEQPACKET = 2;

/** 5.10.6 enum virtio_vsock_op. */
export const enum VsockOp {
  INVALID = 0,
  REQUEST = 1,
  RESPONSE = 2,
  RST = 3,
  SHUTDOWN = 4,
  RW = 5,
  CREDIT_UPDATE = 6,
  CREDIT_REQUEST = 7,
}

/** 5.10.6.5 Flags of SHUTDOWN; they accumulate. */
export const VIRTIO_VSOCK_SHUTDOWN_RCV = 1; // the sender will not receive any more
export const VIRTIO_VSOCK_SHUTDOWN_SEND = 2; // the sender will not send any more
export const VIRTIO_VSOCK_SHUTDOWN_BOTH = 3;

/** 5.10.6.6 Flags of RW on a seqpacket socket: the end of a message, and of a record. */
export const VIRTIO_VSOCK_SEQ_EOM = 1;
export const VIRTIO_VSOCK_SEQ_EOR = 2;

/** Largest payload of one packet, as in the implementations that exist. */
export const VSOCK_PACKET_BYTES_MAX = 65536;

/**
 * A CREDIT_UPDATE that changes nothing reports progress: the peer's client has taken this many of
 * the bytes that were consumed before. To other devices and drivers it means nothing.
 */
export const VSOCK_PROGRESS_BYTES = 512;

/** 5.10.6.7 struct virtio_vsock_event. */
export const VSOCK_EVENT_BYTES: u32 = 4;
export const VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0;

/** 5.10.6.3 Bytes that may still be sent: u32 arithmetic, saturating at 0 when the peer shrank. */
export function vsockCredit(bufAlloc: u32, txCnt: u32, fwdCnt: u32): u32 {
  const inFlight = (txCnt - fwdCnt) >>> 0;
  return inFlight >= bufAlloc ? 0 : bufAlloc - inFlight;
}
