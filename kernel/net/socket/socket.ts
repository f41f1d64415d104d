// Sockets as data: the object, and the tables that find it.
import { Errno } from "../../../abi/errno";
import { NetStats } from "../../../abi/stats";
import {
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
} from "../../../abi/vsock";
import { NEVER, nowNs } from "../../clock";
import { HandleTable } from "../../handle";
import { ToroAllocMem, ToroFreeMem } from "../../memory";
import { wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { reserveTimer, stopTimer, Timer, unreserveTimer } from "../../timer";
import { NetworkInterface, NO_INTERFACE, releasePacket, sendersOf } from "../link/interface";
import { forgetLendings, Lending } from "./zerocopy";
import { forgive } from "./owed";
import { Packet, PacketQueue } from "../link/packet";
import { UNBOUNDED } from "./send-buffer";
import { SendMode, sendMode, windowMax } from "../link/settings";
import { closeWindow, WINDOW_MIN } from "./credit";

export const enum SocketState {
  Created, // SysSocket
  Bound, // SysSocketBind
  Listening, // SysSocketListen
  Connecting, // REQUEST sent
  Connected, // RESPONSE sent or received
  Disconnected, // RST, or both sides were shut down
  Closing, // closed by the application: an RST is due, from the peer or, if owed, from us
}

@unmanaged
export class Socket {
  handle: i32; // 0: not (or no longer) the application's
  state: SocketState;
  type: u32; // of its packets
  iface: NetworkInterface; // NO_INTERFACE: any, of a listener, or none yet
  localPort: u32;
  remotePort: u32;
  remoteCid: u32;
  nextInBucket: Socket | null;
  nonBlocking: bool;
  error: i32; // why it is disconnected: a positive errno, reported to every caller
  localShutdown: u32;
  peerShutdown: u32;
  // Receive side, virtio 5.10.6.3.
  bufAlloc: u32; // window: what the peer may have in flight to us
  received: u32; // running total of payload bytes
  unread: u32; // of them queued
  receiveLeast: u32; // SO_RCVLOWAT
  fwdCnt: u32; // of them consumed by the application
  fwdTold: u32; // fwdCnt in the last packet that we sent
  windowFirst: u32; // with which a connection begins
  windowMax: u32; // up to which bufAlloc may grow
  pinned: u32; // capacity of the receive buffers that it holds, lent ones included
  loans: u32; // packets that it has lent to the application
  epoch: u32; // of the connection: loans of an earlier one count for nothing
  keepsApart: bool; // SO_RCVLOAN: no packet is put behind another
  messages: u32; // that are queued, of a seqpacket socket
  partial: bool; // and the begin of one more
  messageFlags: u32; // MSG_EOR and MSG_TRUNC of the one that was read last
  // Send side.
  sendMode: SendMode;
  sendBuffer: u32; // SO_SNDBUF
  unsent: u32; // bytes of copies that count in it
  sendLeast: u32; // SO_SNDLOWAT; of messages, the bytes of one that found no room, or 1
  sendsMessage: bool; // a thread sends one: its parts must not be mixed with others
  zeroCopy: bool; // SO_ZEROCOPY: MSG_ZEROCOPY is obeyed
  txCnt: u32; // running total of payload bytes
  peerBufAlloc: u32;
  peerFwdCnt: u32;
  creditAsked: bool; // one CREDIT_REQUEST per wait
  answerDue: bool; // and nothing has come since
  noted: u32; // bytes that the peer has taken without giving credit (VSOCK_PROGRESS_BYTES)
  // Sends with MSG_ZEROCOPY (lending.ts).
  lendings: Lending | null; // that the device has
  completions: Lending | null; // ranges of those that are done, in order
  completionCount: u32; // of both
  nextCompletion: u32; // number of the next one
  // Packets without payload that could not be sent yet (owed.ts): bit op.
  owed: u32;
  nextOwing: Socket | null;
  prevOwing: Socket | null;
  // Listener.
  backlog: u32;
  pending: u32; // connections that wait for accept
  nextPending: Socket | null;
  lastPending: Socket | null; // of a listener, whose first one is its nextPending
  listener: Socket | null; // of a connection that waits for accept
  // Time-outs in ns; NEVER: none.
  receiveTimeoutNs: u64;
  sendTimeoutNs: u64;
  lingerNs: u64; // SO_LINGER; 0: close does not wait
  connectTimeoutNs: u64;
}

// Embedded parts, by offset: asc has no embedded structs.
const PACKETS: usize = offsetof<Socket>();
const READERS: usize = PACKETS + offsetof<PacketQueue>();
const WRITERS: usize = READERS + offsetof<WaitQueue>();
const TIMER: usize = (WRITERS + offsetof<WaitQueue>() + 7) & ~7;
const STATS: usize = (TIMER + offsetof<Timer>() + 7) & ~7;
const SOCKET_BYTES: usize = STATS + NetStats.sizeof;

export const NO_SOCKET: Socket = changetype<Socket>(0);
/** Linux: VSOCK_DEFAULT_CONNECT_TIMEOUT. */
const CONNECT_TIMEOUT_NS: u64 = 2_000_000_000;

export const BUCKETS: u32 = 4096;
const buckets: usize = memory.data(4096 * 4);
const sockets = changetype<HandleTable>(memory.data(offsetof<HandleTable>()));
let socketsAlive: u32 = 0;

/** Received data that the application has not read. */
export function packetsOf(s: Socket): PacketQueue {
  return changetype<PacketQueue>(changetype<usize>(s) + PACKETS);
}

/** Who waits to receive, to accept or to be connected. */
export function readersOf(s: Socket): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(s) + READERS);
}

/** Who waits for credit. */
export function writersOf(s: Socket): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(s) + WRITERS);
}

/** The socket or a direction of it has ended: all who wait look again, for the ring as well. */
export function wakeSleepers(s: Socket): void {
  wakeAll(readersOf(s));
  wakeAll(writersOf(s));
  if (s.iface != NO_INTERFACE) wakeAll(sendersOf(s.iface));
}

export function timerOf(s: Socket): Timer {
  return changetype<Timer>(changetype<usize>(s) + TIMER);
}

/** Its NetStats. */
export function statsOf(s: Socket): usize {
  return changetype<usize>(s) + STATS;
}

/** Sockets alive, those included that are closing without an application. */
export function socketCount(): u32 {
  return socketsAlive;
}

export function socketOf(handle: i32): Socket {
  return changetype<Socket>(sockets.get(handle));
}

/** A new socket without a handle; null: no memory. */
export function createSocket(type: u32): Socket {
  const address = ToroAllocMem(SOCKET_BYTES);
  if (address == 0) return NO_SOCKET;
  if (reserveTimer() < 0) {
    ToroFreeMem(address);
    return NO_SOCKET;
  }
  socketsAlive++;
  const s = changetype<Socket>(address);
  s.type = type;
  s.receiveTimeoutNs = NEVER;
  s.sendTimeoutNs = NEVER;
  s.connectTimeoutNs = CONNECT_TIMEOUT_NS;
  s.receiveLeast = 1;
  s.sendLeast = 1;
  s.sendMode = sendMode;
  s.sendBuffer = UNBOUNDED;
  // What is larger than the window can never be sent: no message waits for it to grow.
  s.windowFirst = isSeqpacket(s) ? windowMax : min(WINDOW_MIN, windowMax);
  s.windowMax = windowMax;
  timerOf(s).arg = address;
  return s;
}

/** Gives the application a handle on `s`. Returns it, or -ENOMEM or -ENFILE. */
export function addHandle(s: Socket): i32 {
  const handle = sockets.add(changetype<usize>(s));
  if (handle > 0) s.handle = handle;
  return handle;
}

export function removeHandle(s: Socket): void {
  if (s.handle == 0) return;
  sockets.remove(s.handle);
  s.handle = 0;
}

/** Frees the socket and all that it holds; whoever waits for it finds the handle gone. */
export function destroySocket(s: Socket): void {
  removeHandle(s);
  unhash(s);
  stopTimer(timerOf(s));
  unreserveTimer();
  forgive(s);
  forgetLendings(s);
  dropReceived(s);
  closeWindow(s);
  wakeSleepers(s);
  socketsAlive--;
  ToroFreeMem(changetype<usize>(s));
}

export function isSeqpacket(s: Socket): bool {
  return s.type == VIRTIO_VSOCK_TYPE_SEQPACKET;
}

/** Is there something to read? */
export function hasData(s: Socket): bool {
  return isSeqpacket(s) ? s.messages != 0 : packetsOf(s).count != 0;
}

/** A packet has left the socket's queue for good. */
export function dropPacket(s: Socket, packet: Packet): void {
  if (packet.received) s.pinned -= packet.capacity;
  releasePacket(packet);
}

/**
 * Nobody will read what has arrived: consumed, as far as the peer is concerned. What is lent stays
 * with the application, but counts no more.
 */
export function dropReceived(s: Socket): void {
  const packets = packetsOf(s);
  for (let p = packets.pop(); p; p = packets.pop()) releasePacket(p);
  s.fwdCnt = s.received;
  s.pinned = s.loans = s.messages = s.unread = 0;
  s.partial = false;
  s.epoch++;
}

// Look-up. A connection is known by interface, local port, remote CID and remote port; a listener
// or a bound socket by its local port, with remote CID and port 0, and perhaps its interface.

function bucketOf(localPort: u32, remoteCid: u32, remotePort: u32): usize {
  let h = localPort * 0x9e37_79b1 + remoteCid * 0x85eb_ca6b + remotePort * 0xc2b2_ae35;
  h ^= h >> 15;
  return buckets + ((h & (BUCKETS - 1)) << 2);
}

/** On NO_INTERFACE: a socket of any interface. */
export function findSocket(
  iface: NetworkInterface,
  localPort: u32,
  remoteCid: u32,
  remotePort: u32,
): Socket {
  let s = changetype<Socket>(<usize>load<u32>(bucketOf(localPort, remoteCid, remotePort)));
  while (s != NO_SOCKET) {
    const found =
      s.localPort == localPort &&
      s.remotePort == remotePort &&
      s.remoteCid == remoteCid &&
      (s.iface == iface || s.iface == NO_INTERFACE || iface == NO_INTERFACE);
    if (found) return s;
    s = changetype<Socket>(changetype<usize>(s.nextInBucket));
  }
  return NO_SOCKET;
}

/** The first socket of bucket `i`; the others follow by nextInBucket. */
export function firstInBucket(i: u32): Socket {
  return changetype<Socket>(<usize>load<u32>(buckets + (i << 2)));
}

/** Enters the socket under its present addresses. */
export function hash(s: Socket): void {
  const bucket = bucketOf(s.localPort, s.remoteCid, s.remotePort);
  s.nextInBucket = changetype<Socket | null>(<usize>load<u32>(bucket));
  store<u32>(bucket, <u32>changetype<usize>(s));
}

/** Takes the socket out of the table, if it is there. */
export function unhash(s: Socket): void {
  const bucket = bucketOf(s.localPort, s.remoteCid, s.remotePort);
  let at = bucket;
  while (true) {
    const one: usize = load<u32>(at);
    if (one == 0) return;
    if (one == changetype<usize>(s)) break;
    at = one + offsetof<Socket>("nextInBucket");
  }
  store<u32>(at, <u32>changetype<usize>(s.nextInBucket));
}

/** Disconnects: sleepers wake, and find `error` (0: end of stream) behind what was received. */
export function disconnect(s: Socket, error: i32): void {
  s.state = SocketState.Disconnected;
  s.error = error;
  unhash(s);
  stopTimer(timerOf(s));
  wakeSleepers(s);
}

/** The moment at which a time-out that begins now ends. */
export function deadlineOf(timeoutNs: u64): u64 {
  return timeoutNs == NEVER ? NEVER : nowNs() + timeoutNs;
}

/** 0, or the error of a socket that is no longer connected, as a call returns it. */
export function connectionError(s: Socket): i32 {
  if (s.state == SocketState.Disconnected) return s.error == 0 ? -Errno.ENOTCONN : -s.error;
  return s.state == SocketState.Connected ? 0 : -Errno.ENOTCONN;
}

export function sendIsShut(s: Socket): bool {
  return (
    (s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 ||
    (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0
  );
}

/** Has the stream towards us ended? Data may still be queued. */
export function receiveIsShut(s: Socket): bool {
  return (
    (s.peerShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0 ||
    (s.localShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0
  );
}
