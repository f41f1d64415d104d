// Counters of the network, for tests and tools: each packet that is dropped, by reason.

@unmanaged
export class InetStats {
  frames: u32; // received
  notForUs: u32; // another's MAC, or multicast
  otherType: u32; // neither IPv4 nor ARP
  badArp: u32;
  badHeader: u32; // IPv4: version, lengths, checksum
  badSource: u32; // no host's address, or our own
  notOurs: u32; // a destination that is not ours, or broadcast of what must not be
  fragments: u32;
  sourceRoutes: u32;
  otherProtocol: u32;
  badIcmp: u32;
  echoes: u32; // answered
  echoesLimited: u32; // not answered: too many in this second
  arpRequests: u32; // sent
  conflicts: u32; // somebody claims our address
  badIcmpErrors: u32; // they quote no packet of ours
  errorsSent: u32; // port unreachable
  errorsLimited: u32; // not sent: too many in this second
  loopbackFull: u32; // packets to ourselves
  badUdp: u32; // lengths, checksum
  noUdpPort: u32; // nobody has the port, or takes datagrams of that sender
  udpFull: u32; // the receiver's queue, or no memory
  badDhcp: u32; // messages that are malformed, of another transaction, or offer nothing usable
  dhcpDeclines: u32; // addresses that somebody else had
  badTcp: u32; // lengths, checksum
  noTcpMemory: u32; // ends of a handshake: no memory for a socket, or its window; it is tried again
}

const stats = changetype<InetStats>(memory.data(offsetof<InetStats>()));

export function inetStats(): InetStats {
  return stats;
}
