// Frames that a test makes on the host, sent as they are.
import { SysNetworkSend } from "torito/kernel/net/link/interface";
import { clearOffload } from "torito/kernel/net/link/offload";
import { payloadOf } from "torito/kernel/net/link/packet";
import { AllocatePacket, FreePacket } from "torito/kernel/net/link/pool";
import { localCard, NO_CARD } from "torito/kernel/net/inet/local";
import { Errno } from "torito/abi/errno";

/** Sends the `bytes` bytes at `address`. Returns 0 or a negative error. */
export function sendBytes(address: usize, bytes: u32): i32 {
  if (localCard() == NO_CARD) return -Errno.ENETDOWN;
  const packet = AllocatePacket(bytes);
  if (!packet) return -Errno.ENOMEM;
  memory.copy(payloadOf(packet), address, bytes);
  packet.length = bytes;
  clearOffload(packet);
  packet.iface = changetype<usize>(localCard().iface);
  const status = SysNetworkSend(packet);
  if (status < 0) FreePacket(packet);
  return status;
}
