// The two ways to find a socket: by the application's handle, and by addresses. A connection is
// known by protocol, interface, local port, remote address and remote port; a listener or a bound
// socket by protocol and local port, with remote address and port 0, and perhaps its interface.
import { HandleTable } from "../../handle";
import { NetworkInterface, NO_INTERFACE } from "../link/interface";
import { NO_SOCKET, Socket } from "./socket";

export const SOCKET_TABLE: usize = memory.data(offsetof<HandleTable>());
const sockets = changetype<HandleTable>(SOCKET_TABLE);

export const BUCKETS: u32 = 4096;
export const SOCKET_BUCKETS: usize = memory.data(4096 * 4);

if ((BUCKETS & (BUCKETS - 1)) != 0) ERROR("table: the number of buckets is no power of two");

const EPHEMERAL_FIRST: u32 = 0xc000;
const EPHEMERAL_PORTS: u32 = 0x4000;
let nextEphemeral: u32 = 0;

export function socketOf(handle: i32): Socket {
  return changetype<Socket>(sockets.get(handle));
}

/** Gives the application a handle on `s`. Returns it, or -ENOMEM or -ENFILE. */
export function addHandle(s: Socket): i32 {
  assert(s.handle == 0, "has a handle");
  const handle = sockets.add(changetype<usize>(s));
  if (handle > 0) s.handle = handle;
  return handle;
}

export function removeHandle(s: Socket): void {
  if (s.handle == 0) return;
  assert(socketOf(s.handle) == s, "not its handle");
  sockets.remove(s.handle);
  s.handle = 0;
}

/** Spreads addresses over a table: its low bits are the bucket. */
export function addressHash(localPort: u32, remoteAddress: u32, remotePort: u32): u32 {
  const h = localPort * 0x9e37_79b1 + remoteAddress * 0x85eb_ca6b + remotePort * 0xc2b2_ae35;
  return h ^ (h >> 15);
}

function bucketOf(localPort: u32, remoteAddress: u32, remotePort: u32): usize {
  const bucket = addressHash(localPort, remoteAddress, remotePort) & (BUCKETS - 1);
  return SOCKET_BUCKETS + (bucket << 2);
}

/** NO_INTERFACE finds a socket of any interface. `protocol` as in Socket. */
export function findSocket(
  protocol: u32,
  iface: NetworkInterface,
  localPort: u32,
  remoteAddress: u32,
  remotePort: u32,
): Socket {
  let s = changetype<Socket>(<usize>load<u32>(bucketOf(localPort, remoteAddress, remotePort)));
  while (s != NO_SOCKET) {
    const found =
      s.localPort == localPort &&
      s.remotePort == remotePort &&
      s.remoteAddress == remoteAddress &&
      s.protocol == protocol &&
      (s.iface == iface || s.iface == NO_INTERFACE || iface == NO_INTERFACE);
    if (found) return s;
    s = changetype<Socket>(changetype<usize>(s.nextInBucket));
  }
  return NO_SOCKET;
}

/** The first socket of bucket `i`; the others follow by nextInBucket. */
export function firstInBucket(i: u32): Socket {
  assert(i < BUCKETS, "no such bucket");
  return changetype<Socket>(<usize>load<u32>(SOCKET_BUCKETS + (i << 2)));
}

/** Enters the socket under its present addresses, which stay as they are until unhash(). */
export function hash(s: Socket): void {
  const bucket = bucketOf(s.localPort, s.remoteAddress, s.remotePort);
  const first: usize = load<u32>(bucket);
  assert(first != changetype<usize>(s), "in a list");
  s.nextInBucket = changetype<Socket | null>(first);
  store<u32>(bucket, <u32>changetype<usize>(s));
}

/** Takes the socket out of the table, if it is there. */
export function unhash(s: Socket): void {
  let at = bucketOf(s.localPort, s.remoteAddress, s.remotePort);
  while (true) {
    const one: usize = load<u32>(at);
    if (one == 0) return;
    if (one == changetype<usize>(s)) break;
    at = one + offsetof<Socket>("nextInBucket");
  }
  store<u32>(at, <u32>changetype<usize>(s.nextInBucket));
}

/**
 * A port that no bound socket has and no connection to that peer, or 0. The port of a connection is
 * free for connections to other peers. They are taken in order, from `offset` on.
 */
export function ephemeralPort(
  protocol: u32,
  iface: NetworkInterface,
  remoteAddress: u32,
  remotePort: u32,
  offset: u32,
): u32 {
  for (let i: u32 = 0; i < EPHEMERAL_PORTS; i++) {
    const local = EPHEMERAL_FIRST + ((nextEphemeral++ + offset) & (EPHEMERAL_PORTS - 1));
    if (findSocket(protocol, iface, local, 0, 0) != NO_SOCKET) continue;
    if (findSocket(protocol, iface, local, remoteAddress, remotePort) == NO_SOCKET) return local;
  }
  return 0;
}
