// The ports of UDP: who takes the datagrams for each of them. Receivers are of the kernel; sockets
// have the other ports, if the image has them.
import { Errno } from "../../../../abi/errno";
import { beginAtomic, endAtomic } from "../../../scheduler";
import { randomBytes } from "../../../std";

/** RFC 6335: ports that nobody can ask for by name. */
const EPHEMERAL_FIRST: u32 = 0xc000;
const EPHEMERALS: u32 = 0x4000;
const PORT_MAX: u32 = 0xffff;

/** A datagram that has arrived. It is the network's, and gone when the receiver returns. */
@unmanaged
export class Datagram {
  source: u32; // address
  sourcePort: u32; // 0: the sender wants no answer
  destination: u32; // address: ours, or a broadcast
  payload: usize;
  bytes: u32;
}

/** The receiver of a port. Embedded in its owner, who fills it and binds it. */
@unmanaged
export class UdpReceiver {
  next: UdpReceiver | null; // ports.ts: in its bucket
  port: u32; // 0 before it is bound: any that is free
  remote: u32; // address whose datagrams it takes alone; 0: everybody's
  remotePort: u32; // with `remote`
  isEarly: bool; // it takes datagrams while the machine has no address
  arrived: u32; // table index of (receiver: UdpReceiver, datagram: Datagram): void; never yields
  refused: u32; // of (receiver: UdpReceiver): void; nobody has that remote port; 0: nobody asks
}

export const NO_RECEIVER: UdpReceiver = changetype<UdpReceiver>(0);

const BUCKETS: u32 = 256;
const buckets: usize = memory.data(256 * 4);
const random: usize = memory.data(4);
let socketHasPort: u32 = 0; // table indices, as in shareWithSockets()
let socketTakes: u32 = 0;

function bucketOf(port: u32): usize {
  return buckets + ((port & (BUCKETS - 1)) << 2);
}

/**
 * Sockets take the datagrams of ports that have no receiver. `hasPort` is the table index of
 * (port: u32): bool; `takes` of (port: u32, datagram: Datagram): bool: false if no socket has the
 * port. Neither yields.
 */
export function shareWithSockets(hasPort: u32, takes: u32): void {
  socketHasPort = hasPort;
  socketTakes = takes;
}

/** Gives a datagram to the socket of a port. Returns false if there is none. */
export function giveToSocket(port: u32, datagram: Datagram): bool {
  if (socketTakes == 0) return false;
  beginAtomic();
  const taken = call_indirect<bool>(socketTakes, port, datagram);
  endAtomic();
  return taken;
}

function hasSocket(port: u32): bool {
  if (socketHasPort == 0) return false;
  beginAtomic();
  const found = call_indirect<bool>(socketHasPort, port);
  endAtomic();
  return found;
}

/** Has a receiver or a socket the port? */
export function isUdpPortInUse(port: u32): bool {
  return receiverAt(port) != NO_RECEIVER || hasSocket(port);
}

/** The receiver of a port; NO_RECEIVER: nobody has it. */
export function receiverAt(port: u32): UdpReceiver {
  let one = changetype<UdpReceiver>(<usize>load<u32>(bucketOf(port)));
  while (one != NO_RECEIVER && one.port != port) {
    one = changetype<UdpReceiver>(changetype<usize>(one.next));
  }
  return one;
}

/**
 * Gives a receiver its port, until unbindUdp(). Returns 0, -EADDRINUSE, -EINVAL (there is no such
 * port) or -EADDRNOTAVAIL (port 0, and none is free). Does not yield.
 */
export function bindUdp(receiver: UdpReceiver): i32 {
  assert(receiver.arrived != 0, "udp: a receiver that takes nothing");
  if (receiver.port > PORT_MAX) return -Errno.EINVAL;
  if (receiver.port == 0) {
    receiver.port = freeUdpPort();
    if (receiver.port == 0) return -Errno.EADDRNOTAVAIL;
  } else if (isUdpPortInUse(receiver.port)) {
    return -Errno.EADDRINUSE;
  }
  const bucket = bucketOf(receiver.port);
  receiver.next = changetype<UdpReceiver | null>(<usize>load<u32>(bucket));
  store<u32>(bucket, <u32>changetype<usize>(receiver));
  return 0;
}

/** A random port that is free, so that nobody can guess it (RFC 6056, 3.3.1); 0: none is. */
export function freeUdpPort(): u32 {
  randomBytes(random, 4);
  const first = load<u32>(random);
  for (let i: u32 = 0; i < EPHEMERALS; i++) {
    const port = EPHEMERAL_FIRST + ((first + i) & (EPHEMERALS - 1));
    if (!isUdpPortInUse(port)) return port;
  }
  return 0;
}

/** The receiver is bound: its port is free from here on, and it gets no more datagrams. */
export function unbindUdp(receiver: UdpReceiver): void {
  let at = bucketOf(receiver.port);
  while (load<u32>(at) != <u32>changetype<usize>(receiver)) {
    assert(load<u32>(at) != 0, "udp: not bound");
    at = <usize>load<u32>(at) + offsetof<UdpReceiver>("next");
  }
  store<u32>(at, <u32>changetype<usize>(receiver.next));
  receiver.next = null;
  receiver.port = 0;
}
