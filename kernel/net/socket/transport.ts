// The protocols that sockets have beside vsock, which the socket layer knows itself. An image
// without TCP/IP has none of them.
import { beginAtomic, endAtomic } from "../../scheduler";
import { firstInterface, NetworkInterface, NO_INTERFACE } from "../link/interface";
import { isVsock, Socket } from "./socket";

/** The functions of a protocol, as indices of the table. None of them yields. */
@unmanaged
export class Transport {
  bytes: u32; // that a socket has beside SOCKET_BYTES, zeroed
  // (s: Socket): u32
  open: u32; // a new socket: 0 or -ENOMEM
  release: u32; // the connection is over: gives back all that the protocol holds for it
  destroy: u32; // the socket goes away
  connect: u32; // sends the first packet of a connection: 0 or an error
  abort: u32; // ends a connection at once; the peer learns it if it can
  shutdown: u32; // s.localShutdown has grown
  close: u32; // the application has closed a connection: 1, or 0: destroy it now
  isDrained: u32; // 1: the peer has acknowledged all, and the end of it
  consumed: u32; // the application has read bytes, or waits for more
  // Others
  route: u32; // (): NetworkInterface: by which packets leave, or NO_INTERFACE
  portOffset: u32; // (address: u32, port: u32): u32: as transportPortOffset()
  hasPort: u32; // (port: u32): u32: does the protocol itself use the port? 0: it uses none
  send: u32; // (s, source, entries, offset, bytes, more, buffers): i32: as sendTransport()
}

/** Protocols that have a transport: IPPROTO_TCP and IPPROTO_UDP. */
const PROTOCOLS: u32 = 32;
const transports: usize = memory.data(32 * 4);

/** Sockets of `protocol` are `transport`'s from here on. */
export function registerTransport(protocol: u32, transport: Transport): void {
  assert(protocol != 0 && protocol < PROTOCOLS, "no such protocol");
  store<u32>(transports + (protocol << 2), <u32>changetype<usize>(transport));
}

/** Has the image that protocol? */
export function hasTransport(protocol: u32): bool {
  return load<u32>(transports + (protocol << 2)) != 0;
}

function transportOf(protocol: u32): Transport {
  assert(protocol != 0 && hasTransport(protocol), "no transport");
  return changetype<Transport>(<usize>load<u32>(transports + (protocol << 2)));
}

/** Bytes of a protocol's state in a socket. */
export function transportBytes(protocol: u32): u32 {
  return protocol == 0 ? 0 : transportOf(protocol).bytes;
}

/** The interface by which packets of the protocol leave, or NO_INTERFACE. */
export function transportRoute(protocol: u32): NetworkInterface {
  return askRoute(transportOf(protocol).route);
}

/** The interface by which a socket connects. */
export function routeOf(s: Socket): NetworkInterface {
  if (s.iface != NO_INTERFACE) return s.iface;
  return isVsock(s) ? firstInterface() : transportRoute(s.protocol);
}

/** Makes the order of local ports hard to guess, for connections to that peer. */
export function transportPortOffset(protocol: u32, address: u32, port: u32): u32 {
  return askPort(transportOf(protocol).portOffset, address, port);
}

/** Does the protocol itself use a local port, beside its sockets? */
export function transportHasPort(protocol: u32, port: u32): bool {
  const callback = transportOf(protocol).hasPort;
  return callback != 0 && askPort(callback, port, 0) != 0;
}

export function openTransport(s: Socket): i32 {
  return ask(transportOf(s.protocol).open, s);
}

export function connectTransport(s: Socket): i32 {
  return ask(transportOf(s.protocol).connect, s);
}

export function releaseTransport(s: Socket): void {
  ask(transportOf(s.protocol).release, s);
}

export function destroyTransport(s: Socket): void {
  ask(transportOf(s.protocol).destroy, s);
}

export function abortTransport(s: Socket): void {
  ask(transportOf(s.protocol).abort, s);
}

export function shutdownTransport(s: Socket): void {
  ask(transportOf(s.protocol).shutdown, s);
}

export function consumedTransport(s: Socket): void {
  ask(transportOf(s.protocol).consumed, s);
}

/** Has the peer all that was sent, and knows that no more comes? */
export function isTransportDrained(s: Socket): bool {
  return ask(transportOf(s.protocol).isDrained, s) != 0;
}

/** Returns true when the socket lives on until the peer knows that it is closed. */
export function closeTransport(s: Socket): bool {
  return ask(transportOf(s.protocol).close, s) != 0;
}

/**
 * Takes `bytes` bytes over, for which there is room, as sendPackets() lists them: `entries` buffers
 * of the vector at `source`, from `offset` on. `more`: further ones follow at once. With `buffers`,
 * a UserBuffers, they stay where they are until it learns that they are free; otherwise they are
 * copied. Returns the bytes taken, 0 if there is no room after all, or -ENOMEM.
 */
export function sendTransport(
  s: Socket,
  source: usize,
  entries: u32,
  offset: u32,
  bytes: u32,
  more: bool,
  buffers: usize,
): i32 {
  beginAtomic();
  const send = transportOf(s.protocol).send;
  const taken = call_indirect<i32>(send, s, source, entries, offset, bytes, more, buffers);
  endAtomic();
  return taken;
}

// Calls through the table.

function ask(callback: u32, s: Socket): u32 {
  beginAtomic();
  const answer = call_indirect<u32>(callback, s);
  endAtomic();
  return answer;
}

function askRoute(callback: u32): NetworkInterface {
  return call_indirect<NetworkInterface>(callback);
}

function askPort(callback: u32, address: u32, port: u32): u32 {
  return call_indirect<u32>(callback, address, port);
}
