// TCP as a transport of sockets: the functions that the socket layer calls, and the ones that IP
// calls. An image has TCP if it calls useTcp().
import { IPPROTO_TCP } from "../../../../abi/ip";
import { VIRTIO_VSOCK_SHUTDOWN_SEND } from "../../../../abi/vsock";
import { NEVER } from "../../../clock";
import { NetworkInterface, NO_INTERFACE } from "../../link/interface";
import { loseConnections } from "../../socket/end";
import { firstOwing, settle } from "../../socket/owed";
import { hasData } from "../../socket/receive-queue";
import { windowMax } from "../../socket/settings";
import { Socket, SocketState } from "../../socket/socket";
import { registerTransport, Transport } from "../../socket/transport";
import { localCard, NO_CARD } from "../local";
import { dropHalfOpen, halfOpenEnd, halfOpenInit } from "./half-open";
import { startHandshake } from "./handshake";
import { portOffset } from "./isn";
import { queueFin, releaseConnection } from "./life";
import { acknowledge, output, OWES_OUTPUT, sendReset } from "./output";
import { queueBytes } from "./send";
import { TCP_BYTES, tcbOf, TcpState } from "./tcb";
import { presetTcpOptions } from "./tcp-options";
import { closeTimers, openTimers, rest } from "./timers";
import { timeWaitEnd, timeWaitInit } from "./time-wait";
import { hasOpened } from "./window";

const transport = changetype<Transport>(memory.data(offsetof<Transport>()));
/** The first window holds this much, or two segments of a network that carries long ones. */
const WINDOW_FIRST: u32 = 16384;

/** Makes SOCK_STREAM of AF_INET known. */
export function useTcp(): void {
  transport.bytes = TCP_BYTES;
  transport.open = (open as (s: Socket) => u32).index;
  transport.destroy = (destroy as (s: Socket) => u32).index;
  transport.release = (release as (s: Socket) => u32).index;
  transport.connect = (connect as (s: Socket) => u32).index;
  transport.abort = (abort as (s: Socket) => u32).index;
  transport.shutdown = (shutdown as (s: Socket) => u32).index;
  transport.close = (close as (s: Socket) => u32).index;
  transport.consumed = (consumed as (s: Socket) => u32).index;
  transport.route = (route as () => NetworkInterface).index;
  transport.portOffset = (portOffset as (address: u32, port: u32) => u32).index;
  transport.send = (queueBytes as SendFunction).index;
  registerTransport(IPPROTO_TCP, transport);
}

type SendFunction = (
  s: Socket,
  source: usize,
  entries: u32,
  offset: u32,
  bytes: u32,
  more: bool,
  buffers: usize,
) => i32;

/** There is a card. Returns 0 or -ENOMEM. */
export function tcpInit(): i32 {
  const halfOpen = halfOpenInit();
  return halfOpen < 0 ? halfOpen : timeWaitInit();
}

/** The card is gone, or the address: connections end with `error`. */
export function tcpLost(iface: NetworkInterface, error: i32): void {
  loseConnections(iface, error);
}

/** The card is gone for good. */
export function tcpEnd(): void {
  halfOpenEnd();
  timeWaitEnd();
}

/** There is room in the ring again: sends what connections owe. */
export function payOwed(iface: NetworkInterface): void {
  let s = firstOwing(iface);
  for (let i = 0; s && i < OWING_MAX; i++) {
    settle(s, OWES_OUTPUT);
    output(s);
    s = firstOwing(iface);
  }
}
/** Connections that are served at once: each of them may owe again. */
const OWING_MAX: i32 = 64;

function route(): NetworkInterface {
  return localCard() == NO_CARD ? NO_INTERFACE : localCard().iface;
}

function open(s: Socket): u32 {
  const opened = openTimers(s);
  if (opened < 0) return opened;
  presetTcpOptions(tcbOf(s));
  s.connectTimeoutNs = NEVER;
  const card = localCard();
  if (card != NO_CARD) s.windowFirst = min(windowMax, max(WINDOW_FIRST, 2 * card.mtu));
  return 0;
}

function release(s: Socket): u32 {
  releaseConnection(s);
  return 0;
}

function destroy(s: Socket): u32 {
  if (s.state == SocketState.Listening) dropHalfOpen(s);
  releaseConnection(s);
  closeTimers(s);
  return 0;
}

function connect(s: Socket): u32 {
  return startHandshake(s);
}

function abort(s: Socket): u32 {
  if (tcbOf(s).state > TcpState.SynSent) sendReset(s);
  return 0;
}

function shutdown(s: Socket): u32 {
  if ((s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) == 0) return 0;
  queueFin(tcbOf(s));
  output(s);
  return 0;
}

/** TC29: a FIN after all data, or RST if the peer has sent what nobody has read (RFC 2525, 2.17). */
function close(s: Socket): u32 {
  const t = tcbOf(s);
  if (hasData(s)) {
    sendReset(s);
    return 0;
  }
  queueFin(t);
  output(s);
  if (t.state == TcpState.FinWait2) rest(s);
  return 1;
}

function consumed(s: Socket): u32 {
  if (s.state == SocketState.Connected && tcbOf(s).state >= TcpState.Established && hasOpened(s)) {
    acknowledge(s);
  }
  return 0;
}
