// Messages of DHCP servers (RFC 2131, RFC 2132), taken apart.
import {
  BOOTREPLY,
  DHCP_MAGIC_COOKIE,
  DhcpHdr,
  DHO_DOMAIN_NAME_SERVERS,
  DHO_END,
  DHO_INTERFACE_MTU,
  DHO_LEASE_TIME,
  DHO_MESSAGE_TYPE,
  DHO_PAD,
  DHO_REBINDING_TIME,
  DHO_RENEWAL_TIME,
  DHO_ROUTERS,
  DHO_SERVER_IDENTIFIER,
  DHO_SUBNET_MASK,
} from "../../../../abi/dhcp";
import { ARPHRD_ETHER, MAC_BYTES } from "../../../../abi/ethernet";
import { loadMac } from "../../link/card";
import { loadBe16, loadBe32 } from "../bytes";
import { NAME_SERVERS_MAX } from "../local";
import { Lease, nameServerOf } from "./lease";

const WORD: u32 = 4;

/** A message: its type, and what it offers. */
@unmanaged
export class Reply extends Lease {
  type: u32; // a DhcpMessage; 0: there was none
}

/**
 * Reads the message of `bytes` bytes into `reply`. Returns false if it is not well formed, or not
 * for the card with that MAC and the transaction `xid`.
 */
export function readReply(reply: Reply, at: usize, bytes: u32, xid: u32, mac: u64): bool {
  if (bytes < <u32>DhcpHdr.sizeof || load<u8>(at, DhcpHdr.op) != BOOTREPLY) return false;
  if (load<u8>(at, DhcpHdr.htype) != ARPHRD_ETHER) return false;
  if (load<u8>(at, DhcpHdr.hlen) != MAC_BYTES) return false;
  if (loadBe32(at, DhcpHdr.xid) != xid || loadMac(at + DhcpHdr.chaddr) != mac) return false;
  if (loadBe32(at, DhcpHdr.cookie) != DHCP_MAGIC_COOKIE) return false;
  memory.fill(changetype<usize>(reply), 0, offsetof<Reply>());
  reply.address = loadBe32(at, DhcpHdr.yiaddr);
  return readOptions(reply, at + DhcpHdr.sizeof, at + bytes);
}

/** False: an option ends after the message. Without DHO_END the message ends them. */
function readOptions(reply: Reply, at: usize, end: usize): bool {
  while (at != end) {
    const option: u32 = load<u8>(at++);
    if (option == DHO_END) return true;
    if (option == DHO_PAD) continue;
    if (at == end) return false;
    const bytes: u32 = load<u8>(at++);
    if (bytes > <u32>(end - at)) return false;
    readOption(reply, option, at, bytes);
    at += bytes;
  }
  return true;
}

/** An option that is unknown, or whose length is not its own, is skipped. */
function readOption(reply: Reply, option: u32, at: usize, bytes: u32): void {
  if (option == DHO_MESSAGE_TYPE) {
    if (bytes == 1) reply.type = load<u8>(at);
  } else if (option == DHO_INTERFACE_MTU) {
    if (bytes == 2) reply.mtu = loadBe16(at, 0);
  } else if (bytes % WORD == 0 && bytes != 0) {
    readWords(reply, option, at, bytes / WORD);
  }
}

function readWords(reply: Reply, option: u32, at: usize, count: u32): void {
  if (option == DHO_ROUTERS) reply.router = loadBe32(at, 0);
  else if (option == DHO_DOMAIN_NAME_SERVERS) readNameServers(reply, at, count);
  else if (count == 1) readWord(reply, option, loadBe32(at, 0));
}

function readNameServers(reply: Reply, at: usize, count: u32): void {
  for (let i: u32 = 0; i < min(count, NAME_SERVERS_MAX); i++) {
    store<u32>(nameServerOf(reply, i), loadBe32(at + i * WORD, 0));
  }
}

function readWord(reply: Reply, option: u32, value: u32): void {
  if (option == DHO_SUBNET_MASK) reply.mask = value;
  else if (option == DHO_SERVER_IDENTIFIER) reply.server = value;
  else if (option == DHO_LEASE_TIME) reply.seconds = value;
  else if (option == DHO_RENEWAL_TIME) reply.renewS = value;
  else if (option == DHO_REBINDING_TIME) reply.rebindS = value;
}
