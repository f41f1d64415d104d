// UDP (RFC 768): checks datagrams that arrive and gives them to the receiver of their port, and
// sends some (TC11).
import { INADDR_ANY, INADDR_LOOPBACK, IpHdr, IPPROTO_UDP } from "../../../../abi/ip";
import { UdpHdr } from "../../../../abi/udp";
import { beginAtomic, endAtomic } from "../../../scheduler";
import { isChecksumGood } from "../../link/offload";
import { Packet } from "../../link/packet";
import { loadBe16, loadBe32, storeBe16 } from "../bytes";
import { transportChecksum } from "../checksum";
import { IcmpError, IcmpErrorKind, onIcmpError, sendPortUnreachable } from "../icmp-errors";
import {
  allocateIp,
  broadcastIp,
  headerBytesOf,
  ipBytesOf,
  ipPayload,
  sendIp,
  totalBytesOf,
} from "../ip";
import { isBroadcast, localMtu, ownAddress, sourceFor } from "../local";
import { inetStats } from "../stats";
import { Datagram, giveToSocket, NO_RECEIVER, receiverAt, UdpReceiver } from "./ports";

const arrived = changetype<Datagram>(memory.data(offsetof<Datagram>()));

/** Errors by ICMP reach the receivers from here on. */
export function udpInit(): void {
  onIcmpError(IPPROTO_UDP, (failed as (error: IcmpError) => void).index);
}

/** A packet of the protocol has arrived; `header` is that of IP, and valid. */
export function receiveUdp(packet: Packet, header: usize): void {
  const udp = header + headerBytesOf(header);
  const room = totalBytesOf(header) - headerBytesOf(header);
  if (!isWellFormed(udp, room) || !(isChecksumGood(packet) || isIntact(header, udp))) {
    inetStats().badUdp++;
    return;
  }
  arrived.source = loadBe32(header, IpHdr.saddr);
  arrived.sourcePort = loadBe16(udp, UdpHdr.source);
  arrived.destination = loadBe32(header, IpHdr.daddr);
  arrived.payload = udp + UdpHdr.sizeof;
  arrived.bytes = loadBe16(udp, UdpHdr.len) - UdpHdr.sizeof;
  if (handOver(loadBe16(udp, UdpHdr.dest))) return;
  inetStats().noUdpPort++;
  sendPortUnreachable(header);
}

/** Returns false if nobody has the port, or takes datagrams of that sender there. */
function handOver(port: u32): bool {
  // Without an address, only DHCP hears what comes from outside.
  const isEarly = ownAddress() == INADDR_ANY && arrived.destination != INADDR_LOOPBACK;
  const receiver = receiverAt(port);
  if (receiver == NO_RECEIVER) return !isEarly && giveToSocket(port, arrived);
  if ((isEarly && !receiver.isEarly) || !takes(receiver, arrived)) return false;
  deliver(receiver, arrived);
  return true;
}

/** TC11: its length may be below IP's. */
function isWellFormed(udp: usize, room: u32): bool {
  if (room < <u32>UdpHdr.sizeof) return false;
  const bytes = loadBe16(udp, UdpHdr.len);
  return bytes >= <u32>UdpHdr.sizeof && bytes <= room;
}

/** TC11: the checksum 0 says that there is none. */
function isIntact(header: usize, udp: usize): bool {
  if (load<u16>(udp, UdpHdr.check) == 0) return true;
  const bytes = loadBe16(udp, UdpHdr.len);
  const source = loadBe32(header, IpHdr.saddr);
  const destination = loadBe32(header, IpHdr.daddr);
  return transportChecksum(source, destination, IPPROTO_UDP, udp, bytes) == 0;
}

function takes(receiver: UdpReceiver, datagram: Datagram): bool {
  if (receiver.remote == INADDR_ANY) return true;
  return receiver.remote == datagram.source && receiver.remotePort == datagram.sourcePort;
}

function deliver(receiver: UdpReceiver, datagram: Datagram): void {
  beginAtomic();
  call_indirect<void>(receiver.arrived, receiver, datagram);
  endAtomic();
}

/** An error about a datagram of ours. Only a peer that the receiver named can refuse it. */
function failed(error: IcmpError): void {
  if (error.kind != IcmpErrorKind.PortUnreachable) return;
  const receiver = receiverAt(error.localPort);
  if (receiver == NO_RECEIVER || receiver.refused == 0) return;
  if (receiver.remote != error.remoteAddress || receiver.remotePort != error.remotePort) return;
  refuse(receiver);
}

function refuse(receiver: UdpReceiver): void {
  beginAtomic();
  call_indirect<void>(receiver.refused, receiver);
  endAtomic();
}

/** Bytes that one datagram can carry; 0 without a card. */
export function udpBytesMax(): u32 {
  return localMtu() == 0 ? 0 : localMtu() - IpHdr.sizeof - UdpHdr.sizeof;
}

/** A datagram with room for `bytes` bytes, their contents undefined; null: no memory. */
export function allocateUdp(bytes: u32): Packet | null {
  return allocateIp(UdpHdr.sizeof + bytes);
}

/** Where the bytes of a datagram of allocateUdp() begin. */
export function udpPayload(packet: Packet): usize {
  return ipPayload(packet) + UdpHdr.sizeof;
}

/**
 * Sends a datagram of allocateUdp() from `localPort`, and owns it, whatever it returns: 0 or an
 * error of sendIp(). It may be a broadcast: whether the caller may send one is the caller's to
 * know. Does not yield.
 */
export function sendUdp(packet: Packet, localPort: u32, address: u32, port: u32): i32 {
  const udp = ipPayload(packet);
  const bytes = ipBytesOf(packet);
  storeBe16(udp, localPort, UdpHdr.source);
  storeBe16(udp, port, UdpHdr.dest);
  storeBe16(udp, bytes, UdpHdr.len);
  store<u16>(udp, 0, UdpHdr.check);
  const sum = transportChecksum(sourceFor(address), address, IPPROTO_UDP, udp, bytes);
  store<u16>(udp, sum == 0 ? 0xffff : sum, UdpHdr.check); // 0 would say that there is none
  if (isBroadcast(address)) return broadcastIp(packet, IPPROTO_UDP, address);
  return sendIp(packet, IPPROTO_UDP, address);
}
