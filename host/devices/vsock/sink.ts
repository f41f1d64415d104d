// The socket of a connection that has none: a probe. It takes everything and never says anything.
import type { SocketEvents, StreamSocket } from "../../sockets.ts";

/** For sockets whose events concern nobody. */
export const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};

/** Shared by all: it has no state. */
export const SINK: StreamSocket = {
  events: NOBODY,
  readInto: () => false,
  send: () => true,
  end() {},
  pause() {},
  resume() {},
  close() {},
  reset() {},
};
