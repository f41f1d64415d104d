// The socket of a connection that has none: a probe. It takes everything and never says anything.

import type { StreamSocket } from "../../../ports/sockets.ts";
import { NOBODY } from "../../../sockets/nobody.ts";

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
