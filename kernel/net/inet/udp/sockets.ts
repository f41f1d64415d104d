// UDP as a transport of sockets (SOCK_DGRAM of AF_INET). A datagram is a message to the socket
// layer, which reads it whole or not at all; there are no connections.
import { Errno } from "../../../../abi/errno";
import { IPPROTO_UDP } from "../../../../abi/ip";
import { NetStats } from "../../../../abi/stats";
import { VIRTIO_VSOCK_SEQ_EOM, VIRTIO_VSOCK_TYPE_SEQPACKET } from "../../../../abi/vsock";
import { wakeAll } from "../../../scheduler";
import { NetworkInterface, NO_INTERFACE } from "../../link/interface";
import { addUnread } from "../../socket/receive-queue";
import { NO_SOCKET, packetsOf, readersOf, Socket, statsOf } from "../../socket/socket";
import { tally } from "../../socket/stats";
import { findSocket } from "../../socket/table";
import { registerTransport, Transport } from "../../socket/transport";
import { localCard, NO_CARD } from "../local";
import { Datagram, freeUdpPort, NO_RECEIVER, receiverAt, shareWithSockets } from "./ports";
import { keepDatagram } from "./queue";

const transport = changetype<Transport>(memory.data(offsetof<Transport>()));

/** Makes SOCK_DGRAM of AF_INET known. */
export function useUdp(): void {
  const nothing = (none as (s: Socket) => u32).index;
  transport.open = (open as (s: Socket) => u32).index;
  transport.release = nothing;
  transport.destroy = nothing;
  transport.connect = (refuse as (s: Socket) => u32).index;
  transport.abort = nothing;
  transport.shutdown = nothing;
  transport.close = nothing;
  transport.consumed = nothing;
  transport.route = (route as () => NetworkInterface).index;
  transport.portOffset = (portOffset as (address: u32, port: u32) => u32).index;
  transport.hasPort = (hasReceiver as (port: u32, _: u32) => u32).index;
  registerTransport(IPPROTO_UDP, transport);
  shareWithSockets(
    (hasSocket as (port: u32) => bool).index,
    (takes as (port: u32, datagram: Datagram) => bool).index,
  );
}

function none(_: Socket): u32 {
  return 0;
}

/** Its datagrams are messages. */
function open(s: Socket): u32 {
  s.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
  return 0;
}

function refuse(_: Socket): u32 {
  return -Errno.EOPNOTSUPP;
}

function route(): NetworkInterface {
  return localCard() == NO_CARD ? NO_INTERFACE : localCard().iface;
}

/** So that nobody can guess the port that is picked (RFC 6056, 3.3.1). */
function portOffset(_: u32, _port: u32): u32 {
  return freeUdpPort();
}

function hasReceiver(port: u32, _: u32): u32 {
  return receiverAt(port) != NO_RECEIVER;
}

function socketAt(port: u32): Socket {
  return findSocket(IPPROTO_UDP, NO_INTERFACE, port, 0, 0);
}

function hasSocket(port: u32): bool {
  return socketAt(port) != NO_SOCKET;
}

/** A datagram for `port` has arrived. Returns false if no socket has the port. */
function takes(port: u32, datagram: Datagram): bool {
  const s = socketAt(port);
  if (s == NO_SOCKET) return false;
  const packet = keepDatagram(packetsOf(s), datagram);
  if (!packet) return true;
  packet.marks = VIRTIO_VSOCK_SEQ_EOM;
  s.messages++;
  s.rxCnt += datagram.bytes;
  addUnread(s, datagram.bytes);
  tally(statsOf(s), NetStats.received, datagram.bytes);
  tally(statsOf(s), NetStats.ringToSocket, datagram.bytes);
  wakeAll(readersOf(s));
  return true;
}
