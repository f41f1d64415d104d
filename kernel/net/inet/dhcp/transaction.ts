// Transactions with DHCP servers: a message is sent, and again until it is answered. One timer runs
// for all that the client waits for.
import { DhcpMessage } from "../../../../abi/dhcp";
import { INADDR_ANY, INADDR_BROADCAST } from "../../../../abi/ip";
import { NEVER, nowNs, NS_PER_S } from "../../../clock";
import { randomBytes } from "../../../std";
import { startTimer, stopTimer, Timer } from "../../../timer";
import { Lease } from "./lease";
import { Request, sendRequest } from "./request";
import { dhcpState, DhcpState } from "./state";

/** TC12: the first wait for an answer, doubled for each of the tries, give or take FUZZ_NS. */
const FIRST_WAIT_NS: u64 = 4 * NS_PER_S;
const FUZZ_NS: u64 = NS_PER_S;
const TRIES_MAX: u32 = 3;
/** Between two requests to prolong a lease, at least (RFC 2131, 4.4.5). */
const PROLONG_WAIT_NS: u64 = 60 * NS_PER_S;

const timer = changetype<Timer>(memory.data(offsetof<Timer>()));
const request = changetype<Request>(memory.data(offsetof<Request>()));
const random: usize = memory.data(8);
let xid: u32 = 0;
let tries: u32 = 0; // of the message that is to be answered
let beganNs: u64 = 0; // looking for an address, or prolonging
let asked: u64 = 0;

/** `handler` is the table index of (arg: usize): void: what the client waited for has not come. */
export function transactionInit(handler: u32): void {
  timer.handler = handler;
}

/** There is nothing more to wait for. */
export function endWait(): void {
  stopTimer(timer);
}

/** The client waits until `deadlineNs`, for nothing else. */
export function waitUntil(deadlineNs: u64): void {
  startTimer(timer, deadlineNs);
}

/** The number that answers to the present transaction have. */
export function transactionId(): u32 {
  return xid;
}

/** Has the message been sent as often as it is worth? */
export function isUnanswered(): bool {
  return tries == TRIES_MAX;
}

/** When the lease was first asked for: its time counts from then on (RFC 2131, 4.4.1). */
export function askedNs(): u64 {
  return asked;
}

/** Begins a transaction: nobody can answer it who has not seen its messages. */
export function beginTransaction(): void {
  randomBytes(random, 4);
  xid = load<u32>(random);
  tries = 0;
  beganNs = asked = nowNs();
}

/** An offer was taken: the same transaction goes on with the request for it. */
export function beginRequest(): void {
  tries = 0;
  asked = nowNs();
}

/** Sends the state's message about `lease`, and waits 4, 8 or 16 s for its answer. */
export function ask(lease: Lease): void {
  send(dhcpState() == DhcpState.Selecting ? DhcpMessage.DISCOVER : DhcpMessage.REQUEST, lease);
  randomBytes(random, 8);
  const fuzz = load<u64>(random) % (2 * FUZZ_NS);
  waitUntil(nowNs() + (FIRST_WAIT_NS << tries) - FUZZ_NS + fuzz);
  tries++;
}

/** Asks for more time until `untilNs`: now, and each time that half of the rest has passed. */
export function prolong(lease: Lease, untilNs: u64): void {
  const now = nowNs();
  assert(now < untilNs, "dhcp: too late");
  send(DhcpMessage.REQUEST, lease);
  if (untilNs == NEVER) return endWait();
  waitUntil(min(untilNs, now + max((untilNs - now) / 2, PROLONG_WAIT_NS)));
}

/** Tells the server that somebody else has the address of the lease. */
export function decline(lease: Lease): void {
  send(DhcpMessage.DECLINE, lease);
}

/** RFC 2131, table 5: which message names the address and the server, and where it goes. */
function send(type: DhcpMessage, lease: Lease): void {
  const names = type == DhcpMessage.DECLINE || dhcpState() == DhcpState.Requesting;
  request.type = type;
  request.xid = xid;
  request.seconds = <u32>((nowNs() - beganNs) / NS_PER_S);
  request.requested = names ? lease.address : INADDR_ANY;
  request.server = names ? lease.server : INADDR_ANY;
  request.to = dhcpState() == DhcpState.Renewing ? lease.server : INADDR_BROADCAST;
  sendRequest(request);
}
