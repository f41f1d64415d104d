// The socket of a connection that has none: a probe. It takes everything and never says anything.
import { NOBODY } from "../../sockets/nobody.ts";
import type { StreamSocket } from "../../sockets.ts";

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
