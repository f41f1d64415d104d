// Sockets as data. Fields are grouped by the file that writes them: others read them, and change
// them by calling that file.
import { NetStats } from "../../../abi/stats";
import { VIRTIO_VSOCK_TYPE_SEQPACKET } from "../../../abi/vsock";
import { List, ListNode } from "../../list";
import { wakeAll } from "../../scheduler";
import { WaitQueue } from "../../thread";
import { Timer } from "../../timer";
import { NetworkInterface, NO_INTERFACE, sendersOf } from "../link/interface";
import { PacketQueue } from "../link/packet";
import { SendMode } from "./settings";

export const enum SocketState {
  Created, // SysSocket
  Bound, // SysSocketBind
  Listening, // SysSocketListen
  Connecting, // REQUEST sent
  Connected, // RESPONSE sent or received
  Disconnected, // RST, or both sides were shut down
  Closing, // closed by the application; RST must still be received, or sent
}

@unmanaged
export class Socket {
  // Addresses: calls.ts, connect.ts and input.ts, while the socket is not in the table.
  type: u32; // of its packets, on vsock
  protocol: u32; // that has its own transport (transport.ts); VSOCK: none
  iface: NetworkInterface; // NO_INTERFACE: none yet, or any of them for a listener
  localPort: u32;
  remotePort: u32;
  remoteAddress: u32; // CID, or IPv4 address
  // table.ts
  handle: i32; // 0: the application has none, or none any more
  nextInBucket: Socket | null;
  // state.ts
  state: SocketState;
  // end.ts, input.ts
  error: i32; // positive errno that ended the connection, reported to every caller; 0: none
  localShutdown: u32;
  peerShutdown: u32;
  // Options: options.ts; accepted connections inherit them.
  nonBlocking: bool;
  keepsApart: bool; // SO_RCVLOAN: no packet is appended to another
  zeroCopy: bool; // SO_ZEROCOPY: MSG_ZEROCOPY is obeyed
  sendMode: SendMode;
  sendBuffer: u32; // SO_SNDBUF
  receiveLeast: u32; // SO_RCVLOWAT
  windowFirst: u32; // window of a new connection
  windowMax: u32; // up to which bufAlloc may grow
  receiveTimeoutNs: u64; // NEVER: none, as the next two
  sendTimeoutNs: u64;
  connectTimeoutNs: u64;
  lingerNs: u64; // SO_LINGER; 0: close does not wait
  // credit.ts: what the peer may send, virtio 5.10.6.3. Counters are running totals and wrap.
  bufAlloc: u32; // window: bytes that the peer may have in flight to us
  rxCnt: u32; // payload bytes received
  fwdCnt: u32; // of them, consumed by the application
  lastFwdCnt: u32; // fwdCnt in the last packet that we sent
  // credit.ts: what we may send.
  txCnt: u32; // payload bytes sent
  peerBufAlloc: u32;
  peerFwdCnt: u32;
  creditAsked: bool; // one CREDIT_REQUEST per wait
  answerDue: bool; // and nothing has come since
  progress: u32; // bytes that the peer has taken without giving credit (VSOCK_PROGRESS_BYTES)
  // receive-queue.ts: received data that the application has not read.
  unread: u32; // bytes queued
  pinned: u32; // capacity of the receive buffers that it holds, lent ones included
  loans: u32; // packets that it has lent to the application
  epoch: u32; // of the connection: loans of an earlier one do not count
  // message.ts, of a seqpacket socket
  messages: u32; // whole ones in the queue
  partial: bool; // and the start of one more
  messageFlags: u32; // MSG_EOR and MSG_TRUNC of the message that was read last
  // send-buffer.ts
  unsent: u32; // bytes of copies that count in sendBuffer
  // send.ts
  sendLeast: u32; // SO_SNDLOWAT; of messages, the bytes of one that found no room, or 1
  sendMarks: u32; // EOM and EOR of the message that a thread is sending; 0: none
  // zerocopy.ts
  completionCount: u32; // sends with MSG_ZEROCOPY in flight, and ranges of finished ones
  nextCompletion: u32; // number of the next one
  // owed.ts
  owed: u32; // bit for each op of a packet without payload that found no room
  // backlog.ts
  backlog: u32; // of a listener: connections that may wait for accept
  pending: u32; // that do
  listener: Socket | null; // of a connection that waits for accept
}

// Embedded parts, by offset: asc has no embedded structs.
const PACKETS: usize = (offsetof<Socket>() + 7) & ~7;
export const SOCKET_READERS: usize = PACKETS + offsetof<PacketQueue>();
export const SOCKET_WRITERS: usize = SOCKET_READERS + offsetof<WaitQueue>();
const OWING: usize = SOCKET_WRITERS + offsetof<WaitQueue>();
const PENDING: usize = OWING + offsetof<ListNode>();
const PENDINGS: usize = PENDING + offsetof<ListNode>();
const USER_BUFFERS: usize = PENDINGS + offsetof<List>();
const COMPLETIONS: usize = USER_BUFFERS + offsetof<List>();
const TIMER: usize = (COMPLETIONS + offsetof<List>() + 7) & ~7;
const STATS: usize = (TIMER + offsetof<Timer>() + 7) & ~7;
export const SOCKET_BYTES: usize = STATS + NetStats.sizeof;

if ((STATS & 7) != 0) ERROR("socket: the counters are not aligned");

/** The protocol of a socket without a transport of its own. */
export const VSOCK: u32 = 0;

export const NO_SOCKET: Socket = changetype<Socket>(0);

/** Received data that the application has not read. */
export function packetsOf(s: Socket): PacketQueue {
  return changetype<PacketQueue>(changetype<usize>(s) + PACKETS);
}

/** Threads that wait to receive, to accept or to be connected. */
export function readersOf(s: Socket): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(s) + SOCKET_READERS);
}

/** Threads that wait for credit. */
export function writersOf(s: Socket): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(s) + SOCKET_WRITERS);
}

/** Its place among the sockets of the interface that owe a packet. */
export function owingOf(s: Socket): ListNode {
  return changetype<ListNode>(changetype<usize>(s) + OWING);
}

/** Its place among the connections that wait for accept. */
export function pendingOf(s: Socket): ListNode {
  return changetype<ListNode>(changetype<usize>(s) + PENDING);
}

/** A listener's connections that wait for accept, oldest first. */
export function backlogOf(s: Socket): List {
  return changetype<List>(changetype<usize>(s) + PENDINGS);
}

/** Sends with MSG_ZEROCOPY whose buffers the device has. */
export function userBuffersOf(s: Socket): List {
  return changetype<List>(changetype<usize>(s) + USER_BUFFERS);
}

/** Ranges of finished sends with MSG_ZEROCOPY, in order. */
export function completionsOf(s: Socket): List {
  return changetype<List>(changetype<usize>(s) + COMPLETIONS);
}

export function timerOf(s: Socket): Timer {
  return changetype<Timer>(changetype<usize>(s) + TIMER);
}

/** Its NetStats. */
export function statsOf(s: Socket): usize {
  return changetype<usize>(s) + STATS;
}

export function isVsock(s: Socket): bool {
  return s.protocol == VSOCK;
}

export function isSeqpacket(s: Socket): bool {
  return s.type == VIRTIO_VSOCK_TYPE_SEQPACKET;
}

/** The socket, or one direction of it, has ended: wakes all waiters, also those for ring room. */
export function wakeSleepers(s: Socket): void {
  wakeAll(readersOf(s));
  wakeAll(writersOf(s));
  if (s.iface != NO_INTERFACE) wakeAll(sendersOf(s.iface));
}
