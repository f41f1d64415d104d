// Leases of DHCP servers: an address for a time, and the network around it. A server may be wrong
// or hostile, so that nothing is used before it is checked.
import { INADDR_ANY } from "../../../../abi/ip";
import { NEVER, NS_PER_S } from "../../../clock";
import { isHostAddress } from "../address";
import { isEdge, isNetmask } from "../local";

const FOREVER_S: u32 = 0xffff_ffff;
/** RFC 791: every host takes packets of that size; a smaller MTU is refused. */
const MTU_MIN: u32 = 576;

/** As the server said it, 0 for what it did not say; complete() fills that in. */
@unmanaged
export class Lease {
  address: u32;
  server: u32;
  mask: u32;
  router: u32;
  mtu: u32;
  seconds: u32; // FOREVER_S: it does not end
  renewS: u32; // T1
  rebindS: u32; // T2
  nameServers: u32; // the first of NAME_SERVERS_MAX
  nameServer2: u32;
  nameServer3: u32;
}

/** The place of name server `i`. */
export function nameServerOf(lease: Lease, i: u32): usize {
  return changetype<usize>(lease) + offsetof<Lease>("nameServers") + (i << 2);
}

/**
 * Can we live with it? If so, what is missing has its default, and what makes no sense by itself
 * (a gateway elsewhere, an MTU below every network's) is gone.
 */
export function complete(lease: Lease): bool {
  if (!isHostAddress(lease.address) || !isHostAddress(lease.server)) return false;
  if (lease.seconds == 0) return false;
  if (lease.mask == 0) lease.mask = maskOfClass(lease.address);
  if (!isNetmask(lease.mask) || isEdge(lease.address, lease.mask)) return false;
  if (!isGateway(lease)) lease.router = INADDR_ANY;
  if (lease.mtu < MTU_MIN) lease.mtu = 0;
  return true;
}

/** RFC 950: what a mask was before servers said it. */
function maskOfClass(address: u32): u32 {
  if (address >> 31 == 0) return 0xff00_0000;
  return address >> 30 == 2 ? 0xffff_0000 : 0xffff_ff00;
}

function isGateway(lease: Lease): bool {
  const router = lease.router;
  if (router == lease.address || ((router ^ lease.address) & lease.mask) != 0) return false;
  return !isEdge(router, lease.mask);
}

/** When the lease ends that was asked for at `sinceNs`; NEVER: it does not. */
export function endNs(lease: Lease, sinceNs: u64): u64 {
  return lease.seconds == FOREVER_S ? NEVER : sinceNs + <u64>lease.seconds * NS_PER_S;
}

/** T1: from when on its server is asked to renew it (RFC 2131, 4.4.5). */
export function renewNs(lease: Lease, sinceNs: u64): u64 {
  if (lease.seconds == FOREVER_S) return NEVER;
  const whole = <u64>lease.seconds * NS_PER_S;
  return sinceNs + (hasTimes(lease) ? <u64>lease.renewS * NS_PER_S : whole / 2);
}

/** T2: from when on any server is asked. */
export function rebindNs(lease: Lease, sinceNs: u64): u64 {
  if (lease.seconds == FOREVER_S) return NEVER;
  const whole = <u64>lease.seconds * NS_PER_S;
  return sinceNs + (hasTimes(lease) ? <u64>lease.rebindS * NS_PER_S : (whole / 8) * 7);
}

/** Are T1 and T2 said, and in their order? */
function hasTimes(lease: Lease): bool {
  if (lease.renewS == 0) return false;
  return lease.renewS < lease.rebindS && lease.rebindS < lease.seconds;
}
