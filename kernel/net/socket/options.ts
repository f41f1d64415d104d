// Socket options. Numbers and meanings are Linux's where it has the option.
import { Errno } from "../../../abi/errno";
import { IPPROTO_UDP } from "../../../abi/ip";
import { NEVER, NS_PER_MS } from "../../clock";
import { interfaceAt, NO_INTERFACE } from "../link/interface";
import { setWindow } from "./credit";
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "./flags";
import { sendSpaceOf, UNBOUNDED } from "./send-buffer";
import { SendMode } from "./settings";
import { isSeqpacket, NO_SOCKET, Socket, SocketState } from "./socket";
import { socketOf } from "./table";

/** Time-outs in milliseconds; 0 waits forever. */
export const SO_RCVTIMEO: i32 = 20;
export const SO_SNDTIMEO: i32 = 21;
export const SO_CONNECT_TIMEOUT: i32 = 6;
export const SO_NONBLOCK: i32 = 0x800;
/** The receive window in bytes, 4096 to 256 MiB; credit is advertised in it from the start. */
export const SO_RCVBUF: i32 = 8;
/**
 * Bytes of copies that may be with the device, 4096 to 256 MiB, and the largest message; 0: limited
 * only by the memory for all sockets. Larger sends wait for the device, not only for the peer.
 */
export const SO_SNDBUF: i32 = 7;
/**
 * Bytes that a stream's receive waits for, unless it asks for fewer or the window holds fewer. A
 * receive that may not wait, or not any longer, returns with fewer.
 */
export const SO_RCVLOWAT: i32 = 18;
/** Room in bytes that select waits for on a stream, if that much can ever be sent at once. */
export const SO_SNDLOWAT: i32 = 19;
/** Milliseconds that close waits for the peer to take all data; 0: it does not wait. */
export const SO_LINGER: i32 = 13;
/** The index of the only device to listen on or to use. Set before bind or connect. */
export const SO_BINDTODEVICE: i32 = 25;
/** 1: MSG_ZEROCOPY is obeyed. */
export const SO_ZEROCOPY: i32 = 60;
/** A SendMode. */
export const SO_SENDMODE: i32 = 0x801;
/** 1: received packets are kept apart, for loans; 0: small ones are merged. */
export const SO_RCVLOAN: i32 = 0x802;
/** Read-only: SOCK_STREAM or SOCK_SEQPACKET; the errno that ended it; 1 for a listener. */
export const SO_TYPE: i32 = 3;
export const SO_ERROR: i32 = 4;
export const SO_ACCEPTCONN: i32 = 30;
/** Bytes that wait to be read; bytes that were sent and that the peer has not consumed. */
export const SIOCINQ: i32 = 0x541b;
export const SIOCOUTQ: i32 = 0x5411;
/**
 * Bytes that a send takes without waiting (number and meaning are FreeBSD's); 0 also on a socket
 * that cannot send. The peer has consumed all sent bytes but SIOCOUTQ.
 */
export const FIONSPACE: i32 = 0x4004_6676;

/**
 * A running total, of 31 bits, of the bytes that the peer is known to have taken: consumed ones,
 * and those that it reports without giving credit (VSOCK_PROGRESS_BYTES). It tells a slow peer,
 * which gives no credit for minutes, from a dead one.
 */
export const SO_PROGRESS: i32 = 0x803;

const BUFFER_LEAST: u32 = 4096;
const BUFFER_MOST: u32 = 1 << 28;

/**
 * Sets an option; connections inherit the options of their listener. Returns 0, -EBADF, -EINVAL,
 * -ENODEV (no such device), -ENOMEM (no budget for that window).
 */
export function SysSocketSetOption(socket: i32, option: i32, value: u32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  const timeoutNs = value == 0 ? NEVER : <u64>value * NS_PER_MS;
  switch (option) {
    case SO_RCVTIMEO:
      s.receiveTimeoutNs = timeoutNs;
      return 0;
    case SO_SNDTIMEO:
      s.sendTimeoutNs = timeoutNs;
      return 0;
    case SO_CONNECT_TIMEOUT:
      s.connectTimeoutNs = timeoutNs;
      return 0;
    case SO_NONBLOCK:
      s.nonBlocking = value != 0;
      return 0;
    case SO_ZEROCOPY:
      s.zeroCopy = value != 0;
      return 0;
    case SO_RCVLOAN:
      s.keepsApart = value != 0;
      return 0;
    case SO_SENDMODE:
      if (value > <u32>SendMode.ZeroCopy) return -Errno.EINVAL;
      s.sendMode = <SendMode>value;
      return 0;
    case SO_RCVBUF:
      return setReceiveBuffer(s, value);
    case SO_SNDBUF:
      return setSendBuffer(s, value);
    case SO_RCVLOWAT:
      s.receiveLeast = max<u32>(value, 1);
      return 0;
    case SO_SNDLOWAT:
      if (isSeqpacket(s)) return -Errno.EINVAL; // its next message determines it
      s.sendLeast = max<u32>(value, 1);
      return 0;
    case SO_LINGER:
      s.lingerNs = <u64>value * NS_PER_MS;
      return 0;
    case SO_BINDTODEVICE:
      return bindToDevice(s, value);
    default:
      return -Errno.EINVAL;
  }
}

function setReceiveBuffer(s: Socket, bytes: u32): i32 {
  if (bytes < BUFFER_LEAST || bytes > BUFFER_MOST) return -Errno.EINVAL;
  if (s.state == SocketState.Connected) return setWindow(s, bytes) ? 0 : -Errno.ENOMEM;
  s.windowMax = s.windowFirst = bytes;
  return 0;
}

function setSendBuffer(s: Socket, bytes: u32): i32 {
  if ((bytes != 0 && bytes < BUFFER_LEAST) || bytes > BUFFER_MOST) return -Errno.EINVAL;
  s.sendBuffer = bytes == 0 ? UNBOUNDED : bytes;
  return 0;
}

function bindToDevice(s: Socket, index: u32): i32 {
  if (s.state != SocketState.Created) return -Errno.EINVAL;
  const iface = interfaceAt(index);
  if (iface == NO_INTERFACE) return -Errno.ENODEV;
  s.iface = iface;
  return 0;
}

/** The value of an option, or -EBADF, -EINVAL. Does not yield. */
export function SysSocketGetOption(socket: i32, option: i32): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  switch (option) {
    case SO_RCVTIMEO:
      return inMs(s.receiveTimeoutNs);
    case SO_SNDTIMEO:
      return inMs(s.sendTimeoutNs);
    case SO_CONNECT_TIMEOUT:
      return inMs(s.connectTimeoutNs);
    case SO_LINGER:
      return inMs(s.lingerNs);
    case SO_NONBLOCK:
      return s.nonBlocking;
    case SO_ZEROCOPY:
      return s.zeroCopy;
    case SO_RCVLOAN:
      return s.keepsApart;
    case SO_SENDMODE:
      return s.sendMode;
    case SO_RCVBUF:
      return s.windowMax;
    case SO_SNDBUF:
      return s.sendBuffer == UNBOUNDED ? 0 : s.sendBuffer;
    case SO_RCVLOWAT:
      return s.receiveLeast;
    case SO_SNDLOWAT:
      return s.sendLeast;
    case SO_TYPE:
      if (s.protocol == IPPROTO_UDP) return SOCK_DGRAM;
      return isSeqpacket(s) ? SOCK_SEQPACKET : SOCK_STREAM;
    case SO_ERROR:
      return s.state == SocketState.Disconnected ? s.error : 0;
    case SO_ACCEPTCONN:
      return s.state == SocketState.Listening;
    case SIOCINQ:
      return s.unread;
    case SIOCOUTQ:
      return s.txCnt - s.peerFwdCnt;
    case SO_PROGRESS:
      return (s.peerFwdCnt + s.progress) & i32.MAX_VALUE;
    case FIONSPACE:
      return min<u32>(sendSpaceOf(s), i32.MAX_VALUE);
    default:
      return -Errno.EINVAL;
  }
}

function inMs(ns: u64): i32 {
  return ns == NEVER ? 0 : <i32>min<u64>(ns / NS_PER_MS, i32.MAX_VALUE);
}
