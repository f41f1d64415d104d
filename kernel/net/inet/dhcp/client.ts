// The DHCP client (RFC 2131, 4.4): finds an address for the machine, keeps it, and takes it away
// when its lease ends. Whoever has a lease has nothing to do until T1.
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessage } from "../../../../abi/dhcp";
import { nowNs, NS_PER_MS, NS_PER_S } from "../../../clock";
import { announce, endProbe, probe } from "../arp";
import { localCard, setExpected } from "../local";
import { inetStats } from "../stats";
import { bindUdp, Datagram, unbindUdp, UdpReceiver } from "../udp/ports";
import { applyLease, dropLease, printBound, printDeclined } from "./apply";
import { complete, endNs, Lease, rebindNs, renewNs } from "./lease";
import { readReply, Reply } from "./reply";
import { dhcpState, DhcpState, enterState, hasLease, isRequesting } from "./state";
import {
  ask,
  askedNs,
  beginRequest,
  beginTransaction,
  decline,
  endWait,
  isUnanswered,
  prolong,
  transactionId,
  transactionInit,
  waitUntil,
} from "./transaction";

/** After a NAK: whoever refuses every request has us ask once in that time. */
const NAK_REST_NS: u64 = NS_PER_S;
/** After a DECLINE (RFC 2131, 3.1, 5). */
const DECLINE_REST_NS: u64 = 10 * NS_PER_S;
/**
 * How long somebody may say that the address is taken. RFC 5227 waits for seconds, which would be
 * most of a boot; on one segment, an answer takes less than a millisecond.
 */
const PROBE_NS: u64 = 200 * NS_PER_MS;

const receiver = changetype<UdpReceiver>(memory.data(offsetof<UdpReceiver>()));
const reply = changetype<Reply>(memory.data(offsetof<Reply>()));
const lease = changetype<Lease>(memory.data(offsetof<Lease>())); // asked for, or ours
let sinceNs: u64 = 0; // from when the lease counts that is ours

/** There is a card, and its address is DHCP's affair. The client begins when the link is up. */
export function dhcpInit(): void {
  transactionInit((expired as (arg: usize) => void).index);
  receiver.port = DHCP_CLIENT_PORT;
  receiver.isEarly = true;
  receiver.arrived = (arrived as (receiver: UdpReceiver, datagram: Datagram) => void).index;
  assert(bindUdp(receiver) == 0, "dhcp: somebody has the port");
  setExpected(true);
  enterState(DhcpState.Unplugged);
}

/** The card is gone. */
export function dhcpEnd(): void {
  if (dhcpState() == DhcpState.Off) return;
  endWait();
  endProbe();
  unbindUdp(receiver);
  enterState(DhcpState.Off);
  setExpected(false);
}

/** The link has come or gone. Where it comes back, there may be another network. */
export function dhcpLink(isUp: bool): void {
  if (dhcpState() == DhcpState.Off) return;
  if (hasLease()) {
    if (isUp) check();
  } else if (isUp) {
    discover();
  } else {
    endWait();
    endProbe();
    enterState(DhcpState.Unplugged);
  }
}

/** The timer is due. */
function expired(_: usize): void {
  switch (dhcpState()) {
    case DhcpState.Resting:
      return discover();
    case DhcpState.Selecting:
    case DhcpState.Requesting:
      return isUnanswered() ? discover() : ask(lease);
    case DhcpState.Probing:
      return endProbe() ? giveBack() : bind();
    default:
      keep();
  }
}

// Finding an address.

function discover(): void {
  enterState(DhcpState.Selecting);
  beginTransaction();
  ask(lease);
}

/** Takes what a server has offered. */
function accept(): void {
  take();
  enterState(DhcpState.Requesting);
  beginRequest();
  ask(lease);
}

/** The server has given us the address. TC14: does somebody have it who did not ask for it? */
function startProbe(): void {
  take();
  enterState(DhcpState.Probing);
  probe(lease.address);
  waitUntil(nowNs() + PROBE_NS);
}

function giveBack(): void {
  printDeclined(lease);
  inetStats().dhcpDeclines++;
  decline(lease);
  rest(DECLINE_REST_NS);
}

function rest(ns: u64): void {
  enterState(DhcpState.Resting);
  waitUntil(nowNs() + ns);
}

function bind(): void {
  hold();
  announce();
  printBound(lease);
}

// Keeping it.

/** The lease of the last reply is the one that counts. */
function take(): void {
  memory.copy(changetype<usize>(lease), changetype<usize>(reply), offsetof<Lease>());
}

function hold(): void {
  enterState(DhcpState.Bound);
  sinceNs = askedNs();
  applyLease(lease);
  waitUntil(renewNs(lease, sinceNs));
}

/** A moment of the lease has come: T1, T2, its end, or the time to ask again. */
function keep(): void {
  const now = nowNs();
  if (now >= endNs(lease, sinceNs)) return lose("net: the lease has ended of ");
  if (dhcpState() == DhcpState.Rebinding) return prolong(lease, endNs(lease, sinceNs));
  if (now >= rebindNs(lease, sinceNs)) return rebind();
  if (dhcpState() == DhcpState.Bound) renew();
  else prolong(lease, rebindNs(lease, sinceNs));
}

function renew(): void {
  enterState(DhcpState.Renewing);
  beginTransaction();
  prolong(lease, rebindNs(lease, sinceNs));
}

function rebind(): void {
  enterState(DhcpState.Rebinding);
  beginTransaction();
  prolong(lease, endNs(lease, sinceNs));
}

/** The link is back: is the address one of this network? */
function check(): void {
  if (nowNs() < endNs(lease, sinceNs)) rebind();
  else lose("net: the lease has ended of ");
}

function lose(why: string): void {
  dropLease(lease, why);
  if (localCard().hasLink) discover();
  else enterState(DhcpState.Unplugged);
}

// Messages of servers.

/** A datagram for our port has arrived. */
function arrived(_: UdpReceiver, datagram: Datagram): void {
  if (!understand(datagram)) inetStats().badDhcp++;
}

/** Returns false for what no server should have sent. */
function understand(datagram: Datagram): bool {
  if (datagram.sourcePort != DHCP_SERVER_PORT) return false;
  const xid = transactionId();
  if (!readReply(reply, datagram.payload, datagram.bytes, xid, localCard().mac)) return false;
  switch (reply.type) {
    case DhcpMessage.OFFER:
      return offered();
    case DhcpMessage.ACK:
      return acknowledged();
    case DhcpMessage.NAK:
      return refused();
    default:
      return false;
  }
}

/** The first good offer is taken; others are late. */
function offered(): bool {
  if (dhcpState() != DhcpState.Selecting) return true;
  if (!complete(reply)) return false;
  accept();
  return true;
}

function acknowledged(): bool {
  if (!isRequesting()) return true;
  if (!complete(reply) || reply.address != lease.address || !isOfServer()) return false;
  if (dhcpState() == DhcpState.Requesting) {
    startProbe();
  } else {
    take();
    hold();
  }
  return true;
}

function refused(): bool {
  if (!isRequesting()) return true;
  if (!isOfServer()) return false;
  if (hasLease()) dropLease(lease, "net: DHCP has taken back ");
  rest(NAK_REST_NS);
  return true;
}

/** Is the reply of the server that was asked? When rebinding, all are. */
function isOfServer(): bool {
  return dhcpState() == DhcpState.Rebinding || reply.server == lease.server;
}
