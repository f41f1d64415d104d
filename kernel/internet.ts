// The door to TCP/IP, beside that of the kernel (api.ts): an image has it only if its application
// calls useInternet().
import { VIRTIO_ID_NET } from "../abi/virtio";
import { VirtioDevice } from "../drivers/virtio";
import { netInit } from "../drivers/net";
import { kernelParameter, parameterBytes } from "./commandline";
import { Cursor } from "./cursor";
import { registerDriver } from "./devices";
import { skipAddress, skippedAddress } from "./net/inet/address";
import { openCard } from "./net/inet/input";
import { useTcp } from "./net/inet/tcp/transport";
import { useUdp } from "./net/inet/udp/sockets";

export {
  SO_KEEPALIVE,
  SysTcpGetOption,
  SysTcpSetOption,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "./net/inet/tcp/tcp-options";
export { SysTcpInfo, TcpInfo } from "./net/inet/tcp/info";
export { nameServer } from "./net/inet/local";
export { SOCK_DGRAM } from "./net/socket/flags";
export { SysSocketRecvFrom, SysSocketSendTo } from "./net/inet/udp/calls";
export { SysPing } from "./net/inet/ping";
export { SysWaitForAddress } from "./net/inet/await-address";
export { printAddress } from "./net/inet/address";

const cursor = changetype<Cursor>(memory.data(offsetof<Cursor>()));

/**
 * Gives the machine's network card to TCP/IP. Call it from an initialiser, before the kernel boots.
 * Returns false if there are too many drivers. The address of the machine is the kernel parameter
 * `net.address`, or comes by DHCP.
 */
export function useInternet(): bool {
  useTcp();
  useUdp();
  return registerDriver(VIRTIO_ID_NET, "virtio-net", startCard);
}

function startCard(device: VirtioDevice): i32 {
  return netInit(device, openCard);
}

/** The IPv4 address that a kernel parameter is, its first octet the highest; 0: it is none. */
export function parameterAddress(name: string): u32 {
  const value = kernelParameter(name);
  if (value == 0) return 0;
  cursor.begin(value, parameterBytes(value));
  return skipAddress(cursor) && cursor.isAtEnd ? skippedAddress() : 0;
}
