// Undocumented parts of Node. They hand a connected socket over to one that reads into buffers of
// ours: Node has `onread` for sockets that connect, but not for those that a server accepted.
// `_handle` and the constructor's `handle`, used here instead, work alike on Node 20 to 26. They
// are checked for before use; without them chunks are read and copied.
import { readSync, writeSync } from "node:fs";
import net from "node:net";

interface Internals {
  _handle: { fd?: unknown; useUserBuffer?: unknown; writeQueueSize?: unknown } | null;
  readonly _readableState?: { readonly ended?: boolean };
}

/** Can this socket be handed over now without losing a byte or an event? */
export function canRewrap(socket: net.Socket): boolean {
  const { _handle, _readableState } = socket as unknown as Internals;
  // Bun has the method but ignores it. On Windows the kernel holds the buffer before bytes come, so
  // sockets cannot share one.
  if (process.versions.bun !== undefined || process.platform === "win32") return false;
  if (typeof _handle?.useUserBuffer !== "function" || _readableState?.ended !== false) return false;
  // A write under way would complete on the wrong socket, and bytes that Node has read would stay.
  if (socket.writableLength > 0 || socket.readableLength > 0) return false;
  return !socket.connecting && !socket.destroyed && !socket.writableEnded;
}

/**
 * The socket that owns the connection from now on. The old one is inert, but must be destroyed when
 * the new one has closed, or its server never ends.
 */
export function rewrap(socket: net.Socket, onread: net.OnReadOpts): net.Socket {
  const old = socket as unknown as Internals;
  const handle = old._handle;
  old._handle = null;
  const options = { handle, allowHalfOpen: true, onread };
  const heir = new net.Socket(options as net.SocketConstructorOpts);
  heir.resume();
  return heir;
}

/** Bytes of writes under way that the kernel has not taken; undefined: not known. */
export function writeQueueSize(socket: net.Socket): number | undefined {
  const size = (socket as unknown as Internals)._handle?.writeQueueSize;
  return typeof size === "number" ? size : undefined;
}

/** undefined: none, or not known. */
export function descriptorOf(socket: net.Socket): number | undefined {
  const fd = (socket as unknown as Internals)._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

const UNREAD = new Uint8Array(1);

/**
 * Why reading ended. null: the peer has ended; else the error that broke the connection. When libuv
 * has filled part of its buffer and the peer is gone, it reports an end without reading again
 * (uv__stream_io), even for a reset. Without access to the descriptor its report is trusted.
 */
export function readError(socket: net.Socket): Error | null {
  const fd = descriptorOf(socket);
  if (fd === undefined) return null;
  try {
    readSync(fd, UNREAD);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EAGAIN" ? null : (error as Error);
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Would a write fail, on a socket that has not ended sending? A write of no bytes only checks the
 * connection. undefined: no access to the descriptor.
 */
export function isBroken(socket: net.Socket): boolean | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  try {
    writeSync(fd, NOTHING);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "EAGAIN";
  }
}
