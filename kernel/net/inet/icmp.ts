// ICMP (RFC 792): answers echoes, and asks for some. Errors have a file of their own.
import {
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  IcmpEcho,
  IcmpHdr,
  IpHdr,
  IPPROTO_ICMP,
} from "../../../abi/ip";
import { Errno } from "../../../abi/errno";
import { loadBe16, loadBe32, storeBe16 } from "./bytes";
import { checksum } from "./checksum";
import { isIcmpError, receiveIcmpError } from "./icmp-errors";
import { allocateIp, headerBytesOf, ipPayload, sendIp, totalBytesOf } from "./ip";
import { echoAnswered } from "./pings";
import { allows, Rate } from "./rate";
import { inetStats } from "./stats";

/** TC9: echoes that are answered in a second. */
const ECHOES_MAX: u32 = 100;
const rate = changetype<Rate>(memory.data(offsetof<Rate>()));

/** A packet of the protocol has arrived; `header` is that of IP, and valid. */
export function receiveIcmp(header: usize): void {
  const icmp = header + headerBytesOf(header);
  const bytes = totalBytesOf(header) - headerBytesOf(header);
  if (bytes < <u32>IcmpHdr.sizeof || checksum(icmp, bytes) != 0) {
    inetStats().badIcmp++;
    return;
  }
  const source = loadBe32(header, IpHdr.saddr);
  const type: u32 = load<u8>(icmp, IcmpHdr.type);
  if (type == ICMP_ECHO) answer(icmp, bytes, source);
  else if (type == ICMP_ECHOREPLY) {
    echoAnswered(loadBe16(icmp, IcmpEcho.id), loadBe16(icmp, IcmpEcho.sequence), source, bytes);
  } else if (isIcmpError(type)) {
    receiveIcmpError(icmp, bytes, loadBe32(header, IpHdr.daddr));
  }
}

function answer(icmp: usize, bytes: u32, source: u32): void {
  if (!allows(rate, ECHOES_MAX)) {
    inetStats().echoesLimited++;
    return;
  }
  const packet = allocateIp(bytes);
  if (!packet) return;
  const reply = ipPayload(packet);
  memory.copy(reply, icmp, bytes);
  store<u8>(reply, ICMP_ECHOREPLY, IcmpHdr.type);
  store<u16>(reply, 0, IcmpHdr.checksum);
  store<u16>(reply, checksum(reply, bytes), IcmpHdr.checksum);
  if (sendIp(packet, IPPROTO_ICMP, source) == 0) inetStats().echoes++;
}

/** Sends an echo request with `bytes` of data. Returns 0, -ENOMEM or an error of sendIp(). */
export function sendEcho(id: u32, sequence: u32, address: u32, bytes: u32): i32 {
  const packet = allocateIp(IcmpHdr.sizeof + bytes);
  if (!packet) return -Errno.ENOMEM;
  const icmp = ipPayload(packet);
  store<u8>(icmp, ICMP_ECHO, IcmpHdr.type);
  store<u8>(icmp, 0, IcmpHdr.code);
  store<u16>(icmp, 0, IcmpHdr.checksum);
  storeBe16(icmp, id, IcmpEcho.id);
  storeBe16(icmp, sequence, IcmpEcho.sequence);
  for (let i: u32 = 0; i < bytes; i++) store<u8>(icmp + IcmpHdr.sizeof + i, <u8>i);
  store<u16>(icmp, checksum(icmp, IcmpHdr.sizeof + bytes), IcmpHdr.checksum);
  return sendIp(packet, IPPROTO_ICMP, address);
}
