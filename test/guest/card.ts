// The network card for tests on the host, below TCP/IP: frames with work for the card, and frames
// as the driver hands them up.
import { EthernetCard } from "torito/kernel/net/link/card";
import {
  NetworkInterface,
  releasePacket,
  setOwner,
  SysNetworkSend,
} from "torito/kernel/net/link/interface";
import { ToroGetMem } from "torito/kernel/memory";
import {
  askChecksum,
  askSegmentation,
  clearOffload,
  isChecksumGood,
  segmentBytesOf,
} from "torito/kernel/net/link/offload";
import { Packet, PacketQueue, payloadOf, segmentOf } from "torito/kernel/net/link/packet";
import { allocateGatherPacket, AllocatePacket, FreePacket } from "torito/kernel/net/link/pool";
import { localCard } from "torito/kernel/net/inet/local";
import { Errno } from "torito/abi/errno";

export { inUse, heapBlocks, buffersInFlight, startPing, statsAddress } from "./internet";
export { ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
export { buffersKept } from "torito/kernel/net/link/pool";

/** The last frame that arrived, and its number. */
@unmanaged
class Seen {
  count: u32;
  length: u32;
  isGood: u32; // its checksum
  segmentBytes: u32;
  payload: usize; // where the driver had put it
  copy: usize;
}

const FRAME_ROOM: usize = 65600;
const seen = changetype<Seen>(memory.data(offsetof<Seen>()));
const held = changetype<PacketQueue>(memory.data(offsetof<PacketQueue>()));
let mayHold: u32 = 0;
let completions: u32 = 0;

/** Takes the frames of the card from TCP/IP. Up to `hold` of them are kept. Returns the Seen. */
export function watch(hold: u32): usize {
  if (seen.copy == 0) seen.copy = ToroGetMem(FRAME_ROOM);
  mayHold = hold;
  setOwner(card().iface, (drain as (iface: NetworkInterface) => void).index, 0);
  return changetype<usize>(seen);
}

function card(): EthernetCard {
  return localCard();
}

function drain(iface: NetworkInterface): void {
  for (let packet = iface.incoming.pop(); packet; packet = iface.incoming.pop()) {
    seen.count++;
    seen.length = packet.length;
    seen.isGood = isChecksumGood(packet) ? 1 : 0;
    seen.segmentBytes = segmentBytesOf(packet);
    seen.payload = payloadOf(packet);
    memory.copy(seen.copy, payloadOf(packet), packet.length);
    if (held.count < mayHold) held.push(packet);
    else releasePacket(packet);
  }
}

/** Gives up to `count` of the frames back that were kept. */
export function releaseHeld(count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const packet = held.pop();
    if (packet) releasePacket(packet);
  }
}

/**
 * Sends the `bytes` bytes at `address`. `offset` != 0: asks for a checksum there, from `start`;
 * `segmentBytes` != 0: for segments. `parts` != 0: the frame is not copied; its first `headerBytes`
 * bytes are one segment, and the rest that many. Returns the result of SysNetworkSend().
 */
export function sendWork(
  address: usize,
  bytes: u32,
  start: u32,
  offset: u32,
  headerBytes: u32,
  segmentBytes: u32,
  parts: u32,
  isLazy: bool,
): i32 {
  const packet = parts == 0 ? copyOf(address, bytes) : gather(address, bytes, headerBytes, parts);
  if (!packet) return -Errno.ENOMEM;
  packet.length = bytes;
  packet.completion = (completed as (arg: usize, bytes: u32) => void).index;
  packet.isLazy = isLazy;
  packet.iface = changetype<usize>(card().iface);
  clearOffload(packet);
  if (segmentBytes != 0) askSegmentation(packet, headerBytes, segmentBytes);
  else if (offset != 0) askChecksum(packet, start, offset);
  const status = SysNetworkSend(packet);
  if (status < 0) FreePacket(packet);
  return status;
}

function copyOf(address: usize, bytes: u32): Packet | null {
  const packet = AllocatePacket(bytes);
  if (packet) memory.copy(payloadOf(packet), address, bytes);
  return packet;
}

function gather(address: usize, bytes: u32, headerBytes: u32, parts: u32): Packet | null {
  const packet = allocateGatherPacket(parts + 1);
  if (!packet) return null;
  packet.segments = parts + 1;
  segmentOf(packet, 0).base = address;
  segmentOf(packet, 0).length = headerBytes;
  const partBytes = (bytes - headerBytes) / parts;
  for (let i: u32 = 0; i < parts; i++) {
    const segment = segmentOf(packet, i + 1);
    segment.base = address + headerBytes + i * partBytes;
    segment.length = i + 1 == parts ? bytes - headerBytes - i * partBytes : partBytes;
  }
  return packet;
}

function completed(_: usize, __: u32): void {
  completions++;
}

export function completionCount(): u32 {
  return completions;
}

export function sendsChecksums(): bool {
  return card().sendsChecksums;
}

export function segmentsBytesMax(): u32 {
  return card().segmentsBytesMax;
}

/** Counters of the driver: dropped, starved, joined. */
export function cardCounter(which: u32): u32 {
  return which == 0 ? card().dropped : which == 1 ? card().starved : card().joined;
}
