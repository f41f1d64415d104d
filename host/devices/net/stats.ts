// Counters of a network device. Ethernet may lose frames: each that is dropped is counted.

/** Counters of a card, from the time it was made. */
export interface NetStats {
  framesFromGuest: number;
  framesToGuest: number;
  /** Without the virtio header. */
  bytesFromGuest: number;
  bytesToGuest: number;
  /** Bytes copied: into the guest's buffers, and into the queue for when it has posted none. */
  copiedToGuest: number;
  copiedToQueue: number;
  /** Buffers of the guest that were lent to flows, which read the host's sockets into them. */
  lent: number;
  /** Buffers of the guest that frames to it took, their descriptors, and the bytes they hold. */
  buffersToGuest: number;
  descriptorsToGuest: number;
  roomToGuest: number;
  /** Frames that were completed or cut by software, as their receiver does not do it. */
  completed: number;
  /** Commands of the guest that were wrong, or without their feature. */
  commandsRefused: number;
  /** Chains of the guest that hold no frame, or cannot hold any. */
  rejected: number;
  /** Frames dropped. */
  readonly dropped: {
    /** Longer than the MTU allows, in either direction. */
    tooLong: number;
    /** With work that the sender has not negotiated, or that cannot be done. */
    offload: number;
    /** To the guest: no driver, or the link is down; from it: the link is down. */
    noLink: number;
    /** To the guest, which has said that it does not want them. */
    filtered: number;
    /** To the guest, whose posted buffers are all too small. */
    noFit: number;
    /** To the guest, whose queue is full. */
    queueFull: number;
  };
}

export function createStats(): NetStats {
  return {
    framesFromGuest: 0,
    framesToGuest: 0,
    bytesFromGuest: 0,
    bytesToGuest: 0,
    copiedToGuest: 0,
    copiedToQueue: 0,
    lent: 0,
    buffersToGuest: 0,
    descriptorsToGuest: 0,
    roomToGuest: 0,
    completed: 0,
    commandsRefused: 0,
    rejected: 0,
    dropped: { tooLong: 0, offload: 0, noLink: 0, filtered: 0, noFit: 0, queueFull: 0 },
  };
}
