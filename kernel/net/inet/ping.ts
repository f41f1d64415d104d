// SysPing: asks another machine for an echo.
import { Errno } from "../../../abi/errno";
import { IcmpHdr, IpHdr } from "../../../abi/ip";
import { deadlineAfterNs, NS_PER_MS } from "../../clock";
import { sendEcho } from "./icmp";
import { localCard, localMtu, NO_CARD } from "./local";
import { addPing, awaitPing, dropPing, NO_PING } from "./pings";

const ID_MASK: u32 = 0xffff;
// From 1: the checksum of zeros alone is 0xffff or 0, which are both zero in one's complement, and
// Linux answers such a request with the wrong one.
let next: u32 = 1;

/**
 * Sends an echo request with `bytes` of data to an IPv4 address, whose first octet is the highest,
 * and waits for the answer. Yields. Returns the round-trip time in nanoseconds, -ETIMEDOUT,
 * -EHOSTUNREACH (nobody has the address), -ENETUNREACH (no gateway leads there), -EADDRNOTAVAIL
 * (we have no address), -ENETDOWN (no card), -EMSGSIZE, -EACCES (a broadcast), -ENOBUFS or -ENOMEM.
 */
export function SysPing(address: u32, bytes: u32, timeoutMs: u32): i64 {
  if (localCard() == NO_CARD) return -Errno.ENETDOWN;
  if (bytes > localMtu() - IpHdr.sizeof - IcmpHdr.sizeof) return -Errno.EMSGSIZE;
  const ping = addPing(address, bytes, deadlineAfterNs(<u64>timeoutMs * NS_PER_MS));
  if (ping == NO_PING) return -Errno.ENOBUFS;
  const number = next++;
  ping.id = (number >> 16) & ID_MASK;
  ping.sequence = number & ID_MASK;
  const error = sendEcho(ping.id, ping.sequence, address, bytes);
  if (error == 0) return awaitPing(ping);
  dropPing(ping);
  return error;
}
