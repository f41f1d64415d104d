// UDP for tests on the host, below sockets: receivers with queues, and errors by ICMP.
import { Errno } from "torito/abi/errno";
import { INADDR_LOOPBACK, IPPROTO_TCP } from "torito/abi/ip";
import { IcmpError, onIcmpError } from "torito/kernel/net/inet/icmp-errors";
import { Datagram, bindUdp, unbindUdp, UdpReceiver } from "torito/kernel/net/inet/udp/ports";
import { keepDatagram, originAddress, originPort } from "torito/kernel/net/inet/udp/queue";
import { allocateUdp, sendUdp, udpPayload } from "torito/kernel/net/inet/udp/udp";
import { PacketQueue, payloadOf } from "torito/kernel/net/link/packet";
import { FreePacket } from "torito/kernel/net/link/pool";
import { ToroAllocMem, ToroFreeMem } from "torito/kernel/memory";

/** A receiver, its queue after it. */
@unmanaged
class Endpoint extends UdpReceiver {
  refusals: u32;
}

function queueOf(endpoint: usize): PacketQueue {
  return changetype<PacketQueue>(endpoint + offsetof<Endpoint>());
}

/** Returns an endpoint, or a negative error. */
export function udpOpen(port: u32, remote: u32, remotePort: u32): i32 {
  const address = ToroAllocMem(offsetof<Endpoint>() + offsetof<PacketQueue>());
  assert(address != 0, "no memory");
  const endpoint = changetype<Endpoint>(address);
  endpoint.port = port;
  endpoint.remote = remote;
  endpoint.remotePort = remotePort;
  endpoint.arrived = (keep as (receiver: UdpReceiver, datagram: Datagram) => void).index;
  endpoint.refused = (refuse as (receiver: UdpReceiver) => void).index;
  const error = bindUdp(endpoint);
  if (error == 0) return <i32>address;
  ToroFreeMem(address);
  return error;
}

function keep(receiver: UdpReceiver, datagram: Datagram): void {
  keepDatagram(queueOf(changetype<usize>(receiver)), datagram);
}

function refuse(receiver: UdpReceiver): void {
  changetype<Endpoint>(changetype<usize>(receiver)).refusals++;
}

export function udpPort(endpoint: usize): u32 {
  return changetype<Endpoint>(endpoint).port;
}

export function udpRefusals(endpoint: usize): u32 {
  return changetype<Endpoint>(endpoint).refusals;
}

export function udpClose(endpoint: usize): void {
  unbindUdp(changetype<UdpReceiver>(endpoint));
  const queue = queueOf(endpoint);
  for (let packet = queue.pop(); packet; packet = queue.pop()) FreePacket(packet);
  ToroFreeMem(endpoint);
}

/** Sends `bytes` bytes at `data` from a port. */
export function udpSend(localPort: u32, address: u32, port: u32, data: usize, bytes: u32): i32 {
  const packet = allocateUdp(bytes);
  if (!packet) return -Errno.ENOMEM;
  memory.copy(udpPayload(packet), data, bytes);
  return sendUdp(packet, localPort, address, port);
}

/** Copies the oldest datagram to `into`: address, port, length, bytes. False: there is none. */
export function udpTake(endpoint: usize, into: usize): bool {
  const packet = queueOf(endpoint).pop();
  if (!packet) return false;
  store<u32>(into, originAddress(packet));
  store<u32>(into, originPort(packet), 4);
  store<u32>(into, packet.length, 8);
  memory.copy(into + 12, payloadOf(packet), packet.length);
  FreePacket(packet);
  return true;
}

const lastError: usize = memory.data(offsetof<IcmpError>());
let errors: u32 = 0;

/** From here on errors about TCP are kept, for errorCount() and errorAddress(). */
export function watchErrors(): void {
  onIcmpError(IPPROTO_TCP, (note as (error: IcmpError) => void).index);
}

function note(error: IcmpError): void {
  errors++;
  memory.copy(lastError, changetype<usize>(error), offsetof<IcmpError>());
}

export function errorCount(): u32 {
  return errors;
}

export function errorAddress(): usize {
  return lastError;
}

/** Sends `count` empty datagrams at once. */
export function udpBurst(localPort: u32, address: u32, port: u32, count: u32): void {
  for (let i: u32 = 0; i < count; i++) udpSend(localPort, address, port, 0, 0);
}

let echoes: u32 = 0;

/** From here on a port sends every datagram back, wherever it comes from. */
export function udpEcho(port: u32): void {
  const endpoint = udpOpen(port, 0, 0);
  assert(endpoint > 0, "no port");
  const answer = (receiver: UdpReceiver, datagram: Datagram): void => {
    echoes++;
    const to = datagram.source;
    udpSend(receiver.port, to, datagram.sourcePort, datagram.payload, datagram.bytes);
  };
  changetype<UdpReceiver>(<usize>endpoint).arrived = answer.index;
}

/** Datagrams that were answered. */
export function udpEchoes(): u32 {
  return echoes;
}

/** Sends a datagram from one port of the machine to another. */
export function udpSendSelf(from: u32, to: u32): i32 {
  return udpSend(from, INADDR_LOOPBACK, to, 0, 0);
}
