// The sockets of a guest, read from its memory. Counters of credit are running totals that wrap
// (virtio 5.10.6.3).
import { IPPROTO_TCP } from "../../abi/ip.ts";
import { u32 } from "../memory.ts";
import type { GuestReader } from "./guest-reader.ts";
import { SOCKET_STATES, SocketState, stateName, TCP_STATES } from "./guest-states.ts";
import { objectsOf } from "./handles.ts";
import type { Layout } from "./layout.ts";
import { peerName, protocolName } from "./peers.ts";
import { LISTED_MAX } from "./threads.ts";

/** Sockets that the application has closed: followed in one bucket, and in all. */
const CHAIN_MAX = 64;
const FOLLOWED_MAX = 4096;
const BUCKETS_MAX = 65536;

/** Payload in one direction. */
export interface CreditView {
  /** Bytes so far; wraps at 2^32. */
  readonly bytes: number;
  /** Of them, those that the receiver's application has not taken, as far as the sender knows. */
  readonly inFlight: number;
  /** As many as may be in flight. */
  readonly window: number;
}

/** The state of a TCP connection. */
export interface TcpView {
  /** RFC 9293, 3.3.2. */
  readonly state: string;
  /** Bytes that were sent and not acknowledged, and as many as peer and congestion allow. */
  readonly inFlight: number;
  readonly peerWindow: number;
  readonly congestionWindow: number;
  /** Smoothed, in microseconds; 0: not measured. */
  readonly roundTripUs: number;
  readonly retransmits: number;
  /** Of a listener: connections that are only begun. */
  readonly halfOpen: number;
}

/**
 * A socket. Of TCP `received` is what the application has not read, in the receive window, and
 * `sent` what the peer has not acknowledged, in the send queue.
 */
export interface SocketView {
  /** As in "vsock", "tcp" or "udp". */
  readonly protocol: string;
  /** 0: the application has closed it. */
  readonly handle: number;
  readonly state: string;
  /** null: it is not of TCP. */
  readonly tcp: TcpView | null;
  readonly localPort: number;
  /** As in "2:1073741824" or "10.0.2.2:49152"; "": it has none. */
  readonly peer: string;
  /** Both 0: it has no peer. A CID, or an IPv4 address. */
  readonly remoteAddress: number;
  readonly remotePort: number;
  readonly received: CreditView;
  readonly sent: CreditView;
  /** Bytes that the application has not read, and of buffers that hold them. */
  readonly unread: number;
  readonly pinned: number;
  /** Of a listener: connections that wait to be accepted, and how many may. */
  readonly pending: number;
  readonly backlog: number;
}

export interface SocketsView {
  readonly total: number;
  readonly listed: readonly SocketView[];
}

export function readSockets(reader: GuestReader, layout: Layout): SocketsView {
  const { total: open, first } = objectsOf(reader, layout, layout.sockets, LISTED_MAX);
  const found = [...first];
  // Those that the application has closed have no handle, and are known by their addresses only.
  const { handle, nextInBucket } = layout.socket;
  let closed = 0;
  let followed = 0;
  for (const bucket of reader.words(
    layout.buckets,
    Math.min(layout.buckets_count, BUCKETS_MAX),
    4,
  )) {
    let at = bucket;
    for (let n = 0; at !== 0 && n < CHAIN_MAX && followed < FOLLOWED_MAX; n++, followed++) {
      if (reader.u32(at + handle) === 0) {
        closed++;
        if (found.length < LISTED_MAX) found.push(at);
      }
      at = reader.u32(at + nextInBucket);
    }
  }
  return { total: open + closed, listed: found.map((at) => readSocket(reader, layout, at)) };
}

function readSocket(reader: GuestReader, layout: Layout, at: number): SocketView {
  const { socket } = layout;
  const field = (offset: number) => reader.u32(at + offset);
  const [received, sent] = [field(socket.rxCnt), field(socket.txCnt)];
  const [protocol, state] = [field(socket.protocol), field(socket.state)];
  const [remoteAddress, remotePort] = [field(socket.remoteAddress), field(socket.remotePort)];
  return {
    protocol: protocolName(protocol, field(socket.type)),
    handle: field(socket.handle),
    state: stateName(SOCKET_STATES, state),
    tcp: protocol === IPPROTO_TCP ? readTcp(reader, layout, at, state) : null,
    localPort: field(socket.localPort),
    peer: remotePort === 0 ? "" : peerName(protocol, remoteAddress, remotePort),
    ...{ remoteAddress, remotePort },
    received: {
      bytes: received,
      inFlight: u32(received - field(socket.fwdCnt)),
      window: field(socket.bufAlloc),
    },
    sent: {
      bytes: sent,
      inFlight: u32(sent - field(socket.peerFwdCnt)),
      window: field(socket.peerBufAlloc),
    },
    unread: field(socket.unread),
    pinned: field(socket.pinned),
    pending: field(socket.pending),
    backlog: field(socket.backlog),
  };
}

/** LISTEN is a state of the socket alone. */
function readTcp(reader: GuestReader, { tcp }: Layout, at: number, of: number): TcpView {
  const field = (offset: number) => reader.u32(at + offset);
  const isListener = of === SocketState.Listening;
  return {
    state: isListener ? "LISTEN" : stateName(TCP_STATES, field(tcp.state)),
    inFlight: u32(field(tcp.nxt) - field(tcp.una)),
    peerWindow: field(tcp.wnd),
    congestionWindow: field(tcp.cwnd),
    roundTripUs: field(tcp.srtt),
    retransmits: field(tcp.retransmits),
    halfOpen: field(tcp.halfOpen),
  };
}
