// Events of a socket that concern nobody.
import type { SocketEvents } from "../ports/sockets.ts";

export const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};
