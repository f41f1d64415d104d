// Names of sockets and their peers: those of vsock by CID, those of TCP and UDP by IPv4 address.
import { IPPROTO_TCP, IPPROTO_UDP } from "../../abi/ip.ts";
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VMADDR_CID_HOST } from "../../abi/vsock.ts";

/** Socket.protocol of a socket of vsock. */
const VSOCK = 0;

/** As in "vsock" or "tcp". */
export function protocolName(protocol: number, type: number): string {
  if (protocol === IPPROTO_TCP) return "tcp";
  if (protocol === IPPROTO_UDP) return "udp";
  if (protocol !== VSOCK) return `protocol ${protocol}`;
  return type === VIRTIO_VSOCK_TYPE_SEQPACKET ? "vsock messages" : "vsock";
}

export const isVsock = (protocol: number): boolean => protocol === VSOCK;

/** As in "10.0.2.2", of an address whose first octet is the highest. */
export function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** As in "2:1073741824" or "10.0.2.2:49152". */
export function peerName(protocol: number, address: number, port: number): string {
  return `${isVsock(protocol) ? address : dotted(address)}:${port}`;
}

/**
 * As in "socket 80", "socket 80 <- 1073741824" for a connection of vsock with the host, or "tcp
 * socket 80 <- 10.0.2.2:49152".
 */
export function socketName(
  protocol: number,
  type: number,
  localPort: number,
  remoteAddress: number,
  remotePort: number,
): string {
  const kind = isVsock(protocol) ? "" : `${protocolName(protocol, type)} `;
  const own = `${kind}socket ${localPort}`;
  if (remotePort === 0) return own;
  const isHost = isVsock(protocol) && remoteAddress === VMADDR_CID_HOST;
  return `${own} <- ${isHost ? remotePort : peerName(protocol, remoteAddress, remotePort)}`;
}
