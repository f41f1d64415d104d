// UDP (RFC 768): reading a datagram of the guest, and writing one to it.
import { IPPROTO_UDP, IpHdr } from "../../../../abi/ip.ts";
import { UdpHdr } from "../../../../abi/udp.ts";
import type { Frame } from "../frame.ts";
import type { Envelope } from "../network.ts";
import type { Arrival } from "./arrival.ts";
import type { Departure } from "./departure.ts";
import type { UserNetworkStats } from "./stats.ts";

/** A datagram, as its header says. */
export interface Datagram {
  readonly sourcePort: number;
  readonly port: number;
  /** Where its payload lies in memory, until the next packet. */
  readonly at: number;
  readonly bytes: number;
}

/** Of a packet of that protocol, whole in memory. null: it is dropped, and counted. */
export function readDatagram(arrival: Arrival, { dropped }: UserNetworkStats): Datagram | null {
  const { view, dataAt } = arrival;
  const length = arrival.bytes < UdpHdr.sizeof ? 0 : view.getUint16(dataAt + UdpHdr.len);
  if (length < UdpHdr.sizeof || length > arrival.bytes) {
    dropped.malformed++;
    return null;
  }
  arrival.bytes = length; // what follows it is no part of it
  if (view.getUint16(dataAt + UdpHdr.check) !== 0 && !arrival.isSound) {
    dropped.checksum++;
    return null;
  }
  return {
    sourcePort: view.getUint16(dataAt + UdpHdr.source),
    port: view.getUint16(dataAt + UdpHdr.dest),
    at: dataAt + UdpHdr.sizeof,
    bytes: length - UdpHdr.sizeof,
  };
}

/** Where the payload of writeDatagram() belongs. */
export const payloadAt = (departure: Departure): number => departure.dataAt + UdpHdr.sizeof;

/** A datagram to the card `mac` whose payload lies at payloadAt(). */
export function writeDatagram(
  departure: Departure,
  mac: number,
  { source, sourcePort, destination, port }: Envelope,
  bytes: number,
): Frame {
  const { view, dataAt } = departure;
  const length = UdpHdr.sizeof + bytes;
  departure.ip(mac, source, destination, IPPROTO_UDP, length);
  view.setUint16(dataAt + UdpHdr.source, sourcePort);
  view.setUint16(dataAt + UdpHdr.dest, port);
  view.setUint16(dataAt + UdpHdr.len, length);
  view.setUint16(dataAt + UdpHdr.check, 0);
  view.setUint16(dataAt + UdpHdr.check, departure.checksum(length) || 0xffff);
  return departure.finish(IpHdr.sizeof + length);
}
