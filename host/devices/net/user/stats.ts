// Counters of a `user` network. What is dropped, refused or ended is counted by its reason.

/** Counters of a `user` network, of all its guests. */
export interface UserNetworkStats {
  /** Flows that there are now. */
  tcpFlows: number;
  udpFlows: number;
  /** Connections of the guest to the host's network, and of its clients to the guest. */
  outbound: number;
  inbound: number;
  /** Payload of connections. */
  bytesToGuest: number;
  bytesFromGuest: number;
  segmentsSent: number;
  retransmitted: number;
  /** Bytes to the guest: all, those read in place, and those of them that had to be copied out. */
  bytesRead: number;
  bytesInPlace: number;
  bytesCopiedOut: number;
  datagramsSent: number;
  datagramsReceived: number;
  /** Frames of guests that were dropped. */
  readonly dropped: {
    /** From another MAC or IPv4 address than the card's (NB28), or to another MAC. */
    source: number;
    foreign: number;
    /** Fragments, IPv4 options, IPv6, other types and protocols (NB29). */
    fragment: number;
    options: number;
    ipv6: number;
    protocol: number;
    /** Lengths or fields that cannot be, and wrong checksums. */
    malformed: number;
    checksum: number;
    /** Segments beyond the window, or not the next one, and those that found no slab. */
    window: number;
    order: number;
    noSlab: number;
    /** Datagrams to closed addresses, beyond the flows that may be, or while the host is busy. */
    closed: number;
    flows: number;
    busy: number;
    /** Segments to the guest that found no posted buffer, with whenOut "drop". */
    noBuffer: number;
  };
  /** Connections that were not made: refused by the policy, the host, the guest, or too many. */
  readonly refused: { policy: number; host: number; guest: number; flows: number };
  /** Connections that were broken off: by either side, by silence, or to make room. */
  readonly ended: {
    byHost: number;
    byGuest: number;
    vanished: number;
    evicted: number;
    /** The guest has dropped what was read in place, and cannot be sent again. */
    hole: number;
    reset: number;
  };
  /** Datagrams of the host that were longer than the guest's MTU. */
  tooLong: number;
}

export function createUserStats(): UserNetworkStats {
  return {
    tcpFlows: 0,
    udpFlows: 0,
    outbound: 0,
    inbound: 0,
    bytesToGuest: 0,
    bytesFromGuest: 0,
    segmentsSent: 0,
    retransmitted: 0,
    bytesRead: 0,
    bytesInPlace: 0,
    bytesCopiedOut: 0,
    datagramsSent: 0,
    datagramsReceived: 0,
    dropped: {
      ...{ source: 0, foreign: 0, fragment: 0, options: 0, ipv6: 0, protocol: 0 },
      ...{ malformed: 0, checksum: 0, window: 0, order: 0, noSlab: 0 },
      ...{ closed: 0, flows: 0, busy: 0, noBuffer: 0 },
    },
    refused: { policy: 0, host: 0, guest: 0, flows: 0 },
    ended: { byHost: 0, byGuest: 0, vanished: 0, evicted: 0, hole: 0, reset: 0 },
    tooLong: 0,
  };
}
