// The statistics of the network: a block of u64 counters that the kernel keeps in its memory and
// the host may read at any time. The time page says where it is.

/** Byte offsets. All count payload bytes since boot, or since the socket was made. */
export const enum NetStats {
  sent = 0, // handed to a device
  received = 8, // taken from a device
  lent = 16, // of sent: out of the sender's own buffers
  loaned = 24, // of received: lent to the application where the device had put them
  userToPacket = 32, // copied
  packetToRing = 40, // copied
  ringToSocket = 48, // copied
  socketToUser = 56, // copied
  sizeof = 64,
}
