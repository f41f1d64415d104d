// The segment that is being received: its header and options, read once. Input runs in interrupts,
// one segment after the other, so there is one record.
import { IpHdr } from "../../../../abi/ip";
import {
  TCP_MAX_WINSHIFT,
  TcpHdr,
  TCPOLEN_MAXSEG,
  TCPOLEN_SACK_PERMITTED,
  TCPOLEN_TIMESTAMP,
  TCPOLEN_WINDOW,
  TCPOPT_EOL,
  TCPOPT_MAXSEG,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERMITTED,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
  TH_FIN,
  TH_SYN,
} from "../../../../abi/tcp";
import { loadBe16, loadBe32 } from "../bytes";

@unmanaged
export class Segment {
  source: u32; // address of the sender
  sourcePort: u32;
  destPort: u32;
  seq: u32;
  ack: u32;
  flags: u32;
  window: u32; // as it stands there, unscaled
  payload: usize;
  bytes: u32; // of payload
  parts: u32; // segments of the wire that the card has put together
  // options
  hasTimestamps: bool;
  tsVal: u32;
  tsEcr: u32;
  hasSack: bool; // SACK permitted
  blocks: u32; // of SACK, as they stand at blocksAt: from, to
  blocksAt: usize;
  hasShift: bool;
  shift: u32;
  mss: u32; // 0: not said
}

const segment = changetype<Segment>(memory.data(offsetof<Segment>()));

/** The segment that is being received. */
export function arriving(): Segment {
  return segment;
}

/** The sequence numbers that it takes: payload, SYN and FIN. */
export function lengthOf(g: Segment): u32 {
  return g.bytes + ((g.flags & TH_SYN) != 0 ? 1 : 0) + ((g.flags & TH_FIN) != 0 ? 1 : 0);
}

/** Reads a segment of `bytes` bytes after the IP header at `ip`. Returns false: it is malformed. */
export function parseSegment(ip: usize, tcp: usize, bytes: u32): bool {
  if (bytes < <u32>TcpHdr.sizeof) return false;
  const headerBytes: u32 = (<u32>load<u8>(tcp, TcpHdr.doff) >> 4) << 2;
  if (headerBytes < <u32>TcpHdr.sizeof || headerBytes > bytes) return false; // TC21
  const g = segment;
  g.source = loadBe32(ip, IpHdr.saddr);
  g.sourcePort = loadBe16(tcp, TcpHdr.source);
  g.destPort = loadBe16(tcp, TcpHdr.dest);
  g.seq = loadBe32(tcp, TcpHdr.seq);
  g.ack = loadBe32(tcp, TcpHdr.ack_seq);
  g.flags = load<u8>(tcp, TcpHdr.flags);
  g.window = loadBe16(tcp, TcpHdr.window);
  g.payload = tcp + headerBytes;
  g.bytes = bytes - headerBytes;
  g.parts = 1;
  g.hasTimestamps = g.hasSack = g.hasShift = false;
  g.mss = g.blocks = 0;
  readOptions(g, tcp + TcpHdr.sizeof, tcp + headerBytes);
  return g.sourcePort != 0 && g.destPort != 0;
}

/** TC24: unknown ones are skipped by their length; one that cannot be right ends the list. */
function readOptions(g: Segment, at: usize, end: usize): void {
  while (at < end) {
    const kind: u32 = load<u8>(at);
    if (kind == TCPOPT_EOL) return;
    if (kind == TCPOPT_NOP) {
      at++;
      continue;
    }
    const bytes: u32 = at + 1 < end ? load<u8>(at, 1) : 0;
    if (bytes < 2 || bytes > <u32>(end - at)) return;
    readOption(g, kind, at, bytes);
    at += bytes;
  }
}

function readOption(g: Segment, kind: u32, at: usize, bytes: u32): void {
  if (kind == TCPOPT_TIMESTAMP && bytes == TCPOLEN_TIMESTAMP) {
    g.hasTimestamps = true;
    g.tsVal = loadBe32(at, 2);
    g.tsEcr = loadBe32(at, 6);
  } else if ((g.flags & TH_SYN) == 0) {
    if (kind == TCPOPT_SACK && (bytes & 7) == 2) readBlocks(g, at, bytes); // the others: in a SYN
  } else if (kind == TCPOPT_MAXSEG && bytes == TCPOLEN_MAXSEG) {
    g.mss = loadBe16(at, 2);
  } else if (kind == TCPOPT_WINDOW && bytes == TCPOLEN_WINDOW) {
    g.hasShift = true;
    g.shift = min<u32>(load<u8>(at, 2), TCP_MAX_WINSHIFT);
  } else if (kind == TCPOPT_SACK_PERMITTED && bytes == TCPOLEN_SACK_PERMITTED) {
    g.hasSack = true;
  }
}

function readBlocks(g: Segment, at: usize, bytes: u32): void {
  g.blocks = (bytes - 2) >> 3;
  g.blocksAt = at + 2;
}
