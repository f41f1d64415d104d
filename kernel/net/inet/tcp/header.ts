// Headers of TCP on their way out: fields and options in the order of the machine, then on the wire
// (RFC 9293, 3.1; RFC 7323; RFC 2018).
import { IPPROTO_TCP } from "../../../../abi/ip";
import {
  TcpHdr,
  TCPOLEN_MAXSEG,
  TCPOLEN_SACK_PERMITTED,
  TCPOLEN_TIMESTAMP,
  TCPOLEN_WINDOW,
  TCPOPT_MAXSEG,
  TCPOPT_NOP,
  TCPOPT_SACK,
  TCPOPT_SACK_PERMITTED,
  TCPOPT_TIMESTAMP,
  TCPOPT_WINDOW,
} from "../../../../abi/tcp";
import { storeBe16, storeBe32 } from "../bytes";
import { sourceFor } from "../local";

/** The header that is about to be sent, in the order of the machine. */
@unmanaged
export class Header {
  localPort: u32;
  remoteAddress: u32;
  remotePort: u32;
  seq: u32;
  ack: u32;
  flags: u32;
  window: u32; // as it goes on the wire
  // options
  mss: u32; // 0: none
  shift: i32; // -1: none
  hasSack: bool; // permitted
  hasTimestamps: bool;
  tsVal: u32;
  tsEcr: u32;
  blocks: u32; // of SACK, at blocksOf()
  segmentBytes: u32; // above 0: the card cuts the payload into segments of that many bytes
}

const BLOCKS_MAX: u32 = 4;
const header = changetype<Header>(memory.data(offsetof<Header>()));
const blocks: usize = memory.data(32);

/** A header without options, for a segment between these. */
export function newHeader(localPort: u32, remoteAddress: u32, remotePort: u32): Header {
  memory.fill(changetype<usize>(header), 0, offsetof<Header>());
  header.localPort = localPort;
  header.remoteAddress = remoteAddress;
  header.remotePort = remotePort;
  header.shift = -1;
  return header;
}

/** Adds a block of SACK, [from, to). Returns false when there is no room. */
export function addBlock(h: Header, from: u32, to: u32): bool {
  if (h.blocks == (h.hasTimestamps ? BLOCKS_MAX - 1 : BLOCKS_MAX)) return false;
  storeBe32(blocks + (h.blocks << 3), from, 0);
  storeBe32(blocks + (h.blocks << 3), to, 4);
  h.blocks++;
  return true;
}

/** Bytes of the header with its options, which are padded to words. */
export function headerBytesFor(h: Header): u32 {
  let bytes: u32 = TcpHdr.sizeof;
  if (h.mss != 0) bytes += TCPOLEN_MAXSEG;
  if (h.shift >= 0) bytes += 1 + TCPOLEN_WINDOW;
  if (h.hasSack) bytes += 2 + TCPOLEN_SACK_PERMITTED;
  if (h.hasTimestamps) bytes += 2 + TCPOLEN_TIMESTAMP;
  if (h.blocks != 0) bytes += 4 + (h.blocks << 3);
  return bytes;
}

/** Writes a header of headerBytesFor() bytes; its checksum is 0. */
export function writeHeader(h: Header, at: usize, bytes: u32): void {
  storeBe16(at, h.localPort, TcpHdr.source);
  storeBe16(at, h.remotePort, TcpHdr.dest);
  storeBe32(at, h.seq, TcpHdr.seq);
  storeBe32(at, h.ack, TcpHdr.ack_seq);
  store<u8>(at, <u8>((bytes >> 2) << 4), TcpHdr.doff);
  store<u8>(at, <u8>h.flags, TcpHdr.flags);
  storeBe16(at, h.window, TcpHdr.window);
  store<u32>(at, 0, TcpHdr.check); // and no urgent data
  writeOptions(h, at + TcpHdr.sizeof);
}

function writeOptions(h: Header, at: usize): void {
  let to = at;
  if (h.mss != 0) {
    to = option(to, TCPOPT_MAXSEG, TCPOLEN_MAXSEG);
    storeBe16(to, h.mss, 0);
    to += 2;
  }
  if (h.shift >= 0) {
    to = option(padding(to, 1), TCPOPT_WINDOW, TCPOLEN_WINDOW);
    store<u8>(to, <u8>h.shift);
    to += 1;
  }
  if (h.hasSack) to = option(padding(to, 2), TCPOPT_SACK_PERMITTED, TCPOLEN_SACK_PERMITTED);
  if (h.hasTimestamps) {
    to = option(padding(to, 2), TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP);
    storeBe32(to, h.tsVal, 0);
    storeBe32(to, h.tsEcr, 4);
    to += 8;
  }
  if (h.blocks == 0) return;
  to = option(padding(to, 2), TCPOPT_SACK, 2 + (h.blocks << 3));
  memory.copy(to, blocks, h.blocks << 3);
}

function padding(to: usize, bytes: u32): usize {
  memory.fill(to, <u8>TCPOPT_NOP, bytes);
  return to + bytes;
}

/** Writes kind and length. Returns where the rest goes. */
function option(to: usize, kind: u32, bytes: u32): usize {
  store<u8>(to, <u8>kind);
  store<u8>(to, <u8>bytes, 1);
  return to + 2;
}

/**
 * The sum of the pseudo header (RFC 9293, 3.1), words as they lie in memory, of a segment of
 * `bytes` bytes.
 */
export function pseudoSum(h: Header, bytes: u32): u64 {
  const addresses = <u64>bswap<u32>(sourceFor(h.remoteAddress)) + bswap<u32>(h.remoteAddress);
  return addresses + <u64>bswap<u16>(<u16>IPPROTO_TCP) + bswap<u16>(<u16>bytes);
}
