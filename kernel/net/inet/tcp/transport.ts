// TCP as a transport of sockets: the functions that the socket layer calls, and the ones that IP
// calls. An image has TCP if it calls useTcp().
import { Errno } from "../../../../abi/errno";
import { IPPROTO_TCP } from "../../../../abi/ip";
import { VIRTIO_VSOCK_SHUTDOWN_SEND } from "../../../../abi/vsock";
import { parameterChoice } from "../../../parameters";
import { NEVER } from "../../../clock";
import { hasSendRoom, NetworkInterface, NO_INTERFACE } from "../../link/interface";
import { Packet } from "../../link/packet";
import { firstWindow } from "../../socket/credit";
import { firstOwing, settle } from "../../socket/owed";
import { hasData } from "../../socket/receive-queue";
import { SendMode, windowMax } from "../../socket/settings";
import { NO_SOCKET, Socket, SocketState } from "../../socket/socket";
import { BUCKETS, firstInBucket } from "../../socket/table";
import { registerTransport, Transport } from "../../socket/transport";
import { IcmpError, onIcmpError } from "../icmp-errors";
import { localCard, localMtu, NO_CARD } from "../local";
import { dropHalfOpen, halfOpenEnd, halfOpenInit } from "./half-open";
import { delayedAck, fired, resend } from "./expiry";
import { icmpError } from "./errors";
import { startHandshake } from "./handshake";
import { portOffset } from "./isn";
import { queueFin, releaseConnection } from "./life";
import { output, OWES_OUTPUT } from "./output";
import { queueBytes } from "./send";
import { TCP_BYTES, tcbOf, TcpState } from "./tcb";
import { presetTcpOptions } from "./tcp-options";
import { closeTimers, openTimers, rest } from "./timers";
import { timeWaitEnd, timeWaitInit } from "./time-wait";
import { acknowledge, sendReset } from "./transmit";
import { hasOpened } from "./window";

const transport = changetype<Transport>(memory.data(offsetof<Transport>()));
/** The first window holds this much, or two segments of a network that carries long ones. */
const WINDOW_FIRST: u32 = 16384;

/**
 * A buffer that is sent in place is its sender's again only when the peer has acknowledged it, so
 * sockets do that when they are asked to.
 */
let tcpSendMode: SendMode = SendMode.OneCopy;

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
  transport.isDrained = (isDrained as (s: Socket) => u32).index;
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

/** There is a card. The caller has reserved two timers. */
export function tcpInit(): void {
  tcpSendMode = <SendMode>parameterChoice(
    "net.send", tcpSendMode, "two-copy", "one-copy", "zero-copy",
  );
  halfOpenInit();
  timeWaitInit();
  onIcmpError(IPPROTO_TCP, (icmpError as (error: IcmpError) => void).index);
}

/** The card is gone for good. */
export function tcpEnd(): void {
  halfOpenEnd();
  timeWaitEnd();
}

/** There is room in the ring again: sends what connections owe. */
export function payOwed(iface: NetworkInterface): void {
  for (let s = firstOwing(iface); s && hasSendRoom(iface); s = firstOwing(iface)) {
    settle(s, OWES_OUTPUT);
    output(s);
  }
}

/**
 * There is a link again, or an address: segments in flight were lost (TC55), and SYNs may never
 * have left (TC60).
 */
export function resume(iface: NetworkInterface): void {
  for (let i: u32 = 0; i < BUCKETS; i++) {
    for (let s = firstInBucket(i); s != NO_SOCKET; ) {
      if (s.protocol == IPPROTO_TCP && s.iface == iface) resend(s);
      s = changetype<Socket>(changetype<usize>(s.nextInBucket));
    }
  }
}

function route(): NetworkInterface {
  return localCard() == NO_CARD ? NO_INTERFACE : localCard().iface;
}

function open(s: Socket): u32 {
  const opened = openTimers(
    s,
    (fired as (arg: usize) => void).index,
    (delayedAck as (arg: usize) => void).index,
  );
  if (opened < 0) return opened;
  presetTcpOptions(tcbOf(s));
  s.connectTimeoutNs = NEVER;
  s.sendMode = tcpSendMode;
  s.windowFirst = firstWindow(min(windowMax, max(WINDOW_FIRST, 2 * localMtu())));
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

/**
 * TC29: a FIN after all data, or RST if the peer has sent what nobody has read (RFC 2525, 2.17).
 */
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

function isDrained(s: Socket): u32 {
  const t = tcbOf(s);
  return t.isFinQueued && t.una == t.end + 1 ? 1 : 0;
}

function consumed(s: Socket): u32 {
  if (s.state == SocketState.Connected && tcbOf(s).state >= TcpState.Established && hasOpened(s)) {
    acknowledge(s);
  }
  return 0;
}
