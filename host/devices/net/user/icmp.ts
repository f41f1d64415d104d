// ICMP (RFC 792): echoes of the network's own addresses are answered, and nothing else (NB21).
import { ICMP_ECHO, ICMP_ECHOREPLY, IcmpHdr, IPPROTO_ICMP, IpHdr } from "../../../../abi/ip.ts";
import type { Frame } from "../frame.ts";
import { isOwn } from "./address.ts";
import type { Arrival } from "./arrival.ts";
import type { Departure } from "./departure.ts";
import type { UserNetworkStats } from "./stats.ts";

const SOUND = 0xffff;

/** The answer to a packet of that protocol, whole in memory. null: there is none. */
export function answerEcho(
  arrival: Arrival,
  departure: Departure,
  mac: number,
  { dropped }: UserNetworkStats,
): Frame | null {
  const { memory, view, dataAt, bytes, source, destination } = arrival;
  if (bytes < IcmpHdr.sizeof) {
    dropped.malformed++;
    return null;
  }
  if (memory.sum(dataAt, bytes) !== SOUND) {
    dropped.checksum++;
    return null;
  }
  if (view.getUint8(dataAt + IcmpHdr.type) !== ICMP_ECHO || !isOwn(destination)) {
    dropped.protocol++;
    return null;
  }
  departure.ip(mac, destination, source, IPPROTO_ICMP, bytes);
  const at = departure.dataAt;
  memory.u8.copyWithin(at, dataAt, dataAt + bytes);
  view.setUint8(at + IcmpHdr.type, ICMP_ECHOREPLY);
  view.setUint8(at + IcmpHdr.code, 0);
  view.setUint16(at + IcmpHdr.checksum, 0);
  view.setUint16(at + IcmpHdr.checksum, ~memory.sum(at, bytes) & 0xffff);
  return departure.finish(IpHdr.sizeof + bytes);
}
