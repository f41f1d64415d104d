// Hands a connected socket over to one that reads into buffers of ours. Node has `onread` for
// sockets that connect, and nothing for sockets that a server accepted. What is used here instead,
// `_handle` and the constructor's `handle`, is not documented; it works alike on Node 20 to 26.
// So it is looked for before it is used, and who does not find it reads chunks and copies them.
import net from "node:net";

interface Internals {
  _handle: { useUserBuffer?: unknown } | null;
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
