// What Node does not document. A connected socket is handed over to one that reads into buffers of
// ours: Node has `onread` for sockets that connect, and nothing for those that a server accepted.
// `_handle` and the constructor's `handle`, which are used here instead, work alike on Node 20 to
// 26. So they are looked for before they are used, and who does not find them reads chunks and
// copies them.
import { readSync, writeSync } from "node:fs";
import net from "node:net";

interface Internals {
  _handle: { fd?: unknown; useUserBuffer?: unknown; writeQueueSize?: unknown } | null;
  readonly _readableState?: { readonly ended?: boolean };
}

/** Can this socket, now, be handed over without losing a byte or an event? */
export function canRewrap(socket: net.Socket): boolean {
  const { _handle, _readableState } = socket as unknown as Internals;
  // Bun has the name and ignores it. On Windows the kernel holds the buffer before bytes come, so
  // that sockets cannot share one.
  if (process.versions.bun !== undefined || process.platform === "win32") return false;
  if (typeof _handle?.useUserBuffer !== "function" || _readableState?.ended !== false) return false;
  // A write under way would be completed on the wrong socket; what Node has read would stay there.
  if (socket.writableLength > 0 || socket.readableLength > 0) return false;
  return !socket.connecting && !socket.destroyed && !socket.writableEnded;
}

/**
 * The socket that owns the connection from now on. The old one does nothing any more, and must be
 * destroyed when the new one has closed, or its server never ends.
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

/** Bytes of the writes under way that the kernel has not taken; undefined: Node does not say. */
export function writeQueueSize(socket: net.Socket): number | undefined {
  const size = (socket as unknown as Internals)._handle?.writeQueueSize;
  return typeof size === "number" ? size : undefined;
}

/** undefined: it has none that Node would tell. */
export function descriptorOf(socket: net.Socket): number | undefined {
  const fd = (socket as unknown as Internals)._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

const UNREAD = new Uint8Array(1);

/**
 * Why nothing is to be read any more: null, the peer has ended, or the error that broke the
 * connection. Once libuv has read a part of its buffer and finds that the peer is gone it tells of
 * an end without asking (uv__stream_io), also when it was a reset. Where the descriptor is not to
 * be had, its word is taken.
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
 * Would a write fail, of a socket that has not ended sending? A write of no bytes is no write, but
 * for the look at the connection that begins it. undefined: the descriptor is not to be had.
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
