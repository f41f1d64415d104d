// How a trace tells connections apart.
import { VMADDR_CID_HOST } from "../../abi/vsock.ts";

const TWO_32 = 4294967296;

/** Names both ends of a connection, for the time that it lasts. */
export type ConnectionKey = number | string;

/**
 * The key of a connection between a port of the guest and one of another side. A number where it
 * can be, as most are: those are faster to look up.
 */
export function connectionKey(cid: number, remotePort: number, localPort: number): ConnectionKey {
  if (cid === VMADDR_CID_HOST && localPort < 0x10_0000) return localPort * TWO_32 + remotePort;
  return `${cid}:${remotePort}>${localPort}`;
}

/** The port of the other side, as an int32, of a key that is a number. */
export const portOf = (key: number): number => key | 0;

/** The same for a connection of TCP, by the IPv4 address and port of its other side. */
export function tcpKey(address: number, remotePort: number, localPort: number): ConnectionKey {
  return `tcp ${address}:${remotePort}>${localPort}`;
}
